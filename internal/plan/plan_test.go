package plan

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/folder"
	"dynaferry/internal/fault"
)

func newState(t *testing.T) State {
	t.Helper()
	b, err := folder.Open(t.TempDir(), folder.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	return State{Bucket: b, Prefix: "dest/_dynaferry"}
}

// counting is a job that stages a number per task and sums them at commit.
type counting struct {
	tasks   atomic.Int64
	sweeps  atomic.Int64
	commits atomic.Int64
	rounds  int // second rounds to ask for
	damage  atomic.Int64
	fail    func(a *Attempt) error
}

func (c *counting) Task(ctx context.Context, a *Attempt) (json.RawMessage, error) {
	c.tasks.Add(1)
	if c.fail != nil {
		if err := c.fail(a); err != nil {
			return nil, err
		}
	}
	name := a.Staged("number")
	if _, err := a.State.Bucket.Put(ctx, name, a.Task.Body, blob.PutOptions{}); err != nil {
		return nil, err
	}
	return json.Marshal(map[string]string{"name": name})
}

func (c *counting) Check(context.Context, Result) error {
	if c.damage.Add(-1) >= 0 {
		return fault.New(fault.Corrupt, "damaged")
	}
	return nil
}

func (c *counting) Commit(ctx context.Context, k *Committing) (Outcome, error) {
	c.commits.Add(1)
	if k.Plan.Round < c.rounds {
		return Outcome{Next: &Spec{Verb: "count", Source: k.Plan.Source, Settings: json.RawMessage(fmt.Sprintf(`{"round":%d}`, k.Plan.Round+1)),
			Tasks: func(context.Context) ([]json.RawMessage, error) { return []json.RawMessage{[]byte("100")}, nil }}}, nil
	}
	sum := 0
	for i := range k.Plan.Tasks {
		r, err := k.Results.Result(ctx, i)
		if err != nil {
			return Outcome{}, err
		}
		var at struct{ Name string }
		if err := json.Unmarshal(r.Body, &at); err != nil {
			return Outcome{}, err
		}
		data, _, err := blob.ReadAll(ctx, k.State.Bucket, at.Name, 100)
		if err != nil {
			return Outcome{}, err
		}
		n := 0
		if _, err := fmt.Sscan(string(data), &n); err != nil {
			return Outcome{}, err
		}
		sum += n
	}
	return Outcome{Report: json.RawMessage(fmt.Sprint(sum))}, nil
}

func (c *counting) Sweep(context.Context, State, *Plan) error { c.sweeps.Add(1); return nil }

func (c *counting) of(*Plan) (Job, error) { return c, nil }

func spec(settings string, n int) Spec {
	return Spec{Verb: "count", Source: json.RawMessage(`{"from":"here"}`), Settings: json.RawMessage(settings),
		Tasks: func(context.Context) ([]json.RawMessage, error) {
			var tasks []json.RawMessage
			for i := range n {
				tasks = append(tasks, json.RawMessage(fmt.Sprint(i)))
			}
			return tasks, nil
		}}
}

func begin(t *testing.T, st State, s Spec, fresh bool) Made {
	t.Helper()
	made, err := Begin(t.Context(), st, s, fresh)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestRunOnce(t *testing.T) {
	st, job := newState(t), &counting{}
	p := begin(t, st, spec(`{}`, 10), false).Plan
	for range 3 { // run again as often as you like: the second time there is nothing left to do
		end, err := Run(t.Context(), st, p, job.of, RunOptions{Workers: 3})
		if err != nil || end.State != Committed || string(end.Report) != "45" {
			t.Fatalf("%+v, %v", end, err)
		}
	}
	if n := job.tasks.Load(); n != 10 {
		t.Errorf("%d attempts at 10 tasks", n)
	}
	if job.commits.Load() != 1 || job.sweeps.Load() != 1 {
		t.Errorf("%d commits, %d sweeps", job.commits.Load(), job.sweeps.Load())
	}
}

// Equal settings meet in the one unfinished plan; a finished one is followed by another; member order does not matter.
func TestResume(t *testing.T) {
	st := newState(t)
	first := begin(t, st, spec(`{"a":1,"b":2}`, 3), false)
	if first.Resumed {
		t.Error("resumed nothing")
	}
	again := begin(t, st, spec(`{"b":2, "a":1}`, 99), false)
	if !again.Resumed || again.Plan.ID != first.Plan.ID || again.Plan.Tasks != 3 {
		t.Errorf("%+v is not the plan %s", again, first.Plan.ID)
	}
	if other := begin(t, st, spec(`{"a":2}`, 3), false); other.Plan.ID == first.Plan.ID {
		t.Error("other settings met in the same plan")
	}
	job := &counting{}
	if _, err := Run(t.Context(), st, first.Plan, job.of, RunOptions{}); err != nil {
		t.Fatal(err)
	}
	if next := begin(t, st, spec(`{"a":1,"b":2}`, 3), false); next.Resumed || next.Plan.ID == first.Plan.ID {
		t.Error("a finished plan was resumed")
	}
	if fresh := begin(t, st, spec(`{"a":1,"b":2}`, 3), true); fresh.Resumed || fresh.Plan.Number != 2 {
		t.Errorf("fresh start: %+v", fresh)
	}
	given, err := Load(t.Context(), st, begin(t, st, spec(`{"a":1,"b":2}`, 3), false).Plan.ID)
	if err != nil || given.Number != 2 {
		t.Errorf("%+v, %v", given, err)
	}
}

// Two processes that start at once work on one plan.
func TestRacingStarts(t *testing.T) {
	st := newState(t)
	ids := make([]string, 8)
	var wait sync.WaitGroup
	for i := range ids {
		wait.Go(func() {
			made, err := Begin(t.Context(), st, spec(`{}`, 5), false)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = made.Plan.ID
		})
	}
	wait.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("plans %v", ids)
		}
	}
}

