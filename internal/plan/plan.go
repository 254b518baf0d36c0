package plan

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
)

// FormatVersion is the version of everything below plans/. A binary goes on with plans of its own version and of older ones;
// a change that an older binary could misread raises it.
//
//	1: budgets stood among the settings; plan.json and tasks.jsonl
//	2: tuning beside the settings; plan and tasks, names that no pattern for data finds; told
const FormatVersion = 2

// TasksMax bounds a plan: AWS Batch arrays end at 10,000, Spark drivers and listings stay comfortable.
const TasksMax = 100_000

// State is a state root: a bucket and a prefix in it ("_dynaferry" below a destination).
type State struct {
	Bucket blob.Bucket
	Prefix string // without trailing slash; "" is the bucket's root
}

// Name joins the prefix and parts to an object's name.
func (s State) Name(parts ...string) string {
	return path.Join(append([]string{s.Prefix}, parts...)...)
}

// Plan describes one round of a job.
type Plan struct {
	Format   int             `json:"format"`
	ID       string          `json:"id"`
	Verb     string          `json:"verb"`
	Source   json.RawMessage `json:"source"`           // identity of what is read
	Settings json.RawMessage `json:"settings"`         // everything that changes the result, common to all tasks
	Tuning   json.RawMessage `json:"tuning,omitempty"` // how hard to work for it; whoever goes on may choose another
	Number   int             `json:"number"`           // the nonce
	Round    int             `json:"round"`            // 0, or 1 more than the plan that asked for this round
	Parent   string          `json:"parent,omitempty"`
	Created  time.Time       `json:"created"`
	Tasks    int             `json:"tasks"`
	TasksSum string          `json:"tasksSha256"`
	Writer   string          `json:"writer"` // program version, for people
}

// Spec is what a plan is made of, before it has a number.
type Spec struct {
	Verb     string
	Source   json.RawMessage
	Settings json.RawMessage
	Tuning   json.RawMessage // no part of the identity
	Parent   *Plan           // set for a second round
	Writer   string          // program version
	// Before are the settings as format 1 had them, budgets among them, to find its plans by; nil means Settings.
	Before json.RawMessage
	// Stands tells whether the effect of a committed plan, p its last round, is still in the world. Set where doing it again
	// is not the same as having done it: while the effect stands, an outcome that nobody was told is told before a plan of
	// equal settings begins anew.
	Stands func(ctx context.Context, p *Plan) (bool, error)
	// Tasks makes the task lines. It is called only when a new plan is needed.
	Tasks func(ctx context.Context) ([]json.RawMessage, error)
}

// key is the part of the plan's id that equal settings share, in the given format.
func (s Spec) key(format int) string {
	h := sha256.New()
	parent, settings := "", s.Settings
	if s.Parent != nil {
		parent = s.Parent.ID
	}
	if format == 1 && s.Before != nil {
		settings = s.Before
	}
	for _, part := range []string{"dynaferry-plan", strconv.Itoa(format), s.Verb, parent, canonical(s.Source), canonical(settings)} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil)[:10])
}

// canonical makes equal JSON values equal texts: members sorted, no spaces, numbers as written.
func canonical(raw json.RawMessage) string {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return string(raw)
	}
	out, err := json.Marshal(v)
	if err != nil {
		return string(raw)
	}
	return string(out)
}

func id(key string, number int) string { return fmt.Sprintf("%s-%06d", key, number) }

// planName and tasksName are the objects that a plan of the given format is made of. Since format 2 they have no suffix:
// a pattern like **/*.json looks into our folder too.
func planName(st State, id string, format int) string {
	return st.Name("plans", id, map[bool]string{true: "plan.json", false: "plan"}[format == 1])
}

func tasksName(st State, id string, format int) string {
	return st.Name("plans", id, map[bool]string{true: "tasks.jsonl", false: "tasks"}[format == 1])
}

// Made tells how Begin came to its plan.
type Made struct {
	Plan    *Plan
	Resumed bool // an unfinished plan of equal settings stood there already
	Done    bool // it is committed, and only its outcome is to be told
}

// Begin returns the plan of equal settings that is not over, or makes one. Over is a plan whose last round has a commit
// object and whose outcome, where that matters (Spec.Stands), was told. fresh gives an unfinished one up first.
func Begin(ctx context.Context, st State, spec Spec, fresh bool) (Made, error) {
	next := 0
	for format := 1; format <= FormatVersion; format++ {
		l, err := spec.latest(ctx, st, format)
		if err != nil {
			return Made{}, err
		}
		switch {
		case l.number >= 0 && l.plan == nil:
			// Its maker died between tasks and plan: go on with its tasks.
			p, err := create(ctx, st, spec, id(spec.key(format), l.number), l.number)
			return Made{Plan: p}, err
		case l.goesOn() && !fresh:
			return Made{l.plan, true, l.ended}, nil
		case l.goesOn() && !l.ended:
			if err := abandon(ctx, st, l.plan); err != nil {
				return Made{}, err
			}
		}
		next = l.number + 1
	}
	p, err := create(ctx, st, spec, id(spec.key(FormatVersion), next), next)
	return Made{Plan: p}, err
}

