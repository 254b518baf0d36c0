package plan

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"dynaferry/internal/blob"
	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
)

// Job is what a verb does within the contract. A Job is made from a Plan alone (its Source and Settings), so that any
// process that has the plan can run its tasks and its commit. Methods may run concurrently and repeatedly.
type Job interface {
	// Task does one task and returns the body of its result. It may die or be doubled at any point: what it writes
	// to files goes below a.Staged, what it writes to a table follows a.Look. Errors: Retryable kinds are tried again,
	// Corrupt and Unsupported once, the others are poison (IsPoison) or end the run.
	Task(ctx context.Context, a *Attempt) (json.RawMessage, error)

	// Check tells whether the data that a winning result names is still there and whole. An error of kind Corrupt or
	// NotFound opens the next generation; others stop the commit.
	Check(ctx context.Context, r Result) error

	// Commit makes the plan's effect visible, idempotently: it may have died before at any point, and another process may
	// run it at the same time. It either finishes with a report, or asks for a second round.
	Commit(ctx context.Context, c *Committing) (Outcome, error)

	// Sweep removes the plan's own staged objects after its commit object is durable. Errors are reported, never fatal.
	Sweep(ctx context.Context, st State, p *Plan) error
}

// Outcome is what a commit came to: a Report, or a second round when Next is not nil.
type Outcome struct {
	Report json.RawMessage
	Next   *Spec // Parent is set by the contract
}

// Attempt is one try at one task.
type Attempt struct {
	Plan       *Plan
	State      State
	Task       Task
	Generation int
	ID         string        // random, names what this attempt stages
	Workers    int           // how many attempts share this process's budgets
	Meter      Meter         // progress, never nil
	LookEvery  time.Duration // see Look; 0 means LookEvery
	look       looking       // see Look
}

// Staged names an object of this attempt: plans/<id>/staged/<task>.<attempt>.<name>. Readers of the destination match
// files by suffix, so name has none of theirs.
func (a *Attempt) Staged(name string) string {
	return a.State.Name("plans", a.Plan.ID, "staged", fmt.Sprintf("%05d.%s.%s", a.Task.Index, a.ID, name))
}

// Meter receives progress. Methods may be called concurrently.
type Meter interface {
	Add(items, bytes int64)
	// Note adds to a named counter (throttles, units, dead letters, …).
	Note(name string, n float64)
}

// ErrDecided is returned by Look when the task or the plan was decided by somebody else: stop without writing more.
var ErrDecided = errors.New("decided by another attempt")

// LookEvery is how long an attempt that writes to a table may go on without looking whether it is still wanted, by a clock
// that counts suspended time too.
const LookEvery = 10 * time.Second

type looking struct {
	mu   sync.Mutex
	last time.Duration
}

// Look returns ErrDecided when results/i.g or the commit exist. It asks the store at most every LookEvery; a task that
// writes to a table calls it before every request, and gives each request at most LookEvery to finish.
func (a *Attempt) Look(ctx context.Context) error {
	a.look.mu.Lock()
	defer a.look.mu.Unlock()
	every := a.LookEvery
	if every == 0 {
		every = LookEvery
	}
	now := bootTime()
	if a.look.last != 0 && now-a.look.last <= every {
		return nil
	}
	for _, name := range []string{resultName(a.State, a.Plan, a.Task.Index, a.Generation), a.State.Name("plans", a.Plan.ID, "commit")} {
		_, err := a.State.Bucket.Head(ctx, name)
		if err == nil {
			return ErrDecided
		}
		if !errors.Is(err, blob.ErrNotFound) {
			return fmt.Errorf("look whether the task is still wanted: %w", err)
		}
	}
	// The time before the answers counts: a process frozen in between must look again.
	a.look.last = now
	return nil
}

// RunTask is what an engine runs for task index: an attempt, unless the task is done, that decides its result. It returns the
// result that stands. Why a task is poison (IsPoison) is noted beside the results, for the commit to say.
func RunTask(ctx context.Context, st State, p *Plan, job Job, index int, o RunOptions) (Result, error) {
	if index < 0 || index >= p.Tasks {
		return Result{}, fault.New(fault.User, "plan %s has tasks 0 to %d, not %d", p.ID, p.Tasks-1, index)
	}
	results, err := ListResults(ctx, st, p)
	if err != nil {
		return Result{}, err
	}
	if results.Done(index) {
		return standing(ctx, st, p, index, results.Generation(index))
	}
	o.Tries = 1 // the engine tries again
	res, err := attempt(ctx, st, p, job, index, results.Generation(index), o)
	if IsPoison(err) && ctx.Err() == nil {
		// Where the note has to wait for its store so does the verdict; where it may not be written the verdict is told alone.
		if noted := notePoison(ctx, st, p, index, results.Generation(index), err); fault.Retryable(noted) {
			return Result{}, fmt.Errorf("note that a task is poison (%w): %w", noted, err)
		}
	}
	return res, err
}

