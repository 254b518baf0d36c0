package plan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
)

// Result is what the winning attempt of a task left.
type Result struct {
	Index      int             `json:"index"`
	Generation int             `json:"generation"`
	Attempt    string          `json:"attempt"`
	Body       json.RawMessage `json:"body"`
	// Staged describes every object that the attempt left below staged/, as the store told it then, sorted by name.
	Staged []Object `json:"staged,omitempty"`
}

// Object is a staged object; Name is relative to the plan's folder of those.
type Object struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
	ETag string `json:"etag"`
}

// Object finds what is said of a staged object by its whole name. The commit holds these against the store before it asks
// Job.Check.
func (r Result) Object(name string) (Object, bool) {
	i, ok := slices.BinarySearchFunc(r.Staged, path.Base(name), func(o Object, name string) int { return strings.Compare(o.Name, name) })
	if !ok {
		return Object{}, false
	}
	return r.Staged[i], true
}

// Results are the winners of a plan: for each task the result of its highest open generation.
type Results struct {
	plan    *Plan
	State   State
	current []int           // open generation by task
	have    map[[2]int]bool // (index, generation) that have a result object
}

// ListResults looks which tasks are done. It trusts names only; Result reads and checks one.
func ListResults(ctx context.Context, st State, p *Plan) (*Results, error) {
	r := &Results{plan: p, State: st, current: make([]int, p.Tasks), have: map[[2]int]bool{}}
	for _, kind := range []string{"reopened", "results"} {
		prefix := st.Name("plans", p.ID, kind) + "/"
		for info, err := range st.Bucket.List(ctx, prefix, "") {
			if err != nil {
				return nil, fmt.Errorf("list %s of plan %s: %w", kind, p.ID, err)
			}
			index, generation, ok := parseName(strings.TrimPrefix(info.Name, prefix))
			if !ok || index >= p.Tasks {
				continue
			}
			if kind == "results" {
				r.have[[2]int{index, generation}] = true
			} else {
				r.current[index] = max(r.current[index], generation)
			}
		}
	}
	return r, nil
}

func parseName(name string) (index, generation int, ok bool) {
	i, g, found := strings.Cut(name, ".")
	index, err1 := strconv.Atoi(i)
	generation, err2 := strconv.Atoi(g)
	return index, generation, found && err1 == nil && err2 == nil && index >= 0 && generation >= 0
}

// Done tells whether task i needs no further attempt.
func (r *Results) Done(i int) bool { return r.have[[2]int{i, r.current[i]}] }

// Pending lists the tasks that need an attempt.
func (r *Results) Pending() []int {
	var pending []int
	for i := range r.current {
		if !r.Done(i) {
			pending = append(pending, i)
		}
	}
	return pending
}

// Generation is the open generation of task i.
func (r *Results) Generation(i int) int { return r.current[i] }

// Result reads the winner of task i.
func (r *Results) Result(ctx context.Context, i int) (Result, error) {
	return readResult(ctx, r.State, r.plan, i, r.current[i])
}

func resultName(st State, p *Plan, index, generation int) string {
	return st.Name("plans", p.ID, "results", fmt.Sprintf("%d.%d", index, generation))
}

func readResult(ctx context.Context, st State, p *Plan, index, generation int) (Result, error) {
	name := resultName(st, p, index, generation)
	body, err := commit.Read(ctx, st.Bucket, name)
	if err != nil {
		return Result{}, fmt.Errorf("read result: %w", err)
	}
	var res Result
	if err := json.Unmarshal(body, &res); err != nil {
		return Result{}, fault.New(fault.Corrupt, "%s: %w", name, err)
	}
	if res.Index != index || res.Generation != generation {
		return Result{}, fault.New(fault.Corrupt, "%s holds the result of task %d generation %d", name, res.Index, res.Generation)
	}
	return res, nil
}

// reopen lets task i be attempted again because the data of its winner failed its check. Only the commit calls it.
func (r *Results) reopen(ctx context.Context, i int, why error) error {
	next := r.current[i] + 1
	if next > generationsMax {
		return fmt.Errorf("task %d failed its check %d times: %w", i, generationsMax, why)
	}
	body, err := json.Marshal(map[string]string{"reason": why.Error()})
	if err != nil {
		return err
	}
	name := r.State.Name("plans", r.plan.ID, "reopened", fmt.Sprintf("%d.%d", i, next))
	if _, err := commit.Put(ctx, r.State.Bucket, name, body, commit.Options{}); err != nil {
		return err
	}
	r.current[i] = next
	return nil
}

// generationsMax stops a store that damages everything it is given.
const generationsMax = 5

// The ways a plan ends.
const (
	Committed  = "committed"  // its effect is in the world
	Superseded = "superseded" // a second round goes on: plan Next
	Abandoned  = "abandoned"  // given up by a fresh start
)

// End is the commit object of a plan.
type End struct {
	State  string          `json:"state"`
	Next   string          `json:"next,omitempty"`
	Report json.RawMessage `json:"report,omitempty"`
}

// Ending reads the plan's commit object; ended is false while there is none.
func Ending(ctx context.Context, st State, p *Plan) (end End, ended bool, err error) {
	body, err := commit.Read(ctx, st.Bucket, st.Name("plans", p.ID, "commit"))
	if errors.Is(err, blob.ErrNotFound) {
		return End{}, false, nil
	}
	if err != nil {
		return End{}, false, fmt.Errorf("read commit of plan %s: %w", p.ID, err)
	}
	if err := json.Unmarshal(body, &end); err != nil {
		return End{}, false, fault.New(fault.Corrupt, "commit of plan %s: %w", p.ID, err)
	}
	return end, true, nil
}

// Told tells whether the outcome of the job that begins with p was told, see Tell.
func Told(ctx context.Context, st State, p *Plan) (bool, error) {
	_, err := st.Bucket.Head(ctx, st.Name("plans", p.ID, "told"))
	if errors.Is(err, blob.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look whether the outcome of plan %s was told: %w", p.ID, err)
	}
	return true, nil
}

// Tell notes that the outcome of p's job, of whichever round p is, was told to whoever asked for it. From then on the same
// command is a new job. A process that dies between its commit and this has the next one tell the outcome once more.
func Tell(ctx context.Context, st State, p *Plan) error {
	for p.Parent != "" {
		parent, err := Load(ctx, st, p.Parent)
		if err != nil {
			return err
		}
		p = parent
	}
	_, err := commit.Put(ctx, st.Bucket, st.Name("plans", p.ID, "told"), json.RawMessage(`{}`), commit.Options{Deadline: noteWithin})
	return err
}

// noteWithin bounds how long a job waits for a note: it is no part of what was asked for.
const noteWithin = 10 * time.Second

func finish(ctx context.Context, st State, p *Plan, end End) (End, error) {
	body, err := json.Marshal(end)
	if err != nil {
		return End{}, err
	}
	res, err := commit.Put(ctx, st.Bucket, st.Name("plans", p.ID, "commit"), body, commit.Options{})
	if err != nil {
		return End{}, err
	}
	if err := json.Unmarshal(res.Body, &end); err != nil {
		return End{}, fault.New(fault.Corrupt, "commit of plan %s: %w", p.ID, err)
	}
	return end, nil
}
