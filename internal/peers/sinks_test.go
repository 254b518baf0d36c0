//go:build peers

package peers_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// startMinistack serves ministack, which is many services at one endpoint.
func startMinistack(t *testing.T) string {
	t.Helper()
	port := freePort(t)
	cmd := exec.CommandContext(t.Context(), pythonOf(t, "python"), "-m", "ministack.app")
	cmd.Env, cmd.Dir = environment("GATEWAY_PORT="+port, "BIND_HOST=127.0.0.1"), t.TempDir()
	url := "http://127.0.0.1:" + port
	await(t, url, serve(t, cmd))
	return url
}

// startMotoOneByOne serves a moto that takes one request at a time: its Kinesis loses records that come in two at once ("this function
// is not safe for concurrency", says Shard.put_record).
func startMotoOneByOne(t *testing.T) string {
	t.Helper()
	port := freePort(t)
	serial := "from werkzeug.serving import run_simple; from moto.server import DomainDispatcherApplication, create_backend_app; " +
		"run_simple('127.0.0.1', " + port + ", DomainDispatcherApplication(create_backend_app), threaded=False)"
	cmd := exec.CommandContext(t.Context(), pythonOf(t, "python"), "-c", serial)
	cmd.Env = environment("AWS_ACCESS_KEY_ID="+accessKey, "AWS_SECRET_ACCESS_KEY="+secretKey)
	url := "http://127.0.0.1:" + port
	await(t, url+"/moto-api/", serve(t, cmd))
	return url
}

// drive runs streams_drive.py and returns the lines that it prints.
func drive(t *testing.T, p place, args ...string) []string {
	t.Helper()
	out := p.must(t, pythonOf(t, "python"), append([]string{filepath.Join(root, "internal/peers/streams_drive.py")}, args...)...)
	return strings.Split(strings.TrimSpace(out), "\n")
}

var deliveredSoFar = regexp.MustCompile(`(?m)^dynaferry_delivered_records_total(?:\{[^}]*\})? ([0-9.e+]+)$`)

