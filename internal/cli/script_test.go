package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"

	"dynaferry/internal/blob"
	"dynaferry/internal/local"
	"dynaferry/internal/local/bucket"
)

// TestMain lets scripts run the program as the command dynaferry: this very binary, under another name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"dynaferry": func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
		bootstrap:   func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs testdata/*.txtar: what the commands promise, as a person types them. Tables live in one local
// DynamoDB that all scripts share, each with names of its own, and so do objects in the bucket lake.
func TestScripts(t *testing.T) {
	testscript.Run(t, scripts(t, testscript.Params{Dir: "testdata"}))
}

// scripts gives a run of scripts its world: a DynamoDB, an account, a clean home.
func scripts(t *testing.T, p testscript.Params) testscript.Params {
	exe, err := exec.LookPath("dynaferry")
	if err != nil {
		t.Fatal(err)
	}
	s3, err := bucket.Start(context.Background(), exe, []string{bucketCommandName},
		bucket.Config{Dir: t.TempDir(), Region: regionLocal, Buckets: []string{"lake"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s3.Close() })
	if err := s3.MakeBucket(context.Background(), "vault", true); err != nil { // whose objects can be retained
		t.Fatal(err)
	}
	buckets, err := bucketsOf(context.Background(), s3)
	if err != nil {
		t.Fatal(err)
	}
	db, err := local.Start(context.Background(), local.Options{NoSync: true, Bucket: buckets})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	p.Setup = func(e *testscript.Env) error {
		for name, value := range map[string]string{
			"HOME": e.WorkDir, "AWS_REGION": regionLocal, "AWS_ACCESS_KEY_ID": s3.Config.AccessKey,
			"AWS_SECRET_ACCESS_KEY": s3.Config.SecretKey, "AWS_ENDPOINT_URL_DYNAMODB": db.URL, "AWS_ENDPOINT_URL_S3": s3.Endpoint,
			"AWS_CONFIG_FILE": filepath.Join(e.WorkDir, "none"), "AWS_EC2_METADATA_DISABLED": "true",
			// A table of its own for each script: "$T" begins its name.
			"T": "dynamodb://" + strings.NewReplacer("-", "", "_", "").Replace(strings.TrimPrefix(filepath.Base(e.WorkDir), "script-")),
		} {
			e.Setenv(name, value)
		}
		return nil
	}
	p.ContinueOnError = true
	p.Cmds = map[string]func(ts *testscript.TestScript, neg bool, args []string){"code": exitsWith, "plan": planInto, "same": sameLines, "drop": drop, "call": call, "member": member, "changes": changesInto, "replicas": replicas,
		// "upload FILE NAME": the file becomes an object of the bucket lake, as another program would put it.
		"upload": func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) != 2 {
				ts.Fatalf("usage: upload FILE NAME")
			}
			lake, err := buckets(context.Background(), "lake")
			ts.Check(err)
			_, err = lake.Put(context.Background(), args[1], []byte(ts.ReadFile(args[0])), blob.PutOptions{})
			ts.Check(err)
		},
		// "holds PREFIX TEXT": an object of the bucket lake below the prefix has the text, in its bytes or in what they unpack to.
		"holds": func(ts *testscript.TestScript, neg bool, args []string) {
			if len(args) != 2 {
				ts.Fatalf("usage: [!] holds PREFIX TEXT")
			}
			lake, err := buckets(context.Background(), "lake")
			ts.Check(err)
			ts.Check(holds(lake, args[0], args[1], !neg))
		},
		// "fill FILE N": DynamoDB JSON of N items with ids k-0 and on, of a KB each.
		"fill": func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) != 2 {
				ts.Fatalf("usage: fill FILE N")
			}
			n, err := strconv.Atoi(args[1])
			ts.Check(err)
			var b bytes.Buffer
			for i := range n {
				fmt.Fprintf(&b, `{"Item":{"id":{"S":"k-%d"},"v":{"N":"0"},"pad":{"S":"%s"}}}`+"\n", i, strings.Repeat("x", 1000))
			}
			ts.Check(os.WriteFile(ts.MkAbs(args[0]), b.Bytes(), 0o600))
		},
		// "churn N PREFIX TEXT": the N items of fill are changed and deleted, one after the other, until the bucket lake has an
		// object below the prefix whose name has the text.
		"churn": func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) != 3 {
				ts.Fatalf("usage: churn N PREFIX TEXT")
			}
			n, err := strconv.Atoi(args[0])
			ts.Check(err)
			lake, err := buckets(context.Background(), "lake")
			ts.Check(err)
			ts.Check(churn(ts, lake, n, args[1], args[2]))
		},
		// "remove NAME": an object of the bucket lake is gone.
		"remove": func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) != 1 {
				ts.Fatalf("usage: remove NAME")
			}
			lake, err := buckets(context.Background(), "lake")
			ts.Check(err)
			ts.Check(lake.Delete(context.Background(), args[0]))
		}}
	return p
}

// exitsWith is "code N command args…": the command must end with exit code N.
func exitsWith(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command args…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// planInto is "plan NAME args…": dynaferry plan args…, its address in $NAME.
func planInto(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: plan NAME verb args…")
	}
	ts.Check(ts.Exec("dynaferry", append([]string{"plan"}, args[1:]...)...))
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// drop is "drop dynamodb://TABLE": the table is deleted, as its owner would.
func drop(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: drop dynamodb://TABLE")
	}
	request(ts, "DeleteTable", fmt.Sprintf(`{"TableName":%q}`, strings.TrimPrefix(args[0], "dynamodb://")))
}

// call is "call OPERATION FILE": a request to DynamoDB as another program would send it, with variables in FILE; what it
// replies is on stdout, and in the file reply. Of another service OPERATION is the whole target.
func call(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: call OPERATION FILE")
	}
	name := strings.TrimPrefix(ts.Getenv("T"), "dynamodb://")
	body := strings.NewReplacer("$NAME", name, "${NAME}", name).Replace(ts.ReadFile(args[1]))
	said := request(ts, args[0], body)
	_, err := ts.Stdout().Write(said)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("reply"), said, 0o600))
}

func request(ts *testscript.TestScript, operation, body string) []byte {
	r, err := http.NewRequest(http.MethodPost, ts.Getenv("AWS_ENDPOINT_URL_DYNAMODB"), strings.NewReader(body))
	ts.Check(err)
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	if !strings.Contains(operation, ".") {
		operation = "DynamoDB_20120810." + operation
	}
	r.Header.Set("X-Amz-Target", operation)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+ts.Getenv("AWS_ACCESS_KEY_ID")+"/20250101/"+regionLocal+
		"/dynamodb/aws4_request, SignedHeaders=host;x-amz-date, Signature=0")
	r.Header.Set("X-Amz-Date", "20250101T000000Z")
	reply, err := http.DefaultClient.Do(r)
	ts.Check(err)
	defer reply.Body.Close()
	said, err := io.ReadAll(reply.Body)
	if err != nil || reply.StatusCode != http.StatusOK {
		ts.Fatalf("%s %s: %s %s %v", operation, body, reply.Status, said, err)
	}
	return said
}

// member is "member NAME member": $NAME becomes the text that the first JSON object on stdout which has that member has there.
func member(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: member NAME member")
	}
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		var object map[string]any
		if json.Unmarshal([]byte(line), &object) != nil {
			continue
		}
		if value, ok := object[args[1]].(string); ok {
			ts.Setenv(args[0], value)
			return
		}
	}
	ts.Fatalf("no text %s in %s", args[1], ts.ReadFile("stdout"))
}

// sameLines is "same file file": equal up to the order of their lines.
func sameLines(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: same file file")
	}
	count := map[string]int{}
	for i, name := range args {
		for line := range strings.SplitSeq(strings.TrimSpace(ts.ReadFile(name)), "\n") {
			count[line] += 1 - 2*i
		}
	}
	var differ []string
	for line, n := range count {
		if n != 0 {
			differ = append(differ, fmt.Sprintf("%+d %s", n, line))
		}
	}
	if (len(differ) > 0) != neg {
		ts.Fatalf("lines differ:\n%s", strings.Join(differ, "\n"))
	}
}

// holds looks for a text in all objects below a prefix, and in every zstd frame that begins anywhere in them.
func holds(b blob.Bucket, prefix, text string, want bool) error {
	dec, err := zstd.NewReader(nil)
	if err != nil {
		return err
	}
	defer dec.Close()
	objects, found := 0, ""
	for info, err := range b.List(context.Background(), prefix, "") {
		if err != nil {
			return err
		}
		data, _, err := blob.ReadAll(context.Background(), b, info.Name, 1<<26)
		if err != nil {
			return err
		}
		objects++
		has := bytes.Contains(data, []byte(text))
		for at := 0; at < len(data); at++ {
			n := bytes.Index(data[at:], []byte{0x28, 0xB5, 0x2F, 0xFD})
			if n < 0 {
				break
			}
			at += n
			unpacked, _ := dec.DecodeAll(data[at:], nil)
			has = has || bytes.Contains(unpacked, []byte(text))
		}
		if has {
			found = info.Name
		}
	}
	if objects == 0 || want != (found != "") {
		return fmt.Errorf("%q in %d objects below %s: %q", text, objects, prefix, found)
	}
	return nil
}

// churn changes a table until an object is there: of what a follower wrote, or 40 s are over.
func churn(ts *testscript.TestScript, b blob.Bucket, n int, prefix, text string) error {
	table := strings.TrimPrefix(ts.Getenv("T"), "dynamodb://")
	begun := time.Now()
	pace := time.NewTicker(5 * time.Millisecond) // more would only make the log long
	defer pace.Stop()
	for i := 0; time.Since(begun) < 40*time.Second; i++ {
		<-pace.C
		if i%20 == 0 {
			for info, err := range b.List(context.Background(), prefix, "") {
				if err != nil || strings.Contains(info.Name, text) {
					return err
				}
			}
		}
		key := fmt.Sprintf(`"id":{"S":"k-%d"}`, i*7%n)
		if i%5 == 4 {
			request(ts, "DeleteItem", fmt.Sprintf(`{"TableName":%q,"Key":{%s}}`, table, key))
		} else {
			request(ts, "PutItem", fmt.Sprintf(`{"TableName":%q,"Item":{%s,"v":{"N":"%d"}}}`, table, key, i+1))
		}
	}
	return fmt.Errorf("no object with %s below %s within 40 s", text, prefix)
}