// attempt reads the task and tries it.
func attempt(ctx context.Context, st State, p *Plan, job Job, index, generation int, o RunOptions) (Result, error) {
	tasks, err := Tasks(ctx, st, p)
	if err != nil {
		return Result{}, err
	}
	return retryTask(ctx, st, p, job, tasks[index], generation, o)
}

func runTask(ctx context.Context, st State, p *Plan, job Job, task Task, generation int, o RunOptions) (Result, error) {
	a := &Attempt{Plan: p, State: st, Task: task, Generation: generation, ID: newAttempt(), Workers: max(1, o.Workers), Meter: o.Meter,
		LookEvery: o.LookEvery}
	if a.Meter == nil {
		a.Meter = silent{}
	}
	body, err := job.Task(ctx, a)
	if errors.Is(err, ErrDecided) {
		return standing(ctx, st, p, task.Index, generation)
	}
	if err != nil {
		return Result{}, fmt.Errorf("task %d of plan %s: %w", task.Index, p.ID, err)
	}
	staged, err := listStaged(ctx, st, p, fmt.Sprintf("%05d.%s.", task.Index, a.ID))
	if err != nil {
		return Result{}, err
	}
	data, err := json.Marshal(Result{task.Index, generation, a.ID, body, staged})
	if err != nil {
		return Result{}, err
	}
	res, err := commit.Put(ctx, st.Bucket, resultName(st, p, task.Index, generation), data, commit.Options{})
	if fault.KindOf(err) == fault.Corrupt { // somebody was faster, and what he left is damaged
		return standing(ctx, st, p, task.Index, generation)
	}
	if err != nil {
		return Result{}, err
	}
	var stands Result
	if err := json.Unmarshal(res.Body, &stands); err != nil {
		return Result{}, fault.New(fault.Corrupt, "result of task %d: %w", task.Index, err)
	}
	return stands, nil
}

// standing reads the result that a task has. One that is damaged is no poison of the task: the work was done, and whether it
// has to be done again is the commit's to say, which alone opens a generation.
func standing(ctx context.Context, st State, p *Plan, index, generation int) (Result, error) {
	r, err := readResult(ctx, st, p, index, generation)
	if fault.KindOf(err) == fault.Corrupt {
		return Result{Index: index, Generation: generation}, nil
	}
	return r, err
}

// listStaged describes the staged objects whose names begin with prefix.
func listStaged(ctx context.Context, st State, p *Plan, prefix string) ([]Object, error) {
	var staged []Object
	folder := st.Name("plans", p.ID, "staged") + "/"
	for info, err := range st.Bucket.List(ctx, folder+prefix, "") {
		if err != nil {
			return nil, fmt.Errorf("list what was staged: %w", err)
		}
		staged = append(staged, Object{strings.TrimPrefix(info.Name, folder), info.Size, info.ETag})
	}
	return staged, nil
}

// RunOptions tune the local pool.
type RunOptions struct {
	Workers int   // tasks at a time; 0 means 1
	Meter   Meter // nil is silent
	Tries   int   // attempts at a task that fails with a retryable error; 0 means 3
	// LookEvery replaces the constant of that name in suites that cannot wait; 0 means the constant.
	LookEvery time.Duration
	// Writer is the program's version, written into second rounds.
	Writer string
	// Round is called when a round begins, with the tasks that are left of all.
	Round func(p *Plan, left int)
}

func (o RunOptions) meter() Meter {
	if o.Meter == nil {
		return silent{}
	}
	return o.Meter
}

