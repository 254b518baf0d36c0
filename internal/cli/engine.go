package cli

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"dynaferry/internal/fault"
	"dynaferry/internal/job"
	"dynaferry/internal/plan"
)

// Exit codes of the engine contract.
const (
	exitPoison      = 64
	exitBug         = 70
	exitSecondRound = 76
)

// engineError carries the exit code of an engine command.
type engineError struct {
	code int
	err  error
}

func (e *engineError) Error() string { return e.err.Error() }
func (e *engineError) Unwrap() error { return e.err }

func engineCode(_ *cobra.Command, err error) (int, bool) {
	var e *engineError
	if errors.As(err, &e) {
		return e.code, true
	}
	return 0, false
}

func (a *app) planCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan export|convert|import|verify|backup|restore|replay|archive …",
		Short: "make a job's plan and print its address, for an engine to run",
		Long: `plan takes a whole command and makes its plan without running it. An engine then runs, for every i from 0 to tasks-1, at least
once until it exits 0, "dynaferry task --plan ADDRESS --index i" (or gives a task line on stdin), and at the end
"dynaferry commit --plan ADDRESS".`,
		Example:            `  dynaferry plan export dynamodb://Orders s3://lake/orders`,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, given []string) error {
			if len(given) == 0 || given[0] == "--help" || given[0] == "-h" {
				return cmd.Help()
			}
			return a.planOf(cmd, given)
		},
	}
	return cmd
}

// planOf runs the named command with the runner replaced by one that stops at the plan.
func (a *app) planOf(cmd *cobra.Command, given []string) error {
	inner := &app{in: a.in, out: a.out, err: a.err, world: a.world, planOnly: true}
	root := inner.root()
	root.SetArgs(given)
	root.SetOut(a.out)
	root.SetErr(a.err)
	switch given[0] {
	case "export", "convert", "import", "verify", "backup", "restore", "replay", "archive":
	default:
		return usage("plan takes export, convert, import, verify, backup, restore, replay or archive, not %q", given[0])
	}
	_, err := root.ExecuteContextC(cmd.Context())
	a.flags.json = inner.flags.json
	return err
}

// makePlan ends a command at its plan and prints the plan's address.
func (a *app) makePlan(ctx context.Context, env *job.Env, r *job.Request) error {
	p, err := job.Plan(ctx, env, r)
	if err != nil {
		return err
	}
	address := planAddress(r.StateAddress, p.ID)
	if a.flags.json {
		return a.printJSON(a.out, map[string]any{"type": "plan", "plan": address, "tasks": p.Tasks})
	}
	fmt.Fprintf(a.out, "%s\n", address)
	a.story.say("%d tasks: dynaferry task --plan %s --index 0 … %d, then dynaferry commit --plan %s", p.Tasks, address, p.Tasks-1, address)
	return nil
}

// planFlag is the address of a plan: <state root>/plans/<id>.
func (a *app) openPlan(cmd *cobra.Command, address string) (plan.State, *plan.Plan, *job.Env, error) {
	env, err := a.env()
	if err != nil {
		return plan.State{}, nil, nil, err
	}
	root, id, ok := cutPlan(address)
	if !ok {
		return plan.State{}, nil, nil, usage("--plan %q: it is the address that dynaferry plan printed: …/plans/<id>", address)
	}
	st, err := job.OpenState(cmd.Context(), env, root)
	if err != nil {
		return plan.State{}, nil, nil, err
	}
	env.State = root
	p, err := plan.Load(cmd.Context(), st, id)
	return st, p, env, err
}

func cutPlan(address string) (root, id string, ok bool) {
	address, query, _ := strings.Cut(address, "?")
	address = strings.TrimSuffix(address, "/")
	if path.Base(path.Dir(address)) != "plans" {
		return "", "", false
	}
	id = path.Base(address)
	root = strings.TrimSuffix(strings.TrimSuffix(address, "/"+id), "/plans")
	if query != "" {
		root += "?" + query
	}
	return root, id, true
}

