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
	"strconv"
	"strings"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
)

// FormatVersion is the version of everything below plans/. A binary goes on with plans of its own version only and says so;
// a change that an older binary could misread raises it.
const FormatVersion = 1

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
	Source   json.RawMessage `json:"source"`   // identity of what is read
	Settings json.RawMessage `json:"settings"` // everything a task needs to know that is common to all
	Number   int             `json:"number"`   // the nonce
	Round    int             `json:"round"`    // 0, or 1 more than the plan that asked for this round
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
	Parent   *Plan  // set for a second round
	Writer   string // program version
	// Tasks makes the task lines. It is called only when a new plan is needed.
	Tasks func(ctx context.Context) ([]json.RawMessage, error)
}

// key is the part of the plan's id that equal settings share.
func (s Spec) key() string {
	h := sha256.New()
	parent := ""
	if s.Parent != nil {
		parent = s.Parent.ID
	}
	for _, part := range []string{"dynaferry-plan", strconv.Itoa(FormatVersion), s.Verb, parent, canonical(s.Source), canonical(s.Settings)} {
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

// Made tells how Begin came to its plan.
type Made struct {
	Plan    *Plan
	Resumed bool // an unfinished plan of equal settings stood there already
}

// Begin returns the unfinished plan of equal settings, or makes one. fresh gives an unfinished one up first.
func Begin(ctx context.Context, st State, spec Spec, fresh bool) (Made, error) {
	key := spec.key()
	number, err := latest(ctx, st, key)
	if err != nil {
		return Made{}, err
	}
	for {
		if number >= 0 {
			p, err := Load(ctx, st, id(key, number))
			if err != nil && !errors.Is(err, blob.ErrNotFound) {
				return Made{}, err
			}
			if err == nil {
				end, ended, err := Ending(ctx, st, p)
				if err != nil {
					return Made{}, err
				}
				if ended {
					if ended, err = chainEnded(ctx, st, end); err != nil {
						return Made{}, err
					}
				}
				if !ended && !fresh {
					return Made{p, true}, nil
				}
				if !ended {
					if err := abandon(ctx, st, p); err != nil {
						return Made{}, err
					}
				}
			}
			if errors.Is(err, blob.ErrNotFound) {
				// Its maker died between tasks.jsonl and plan.json: go on with its tasks.
				p, err := create(ctx, st, spec, id(key, number), number)
				return Made{p, false}, err
			}
		}
		number++
		fresh = false
		p, err := create(ctx, st, spec, id(key, number), number)
		return Made{p, false}, err
	}
}

// Unfinished tells whether an unfinished plan of equal settings stands at the state root, so that Begin would resume it.
func Unfinished(ctx context.Context, st State, spec Spec) (bool, error) {
	number, err := latest(ctx, st, spec.key())
	if err != nil || number < 0 {
		return false, err
	}
	p, err := Load(ctx, st, id(spec.key(), number))
	if errors.Is(err, blob.ErrNotFound) {
		return true, nil // being made
	}
	if err != nil {
		return false, err
	}
	end, ended, err := Ending(ctx, st, p)
	if err != nil || !ended {
		return err == nil, err
	}
	ended, err = chainEnded(ctx, st, end)
	return !ended, err
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

func chainEnded(ctx context.Context, st State, end End) (bool, error) {
	for end.State == Superseded {
		p, err := Load(ctx, st, end.Next)
		if err != nil {
			return false, err
		}
		next, ended, err := Ending(ctx, st, p)
		if err != nil || !ended {
			return false, err
		}
		end = next
	}
	return true, nil
}

// latest finds the highest number drawn for key, -1 when none.
func latest(ctx context.Context, st State, key string) (int, error) {
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
	p := Plan{Format: FormatVersion, ID: id, Verb: spec.Verb, Source: spec.Source, Settings: spec.Settings, Number: number,
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
	res, err := commit.Put(ctx, st.Bucket, st.Name("plans", id, "plan.json"), body, commit.Options{})
	if err != nil {
		return nil, err
	}
	return decode(res.Body, id)
}

// ensureTasks puts tasks.jsonl if it is absent and returns what stands there: the first maker's tasks are the plan's.
func ensureTasks(ctx context.Context, st State, id string, spec Spec) ([]byte, error) {
	name := st.Name("plans", id, "tasks.jsonl")
	tasks, err := spec.Tasks(ctx)
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
	_, err = st.Bucket.Put(ctx, name, lines.Bytes(), blob.PutOptions{Condition: blob.Condition{IfAbsent: true}, ContentType: "application/x-ndjson"})
	if err != nil && !errors.Is(err, blob.ErrExists) {
		return nil, fmt.Errorf("write tasks: %w", err)
	}
	return readAll(ctx, st.Bucket, name)
}

// Load reads a plan by id and checks it. blob.ErrNotFound when there is none.
func Load(ctx context.Context, st State, id string) (*Plan, error) {
	body, err := commit.Read(ctx, st.Bucket, st.Name("plans", id, "plan.json"))
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
	if p.Format != FormatVersion {
		return nil, fault.Hint(fault.New(fault.Unsupported, "plan %s has format %d; this program works with %d", want, p.Format, FormatVersion),
			"finish it with the version that made it (%s), or start anew with --fresh", p.Writer)
	}
	spec := Spec{Verb: p.Verb, Source: p.Source, Settings: p.Settings}
	if p.Parent != "" {
		spec.Parent = &Plan{ID: p.Parent}
	}
	if got := id(spec.key(), p.Number); p.ID != want || got != want {
		return nil, fault.New(fault.Corrupt, "plan %s was changed: its contents belong to %s", want, got)
	}
	return &p, nil
}

// Task is one line of tasks.jsonl.
type Task struct {
	Index int
	Body  json.RawMessage
}

// Tasks reads and checks the plan's tasks.
func Tasks(ctx context.Context, st State, p *Plan) ([]Task, error) {
	name := st.Name("plans", p.ID, "tasks.jsonl")
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

// tasksBytesMax bounds tasks.jsonl in memory: 100,000 tasks of 2.5 KB.
const tasksBytesMax = 256 << 20