// Unfinished tells whether a plan of equal settings stands at the state root that is not over, so that Begin would go on
// with it.
func Unfinished(ctx context.Context, st State, spec Spec) (bool, error) {
	for format := 1; format <= FormatVersion; format++ {
		if l, err := spec.latest(ctx, st, format); err != nil || l.goesOn() {
			return err == nil, err
		}
	}
	return false, nil
}

// latest is the plan of the highest number that was drawn for equal settings.
type latest struct {
	number int   // -1 when none was drawn
	plan   *Plan // nil while it is being made
	ended  bool  // its last round has a commit object
	told   bool  // and there is nothing left to tell of it
}

func (l latest) goesOn() bool { return l.number >= 0 && !(l.ended && l.told) }

func (s Spec) latest(ctx context.Context, st State, format int) (latest, error) {
	key := s.key(format)
	l := latest{number: -1}
	var err error
	if l.number, err = highest(ctx, st, key); err != nil || l.number < 0 {
		return l, err
	}
	if l.plan, err = Load(ctx, st, id(key, l.number)); errors.Is(err, blob.ErrNotFound) {
		if l.plan = nil; format < FormatVersion {
			l.number = -1 // a plan that never came about is made in today's format
		}
		return l, nil
	}
	if err != nil {
		return l, err
	}
	last, end, ended, err := lastRound(ctx, st, l.plan)
	if err != nil || !ended {
		return l, err
	}
	l.ended, l.told = true, true
	if s.Stands == nil || end.State != Committed || format == 1 { // whose plans ended with their commit
		return l, nil
	}
	if l.told, err = Told(ctx, st, l.plan); err != nil || l.told {
		return l, err
	}
	stands, err := s.Stands(ctx, last)
	l.told = !stands
	return l, err
}

// abandon ends the last round of a plan, so that no process can bring it to an effect any more.
func abandon(ctx context.Context, st State, p *Plan) error {
	for {
		end, err := finish(ctx, st, p, End{State: Abandoned})
		if err != nil || end.State != Superseded {
			return err
		}
		if p, err = Load(ctx, st, end.Next); err != nil {
			return err
		}
	}
}

// lastRound follows second rounds and tells how the last one ended; ended is false while it has not.
func lastRound(ctx context.Context, st State, p *Plan) (last *Plan, end End, ended bool, err error) {
	for {
		if end, ended, err = Ending(ctx, st, p); err != nil || !ended || end.State != Superseded {
			return p, end, ended, err
		}
		if p, err = Load(ctx, st, end.Next); err != nil {
			return p, end, false, err
		}
	}
}

// highest finds the highest number drawn for key, -1 when none.
func highest(ctx context.Context, st State, key string) (int, error) {
	number, prefix := -1, st.Name("plans", key)+"-"
	for info, err := range st.Bucket.List(ctx, prefix, "") {
		if err != nil {
			return 0, fmt.Errorf("look for unfinished plans: %w", err)
		}
		digits, _, _ := strings.Cut(strings.TrimPrefix(info.Name, prefix), "/")
		if n, err := strconv.Atoi(digits); err == nil && n > number {
			number = n
		}
	}
	return number, nil
}

func create(ctx context.Context, st State, spec Spec, id string, number int) (*Plan, error) {
	lines, err := ensureTasks(ctx, st, id, spec)
	if err != nil {
		return nil, err
	}
	p := Plan{Format: FormatVersion, ID: id, Verb: spec.Verb, Source: spec.Source, Settings: spec.Settings, Tuning: spec.Tuning, Number: number,
		Created: time.Now().UTC().Truncate(time.Millisecond), Tasks: bytes.Count(lines, []byte("\n")), Writer: spec.Writer}
	if spec.Parent != nil {
		p.Parent, p.Round = spec.Parent.ID, spec.Parent.Round+1
	}
	sum := sha256.Sum256(lines)
	p.TasksSum = hex.EncodeToString(sum[:])
	body, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	res, err := commit.Put(ctx, st.Bucket, planName(st, id, FormatVersion), body, commit.Options{})
	if err != nil {
		return nil, err
	}
	return decode(res.Body, id)
}

