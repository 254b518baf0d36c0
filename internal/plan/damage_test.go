package plan

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/faulty"
	"dynaferry/internal/blob/folder"
	"dynaferry/internal/fault"
)

// What a winner staged is held against what its result says: gone, shorter or changed in place, it is made again before
// anything of it counts.
func TestStagedDataChangedAfterTheResult(t *testing.T) {
	for what, harm := range map[string]func(t *testing.T, file string){
		"gone": func(t *testing.T, file string) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		},
		"a bit is another": func(t *testing.T, file string) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			data[0] ^= 1
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			b, err := folder.Open(dir, folder.Options{NoSync: true})
			if err != nil {
				t.Fatal(err)
			}
			st, job := State{Bucket: b, Prefix: "_dynaferry"}, &counting{}
			p := begin(t, st, spec(`{}`, 3), false).Plan
			for i := range p.Tasks {
				if _, err := RunTask(t.Context(), st, p, job, i, RunOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			found, err := filepath.Glob(filepath.Join(dir, "_dynaferry", "plans", p.ID, "staged", "00001.*.number"))
			if err != nil || len(found) != 1 {
				t.Fatalf("%v, %v", found, err)
			}
			harm(t, found[0])
			end, err := Run(t.Context(), st, p, job.of, RunOptions{})
			if err != nil || string(end.Report) != "3" {
				t.Fatalf("%+v, %v", end, err)
			}
			if n := job.tasks.Load(); n != 4 {
				t.Errorf("%d attempts, want the harmed task again and no other", n)
			}
		})
	}
}

// A result that cannot be read is no poison of its task: the work is done, and whether it counts is the commit's to say.
func TestDamagedResultIsTheCommitsToHeal(t *testing.T) {
	st, job := newState(t), &counting{}
	p := begin(t, st, spec(`{}`, 2), false).Plan
	for i := range p.Tasks {
		if _, err := RunTask(t.Context(), st, p, job, i, RunOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := st.Bucket.Put(t.Context(), resultName(st, p, 1, 0), []byte("xx"), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	// The engine runs the task again before it commits, as it may.
	if _, err := RunTask(t.Context(), st, p, job, 1, RunOptions{}); err != nil {
		t.Errorf("the task is called poison: %v", err)
	}
	if _, err := Commit(t.Context(), st, p, job, RunOptions{}); err != ErrReopened {
		t.Errorf("commit: %v", err)
	}
	if _, err := RunTask(t.Context(), st, p, job, 1, RunOptions{}); err != nil {
		t.Fatal(err)
	}
	if end, err := Commit(t.Context(), st, p, job, RunOptions{}); err != nil || string(end.Report) != "1" {
		t.Errorf("%+v, %v", end, err)
	}
}

// A commit that finds data moved on by one that was faster goes on from what that one sealed.
func TestSealedMeanwhile(t *testing.T) {
	st, job := newState(t), &counting{}
	p := begin(t, st, spec(`{}`, 1), false).Plan
	if _, err := RunTask(t.Context(), st, p, job, 0, RunOptions{}); err != nil {
		t.Fatal(err)
	}
	slow := &sealing{counting: job, st: st, p: p}
	results, err := ListResults(t.Context(), st, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := settle(t.Context(), st, p, results, slow); err != nil {
		t.Fatal(err)
	}
	for info, err := range st.Bucket.List(t.Context(), st.Name("plans", p.ID, "reopened")+"/", "") {
		if err != nil || strings.Contains(info.Name, "reopened") {
			t.Errorf("%s is open again although the plan is sealed (%v)", info.Name, err)
		}
	}
}

// sealing is a job whose check sees another process seal the plan and take the staged object away.
type sealing struct {
	*counting
	st State
	p  *Plan
}

func (s *sealing) Check(ctx context.Context, _ Result) error {
	results, err := ListResults(ctx, s.st, s.p)
	if err != nil {
		return err
	}
	if err := settle(ctx, s.st, s.p, results, s.counting); err != nil {
		return err
	}
	return fault.New(fault.NotFound, "moved on")
}

// A commit that met damaged data reads them once more; what is damaged where it lies ends it.
func TestCommitMeetsDamage(t *testing.T) {
	for _, c := range []struct {
		damaged int64
		ok      bool
	}{{1, true}, {1 << 30, false}} {
		st, job := newState(t), &harmed{counting: &counting{}, left: c.damaged}
		p := begin(t, st, spec(`{}`, 2), false).Plan
		end, err := Run(t.Context(), st, p, func(*Plan) (Job, error) { return job, nil }, RunOptions{})
		if (err == nil) != c.ok || c.ok && string(end.Report) != "1" || job.tasks.Load() != 2 {
			t.Errorf("%d times damaged: %+v, %v", c.damaged, end, err)
		}
	}
}

// harmed is a job whose commit reads damaged data a few times.
type harmed struct {
	*counting
	left int64
}

func (h *harmed) Commit(ctx context.Context, c *Committing) (Outcome, error) {
	if h.left--; h.left >= 0 {
		return Outcome{}, fault.New(fault.Corrupt, "a flipped bit")
	}
	return h.counting.Commit(ctx, c)
}

// A bit that flips while another maker's tasks are read makes no plan of it: the plan's checksum is that of what lies there.
func TestTasksOnTheirWay(t *testing.T) {
	st, s := newState(t), spec(`{}`, 3)
	name := st.Name("plans", id(s.key(FormatVersion), 0), "tasks")
	if _, err := st.Bucket.Put(t.Context(), name, []byte("7\n8\n"), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	rules, err := faulty.Parse("get(*/tasks)#1: flip 0")
	if err != nil {
		t.Fatal(err)
	}
	broken := st
	broken.Bucket = faulty.New(st.Bucket, rules, faulty.Options{})
	p := begin(t, broken, s, false).Plan
	if tasks, err := Tasks(t.Context(), st, p); err != nil || len(tasks) != 2 || string(tasks[0].Body) != "7" {
		t.Errorf("%v, %v", tasks, err)
	}
}
