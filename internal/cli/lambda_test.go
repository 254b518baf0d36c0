package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"dynaferry/internal/fault"
)

// runtimeAPI is the Lambda runtime API (AWS Lambda Developer Guide, "Using the Lambda runtime API for custom runtimes"): it hands
// events to one function and takes what it answers.
type runtimeAPI struct {
	t       *testing.T
	cmd     *exec.Cmd
	server  *httptest.Server
	next    chan invocation
	replies chan reply
	ids     int
}

type invocation struct {
	event    string
	deadline time.Time
}

type reply struct {
	failed bool
	body   string
}

// startLambda runs the program as a function: it is called bootstrap, and has nothing but its environment.
func startLambda(t *testing.T, env ...string) *runtimeAPI {
	t.Helper()
	r := &runtimeAPI{t: t, next: make(chan invocation), replies: make(chan reply, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(w http.ResponseWriter, q *http.Request) {
		select {
		case i := <-r.next:
			r.ids++
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", fmt.Sprint("request-", r.ids))
			w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(i.deadline.UnixMilli()))
			w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:1:function:orders")
			_, _ = io.WriteString(w, i.event)
		case <-q.Context().Done():
		}
	})
	take := func(failed bool) http.HandlerFunc {
		return func(w http.ResponseWriter, q *http.Request) {
			body, _ := io.ReadAll(q.Body)
			w.WriteHeader(http.StatusAccepted)
			r.replies <- reply{failed, string(body)}
		}
	}
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", take(false))
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", take(true))
	r.server = httptest.NewServer(mux)
	t.Cleanup(r.server.Close)
	program, err := exec.LookPath(bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	r.cmd = exec.CommandContext(t.Context(), program)
	r.cmd.Env = append([]string{"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(r.server.URL, "http://"), "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=a",
		"AWS_SECRET_ACCESS_KEY=b", "AWS_EC2_METADATA_DISABLED=true", "HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}, env...)
	var said strings.Builder
	r.cmd.Stderr = &said
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
		if t.Failed() {
			t.Logf("the function said:\n%s", said.String())
		}
	})
	return r
}

// invoke hands over an event and waits for the answer.
func (r *runtimeAPI) invoke(event string, within time.Duration) reply {
	r.t.Helper()
	select {
	case r.next <- invocation{event, time.Now().Add(within)}:
	case <-time.After(time.Minute):
		r.t.Fatal("the function does not ask for events")
	}
	select {
	case a := <-r.replies:
		return a
	case <-time.After(within + time.Minute):
		r.t.Fatal("the function does not answer")
	}
	panic("not reached")
}

func (r *runtimeAPI) answers(event, want string) {
	r.t.Helper()
	if got := r.invoke(event, time.Minute); got.failed || got.body != want {
		r.t.Errorf("%v %s, want %s", got.failed, got.body, want)
	}
}

func (r *runtimeAPI) fails(event string, within time.Duration, want string) {
	r.t.Helper()
	if got := r.invoke(event, within); !got.failed || !strings.Contains(got.body, want) {
		r.t.Errorf("%v %s; it should have failed with %s", got.failed, got.body, want)
	}
}

const noFailures = `{"batchItemFailures":[]}`

// dynamoEvent has a record for each number; one of 0 cannot be read.
func dynamoEvent(numbers ...int) string {
	var records []string
	for _, n := range numbers {
		image := fmt.Sprintf(`{"id":{"S":"k%d"},"v":{"N":"%d"}}`, n, n)
		if n == 0 {
			image = `{"id":{"S":17}}`
		}
		records = append(records, fmt.Sprintf(`{"eventID":"e%d","eventName":"INSERT","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"eu-west-1",
			"dynamodb":{"ApproximateCreationDateTime":1795651190.0,"Keys":{"id":{"S":"k%d"}},"NewImage":%s,"SequenceNumber":"%d00000000000000000001","SizeBytes":26,
			"StreamViewType":"NEW_AND_OLD_IMAGES"},"eventSourceARN":"arn:aws:dynamodb:eu-west-1:1:table/Orders/stream/2026"}`, n, n, image, n+100))
	}
	return `{"Records":[` + strings.Join(records, ",") + `]}`
}

// kinesisEvent has a record for each "shard:number".
func kinesisEvent(list ...string) string {
	var records []map[string]any
	for _, at := range list {
		shard, n, _ := strings.Cut(at, ":")
		payload := fmt.Sprintf(`{"awsRegion":"eu-west-1","eventID":"%s-%s","eventName":"INSERT","userIdentity":null,"recordFormat":"application/json","tableName":"Orders",`+
			`"dynamodb":{"ApproximateCreationDateTime":1795651190123,"Keys":{"id":{"S":"k%s"}},"NewImage":{"id":{"S":"k%s"},"shard":{"S":"%s"}},"SizeBytes":9},"eventSource":"aws:dynamodb"}`,
			shard, n, n, n, shard)
		if n == "0" {
			payload = "no change"
		}
		records = append(records, map[string]any{"eventSource": "aws:kinesis", "eventID": "shardId-" + shard + ":" + n, "eventSourceARN": "arn:aws:kinesis:eu-west-1:1:stream/changes",
			"kinesis": map[string]any{"sequenceNumber": "4959" + n, "partitionKey": "p", "data": []byte(payload), "approximateArrivalTimestamp": 1795651191.5}})
	}
	text, _ := json.Marshal(map[string]any{"Records": records})
	return string(text)
}

// linesIn are the lines of all files below a folder but ours, by file, and the dead letters.
func linesIn(t *testing.T, dir string) (files int, lines, dead []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		text := slices.Collect(strings.Lines(string(data)))
		switch {
		case strings.HasSuffix(name, ".dead"):
			dead = append(dead, text...)
		case strings.HasSuffix(name, ".json"):
			files++
			for _, line := range text {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return files, lines, dead
}

func filesHold(t *testing.T, dir string, files int, lines ...string) {
	t.Helper()
	n, got, _ := linesIn(t, dir)
	if n != files || !slices.Equal(got, lines) {
		t.Errorf("%d files with\n%s\nwant %d with\n%s", n, strings.Join(got, "\n"), files, strings.Join(lines, "\n"))
	}
}

// TestLambda drives the program through the runtime API: each batch is in files once, whatever is tried again.
func TestLambda(t *testing.T) {
	plain := []string{"DYNAFERRY_FORMAT=json", "DYNAFERRY_IMAGES=new", "DYNAFERRY_COMPRESSION=none"}
	row := func(n int) string { return fmt.Sprintf(`{"id":"k%d","v":%d}`, n, n) }
	t.Run("success, and the same batch again", func(t *testing.T) {
		dir := t.TempDir()
		r := startLambda(t, append(plain, "DYNAFERRY_DEST="+dir)...)
		r.answers(dynamoEvent(1, 2), noFailures)
		r.answers(dynamoEvent(1, 2), noFailures)
		r.answers(dynamoEvent(3, 3), noFailures) // a record that is twice in a batch
		r.answers(`{"Records":[]}`, noFailures)
		filesHold(t, dir, 2, row(1), row(2), row(3))
		again := startLambda(t, append(plain, "DYNAFERRY_DEST="+dir)...) // another process knows by the name
		again.answers(dynamoEvent(1, 2), noFailures)
		filesHold(t, dir, 2, row(1), row(2), row(3))
	})
	t.Run("bisected", func(t *testing.T) {
		dir := t.TempDir()
		r := startLambda(t, append(plain, "DYNAFERRY_DEST="+dir, "DYNAFERRY_PREFIX=new/!{timestamp:yyyy}/")...)
		obstruct(t, filepath.Join(dir, "new"))
		r.fails(dynamoEvent(1, 2, 3, 4), time.Minute, "arn:aws:dynamodb:eu-west-1:1:table/Orders/stream/2026 from 10100000000000000000001 on")
		clearAway(t, filepath.Join(dir, "new"))
		r.answers(dynamoEvent(1, 2), noFailures)
		r.answers(dynamoEvent(3, 4), noFailures)
		r.answers(dynamoEvent(1, 2, 3, 4), noFailures) // this process knows them
		filesHold(t, dir, 2, row(1), row(2), row(3), row(4))
	})
	t.Run("a poison record", func(t *testing.T) {
		dir := t.TempDir()
		r := startLambda(t, append(plain, "DYNAFERRY_DEST="+dir, "DYNAFERRY_STEP=filter v != 2\nmap w = v + 1")...)
		r.answers(dynamoEvent(1, 0, 2, 3), noFailures)
		filesHold(t, dir, 1, `{"id":"k1","v":1,"w":2}`, `{"id":"k3","v":3,"w":4}`)
		if _, _, dead := linesIn(t, dir); len(dead) != 1 || !strings.Contains(dead[0], `\"SequenceNumber\":\"10000000000000000000001\"`) {
			t.Errorf("dead letters: %q", dead)
		}
	})
	t.Run("one shard of two", func(t *testing.T) {
		dir := t.TempDir()
		r := startLambda(t, append(plain, "DYNAFERRY_DEST="+dir, "DYNAFERRY_PREFIX=shard=!{partitionKeyFromQuery:shard}/!{timestamp:yyyy}/", "DYNAFERRY_PARTITION_KEY=shard=shard")...)
		obstruct(t, filepath.Join(dir, "shard=B"))
		r.answers(kinesisEvent("A:1", "A:2", "B:3", "A:0", "B:4"), `{"batchItemFailures":[{"itemIdentifier":"49593"}]}`)
		clearAway(t, filepath.Join(dir, "shard=B"))
		r.answers(kinesisEvent("B:3", "B:4", "B:5"), noFailures)
		filesHold(t, dir, 2, `{"id":"k1","shard":"A"}`, `{"id":"k2","shard":"A"}`, `{"id":"k3","shard":"B"}`, `{"id":"k4","shard":"B"}`, `{"id":"k5","shard":"B"}`)
		if _, _, dead := linesIn(t, dir); len(dead) != 1 || !strings.Contains(dead[0], `"shard":"shardId-A","position":"49590"`) {
			t.Errorf("dead letters: %q", dead)
		}
	})
	t.Run("out of time", func(t *testing.T) {
		hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
			_, _ = io.Copy(io.Discard, q.Body)
			<-q.Context().Done()
		}))
		t.Cleanup(hangs.Close)
		r := startLambda(t, append(plain, "DYNAFERRY_DEST=s3://lake/x", "AWS_ENDPOINT_URL_S3="+hangs.URL)...)
		r.fails(dynamoEvent(1), 2*time.Second, "the function's time is nearly over")
	})
	t.Run("no batch", func(t *testing.T) {
		r := startLambda(t, append(plain, "DYNAFERRY_DEST="+t.TempDir())...)
		r.fails(`{"Records":[{"eventSource":"aws:sqs","body":"x"}]}`, time.Minute, `record 1 of the event is of \"aws:sqs\"`)
		r.answers(dynamoEvent(1), noFailures)
	})
}