// ensureTasks puts the tasks if they are absent and returns what stands there: the first maker's tasks are the plan's.
func ensureTasks(ctx context.Context, st State, id string, spec Spec) ([]byte, error) {
	name := tasksName(st, id, FormatVersion)
	tasks, err := fault.Again(ctx, func() ([]json.RawMessage, error) { return spec.Tasks(ctx) })
	if err != nil {
		return nil, err
	}
	if len(tasks) > TasksMax {
		return nil, fault.New(fault.Limit, "%d tasks; a plan has at most %d", len(tasks), TasksMax)
	}
	var lines bytes.Buffer
	for _, task := range tasks {
		if err := json.Compact(&lines, task); err != nil {
			return nil, fmt.Errorf("task line: %w", err)
		}
		lines.WriteByte('\n')
	}
	for try := 1; ; try++ {
		_, err = st.Bucket.Put(ctx, name, lines.Bytes(), blob.PutOptions{Condition: blob.Condition{IfAbsent: true}, ContentType: "application/x-ndjson"})
		if err != nil && !errors.Is(err, blob.ErrExists) {
			return nil, fmt.Errorf("write tasks: %w", err)
		}
		if err == nil {
			return lines.Bytes(), nil
		}
		there, readErr := readTwice(ctx, st.Bucket, name, lines.Bytes())
		if !errors.Is(readErr, blob.ErrNotFound) {
			return there, readErr
		}
		// 409: a write of the name was under way, and came to nothing.
		if try == putTries {
			return nil, fault.New(fault.Unavailable, "write tasks: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Duration(try) * putPause):
		}
	}
}

// readTwice reads what another maker put, which has no checksum yet: the plan's is made of it. What is not as expected is
// read again, since a bit that flipped on its way would make a plan that nobody can run.
func readTwice(ctx context.Context, b blob.Bucket, name string, expected []byte) ([]byte, error) {
	for last, try := expected, 1; ; try++ {
		there, err := readAll(ctx, b, name)
		if err != nil || bytes.Equal(there, last) {
			return there, err
		}
		if last = there; try == putTries {
			return nil, fault.New(fault.Unavailable, "%s reads differently each time", name)
		}
	}
}

// putTries and putPause bound how long tasks are tried that a store says are being written and does not have.
const (
	putTries = 8
	putPause = 50 * time.Millisecond
)

// Load reads a plan by id and checks it. blob.ErrNotFound when there is none.
func Load(ctx context.Context, st State, id string) (*Plan, error) {
	body, err := commit.Read(ctx, st.Bucket, planName(st, id, FormatVersion))
	if errors.Is(err, blob.ErrNotFound) {
		body, err = commit.Read(ctx, st.Bucket, planName(st, id, 1))
	}
	if err != nil {
		return nil, fmt.Errorf("read plan %s: %w", id, err)
	}
	return decode(body, id)
}

func decode(body json.RawMessage, want string) (*Plan, error) {
	var p Plan
	if err := json.Unmarshal(body, &p); err != nil {
		return nil, fault.New(fault.Corrupt, "plan %s: %w", want, err)
	}
	if p.Format < 1 || p.Format > FormatVersion {
		return nil, fault.Hint(fault.New(fault.Unsupported, "plan %s has format %d; this program works with 1 to %d", want, p.Format, FormatVersion),
			"finish it with the version that made it (%s), or start anew with --fresh", p.Writer)
	}
	spec := Spec{Verb: p.Verb, Source: p.Source, Settings: p.Settings}
	if p.Parent != "" {
		spec.Parent = &Plan{ID: p.Parent}
	}
	if got := id(spec.key(p.Format), p.Number); p.ID != want || got != want {
		return nil, fault.New(fault.Corrupt, "plan %s was changed: its contents belong to %s", want, got)
	}
	if p.Format == 1 {
		p.Tuning = p.Settings // where the budgets stood then
	}
	return &p, nil
}

// Exists tells whether a plan of that id stands at the state root.
func Exists(ctx context.Context, st State, id string) (bool, error) {
	for format := FormatVersion; format >= 1; format-- {
		if _, err := st.Bucket.Head(ctx, planName(st, id, format)); err == nil {
			return true, nil
		} else if !errors.Is(err, blob.ErrNotFound) {
			return false, fmt.Errorf("look for plan %s: %w", id, err)
		}
	}
	return false, nil
}

// IsObject tells whether an object of that name in a plan's folder is the plan or its tasks, in any format.
func IsObject(name string) bool {
	return slices.Contains([]string{"plan", "tasks", "plan.json", "tasks.jsonl"}, name)
}

// Task is one line of the plan's tasks.
type Task struct {
	Index int
	Body  json.RawMessage
}

// Tasks reads and checks the plan's tasks.
func Tasks(ctx context.Context, st State, p *Plan) ([]Task, error) {
	return fault.Again(ctx, func() ([]Task, error) { return readTasks(ctx, st, p) })
}

func readTasks(ctx context.Context, st State, p *Plan) ([]Task, error) {
	name := tasksName(st, p.ID, p.Format)
	lines, err := readAll(ctx, st.Bucket, name)
	if err != nil {
		return nil, fmt.Errorf("read tasks of plan %s: %w", p.ID, err)
	}
	if sum := sha256.Sum256(lines); hex.EncodeToString(sum[:]) != p.TasksSum {
		return nil, fault.New(fault.Corrupt, "%s is not the list that plan %s was made with", name, p.ID)
	}
	tasks := make([]Task, 0, p.Tasks)
	for line := range bytes.Lines(lines) {
		tasks = append(tasks, Task{len(tasks), json.RawMessage(bytes.TrimSpace(line))})
	}
	return tasks, nil
}

func readAll(ctx context.Context, b blob.Bucket, name string) ([]byte, error) {
	r, _, err := b.Get(ctx, name, blob.ReadOptions{})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, tasksBytesMax))
}

// tasksBytesMax bounds the tasks in memory: 100,000 tasks of 2.5 KB.
const tasksBytesMax = 256 << 20
