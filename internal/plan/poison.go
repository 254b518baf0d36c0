package plan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
)

// IsPoison tells whether err means that the same task can never pass as things are: neither is it worth another try, nor
// may somebody with other credentials do better, nor is it a bug of ours.
func IsPoison(err error) bool {
	if err == nil {
		return false
	}
	k := fault.KindOf(err)
	return !k.Retryable() && k != fault.Permission && k != fault.Bug
}

// Poison is an error in the words of a task's answer and of the note that is kept of it.
type Poison struct {
	Message string `json:"poison,omitempty"`
	Kind    string `json:"kind,omitempty"` // of fault.Kind
	Hint    string `json:"hint,omitempty"`
	File    string `json:"file,omitempty"`
	Line    int64  `json:"line,omitempty"`
	Offset  int64  `json:"offset,omitempty"`
	Path    string `json:"path,omitempty"`
}

// PoisonOf puts err into those words.
func PoisonOf(err error) Poison {
	place := fault.PlaceOf(err)
	return Poison{err.Error(), fault.KindOf(err).String(), fault.HintOf(err), place.File, place.Line, place.Offset, place.Path}
}

// PoisonError is what Commit says of a plan that has poison among its tasks. Its kind, hint and place are those of the first.
type PoisonError struct {
	Plan   string // id
	Index  int    // of the first
	Count  int    // tasks that are poison
	Tasks  int    // of the plan
	Poison Poison // of the first
}

func (e *PoisonError) Error() string {
	return fmt.Sprintf("plan %s: %d of %d tasks are poison, the first is %d: %s", e.Plan, e.Count, e.Tasks, e.Index, e.Poison.Message)
}

// Unwrap gives the error as far as the note tells it.
func (e *PoisonError) Unwrap() error {
	p := e.Poison
	return &fault.Error{Kind: fault.ParseKind(p.Kind), Place: fault.Place{File: p.File, Line: p.Line, Offset: p.Offset, Path: p.Path}, Hint: p.Hint,
		Err: errors.New(p.Message)}
}

// poisonNote is the body of a note below poisoned/.
type poisonNote struct {
	Index      int `json:"index"`
	Generation int `json:"generation"`
	Poison
}

// notePoison leaves a note of why an attempt at a task failed for good. An engine was told that the task is done with, so
// nobody else would: the commit reads it. A note decides nothing, a later attempt may pass. Each attempt has a name of its own.
func notePoison(ctx context.Context, st State, p *Plan, index, generation int, poison error) error {
	body, err := json.Marshal(poisonNote{index, generation, PoisonOf(poison)})
	if err != nil {
		return err
	}
	name := st.Name("plans", p.ID, "poisoned", fmt.Sprintf("%d.%d.%s", index, generation, newAttempt()))
	_, err = commit.Put(ctx, st.Bucket, name, body, commit.Options{Deadline: noteWithin})
	return err
}

// Poisoned finds the open tasks whose last attempt left a note that it is poison, and returns the names of the notes by
// the task's index.
func (r *Results) Poisoned(ctx context.Context) (map[int]string, error) {
	notes, last := map[int]string{}, map[int]time.Time{}
	prefix := r.State.Name("plans", r.plan.ID, "poisoned") + "/"
	for info, err := range r.State.Bucket.List(ctx, prefix, "") {
		if err != nil {
			return nil, fmt.Errorf("list poison of plan %s: %w", r.plan.ID, err)
		}
		name := strings.TrimPrefix(info.Name, prefix)
		index, generation, ok := parseName(name[:max(0, strings.LastIndexByte(name, '.'))])
		if !ok || index >= r.plan.Tasks || r.Done(index) || generation != r.current[index] {
			continue
		}
		if notes[index] == "" || info.Modified.After(last[index]) {
			notes[index], last[index] = info.Name, info.Modified
		}
	}
	return notes, nil
}

// ReadPoison reads a note by its name. One that is damaged is poison of which nothing else is known.
func ReadPoison(ctx context.Context, st State, name string) (Poison, error) {
	body, err := commit.Read(ctx, st.Bucket, name)
	var note poisonNote
	if err == nil {
		err = json.Unmarshal(body, &note)
		err = fault.As(fault.Corrupt, err)
	}
	if fault.KindOf(err) == fault.Corrupt {
		return PoisonOf(fmt.Errorf("the note of it cannot be read: %w", err)), nil
	}
	return note.Poison, err
}

// unfinished is why a plan with these open tasks cannot be committed: poison, which no engine will run again by itself, or
// tasks that have to be run.
func (r *Results) unfinished(ctx context.Context, pending []int) error {
	notes, err := r.Poisoned(ctx)
	if err != nil {
		return err
	}
	for _, i := range pending {
		if notes[i] == "" {
			continue
		}
		poison, err := ReadPoison(ctx, r.State, notes[i])
		if err != nil {
			return err
		}
		return &PoisonError{r.plan.ID, i, len(notes), r.plan.Tasks, poison}
	}
	return fault.Hint(fault.New(fault.Unavailable, "plan %s: %d of %d tasks have no result, the first is %d", r.plan.ID, len(pending), r.plan.Tasks,
		pending[0]), "run those tasks, then commit again")
}
