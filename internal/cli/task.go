package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"
	"sync"

	"github.com/spf13/cobra"

	"dynaferry/internal/fault"
	"dynaferry/internal/job"
	"dynaferry/internal/plan"
)

// arrayIndexes are the variables in which engines tell a member of an array its number, and where each counts from.
var arrayIndexes = []struct {
	name string
	from int
}{{"AWS_BATCH_JOB_ARRAY_INDEX", 0}, {"JOB_COMPLETION_INDEX", 0}, {"SLURM_ARRAY_TASK_ID", 0}}

// taskFlags are the flags of task.
type taskFlags struct {
	address      string
	index, share int
	tuning       job.Tuning
}

func (a *app) taskCommand() *cobra.Command {
	f := &taskFlags{}
	cmd := &cobra.Command{
		Use:   "task --plan ADDRESS [--index N]",
		Short: "run tasks of a plan: one by its index, or those given on stdin",
		Long: `task runs one task of a plan, as often as an engine likes. With --index, or inside an array job (AWS_BATCH_JOB_ARRAY_INDEX,
JOB_COMPLETION_INDEX, SLURM_ARRAY_TASK_ID), it runs that one. Else it reads JSON task lines {"index":N} from stdin and answers each with
a JSON result line.

A task that can never work is poison. On stdin its answer is a result with "poison", the reason, and the exit code stays 0, since Spark
would retry any other; so is that of a line that is no task line, or of a plan that cannot be read. The other lines are run all the
same, and commit refuses the plan with the reason.

Exit codes: 0 done (by this or another attempt), 64 poison: never retry (index mode), 70 a bug, 75 retry.`,
		Example: `  dynaferry task --plan s3://lake/orders/_dynaferry/plans/1f2e…-000000 --index 7
  echo '{"index":7}' | dynaferry task --plan s3://lake/orders/_dynaferry/plans/1f2e…-000000`,
		Args: args(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.task(cmd, f) },
	}
	p := cmd.Flags()
	p.StringVar(&f.address, "plan", "", "address of the plan, as dynaferry plan printed it")
	p.IntVar(&f.index, "index", -1, "index of the task")
	p.IntVar(&f.share, "share", 1, "how many tasks run at once elsewhere: this one takes that part of the budgets")
	p.StringVar(&f.tuning.ReadUnits, "read-units", "", "read capacity for all tasks together (default: as the plan was made with)")
	p.StringVar(&f.tuning.WriteUnits, "write-units", "", "write capacity, likewise")
	p.IntVar(&a.flags.workers, "workers", 1, "processors to use")
	p.StringVar(&a.flags.memory, "memory", "256MiB", "memory to stay below")
	return cmd
}

func (a *app) task(cmd *cobra.Command, f *taskFlags) error {
	if f.address == "" {
		return usage("%s: --plan is missing: the address that dynaferry plan printed", cmd.Name())
	}
	if f.share < 1 {
		return usage("--share %d: it is 1 or more", f.share)
	}
	index, one := f.index, cmd.Flags().Changed("index")
	if !one {
		var err error
		if index, one, err = arrayIndex(); err != nil {
			return classify(err)
		}
	}
	open := func() (*runner, error) { return a.openRunner(cmd, f) }
	if !one {
		return classify(a.tasksFromStdin(cmd.Context(), f.address, open))
	}
	r, err := open()
	if err == nil {
		_, err = r.run(cmd.Context(), index)
	}
	return classify(err)
}

// arrayIndex reads the number that an array engine gave this process; one is false where none did.
func arrayIndex() (index int, one bool, err error) {
	for _, v := range arrayIndexes {
		text := os.Getenv(v.name)
		if text == "" {
			continue
		}
		// To read stdin instead would find nothing there and be done.
		n, err := strconv.Atoi(text)
		if err != nil {
			return 0, true, fault.Hint(fault.New(fault.User, "%s is %q, no number of a task", v.name, text), "say which task it is: --index 0")
		}
		return n - v.from, true, nil
	}
	return 0, false, nil
}

// runner is a plan that was opened to run its tasks.
type runner struct {
	env  *job.Env
	st   plan.State
	plan *plan.Plan
	job  plan.Job
}

func (a *app) openRunner(cmd *cobra.Command, f *taskFlags) (*runner, error) {
	st, p, env, err := a.openPlan(cmd, f.address)
	if err != nil {
		return nil, err
	}
	env.Share = 1 / float64(f.share)
	if err := job.Retune(p, f.tuning); err != nil {
		return nil, err
	}
	j, err := job.New(env, st, p)
	return &runner{env, st, p, j}, err
}

func (r *runner) run(ctx context.Context, index int) (plan.Result, error) {
	return plan.RunTask(ctx, r.st, r.plan, r.job, index, plan.RunOptions{Workers: 1, Meter: r.env.Meter})
}

// taskLine is what stdin gives and stdout answers. A plan is named where poison is told: of a task that ran, the result does.
type taskLine struct {
	Type   string          `json:"type"`
	Index  *int            `json:"index,omitempty"`
	Plan   string          `json:"plan,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	plan.Poison
}

// tasksFromStdin answers each line with one of its own, whatever became of those before. Only what another try may mend,
// and a bug, end it. The plan is opened for the first line: an empty partition asks for nothing.
func (a *app) tasksFromStdin(ctx context.Context, address string, open func() (*runner, error)) error {
	_, id, _ := cutPlan(address)
	open = sync.OnceValues(open)
	in := &lineReader{r: bufio.NewReaderSize(a.in, taskLineMax)}
	for {
		text, err := in.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fault.New(fault.Unavailable, "read stdin: %w", err)
		}
		answer := taskLine{Type: "result"}
		answer.Index, err = taskIndex(text)
		err = fault.At(err, fault.Place{File: "stdin", Line: in.number})
		if err == nil {
			answer.Result, err = runLine(ctx, *answer.Index, open)
		}
		if err != nil {
			if !plan.IsPoison(err) || ctx.Err() != nil {
				return err
			}
			answer.Plan, answer.Poison = id, plan.PoisonOf(err)
		}
		if err := a.printJSON(a.out, answer); err != nil {
			return fault.New(fault.Unavailable, "answer on stdout: %w", err)
		}
	}
}

func runLine(ctx context.Context, index int, open func() (*runner, error)) (json.RawMessage, error) {
	r, err := open()
	if err != nil {
		return nil, err
	}
	res, err := r.run(ctx, index)
	return res.Body, err
}

// taskIndex reads a task line.
func taskIndex(text []byte) (*int, error) {
	var line struct {
		Index *int `json:"index"`
	}
	if err := json.Unmarshal(text, &line); err != nil || line.Index == nil {
		return nil, fault.New(fault.User, `%.200q is no task line; it is {"index":N}`, text)
	}
	return line.Index, nil
}

// taskLineMax is far more than a task line has. Of a longer one only the beginning is kept, which is no task line either.
const taskLineMax = 64 << 10

// lineReader yields lines that are not blank.
type lineReader struct {
	r      *bufio.Reader
	number int64 // of the line that next returned, from 1
}

// next returns the next line, which is valid until the next call.
func (l *lineReader) next() ([]byte, error) {
	for {
		line, err := l.r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			line = bytes.Clone(line)
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = l.r.ReadSlice('\n')
			}
		}
		if err != nil && (err != io.EOF || len(line) == 0) {
			return nil, err
		}
		l.number++
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return line, nil
		}
	}
}
