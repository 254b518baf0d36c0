package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/faulty"
	"dynaferry/internal/world"
)

// Every line of stdin has its answer, and only what another try may mend ends them: then the engine gives them all again.
func TestTasksFromStdin(t *testing.T) {
	long := fmt.Sprintf(`{"index":0,"more":"%s"}`, strings.Repeat("x", taskLineMax))
	for _, c := range []struct {
		name, faults, in string
		code             int
		answers          []string // the beginnings of the lines on stdout
	}{
		{"all is well", "", "{\"index\":0}\n\n{\"index\":1}", 0, []string{`{"type":"result","index":0,"result":{`, `{"type":"result","index":1,"result":{`}},
		{"nothing asked for", "call#*: 503", "\n", 0, nil},
		{"a line longer than any task", "", long + "\n{\"index\":1}\n", 0, []string{`{"type":"result","plan":`, `{"type":"result","index":1,"result":{`}},
		{"the plan's store is away", "get(*/plan)#*: 503", "{\"index\":0}\n", exitRetry, nil},
		{"the tasks' store throttles", "get(*/tasks)#*: 429", "{\"index\":0}\n", exitRetry, nil},
		{"away from the second line on", "get(*/tasks)#2+: 503", "garbage\n{\"index\":0}\n{\"index\":1}\n", exitRetry,
			[]string{`{"type":"result","plan":`, `{"type":"result","index":0,"result":{`}},
		{"no right to read", "get(*/plan)#*: 403", "{\"index\":0}\n", exitRetry, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range []string{"a.jsonl", "b.jsonl"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(`{"id":"x"}`), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var out, said bytes.Buffer
			if code := Main([]string{"plan", "convert", dir, dir + ".out", "--task-size", "1B"}, nil, &out, &said); code != 0 {
				t.Fatalf("plan: %d %s", code, said.String())
			}
			address := strings.TrimSpace(out.String())
			out.Reset()
			rules, err := faulty.Parse(c.faults)
			if err != nil {
				t.Fatal(err)
			}
			w := world.New()
			w.WrapBucket = func(b blob.Bucket) blob.Bucket { return faulty.New(b, rules, faulty.Options{}) }
			code := MainIn(w, []string{"task", "--plan", address}, iotest.OneByteReader(strings.NewReader(c.in)), &out, &said)
			if code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, said.String())
			}
			answers := strings.Split(strings.TrimSpace(out.String()), "\n")
			if out.Len() == 0 {
				answers = nil
			}
			if len(answers) != len(c.answers) {
				t.Fatalf("answers %q", answers)
			}
			for i, want := range c.answers {
				if !strings.HasPrefix(answers[i], want) {
					t.Errorf("answer %d: %s", i, answers[i])
				}
			}
		})
	}
}
