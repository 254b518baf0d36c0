package local

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/local/kinesis"
)

var rewrite = flag.Bool("rewrite", false, "write the replies of this run into the histories under testdata")

// epoch is when tests happen.
var epoch = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func newDB(t testing.TB, opts Options) *DB {
	t.Helper()
	if opts.Clock == nil {
		opts.Clock = func() time.Time { return epoch }
	}
	db, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

const signature = "AWS4-HMAC-SHA256 Credential=AKID/20260701/eu-central-1/dynamodb/aws4_request, " +
	"SignedHeaders=host;x-amz-date, Signature=00"

func request(op, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:8000/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", targetOf(op))
	r.Header.Set("Authorization", signature)
	return r
}

// targetOf turns the short names of histories, PutItem or Kinesis.PutRecord, into an X-Amz-Target.
func targetOf(op string) string {
	service, name, ok := strings.Cut(op, ".")
	if !ok {
		return targetStem + op
	}
	return map[string]string{"Kinesis": kinesis.TargetStem, "Streams": streamsStem, "Local": localStem}[service] + name
}

// post sends one request and returns status and body.
func post(db *DB, op, body string) (int, string) {
	w := httptest.NewRecorder()
	db.ServeHTTP(w, request(op, body))
	return w.Code, w.Body.String()
}

// must is post for requests that have to succeed.
func must(t testing.TB, db *DB, op, body string) string {
	t.Helper()
	status, reply := post(db, op, body)
	if status != http.StatusOK {
		t.Fatalf("%s %s: %d %s", op, body, status, reply)
	}
	return reply
}

var tableID = regexp.MustCompile(`("TableId":"|tableId: )[0-9a-f-]{36}`)

// random are other parts of replies that differ in every run.
var random = regexp.MustCompile(`"(eventID|NextToken|ShardIterator|NextShardIterator)":"[^"]{30,}"`)

// remembered are the parts of replies that later requests may name in braces: each stands for its last value.
var remembered = map[string]*regexp.Regexp{
	"{iterator}": regexp.MustCompile(`"(?:Next)?ShardIterator":"([^"]*)"`),
	"{stream}":   regexp.MustCompile(`"(?:Latest)?StreamArn":"([^"]*)"`),
	"{shard}":    regexp.MustCompile(`"ShardId":"([^"]*)"`),
	"{sequence}": regexp.MustCompile(`"SequenceNumber":"([^"]*)"`),
}

// TestHistories plays each file under testdata against a database of its own: an operation and its request on a line,
// ----, the reply. A line "after 25h" moves the clock; {iterator} in a request is the last iterator
// of a reply, and so on. Run with -rewrite after a wanted change and read the difference.
func TestHistories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d histories (%v)", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			have, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, have, post)
			if *rewrite {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			diff(t, file, have, got)
		})
	}
}

// play returns the history with the replies of this run to requests that are sent by post.
func play(t *testing.T, history []byte, post func(db *DB, op, body string) (int, string)) []byte {
	now := epoch
	db := newDB(t, Options{Clock: func() time.Time { now = now.Add(time.Second); return now }})
	var out bytes.Buffer
	lines := bufio.NewScanner(bytes.NewReader(history))
	lines.Buffer(nil, 1<<20)
	reply, values := false, map[string]string{}
	for lines.Scan() {
		line := lines.Text()
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			reply = false
			fmt.Fprintln(&out, line)
		case reply: // the old reply
		default:
			op, body, _ := strings.Cut(line, " ")
			if op == "after" {
				d, err := time.ParseDuration(body)
				if err != nil {
					t.Fatal(err)
				}
				now = now.Add(d)
				fmt.Fprintln(&out, line)
				continue
			}
			body = inflate(body)
			for name, value := range values {
				body = strings.ReplaceAll(body, name, value)
			}
			status, answer := post(db, op, body)
			for name, pattern := range remembered {
				if found := pattern.FindAllStringSubmatch(answer, -1); found != nil {
					values[name] = found[len(found)-1][1]
				}
			}
			answer = tableID.ReplaceAllString(answer, `${1}(uuid)`)
			answer = random.ReplaceAllString(answer, `"$1":"(any)"`)
			fmt.Fprintf(&out, "%s\n----\n%d %s\n", line, status, answer)
			reply = true
		}
	}
	return out.Bytes()
}

var long = regexp.MustCompile(`<(\d+) (.)>`)

// inflate replaces <5 x> by xxxxx, so that histories can hold long values.
func inflate(body string) string {
	return long.ReplaceAllStringFunc(body, func(s string) string {
		var n int
		var c rune
		fmt.Sscanf(s, "<%d %c>", &n, &c)
		return strings.Repeat(string(c), n)
	})
}

func diff(t *testing.T, file string, have, got []byte) {
	t.Helper()
	a, b := strings.Split(string(have), "\n"), strings.Split(string(got), "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Fatalf("%s:%d\n  have %s\n  got  %s", file, i+1, a[i], b[i])
		}
	}
	if len(a) != len(b) {
		t.Fatalf("%s: %d lines, this run makes %d", file, len(a), len(b))
	}
}