// Run is the local pool: it runs what is left of the plan's tasks, commits, and follows second rounds to the end.
//
// jobOf makes the job of a plan: each round has settings of its own.
func Run(ctx context.Context, st State, p *Plan, jobOf func(*Plan) (Job, error), o RunOptions) (End, error) {
	for {
		job, err := jobOf(p)
		if err != nil {
			return End{}, err
		}
		end, ended, err := Ending(ctx, st, p)
		if err != nil {
			return End{}, err
		}
		if !ended {
			if err := runTasks(ctx, st, p, job, o); err != nil {
				return End{}, err
			}
			if end, err = Commit(ctx, st, p, job, o); errors.Is(err, ErrReopened) {
				continue
			} else if err != nil {
				return End{}, err
			}
		}
		if end.State == Committed && ended {
			// Who committed it may have died before it swept.
			tidy(ctx, st, p, job, o.meter())
		}
		if end.State != Superseded {
			return end, nil
		}
		if p, err = Load(ctx, st, end.Next); err != nil {
			return End{}, err
		}
	}
}

func runTasks(ctx context.Context, st State, p *Plan, job Job, o RunOptions) error {
	tasks, err := Tasks(ctx, st, p)
	if err != nil {
		return err
	}
	results, err := ListResults(ctx, st, p)
	if err != nil {
		return err
	}
	pending := results.Pending()
	if o.Round != nil {
		o.Round(p, len(pending))
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, o.Workers))
	for _, i := range pending {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			_, err := retryTask(ctx, st, p, job, tasks[i], results.Generation(i), o)
			return err
		})
	}
	return group.Wait()
}

func retryTask(ctx context.Context, st State, p *Plan, job Job, task Task, generation int, o RunOptions) (Result, error) {
	tries := o.Tries
	if tries == 0 {
		tries = 3
	}
	for try := 1; ; try++ {
		res, err := fault.Again(ctx, func() (Result, error) { return runTask(ctx, st, p, job, task, generation, o) })
		if err == nil || ctx.Err() != nil || !fault.Retryable(err) || fault.KindOf(err) == fault.Unknown || try == tries {
			return res, err
		}
	}
}

// ErrReopened is returned by Commit when a winner's data failed its check: run the open tasks, then commit again.
var ErrReopened = fault.New(fault.Unavailable, "a task's data failed its check and has to be made again")

// Committing is what a Job's Commit is given.
type Committing struct {
	Plan    *Plan
	State   State
	Results *Results // every task is done and checked
	Meter   Meter
}

// Commit ends a round once all its results stand. It may be called by anybody, any number of times. A plan that was
// superseded returns its End with Next; the caller goes on there (exit 76 in the face of an engine).
func Commit(ctx context.Context, st State, p *Plan, job Job, o RunOptions) (End, error) {
	end, ended, err := Ending(ctx, st, p)
	if err != nil || ended {
		return end, err
	}
	results, err := ListResults(ctx, st, p)
	if err != nil {
		return End{}, err
	}
	if pending := results.Pending(); len(pending) > 0 {
		return End{}, results.unfinished(ctx, pending)
	}
	if err := settle(ctx, st, p, results, job); err != nil {
		return End{}, err
	}
	meter := o.meter()
	outcome, err := fault.Again(ctx, func() (Outcome, error) { return job.Commit(ctx, &Committing{p, st, results, meter}) })
	if err != nil {
		// Another process may have committed and swept while this one was at it.
		if end, ended, endErr := Ending(ctx, st, p); endErr == nil && ended {
			return end, nil
		}
		return End{}, fmt.Errorf("commit plan %s: %w", p.ID, err)
	}
	end = End{State: Committed, Report: outcome.Report}
	if outcome.Next != nil {
		if end, err = secondRound(ctx, st, p, outcome, o); err != nil {
			return End{}, err
		}
	}
	if end, err = finish(ctx, st, p, end); err != nil {
		return End{}, err
	}
	if end.State == Committed {
		tidy(ctx, st, p, job, meter)
	}
	return end, nil
}

// tidy sweeps after a commit. The effect is durable; what is left over is vacuum's, not a failure of this run.
func tidy(ctx context.Context, st State, p *Plan, job Job, meter Meter) {
	if err := sweepChain(ctx, st, p, job); err != nil {
		meter.Note("sweep errors", 1)
	}
}

func secondRound(ctx context.Context, st State, p *Plan, outcome Outcome, o RunOptions) (End, error) {
	spec := *outcome.Next
	spec.Parent = p
	if spec.Writer == "" {
		spec.Writer = o.Writer
	}
	child, err := create(ctx, st, spec, id(spec.key(FormatVersion), 0), 0)
	if err != nil {
		return End{}, fmt.Errorf("plan a second round: %w", err)
	}
	return End{State: Superseded, Next: child.ID, Report: outcome.Report}, nil
}