// A maker that died between tasks.jsonl and plan.json left the tasks; whoever comes next goes on with them.
func TestHalfMade(t *testing.T) {
	st := newState(t)
	s := spec(`{}`, 3)
	name := st.Name("plans", id(s.key(), 0), "tasks.jsonl")
	if _, err := st.Bucket.Put(t.Context(), name, []byte("7\n8\n"), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if unfinished, err := Unfinished(t.Context(), st, s); err != nil || !unfinished {
		t.Errorf("unfinished %v, %v", unfinished, err)
	}
	p := begin(t, st, s, false).Plan
	tasks, err := Tasks(t.Context(), st, p)
	if err != nil || len(tasks) != 2 || string(tasks[1].Body) != "8" {
		t.Errorf("%v, %v", tasks, err)
	}
}

// Whatever the attempts, the first result of a generation wins and stays.
func TestFirstAttemptWins(t *testing.T) {
	st, job := newState(t), &counting{}
	p := begin(t, st, spec(`{}`, 1), false).Plan
	tasks, err := Tasks(t.Context(), st, p)
	if err != nil {
		t.Fatal(err)
	}
	results := make([]Result, 6)
	var wait sync.WaitGroup
	for i := range results {
		wait.Go(func() {
			var err error
			if results[i], err = runTask(context.Background(), st, p, job, tasks[0], 0, false, RunOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for _, r := range results {
		if r.Attempt != results[0].Attempt || r.Attempt == "" {
			t.Errorf("attempts %s and %s won", r.Attempt, results[0].Attempt)
		}
	}
}

// A winner whose data fails its check is made again; only the commit opens the next generation.
func TestReopened(t *testing.T) {
	st, job := newState(t), &counting{}
	job.damage.Store(1)
	p := begin(t, st, spec(`{}`, 4), false).Plan
	end, err := Run(t.Context(), st, p, job.of, RunOptions{})
	if err != nil || string(end.Report) != "6" {
		t.Fatalf("%+v, %v", end, err)
	}
	if n := job.tasks.Load(); n != 5 {
		t.Errorf("%d attempts, want one again", n)
	}
	job.damage.Store(1 << 30)
	p = begin(t, st, spec(`{"always":true}`, 1), false).Plan
	if _, err := Run(t.Context(), st, p, job.of, RunOptions{}); err == nil || job.tasks.Load() > 5+generationsMax+1 {
		t.Errorf("a store that damages everything: %v after %d attempts", err, job.tasks.Load())
	}
}

func TestSecondRound(t *testing.T) {
	st, job := newState(t), &counting{rounds: 2}
	p := begin(t, st, spec(`{}`, 3), false).Plan
	end, err := Run(t.Context(), st, p, job.of, RunOptions{})
	if err != nil || string(end.Report) != "100" {
		t.Fatalf("%+v, %v", end, err)
	}
	if job.sweeps.Load() != 3 {
		t.Errorf("%d plans swept, want the whole chain", job.sweeps.Load())
	}
	// The engine's way: commit says superseded, its next plan is run and committed.
	p = begin(t, st, spec(`{"engine":1}`, 2), false).Plan
	for round := 0; ; round++ {
		tasks, err := Tasks(t.Context(), st, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			if _, err := RunTask(t.Context(), st, p, job, task, RunOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		end, err := Commit(t.Context(), st, p, job, RunOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if end.State == Committed {
			if round != 2 {
				t.Errorf("committed in round %d", round)
			}
			break
		}
		if p, err = Load(t.Context(), st, end.Next); err != nil {
			t.Fatal(err)
		}
	}
}

// A fresh start takes the plan out of everybody's hands, in whichever round it is.
func TestAbandoned(t *testing.T) {
	st, job := newState(t), &counting{rounds: 1}
	s := spec(`{}`, 1)
	p := begin(t, st, s, false).Plan
	tasks, _ := Tasks(t.Context(), st, p)
	if _, err := RunTask(t.Context(), st, p, job, tasks[0], RunOptions{}); err != nil {
		t.Fatal(err)
	}
	end, err := Commit(t.Context(), st, p, job, RunOptions{})
	if err != nil || end.State != Superseded {
		t.Fatalf("%+v, %v", end, err)
	}
	begin(t, st, s, true)
	child, err := Load(t.Context(), st, end.Next)
	if err != nil {
		t.Fatal(err)
	}
	if end, _, err := Ending(t.Context(), st, child); err != nil || end.State != Abandoned {
		t.Errorf("the second round ended as %+v, %v", end, err)
	}
}

func TestCommitNeedsEveryResult(t *testing.T) {
	st, job := newState(t), &counting{}
	p := begin(t, st, spec(`{}`, 3), false).Plan
	_, err := Commit(t.Context(), st, p, job, RunOptions{})
	if !fault.Retryable(err) || fault.HintOf(err) == "" || job.commits.Load() != 0 {
		t.Errorf("%v", err)
	}
}

// Retryable errors are tried again here, damage is once, as it may have come about on the way; poison is not.
func TestTries(t *testing.T) {
	st := newState(t)
	for _, c := range []struct {
		name     string
		err      error
		attempts int64
		ok       bool
	}{
		{"passing", fault.New(fault.Unavailable, "a hiccup"), 2, true},
		{"damaged on its way", fault.New(fault.Corrupt, "bad data"), 2, true},
		{"poison", fault.New(fault.User, "bad settings"), 1, false},
	} {
		job := &counting{}
		job.fail = func(*Attempt) error {
			if job.tasks.Load() == 1 {
				return c.err
			}
			return nil
		}
		p := begin(t, st, spec(fmt.Sprintf("%q", c.name), 1), false).Plan
		_, err := Run(t.Context(), st, p, job.of, RunOptions{})
		if (err == nil) != c.ok || job.tasks.Load() != c.attempts {
			t.Errorf("%s: %v after %d attempts", c.name, err, job.tasks.Load())
		}
	}
}

// Look ends an attempt once its task, or the plan, is decided.
func TestLook(t *testing.T) {
	st, job := newState(t), &counting{}
	p := begin(t, st, spec(`{}`, 2), false).Plan
	tasks, _ := Tasks(t.Context(), st, p)
	look := func(i int) error {
		return (&Attempt{Plan: p, State: st, Task: tasks[i], Meter: silent{}}).Look(t.Context())
	}
	if err := look(0); err != nil {
		t.Error(err)
	}
	if _, err := RunTask(t.Context(), st, p, job, tasks[0], RunOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := look(0); !errors.Is(err, ErrDecided) {
		t.Errorf("task 0 is decided: %v", err)
	}
	if err := look(1); err != nil {
		t.Errorf("task 1 is not: %v", err)
	}
	if _, err := Run(t.Context(), st, p, job.of, RunOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := look(1); !errors.Is(err, ErrDecided) {
		t.Errorf("the plan is committed: %v", err)
	}
}

// Contents that do not belong to their name are refused.
func TestTampered(t *testing.T) {
	st := newState(t)
	p := begin(t, st, spec(`{"target":"mine"}`, 2), false).Plan
	at := st.Name("plans", p.ID, "tasks.jsonl")
	if _, err := st.Bucket.Put(t.Context(), at, []byte("1\n0\n"), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Tasks(t.Context(), st, p); fault.KindOf(err) != fault.Corrupt {
		t.Errorf("changed tasks: %v", err)
	}
	for _, change := range [][2]string{{"mine", "yours"}, {`"number":0`, `"number":1`}, {`"format":1`, `"format":2`}} {
		body, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decode(bytes.Replace(body, []byte(change[0]), []byte(change[1]), 1), p.ID); err == nil {
			t.Errorf("%s instead of %s is accepted", change[1], change[0])
		}
	}
}
