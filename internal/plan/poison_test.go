package plan

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/faulty"
	"dynaferry/internal/fault"
)

// What an engine may run again is no poison.
func TestIsPoison(t *testing.T) {
	for kind, want := range map[fault.Kind]bool{
		fault.Bug: false, fault.User: true, fault.NotFound: true, fault.Permission: false, fault.Throttled: false, fault.Unavailable: false,
		fault.Corrupt: true, fault.Conflict: true, fault.Unknown: false, fault.Limit: true, fault.Unsupported: true,
	} {
		if err := fault.New(kind, "it"); IsPoison(err) != want {
			t.Errorf("%s: %v", kind, !want)
		}
		if fault.ParseKind(kind.String()) != kind {
			t.Errorf("%s is not read back", kind)
		}
	}
	if IsPoison(nil) || IsPoison(errors.New("nobody classified it")) {
		t.Error("no error, or a bug, is poison")
	}
}

// failing is a job whose task fails with these errors, one an attempt, and then passes.
func failing(errs ...error) *counting {
	job := &counting{}
	job.fail = func(*Attempt) error {
		if n := int(job.tasks.Load()); n <= len(errs) {
			return errs[n-1]
		}
		return nil
	}
	return job
}

// What an attempt failed of for good, the commit says, with kind, place and hint, until an attempt passes.
func TestPoisonIsTold(t *testing.T) {
	st := newState(t)
	first := fault.Hint(fault.At(fault.New(fault.Limit, "too long"), fault.Place{File: "a.csv", Line: 7, Offset: 99, Path: "x"}), "cut it")
	job := failing(first, fault.New(fault.User, "another"))
	p := begin(t, st, spec(`{}`, 2), false).Plan
	if _, err := RunTask(t.Context(), st, p, job, 1, RunOptions{}); !errors.Is(err, first) {
		t.Fatal(err)
	}
	_, err := Commit(t.Context(), st, p, job, RunOptions{})
	var poison *PoisonError
	if !errors.As(err, &poison) || poison.Index != 1 || poison.Count != 1 || poison.Plan != p.ID {
		t.Fatalf("%v", err)
	}
	if place := (fault.Place{File: "a.csv", Line: 7, Offset: 99, Path: "x"}); fault.KindOf(err) != fault.Limit || fault.PlaceOf(err) != place ||
		fault.HintOf(err) != "cut it" || !strings.Contains(err.Error(), "the first is 1: task 1 of plan "+p.ID+": a.csv:7 at byte 99, attribute x: too long") {
		t.Errorf("%v: %v at %+v, try %q", err, fault.KindOf(err), fault.PlaceOf(err), fault.HintOf(err))
	}
	// The last attempt is the one that counts.
	if _, err := RunTask(t.Context(), st, p, job, 1, RunOptions{}); !IsPoison(err) {
		t.Fatal(err)
	}
	if _, err := Commit(t.Context(), st, p, job, RunOptions{}); fault.KindOf(err) != fault.User || !strings.HasSuffix(err.Error(), "another") {
		t.Errorf("%v", err)
	}
	for i := range p.Tasks {
		if _, err := RunTask(t.Context(), st, p, job, i, RunOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if end, err := Commit(t.Context(), st, p, job, RunOptions{}); err != nil || string(end.Report) != "1" {
		t.Errorf("%+v, %v", end, err)
	}
}

// A task is tried again by its engine when a store was away, and nothing is noted of it; so it is when the note itself
// could not be left. Where nobody may write, the verdict is told all the same.
func TestPoisonOfTransients(t *testing.T) {
	for _, c := range []struct {
		name, faults string
		err          error
		poison       bool
	}{
		{"the store is away", "", fault.New(fault.Unavailable, "503"), false},
		{"throttled", "", fault.New(fault.Throttled, "slow down"), false},
		{"no right, here", "", fault.New(fault.Permission, "403"), false},
		{"a bug", "", errors.New("impossible"), false},
		{"poison, and the store is away", "put(*poisoned/*)#*: 503", fault.New(fault.User, "bad"), false},
		{"poison, and nobody may write", "put(*poisoned/*)#*: 403", fault.New(fault.User, "bad"), true},
		{"the tasks, on their way", "get(*/tasks)#1: flip 0", nil, false},
		{"the data, on their way", "", fault.New(fault.Corrupt, "flipped"), false},
		{"the data, where they lie", "", errAlways, true},
	} {
		st := newState(t)
		p := begin(t, st, spec(`{}`, 1), false).Plan
		job := failing(c.err)
		if c.err == errAlways {
			job = failing(c.err, c.err)
		}
		rules, err := faulty.Parse(c.faults)
		if err != nil {
			t.Fatal(err)
		}
		broken := st
		broken.Bucket = faulty.New(st.Bucket, rules, faulty.Options{})
		synctest.Test(t, func(t *testing.T) { // a note is tried for a while
			_, err = RunTask(t.Context(), broken, p, job, 0, RunOptions{})
		})
		if IsPoison(err) != c.poison || err != nil && c.err == nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

var errAlways = fault.New(fault.Corrupt, "a flipped bit")

// A note that cannot be read is poison too: nobody else would tell of the task.
func TestDamagedNote(t *testing.T) {
	st, job := newState(t), failing(fault.New(fault.User, "bad"))
	p := begin(t, st, spec(`{}`, 1), false).Plan
	if _, err := RunTask(t.Context(), st, p, job, 0, RunOptions{}); err == nil {
		t.Fatal("no error")
	}
	for info, err := range st.Bucket.List(t.Context(), st.Name("plans", p.ID, "poisoned")+"/", "") {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := st.Bucket.Put(t.Context(), info.Name, []byte("xx"), blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	var poison *PoisonError
	if _, err := Commit(t.Context(), st, p, job, RunOptions{}); !errors.As(err, &poison) || fault.KindOf(err) != fault.Corrupt {
		t.Errorf("%v", err)
	}
}
