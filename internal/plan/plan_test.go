package plan

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/faulty"
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
	if job.commits.Load() != 1 || job.sweeps.Load() != 3 { // whoever comes after a commit sweeps what may be left
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

// A maker that died between tasks and plan left the tasks; whoever comes next goes on with them, also with a fresh start.
func TestHalfMade(t *testing.T) {
	for _, fresh := range []bool{false, true} {
		halfMade(t, fresh)
	}
}

func halfMade(t *testing.T, fresh bool) {
	st := newState(t)
	s := spec(`{}`, 3)
	name := st.Name("plans", id(s.key(FormatVersion), 0), "tasks")
	if _, err := st.Bucket.Put(t.Context(), name, []byte("7\n8\n"), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if unfinished, err := Unfinished(t.Context(), st, s); err != nil || !unfinished {
		t.Errorf("unfinished %v, %v", unfinished, err)
	}
	p := begin(t, st, s, fresh).Plan
	tasks, err := Tasks(t.Context(), st, p)
	if err != nil || len(tasks) != 2 || string(tasks[1].Body) != "8" {
		t.Errorf("%v, %v", tasks, err)
	}
}

// Tuning is no part of what a plan is: whoever goes on works as hard as it likes.
func TestTuning(t *testing.T) {
	st := newState(t)
	slow := spec(`{"a":1}`, 3)
	slow.Tuning = json.RawMessage(`{"readUnits":"10"}`)
	first := begin(t, st, slow, false)
	fast := slow
	fast.Tuning = json.RawMessage(`{"readUnits":"unlimited"}`)
	again := begin(t, st, fast, false)
	if !again.Resumed || again.Plan.ID != first.Plan.ID {
		t.Errorf("another budget made another plan: %+v", again)
	}
	if string(again.Plan.Tuning) != string(slow.Tuning) {
		t.Errorf("the plan forgot its tuning: %s", again.Plan.Tuning)
	}
}

// An outcome that nobody was told is told by the next start, wherever the one that committed it died.
func TestTold(t *testing.T) {
	for _, rounds := range []int{0, 2} {
		st, job := newState(t), &counting{rounds: rounds}
		s := spec(`{}`, 2)
		s.Stands = stands
		first := begin(t, st, s, false)
		end, err := Run(t.Context(), st, first.Plan, job.of, RunOptions{})
		if err != nil {
			t.Fatal(err)
		}
		again := begin(t, st, s, false)
		if !again.Done || again.Plan.ID != first.Plan.ID {
			t.Fatalf("%d rounds: %+v goes on, %s is not told", rounds, again, first.Plan.ID)
		}
		if unfinished, err := Unfinished(t.Context(), st, s); err != nil || !unfinished {
			t.Errorf("unfinished %v, %v", unfinished, err)
		}
		tasks, commits := job.tasks.Load(), job.commits.Load()
		told, err := Run(t.Context(), st, again.Plan, job.of, RunOptions{})
		if err != nil || told.State != Committed || string(told.Report) != string(end.Report) {
			t.Errorf("told %+v, %v; the end was %+v", told, err, end)
		}
		if job.tasks.Load() != tasks || job.commits.Load() != commits {
			t.Error("what was done was done again")
		}
		last := again.Plan
		for last.Round < rounds {
			end, _, err := Ending(t.Context(), st, last)
			if err != nil {
				t.Fatal(err)
			}
			if last, err = Load(t.Context(), st, end.Next); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // a note may be made twice, from whichever round
			if err := Tell(t.Context(), st, last); err != nil {
				t.Fatal(err)
			}
		}
		if unfinished, err := Unfinished(t.Context(), st, s); err != nil || unfinished {
			t.Errorf("told, and unfinished %v, %v", unfinished, err)
		}
		if next := begin(t, st, s, false); next.Resumed || next.Plan.Number != 1 {
			t.Errorf("after it was told: %+v", next)
		}
	}
}

func stands(context.Context, *Plan) (bool, error) { return true, nil }

// A fresh start does not wait for what nobody was told; what is gone from the world, or may be done again, is done again.
func TestUntold(t *testing.T) {
	st, job := newState(t), &counting{}
	s := spec(`{}`, 1)
	s.Stands = stands
	if _, err := Run(t.Context(), st, begin(t, st, s, false).Plan, job.of, RunOptions{}); err != nil {
		t.Fatal(err)
	}
	fresh := begin(t, st, s, true)
	if fresh.Resumed || fresh.Plan.Number != 1 {
		t.Errorf("fresh: %+v", fresh)
	}
	if _, err := Run(t.Context(), st, fresh.Plan, job.of, RunOptions{}); err != nil {
		t.Fatal(err)
	}
	s.Stands = func(_ context.Context, p *Plan) (bool, error) { return p.ID != fresh.Plan.ID, nil }
	if unfinished, err := Unfinished(t.Context(), st, s); err != nil || unfinished {
		t.Errorf("the effect is gone, and unfinished %v, %v", unfinished, err)
	}
	s.Stands = nil
	if again := begin(t, st, s, false); again.Resumed || again.Plan.Number != 2 {
		t.Errorf("again: %+v", again)
	}
}

// oldState is a state root that the version before format 2 left: task 1 of 3 is done, its settings are
// {"a":1,"readUnits":"500"}.
func oldState(t *testing.T) State {
	t.Helper()
	st := newState(t)
	root := os.DirFS("testdata/format1")
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		_, err = st.Bucket.Put(t.Context(), st.Name(name), data, blob.PutOptions{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// A plan of format 1 is gone on with by the command that made it, budget among its settings or beside them.
func TestOldPlan(t *testing.T) {
	const old = "49446b572b909fd62d9c-000000"
	s := spec(`{"a":1}`, 3)
	s.Tuning, s.Before, s.Stands = json.RawMessage(`{"readUnits":"500"}`), json.RawMessage(`{"readUnits":"500","a":1}`), stands
	st, job := oldState(t), &counting{}
	if unfinished, err := Unfinished(t.Context(), st, s); err != nil || !unfinished {
		t.Errorf("unfinished %v, %v", unfinished, err)
	}
	made := begin(t, st, s, false)
	if !made.Resumed || made.Plan.ID != old || made.Plan.Format != 1 {
		t.Fatalf("%+v is not plan %s", made, old)
	}
	var tuning struct{ ReadUnits string }
	if err := json.Unmarshal(made.Plan.Tuning, &tuning); err != nil || tuning.ReadUnits != "500" {
		t.Errorf("tuning %s, %v", made.Plan.Tuning, err)
	}
	if _, err := Tasks(t.Context(), st, made.Plan); err != nil {
		t.Error(err)
	}
	results, err := ListResults(t.Context(), st, made.Plan)
	if err != nil || !results.Done(1) || len(results.Pending()) != 2 {
		t.Errorf("results %v, %v", results, err)
	}
	job.rounds = 1
	end, err := Run(t.Context(), st, made.Plan, job.of, RunOptions{})
	if err != nil || end.State != Committed || string(end.Report) != "100" || job.tasks.Load() != 3 {
		t.Fatalf("%+v, %v after %d attempts", end, err, job.tasks.Load())
	}
	// It ended when it was committed; the next is of today's format.
	if next := begin(t, st, s, false); next.Resumed || next.Plan.Format != FormatVersion || next.Plan.Number != 0 {
		t.Errorf("after the old plan: %+v", next)
	}

	st = oldState(t)
	if fresh := begin(t, st, s, true); fresh.Resumed || fresh.Plan.Format != FormatVersion {
		t.Errorf("fresh: %+v", fresh)
	}
	p, err := Load(t.Context(), st, old)
	if err != nil {
		t.Fatal(err)
	}
	if end, ended, err := Ending(t.Context(), st, p); err != nil || !ended || end.State != Abandoned {
		t.Errorf("a fresh start left the old plan %+v, %v", end, err)
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
			if results[i], err = runTask(context.Background(), st, p, job, tasks[0], 0, RunOptions{}); err != nil {
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
		for i := range p.Tasks {
			if _, err := RunTask(t.Context(), st, p, job, i, RunOptions{}); err != nil {
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
	if _, err := RunTask(t.Context(), st, p, job, 0, RunOptions{}); err != nil {
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
	if _, err := RunTask(t.Context(), st, p, job, 0, RunOptions{}); err != nil {
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
	at := st.Name("plans", p.ID, "tasks")
	if _, err := st.Bucket.Put(t.Context(), at, []byte("1\n0\n"), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Tasks(t.Context(), st, p); fault.KindOf(err) != fault.Corrupt {
		t.Errorf("changed tasks: %v", err)
	}
	for _, change := range [][2]string{{"mine", "yours"}, {`"number":0`, `"number":1`}, {`"format":2`, `"format":1`}, {`"format":2`, `"format":3`}} {
		body, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decode(bytes.Replace(body, []byte(change[0]), []byte(change[1]), 1), p.ID); err == nil {
			t.Errorf("%s instead of %s is accepted", change[1], change[0])
		}
	}
}

// A store that is busy with a name answers as if it were taken (409): the tasks are put again, not looked for in vain.
func TestBusyName(t *testing.T) {
	st := newState(t)
	rules, err := faulty.Parse("put(*/tasks)#1-2: 412")
	if err != nil {
		t.Fatal(err)
	}
	st.Bucket = faulty.New(st.Bucket, rules, faulty.Options{})
	p := begin(t, st, spec(`{}`, 2), false).Plan
	if tasks, err := Tasks(t.Context(), st, p); err != nil || len(tasks) != 2 {
		t.Errorf("%v, %v", tasks, err)
	}
}
