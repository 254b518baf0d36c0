package step

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/item"
)

// The test binary is its own program: with STEP_PROGRAM set it speaks the contract, in the way that the variable says.
func TestMain(m *testing.M) {
	if mode := os.Getenv("STEP_PROGRAM"); mode != "" {
		speak(mode)
		return
	}
	os.Exit(m.Run())
}

func speak(mode string) {
	in := bufio.NewReader(os.Stdin)
	for n := 0; ; n++ {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		switch mark := os.Getenv("STEP_MARK"); mode {
		case "crash":
			fmt.Fprintln(os.Stderr, "boom")
			os.Exit(3)
		case "crash once":
			if _, err := os.Stat(mark); err != nil {
				_ = os.WriteFile(mark, nil, 0o600)
				os.Exit(3)
			}
		case "hang":
			time.Sleep(time.Hour) // a program that waits for nothing at all is ended by its runtime
		case "garbage":
			fmt.Println("hello")
			continue
		case "one":
			if n > 0 {
				os.Exit(0) // it serves one request, then ends
			}
		}
		os.Stdout.Write(append(answer(line, mode), '\n'))
	}
}

// answer drops items with "drop", fails those with "fail", and makes X of x.
func answer(line []byte, mode string) []byte {
	var req request
	if err := json.Unmarshal(line, &req); err != nil {
		panic(err)
	}
	type record struct {
		ID     string `json:"recordId"`
		Result string `json:"result"`
		Data   []byte `json:"data,omitempty"`
	}
	var out struct {
		Records []record `json:"records"`
	}
	for _, r := range req.Records {
		text := string(r.Data)
		a := record{r.ID, "Ok", []byte(strings.ReplaceAll(text, `"x`, `"X`))}
		switch {
		case strings.Contains(text, "drop"):
			a = record{ID: r.ID, Result: "Dropped"}
		case strings.Contains(text, "fail"):
			a.Result = "ProcessingFailed"
		case strings.Contains(text, "odd"):
			a.Result = "Fine"
		case strings.Contains(text, "broken"):
			a.Data = []byte("{")
		case strings.Contains(text, "empty"):
			a.Data = nil
		}
		out.Records = append(out.Records, a)
	}
	switch mode {
	case "short":
		out.Records = out.Records[1:]
	case "twice":
		out.Records[1].ID = out.Records[0].ID
	case "stranger":
		out.Records[0].ID = "00"
	case "backwards":
		for i, j := 0, len(out.Records)-1; i < j; i, j = i+1, j-1 {
			out.Records[i], out.Records[j] = out.Records[j], out.Records[i]
		}
	}
	data, _ := json.Marshal(out)
	return data
}

var contractItems = []string{`{"id":{"S":"x1"}}`, `{"id":{"S":"drop"}}`, `{"id":{"S":"fail"}}`, `{"id":{"S":"x2"},"n":{"N":"1.0"}}`, `{"id":{"S":"broken"}}`, `{"id":{"S":"odd"}}`, `{"id":{"S":"empty"}}`}

const contractWant = `{"id":{"S":"X1"}} {"id":{"S":"X2"},"n":{"N":"1.0"}}; fail: the program answers ProcessingFailed; broken: the program's data: at byte 1: unexpected end, want an attribute name; ` +
	`odd: the program answers "Fine"; it is Ok, Dropped or ProcessingFailed; empty: the program's data: there are none; 1 dropped, 4 refused`