// obstruct puts a file where a folder must be, so that nothing can be written below it.
func obstruct(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func clearAway(t *testing.T, dir string) {
	t.Helper()
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}

// TestSurroundings: flags win over the environment, that over the file; what the file cannot mean is refused with its name.
func TestSurroundings(t *testing.T) {
	file := filepath.Join(t.TempDir(), lambdaFile)
	read := func(text string, given ...string) (map[string]string, error) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := &cobra.Command{}
		cmd.Flags().String("dest", "", "")
		cmd.Flags().String("format", "", "")
		cmd.Flags().Int("level", 0, "")
		cmd.Flags().StringArray("step", nil, "")
		if err := cmd.ParseFlags(given); err != nil {
			t.Fatal(err)
		}
		err := surroundings(cmd, file)
		got := map[string]string{}
		for _, name := range []string{"dest", "format", "level", "step"} {
			got[name] = cmd.Flags().Lookup(name).Value.String()
		}
		return got, err
	}
	t.Setenv("DYNAFERRY_FORMAT", "csv")
	got, err := read(`{"dest":"a","format":"json","level":3,"step":["drop x","drop y"]}`, "--dest", "b")
	if want := map[string]string{"dest": "b", "format": "csv", "level": "3", "step": "[drop x,drop y]"}; err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, %v", got, err)
	}
	t.Setenv("DYNAFERRY_STEP", "drop z\ndrop w")
	if got, err = read(`{}`); err != nil || got["step"] != "[drop z,drop w]" {
		t.Errorf("%v, %v", got, err)
	}
	for text, want := range map[string]string{`{"dst":"x"}`: `lambda has no setting "dst"`, `{"level":{}}`: "level: a setting is", `{`: "no JSON object", `{"level":"x"}`: "invalid argument"} {
		if _, err := read(text); err == nil || !strings.Contains(fmt.Sprint(err), want) || !strings.Contains(fmt.Sprint(err), lambdaFile) {
			t.Errorf("%s: %v (%v), want %s", text, err, fault.KindOf(err), want)
		}
	}
}