// settle fixes the winners: once sealed stands no generation opened later counts, so every process that commits this plan
// works from the same results.
func settle(ctx context.Context, st State, p *Plan, results *Results, job Job) error {
	sealed, err := readSeal(ctx, st, p)
	if err != nil {
		return err
	}
	if sealed == nil {
		harmed, err := check(ctx, st, p, results, job)
		if err != nil {
			return err
		}
		// A process that was faster may have sealed the plan and moved its data on: then they are not missing.
		if len(harmed) > 0 {
			if sealed, err = readSeal(ctx, st, p); err != nil {
				return err
			}
		}
		if len(harmed) > 0 && sealed == nil {
			for _, i := range slices.Sorted(maps.Keys(harmed)) {
				if err := results.reopen(ctx, i, harmed[i]); err != nil {
					return err
				}
			}
			return ErrReopened
		}
	}
	if sealed == nil {
		if sealed, err = putSeal(ctx, st, p, results.current); err != nil {
			return err
		}
	}
	results.current = sealed
	return nil
}

func sealName(st State, p *Plan) string { return st.Name("plans", p.ID, "sealed") }

// readSeal returns the generations that count, nil while that is open.
func readSeal(ctx context.Context, st State, p *Plan) ([]int, error) {
	body, err := commit.Read(ctx, st.Bucket, sealName(st, p))
	if errors.Is(err, blob.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decodeSeal(body, st, p)
}

// putSeal proposes generations and returns those that stand.
func putSeal(ctx context.Context, st State, p *Plan, generations []int) ([]int, error) {
	mine, err := json.Marshal(map[string][]int{"generations": generations})
	if err != nil {
		return nil, err
	}
	res, err := commit.Put(ctx, st.Bucket, sealName(st, p), mine, commit.Options{})
	if err != nil {
		return nil, err
	}
	return decodeSeal(res.Body, st, p)
}

func decodeSeal(body []byte, st State, p *Plan) ([]int, error) {
	var seal struct{ Generations []int }
	if err := json.Unmarshal(body, &seal); err != nil || len(seal.Generations) != p.Tasks {
		return nil, fault.New(fault.Corrupt, "%s does not name the results of %d tasks", sealName(st, p), p.Tasks)
	}
	if seal.Generations == nil {
		seal.Generations = []int{} // of a plan without tasks
	}
	return seal.Generations, nil
}

// check reads every result and holds what it staged against the store. It returns the tasks that have to be done again,
// each with the reason.
func check(ctx context.Context, st State, p *Plan, results *Results, job Job) (map[int]error, error) {
	listed, err := listStaged(ctx, st, p, "")
	if err != nil {
		return nil, err
	}
	now := make(map[string]Object, len(listed))
	for _, o := range listed {
		now[o.Name] = o
	}
	harmed := map[int]error{}
	for i := range p.Tasks {
		r, err := results.Result(ctx, i)
		if err == nil {
			err = r.whole(now)
		}
		if err == nil {
			err = job.Check(ctx, r)
		}
		if err == nil {
			continue
		}
		if k := fault.KindOf(err); k != fault.Corrupt && k != fault.NotFound {
			return nil, err
		}
		harmed[i] = err
	}
	return harmed, nil
}

// whole holds the objects that a result describes against those that are there now.
func (r Result) whole(now map[string]Object) error {
	for _, was := range r.Staged {
		is, ok := now[was.Name]
		if !ok {
			return fault.New(fault.NotFound, "staged object %s is gone", was.Name)
		}
		if is != was {
			return fault.New(fault.Corrupt, "staged object %s was changed after the result of its task: %d bytes %s, now %d bytes %s", was.Name,
				was.Size, was.ETag, is.Size, is.ETag)
		}
	}
	return nil
}

func sweepChain(ctx context.Context, st State, p *Plan, job Job) error {
	for {
		if err := job.Sweep(ctx, st, p); err != nil || p.Parent == "" {
			return err
		}
		parent, err := Load(ctx, st, p.Parent)
		if err != nil {
			return err
		}
		p = parent
	}
}

func newAttempt() string {
	var id [6]byte
	_, _ = rand.Read(id[:])
	return hex.EncodeToString(id[:])
}

type silent struct{}

func (silent) Add(int64, int64)     {}
func (silent) Note(string, float64) {}