// through runs the items through a runner and says what came of it.
func through(t *testing.T, r *Runner, items ...string) string {
	t.Helper()
	b := batchOf(t, items...)
	var refused []string
	err := r.Items(context.Background(), b, func(f Refusal) error {
		at, _ := f.Item.Get("id")
		_, reason, _ := strings.Cut(f.Reason.Error(), "): ")
		refused = append(refused, string(f.Item.Text(at))+": "+reason+"; ")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s; %s%d dropped, %d refused", strings.Join(lines(b), " "), strings.Join(refused, ""), r.Dropped, r.Refused)
}

// TestContract: a program over stdin and stdout, long-lived, started anew for each batch, or ending when it likes.
func TestContract(t *testing.T) {
	for mode, options := range map[string]string{"well": "", "backwards": "", "one": "records=3", "crash once": "", "each": "per=batch records=2"} {
		t.Setenv("STEP_PROGRAM", mode)
		t.Setenv("STEP_MARK", t.TempDir()+"/mark")
		if got := through(t, start(t, "run "+options+" '"+os.Args[0]+"'"), contractItems...); got != contractWant {
			t.Errorf("%s:\n got %s\nwant %s", mode, got, contractWant)
		}
	}
}

// TestBrokenContract: what no retry mends refuses the batch's records, with the reason; nothing else is lost.
func TestBrokenContract(t *testing.T) {
	for mode, want := range map[string]string{
		"crash":    "tried 2 times: " + os.Args[0] + ": exit status 3\nit ended without an answer; it said: boom",
		"short":    "tried 2 times: the answer has 1 of 2 records; recordId 0 is missing",
		"twice":    `tried 2 times: the answer has the recordId "0", which was not asked for or comes twice`,
		"stranger": `tried 2 times: the answer has the recordId "00", which was not asked for or comes twice`,
		"garbage":  "tried 2 times: the answer is no JSON of the contract: invalid character 'h' looking for beginning of value",
		"hang":     "tried 2 times: no answer within 50ms",
	} {
		t.Setenv("STEP_PROGRAM", mode)
		timeout := "20s"
		if mode == "hang" {
			timeout = "50ms"
		}
		r := start(t, "run retries=1 timeout="+timeout+" '"+os.Args[0]+"'", "drop n")
		if got, want := through(t, r, contractItems[0], contractItems[3]), "; x1: "+want+"; x2: "+want+"; 0 dropped, 2 refused"; got != want {
			t.Errorf("%s:\n got %s\nwant %s", mode, got, want)
		}
	}
}

// TestContractOfChanges: a change goes out as streams show it and comes back so; its parts stay what they were.
func TestContractOfChanges(t *testing.T) {
	t.Setenv("STEP_PROGRAM", "well")
	b := batchOf(t, `{"id":{"S":"xk"}}`, `{"id":{"S":"xk"},"v":{"S":"x new"}}`, `{"id":{"S":"xk"},"v":{"S":"x old"}}`)
	list := []Change{{0, 1, 2, Facts{Op: Modify, Micros: 1500000, Position: "7"}}}
	if got := string(dataOf(b, &record{keys: 0, new: 1, old: 2, facts: &list[0].Facts})); got !=
		`{"eventName":"MODIFY","dynamodb":{"ApproximateCreationDateTime":1.5,"Keys":{"id":{"S":"xk"}},"NewImage":{"id":{"S":"xk"},"v":{"S":"x new"}},"OldImage":{"id":{"S":"xk"},"v":{"S":"x old"}},"SequenceNumber":"7"}}` {
		t.Errorf("data: %s", got)
	}
	kept, err := start(t, "run '"+os.Args[0]+"'").Changes(context.Background(), b, list, nil)
	if err != nil || len(kept) != 1 {
		t.Fatal(kept, err)
	}
	if got := fmt.Sprint(lines(b)); got != `[{"id":{"S":"Xk"}} {"id":{"S":"Xk"},"v":{"S":"X new"}} {"id":{"S":"Xk"},"v":{"S":"X old"}}]` {
		t.Error(got)
	}
}

// TestContractOfStates: where what became of items is wanted, a program sees the items, of deletions nothing, and keeps from keys.
func TestContractOfStates(t *testing.T) {
	t.Setenv("STEP_PROGRAM", "well")
	b := batchOf(t, `{"id":{"S":"xk"}}`, `{"id":{"S":"xk"},"v":{"S":"x new"}}`, `{"id":{"S":"xg"}}`)
	list := []Change{{Keys: 0, New: 1, Old: item.NoImage}, {Keys: 2, New: item.NoImage, Old: item.NoImage}}
	kept, err := start(t, "run '"+os.Args[0]+"'").States(context.Background(), b, list, nil)
	if err != nil || len(kept) != 2 {
		t.Fatal(kept, err)
	}
	if got := fmt.Sprint(lines(b)); got != `[{"id":{"S":"xk"}} {"id":{"S":"Xk"},"v":{"S":"X new"}} {"id":{"S":"xg"}}]` {
		t.Error(got)
	}
	keys := item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.S}}
	if _, unique, err := parse(t, "run cat").Keys(keys); unique || err != nil {
		t.Error(unique, err)
	}
	if _, unique, err := parse(t, "run cat").StateKeys(keys); !unique || err != nil {
		t.Error(unique, err)
	}
	if _, unique, err := parse(t, "run cat", "map id=lower(id)").StateKeys(keys); unique || err != nil {
		t.Error(unique, err)
	}
}

