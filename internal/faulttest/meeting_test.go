package faulttest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCommitsMeet has two processes commit one plan. The slower one pauses before some external call while the faster one
// gets to some call of its own, and goes on to its end before the faster one may. Wherever they meet, both end well, and the
// destination holds every item once.
func TestCommitsMeet(t *testing.T) {
	for name, args := range map[string][]string{
		"parquet":      nil,
		"json":         {"--format", "json"},
		"dynamodbjson": {"--format", "dynamodb-json"},
		"partitions":   {"--partition", "region"},
		"replace":      {"--into", "replace"},
		"widen":        {"--into", "append"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := scratch(t)
			in := filepath.Join(dir, "in")
			write(t, filepath.Join(in, "a.jsonl"), regional(0))
			write(t, filepath.Join(in, "b.jsonl"), bytes.ReplaceAll(regional(30), []byte(`"n":`), []byte(`"wide":{"BOOL":true},"n":`)))
			meet := func(slow, fast int) (calls []string) {
				dest := filepath.Join(dir, fmt.Sprintf("dest-%d-%d", slow, fast))
				from, rounds := in, 1
				switch name {
				case "replace":
					must(t, "convert", filepath.Join(in, "a.jsonl"), dest)
				case "partitions":
					rounds = 2
				case "widen":
					must(t, "convert", filepath.Join(in, "a.jsonl"), dest, "--key", "id")
					from, rounds = filepath.Join(in, "b.jsonl"), 2
				}
				plan := runTasks(t, must(t, append([]string{"plan", "convert", from, dest, "--key", "id"}, args...)...).text("plan"), rounds)
				calls = meetAt(t, plan, slow, fast)
				must(t, "verify", in, dest, "--state", filepath.Join(dir, "state"))
				if err := os.RemoveAll(dest); err != nil {
					t.Fatal(err)
				}
				return calls
			}
			calls, met := meet(0, 0), 0
			var numbers []int // of the calls that are no steps inside one
			for i, call := range calls {
				if !strings.HasPrefix(call, "step ") {
					numbers = append(numbers, i+1)
				}
			}
			random := rand.New(rand.NewPCG(3, 14))
			for range count(4, 25, 200) {
				slow := random.IntN(len(numbers))
				meet(numbers[slow], numbers[slow+random.IntN(len(numbers)-slow)])
				met++
			}
			t.Logf("%d meetings of two commits of %d calls", met, len(calls))
		})
	}
}

// meetAt commits a plan twice: the second begins when the first is before its call slow, waits before its call fast
// until the first has ended, and then goes on. With zeros only one commits. It returns the calls of the first.
func meetAt(t *testing.T, plan string, slow, fast int) []string {
	t.Helper()
	var second *outcome
	arrived, released, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	first := &trace{meet: map[int]func(){slow: func() {
		go func() {
			defer close(ended)
			second = inside(&trace{meet: map[int]func(){fast: func() {
				close(arrived)
				<-released
			}}}, "commit", "--plan", plan)
		}()
		select {
		case <-arrived:
		case <-ended: // it never came to a call of that number, or that is a step
		}
	}}}
	o := inside(first, "commit", "--plan", plan)
	close(released)
	calls := first.list()
	if o.code != 0 {
		t.Errorf("commit paused before call %d of %d, the other at its call %d: %s", slow, len(calls), fast, o)
	}
	if met := calls[max(slow, 1)-1]; slow > 0 && len(calls) >= slow && !strings.HasPrefix(met, "step ") {
		<-ended
		if second.code != 0 {
			t.Errorf("commit before its call %d while the other, paused before %s, ended: %s", fast, met, second)
		}
	}
	return calls
}

// runTasks runs the rounds of a plan but the last commit, and returns the plan whose commit that is.
func runTasks(t *testing.T, plan string, rounds int) string {
	t.Helper()
	for ; rounds > 1; rounds-- {
		plan = commitAgain(t, tasksOf(t, plan))
	}
	return tasksOf(t, plan)
}

// tasksOf runs the tasks of one round.
func tasksOf(t *testing.T, plan string) string {
	t.Helper()
	for i := 0; ; i++ {
		o := inside(nil, "task", "--plan", plan, "--index", fmt.Sprint(i))
		if o.code == 64 && strings.Contains(o.String(), "has tasks 0 to") {
			return plan
		}
		if o.code != 0 {
			t.Fatal(o)
		}
	}
}

// commitAgain commits a round that asks for another, and returns that.
func commitAgain(t *testing.T, plan string) string {
	t.Helper()
	o := inside(nil, "commit", "--plan", plan)
	if o.code != 76 {
		t.Fatal(o)
	}
	return o.text("plan")
}

// regional is thirty lines of items with a region, from number first on.
func regional(first int) []byte {
	var out []byte
	for i := range 30 {
		out = fmt.Appendf(out, `{"Item":{"id":{"S":"k%d"},"region":{"S":"r%d"},"n":{"N":"%d"}}}`+"\n", first+i, i%3, i)
	}
	return out
}