// classify turns an error of a task or commit into the contract's exit codes.
func classify(err error) error {
	if err == nil {
		return nil
	}
	var poisoned *plan.PoisonError
	code := exitRetry
	switch {
	case plan.IsPoison(err), errors.As(err, &poisoned):
		code = exitPoison
	case fault.KindOf(err) == fault.Bug:
		code = exitBug
	}
	return &engineError{code, err}
}

func (a *app) commitCommand() *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use:   "commit --plan ADDRESS",
		Short: "make a plan's results visible, once all its tasks are done",
		Long: `commit checks that every task has a result and makes them visible. It may be run by anybody, any number of times.

Exit codes: 0 done, 75 tasks are missing or the outcome is unknown: run them, commit again; 76 a second round is needed: its plan's
address is printed, run its tasks and commit that one; 64 it can never work, or a task is poison: the first and its reason are named;
70 a bug, 3 done with dead letters, 4 not equal (verify, restore, replay, archive --reconcile).`,
		Example: `  dynaferry commit --plan s3://lake/orders/_dynaferry/plans/1f2e…-000000`,
		Args:    args(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if address == "" {
				return usage("%s: --plan is missing: the address that dynaferry plan printed", cmd.Name())
			}
			st, p, env, err := a.openPlan(cmd, address)
			if err != nil {
				return classify(err)
			}
			j, err := job.New(env, st, p)
			if err != nil {
				return classify(err)
			}
			end, err := plan.Commit(cmd.Context(), st, p, j, plan.RunOptions{Meter: env.Meter, Writer: env.Version})
			if poisoned := (*plan.PoisonError)(nil); errors.As(err, &poisoned) {
				err = fault.Hint(err, "once that is mended: dynaferry task --plan %s --index %d, then commit again", address, poisoned.Index)
			}
			if err != nil {
				return classify(err)
			}
			if err := a.showEnd(p, address, end); err != nil {
				return err
			}
			a.told(cmd.Context(), st, p)
			return nil
		},
	}
	cmd.Flags().StringVar(&address, "plan", "", "address of the plan, as dynaferry plan printed it")
	cmd.Flags().IntVar(&a.flags.workers, "workers", 1, "processors to use")
	cmd.Flags().StringVar(&a.flags.memory, "memory", "256MiB", "memory to stay below")
	return cmd
}

func (a *app) showEnd(p *plan.Plan, address string, end plan.End) error {
	switch end.State {
	case plan.Superseded:
		root, _, _ := cutPlan(address)
		next := planAddress(root, end.Next)
		if a.flags.json {
			if err := a.printJSON(a.out, map[string]string{"type": "second-round", "plan": next}); err != nil {
				return err
			}
		} else {
			fmt.Fprintln(a.out, next)
		}
		return &engineError{exitSecondRound, fault.Hint(fault.New(fault.Unavailable, "a second round is needed"), "run the tasks of %s, then dynaferry commit --plan %s", next, next)}
	case plan.Abandoned:
		return &engineError{exitPoison, fault.New(fault.Conflict, "plan %s was given up by a fresh start", p.ID)}
	}
	switch p.Verb {
	case "import":
		return a.showImport(end.Report)
	case "import-native":
		return a.showNativeImport(end.Report)
	case "verify":
		return a.showVerify(end.Report)
	case "backup":
		return a.showBackup(end.Report)
	case "restore":
		return a.showRestore(end.Report)
	case "replay":
		return a.showReplay(end.Report)
	case "replay-log":
		return a.showReplayLog(end.Report)
	case "archive-where":
		return a.showMove(end.Report)
	case "reconcile":
		return a.showReconcile(end.Report)
	}
	return a.showNative(end.Report)
}

func planAddress(root, id string) string {
	root, query, _ := strings.Cut(root, "?")
	address := strings.TrimSuffix(root, "/") + "/plans/" + id
	if query != "" {
		address += "?" + query
	}
	return address
}