// TestHTTP: the same contract by POST, with a bearer token by reference.
func TestHTTP(t *testing.T) {
	calls := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.Header.Get("Authorization") != "Bearer 0123456789abcdef":
			w.WriteHeader(http.StatusForbidden)
		case calls == 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/elsewhere":
			http.Redirect(w, r, "http://example.invalid/", http.StatusFound)
		default:
			w.Write(answer(body, ""))
		}
	}))
	defer s.Close()
	if got := through(t, start(t, "http token=env:KEY "+s.URL+"/f"), contractItems...); got != contractWant {
		t.Errorf("\n got %s\nwant %s", got, contractWant)
	}
	if calls != 2 {
		t.Errorf("%d calls; the first was to be tried again", calls)
	}
	for setting, want := range map[string]string{
		"http " + s.URL: "tried 1 times: " + s.URL + " answers 403 Forbidden",
		"http token=env:KEY " + s.URL + "/elsewhere": "tried 1 times: " + s.URL + "/elsewhere answers 302 Found",
	} {
		if got := through(t, start(t, setting), contractItems[0]); got != "; x1: "+want+"; 0 dropped, 1 refused" {
			t.Errorf("%s: %s", setting, got)
		}
	}
}

// TestStopped: who stops the job ends the program, and no record is refused for it.
func TestStopped(t *testing.T) {
	t.Setenv("STEP_PROGRAM", "hang")
	ctx, cancel := context.WithCancel(context.Background())
	r, err := parse(t, "run '"+os.Args[0]+"'").Start(ctx, testEnv)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	time.AfterFunc(20*time.Millisecond, cancel)
	if err := r.Items(ctx, batchOf(t, contractItems[0]), nil); Number(err) != 1 || r.Refused != 0 {
		t.Errorf("%v, %d refused", err, r.Refused)
	}
}

// TestLookup joins by text or number, as missing= says, and keeps to its memory.
func TestLookup(t *testing.T) {
	open := func(items ...string) func(context.Context, string, func(*item.Batch) error) error {
		return func(_ context.Context, _ string, each func(*item.Batch) error) error {
			return each(batchOf(t, items...))
		}
	}
	rows := []string{`{"k":{"S":"1"},"v":{"L":[{"N":"1"}]},"w":{"S":"w1"}}`, `{"k":{"S":"2"}}`, `{"other":{"S":"2"}}`}
	for _, c := range []struct{ missing, in, want string }{
		{"", `{"id":{"N":"1.0"},"w":{"S":"old"},"z":{"NULL":true}}`, `{"id":{"N":"1.0"},"z":{"NULL":true},"V":{"L":[{"N":"1"}]},"w":{"S":"w1"}}`},
		{"", `{"id":{"S":"2"},"w":{"S":"old"}}`, `{"id":{"S":"2"}}`},
		{"", `{"id":{"S":"3"},"w":{"S":"old"}}`, `{"id":{"S":"3"},"w":{"S":"old"}}`},
		{"null", `{"id":{"S":"3"},"w":{"S":"old"}}`, `{"id":{"S":"3"},"V":{"NULL":true},"w":{"NULL":true}}`},
		{"drop", `{"id":{"S":"3"}}`, ``},
		{"refuse", `{"id":{"S":"3"}}`, `! step 1 (lookup t on=id=k take=v=V,w missing=refuse): t has no partner for it`},
	} {
		setting := "lookup t on=id=k take=v=V,w"
		if c.missing != "" {
			setting += " missing=" + c.missing
		}
		r, err := parse(t, setting).Start(context.Background(), Env{Open: open(rows...)})
		if err != nil {
			t.Fatal(err)
		}
		b, got := batchOf(t, c.in), ""
		if err := r.Items(context.Background(), b, func(f Refusal) error { got = "! " + f.Reason.Error(); return nil }); err != nil {
			t.Fatal(err)
		}
		if b.Len() > 0 {
			got = lines(b)[0]
		}
		if got != c.want {
			t.Errorf("%s of %s:\n got %s\nwant %s", setting, c.in, got, c.want)
		}
	}
	for want, env := range map[string]Env{
		"t has two items with k {\"S\":\"1\"}": {Open: open(rows[0], rows[0])},
		"t is too large to be joined":          {Open: open(rows...), MemoryMax: 100},
		"nothing can be looked up here":        {},
	} {
		if _, err := parse(t, "lookup t on=id=k take=v").Start(context.Background(), env); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	texts, err := parse(t, "drop a", "lookup  'r c.csv' on=a take=b").Resolve(func(a string) (string, error) { return "/x/" + a, nil })
	if fmt.Sprint(texts, err) != `[drop a lookup  "/x/r c.csv" on=a take=b] <nil>` {
		t.Error(texts, err)
	}
}