// killedFollow runs a follower until it has delivered some records and not all, and kills it there by SIGKILL; then another one to the end.
func killedFollow(t *testing.T, p place, args ...string) {
	t.Helper()
	address := "127.0.0.1:" + freePort(t)
	args = append([]string{"follow"}, args...)
	cmd := exec.CommandContext(t.Context(), program, append(args, "--listen", address)...)
	cmd.Env, cmd.Dir = environment(p.env...), p.dir
	said := serve(t, cmd)
	n := 0.0
	until(t, "some records are delivered: "+strings.Join(args, " "), func() bool {
		r, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		text, _ := io.ReadAll(r.Body)
		m := deliveredSoFar.FindSubmatch(text)
		if m == nil {
			return false
		}
		n, _ = strconv.ParseFloat(string(m[1]), 64)
		return n > 0
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	t.Logf("killed when %.0f were delivered", n)
	p.must(t, program, append(args, "--exit-when-idle", "3s")...)
}

// changeOf is what tells a change from others, and its place among those of its item.
type changeOf struct {
	EventID  string `json:"eventID"`
	DynamoDB struct {
		Keys           json.RawMessage
		SequenceNumber string
	} `json:"dynamodb"`
}

func changeIn(t *testing.T, line string) (c changeOf) {
	t.Helper()
	if err := json.Unmarshal([]byte(line), &c); err != nil || c.EventID == "" {
		t.Fatalf("no change: %v: %.300s", err, line)
	}
	return c
}

// arrived holds what came against what is in the log: every change, no other, those of an item first in their order.
func arrived(t *testing.T, what string, lines []string, want map[string]bool, ordered bool) {
	t.Helper()
	seen, last := map[string]bool{}, map[string]string{}
	for _, line := range lines {
		c := changeIn(t, line)
		if !want[c.EventID] {
			t.Errorf("%s: the change %s is not in the log", what, c.EventID)
		}
		if seen[c.EventID] {
			continue
		}
		seen[c.EventID] = true
		key, n := string(c.DynamoDB.Keys), c.DynamoDB.SequenceNumber
		if before := last[key]; ordered && (len(n) < len(before) || len(n) == len(before) && n <= before) {
			t.Errorf("%s: of %s came %s behind %s", what, key, n, before)
		}
		last[key] = n
	}
	if len(seen) != len(want) {
		t.Errorf("%s: %d of %d changes came", what, len(seen), len(want))
	}
	t.Logf("%s: %d changes, %d records", what, len(seen), len(lines))
}

// TestSinks: a table's changes go into the Firehose and the Kinesis of others, through a kill in the middle: all there, and in order.
func TestSinks(t *testing.T) {
	p := startLocal(t)
	p.aws(t, "dynamodb", "create-table", "--table-name", "Orders", "--billing-mode", "PAY_PER_REQUEST", "--attribute-definitions", "AttributeName=pk,AttributeType=S",
		"--key-schema", "AttributeName=pk,KeyType=HASH", "--stream-specification", "StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES")
	const n, versions = 300, 8 // more entries of the log than one epoch takes
	for version := range versions {
		var items strings.Builder
		for i := range n {
			fmt.Fprintf(&items, `{"Item":{"pk":{"S":"k%d"},"version":{"N":"%d"}}}`+"\n", i, version)
		}
		name := filepath.Join(p.dir, fmt.Sprint("version", version))
		if err := os.WriteFile(name, []byte(items.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		p.ferry(t, &imported{}, "import", name, "dynamodb://Orders", "--overwrite", "--from-format", "dynamodb-json", "--write-units", "unlimited")
		p.must(t, program, "follow", "dynamodb://Orders", "--log", "s3://lake/log", "--exit-when-idle", "300ms")
	}
	want := map[string]bool{}
	for line := range strings.Lines(p.must(t, program, "follow", "dynamodb://Orders", "-", "--log", "s3://lake/log", "--exit-when-idle", "2s")) {
		want[changeIn(t, line).EventID] = true
	}
	if len(want) != n*versions {
		t.Fatalf("%d changes are in the log, %d happened", len(want), n*versions)
	}
	for peer, start := range map[string]func(*testing.T) string{"moto": startMotoOneByOne, "ministack": startMinistack} {
		t.Run(peer, func(t *testing.T) {
			endpoint := start(t)
			drive(t, p, "make-kinesis", endpoint, "changes", "3")
			drive(t, p, "make-firehose", endpoint, "changes", "hosed")
			small := []string{"--log", "s3://lake/log", "--buffer-size", "64KiB", "--buffer-interval", "100ms"}
			killedFollow(t, p, append([]string{"dynamodb://Orders", "kinesis://changes?endpoint=" + endpoint, "--name", peer + "-kinesis"}, small...)...)
			var lines []string
			for _, line := range drive(t, p, "read-kinesis", endpoint, "changes") {
				key, data, _ := strings.Cut(line, "\t")
				if c := changeIn(t, data); key != string(c.DynamoDB.Keys) && len(key) != 32 {
					t.Errorf("the partition key of %s is %s", c.DynamoDB.Keys, key)
				}
				lines = append(lines, data)
			}
			arrived(t, "Kinesis", lines, want, true)
			killedFollow(t, p, append([]string{"dynamodb://Orders", "firehose://changes?endpoint=" + endpoint, "--name", peer + "-firehose"}, small...)...)
			arrived(t, "Firehose", drive(t, p, "read-firehose", endpoint, "hosed"), want, false)
		})
	}
}

// TestSources: follow reads the streams of others, through a kill in the middle: each change is in one file, once.
func TestSources(t *testing.T) {
	p := startLocal(t)
	files := func(t *testing.T, prefix string) (lines []string) {
		dir := filepath.Join(t.TempDir(), "files")
		p.aws(t, "s3", "cp", "s3://lake/"+prefix, dir, "--recursive", "--exclude", "_dynaferry/*", "--only-show-errors")
		return strings.Split(strings.TrimSpace(p.must(t, "find", dir, "-name", "*.json", "-exec", "cat", "{}", "+")), "\n")
	}
	once := func(t *testing.T, lines []string, n int) {
		t.Helper()
		seen := map[string]bool{}
		for _, line := range lines {
			if c := changeIn(t, line); seen[c.EventID] {
				t.Errorf("%s is there twice", c.EventID)
			} else {
				seen[c.EventID] = true
			}
		}
		if len(seen) != n {
			t.Errorf("%d changes are visible, %d happened", len(seen), n)
		}
	}
	small := []string{"--compression", "none", "--buffer-size", "64KiB", "--buffer-interval", "100ms", "--freshness", "500ms"}
	t.Run("streams of DynamoDB Local", func(t *testing.T) {
		endpoint := startDynamoDBLocal(t)
		there := "?endpoint=" + endpoint
		p.must(t, need(t, "python", "python/bin/aws"), "dynamodb", "create-table", "--endpoint-url", endpoint, "--table-name", "Streamed", "--billing-mode", "PAY_PER_REQUEST",
			"--attribute-definitions", "AttributeName=pk,AttributeType=S", "--key-schema", "AttributeName=pk,KeyType=HASH",
			"--stream-specification", "StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES")
		n := p.addItems(t, "dynamodb://Streamed"+there, "a", 1500)
		killedFollow(t, p, append([]string{"dynamodb://Streamed" + there, "s3://lake/streamed"}, small...)...)
		n += p.addItems(t, "dynamodb://Streamed"+there, "b", 100)
		p.must(t, program, append([]string{"follow", "dynamodb://Streamed" + there, "s3://lake/streamed", "--exit-when-idle", "3s"}, small...)...)
		once(t, files(t, "streamed/"), int(n))
	})
	for peer, start := range map[string]func(*testing.T) string{"moto": startMoto, "ministack": startMinistack} {
		t.Run("Kinesis of "+peer, func(t *testing.T) {
			endpoint := start(t)
			const n = 3000
			drive(t, p, "make-kinesis", endpoint, "source", "3")
			drive(t, p, "put-kinesis", endpoint, "source", fmt.Sprint(n))
			killedFollow(t, p, append([]string{"kinesis://source?endpoint=" + endpoint, "s3://lake/" + peer, "--key", "id"}, small...)...)
			once(t, files(t, peer+"/"), n)
		})
	}
}
