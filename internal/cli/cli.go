package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"dynaferry/internal/fault"
	"dynaferry/internal/job"
	"dynaferry/internal/plan"
	"dynaferry/internal/world"
)

// Exit codes; the engine's own are in engine.go.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitPartial     = 3
	exitDiffers     = 4
	exitConflict    = 5
	exitRetry       = 75
	exitInterrupted = 130
)

// app is one run of the program.
type app struct {
	in       io.Reader
	out, err io.Writer
	flags    globalFlags
	story    *story
	world    *world.World
	profiled bool // a CPU profile is being written
	planOnly bool // stop where the plan stands: the command "plan"
	code     int  // a command that ran well may still end with 3 or 4
}

type globalFlags struct {
	json    bool
	quiet   bool
	workers int
	memory  string
	state   string
	fresh   bool
	dryRun  bool
	profile string
}

// errUsage marks errors of the command line itself.
var errUsage = errors.New("usage")

// usageError is one; its text needs no such word.
type usageError struct{ error }

func (e usageError) Unwrap() error        { return e.error }
func (e usageError) Is(target error) bool { return target == errUsage }

// Main runs the program with the arguments behind its name and returns the exit code.
func Main(args []string, in io.Reader, out, stderr io.Writer) int {
	return MainIn(world.New(), args, in, out, stderr)
}

// MainIn is Main in a given world: the fault suites decorate its buckets and clients.
func MainIn(w *world.World, args []string, in io.Reader, out, stderr io.Writer) int {
	a := &app{in: in, out: out, err: stderr, world: w}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := a.root()
	root.SetArgs(lambdaArguments(os.Args[0], args))
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	a.story.end()
	if a.profiled {
		pprof.StopCPUProfile()
	}
	if err == nil {
		return a.code
	}
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx))) {
		err = fault.Hint(fmt.Errorf("interrupted"), "run the same command again to go on")
		a.fail(cmd, err, exitInterrupted)
		return exitInterrupted
	}
	code := a.exitCode(cmd, err)
	a.fail(cmd, err, code)
	return code
}

// startProfile begins the profile that a developer asked for.
func (a *app) startProfile() error {
	if a.flags.profile == "" {
		return nil
	}
	f, err := os.Create(a.flags.profile)
	if err != nil {
		return fault.New(fault.User, "--cpu-profile: %w", err)
	}
	a.profiled = true
	return pprof.StartCPUProfile(f)
}

// exitCode is the one place where errors become exit codes.
func (a *app) exitCode(cmd *cobra.Command, err error) int {
	if code, ok := engineCode(cmd, err); ok {
		return code
	}
	if errors.Is(err, errUsage) {
		return exitUsage
	}
	switch fault.KindOf(err) {
	case fault.User:
		return exitUsage
	case fault.Partial:
		return exitPartial
	case fault.Differs:
		return exitDiffers
	case fault.Conflict:
		return exitConflict
	case fault.Unknown, fault.Unavailable, fault.Throttled:
		return exitRetry
	}
	return exitFailed
}

// fail shows an error.
func (a *app) fail(cmd *cobra.Command, err error, code int) {
	hint := fault.HintOf(err)
	if a.flags.json {
		place := fault.PlaceOf(err)
		a.printJSON(a.err, map[string]any{"type": "error", "error": err.Error(), "kind": fault.KindOf(err).String(), "hint": hint,
			"file": place.File, "line": place.Line, "offset": place.Offset, "path": place.Path, "exit": code})
		return
	}
	lines := strings.Split(err.Error(), "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	fmt.Fprintf(a.err, "dynaferry: %s\n", strings.Join(lines, "\n"))
	if hint != "" {
		fmt.Fprintf(a.err, "  try: %s\n", hint)
	} else if errors.Is(err, errUsage) && cmd != nil {
		fmt.Fprintf(a.err, "  try: %s --help\n", cmd.CommandPath())
	}
}

func usage(format string, args ...any) error {
	return fault.As(fault.User, usageError{fmt.Errorf(format, args...)})
}

// Version is the program's version; releases set it by -ldflags -X.
var Version = ""

func version() string {
	if Version != "" {
		return Version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return "devel-" + s.Value[:12]
			}
		}
	}
	return "devel"
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "dynaferry",
		Short: "carries DynamoDB tables to files and back, exactly and once",
		Long: `dynaferry carries DynamoDB tables to files in S3 or a folder and back, exactly and once.

An address is dynamodb://Table, s3://bucket/prefix or a path. It may end with ?region=, ?endpoint=, ?profile= and
?role=; everything else about AWS is taken from the environment and the shared configuration, as in the AWS CLI.`,
		Example: `  dynaferry demo
  dynaferry export dynamodb://Orders s3://lake/orders --partition 'year,month of created_at'
  dynaferry import s3://lake/orders dynamodb://Orders2 --create
  dynaferry verify dynamodb://Orders dynamodb://Orders2`,
		SilenceErrors: true, SilenceUsage: true, Version: version(), Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error {
			a.story = newStory(a.err, a.flags.json, a.flags.quiet)
			return a.startProfile()
		},
	}
	root.SuggestionsMinimumDistance = 2
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%w", err) })
	p := root.PersistentFlags()
	p.BoolVar(&a.flags.json, "json", false, "results and the story as JSON, one object a line with a type")
	p.BoolVarP(&a.flags.quiet, "quiet", "q", false, "errors only")
	p.StringVar(&a.flags.profile, "cpu-profile", "", "write a profile for go tool pprof to this file")
	_ = p.MarkHidden("cpu-profile")
	root.AddCommand(a.exportCommand(), a.followCommand(), a.convertCommand(), a.importCommand(), a.verifyCommand(), a.backupCommand(), a.restoreCommand(), a.replayCommand(), a.archiveCommand(), a.recallCommand(), a.inspectCommand(), a.localCommand(), a.demoCommand(),
		a.benchCommand(), a.lambdaCommand(), a.planCommand(), a.taskCommand(), a.commitCommand(), a.bucketCommand(), a.streamCommand())
	return root
}

// noSuchCommand answers words that are no command with the nearest that is.
func noSuchCommand(cmd *cobra.Command, given []string) error {
	if len(given) == 0 {
		return nil
	}
	err := usage("unknown command %q", given[0])
	if near := cmd.SuggestionsFor(given[0]); len(near) > 0 {
		return fault.Hint(err, "%s %s", cmd.Name(), near[0])
	}
	return err
}

// jobFlags are the flags of every command that runs a job.
func (a *app) jobFlags(cmd *cobra.Command) {
	a.sizeFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&a.flags.state, "state", "", "where plan, tasks and results are kept (default: beside the data, in _dynaferry)")
	f.BoolVar(&a.flags.fresh, "fresh", false, "start anew instead of going on with an unfinished run of the same settings")
	f.BoolVar(&a.flags.dryRun, "dry-run", false, "say what would be done, read no items and write nothing")
}

// sizeFlags say how much of this machine a command may use.
func (a *app) sizeFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&a.flags.workers, "workers", 0, "tasks at a time (default: one a processor)")
	f.StringVar(&a.flags.memory, "memory", "256MiB", "memory to stay below, whatever the size of the data")
}

// env makes the environment of a job from the flags.
func (a *app) env() (*job.Env, error) {
	memory, err := parseBytes(a.flags.memory)
	if err != nil {
		return nil, usage("--memory %q: %w", a.flags.memory, err)
	}
	const memoryLeast = 64 << 20
	if memory < memoryLeast {
		return nil, usage("--memory %q: the least is 64MiB", a.flags.memory)
	}
	// The collector keeps below its limit by working harder. The rest of the budget is for what it does not count: the
	// program's own pages, and what was freed and not given back yet.
	debug.SetMemoryLimit(memory / 4 * 3)
	debug.SetGCPercent(50)
	workers := a.flags.workers
	if workers < 0 {
		return nil, usage("--workers %d: it is 1 or more", workers)
	}
	if workers == 0 {
		workers = processors()
	}
	return &job.Env{World: a.world, Version: version(), Workers: workers, Memory: memory, Meter: a.story, Fresh: a.flags.fresh, State: a.flags.state,
		Say: a.story.say, Progress: a.story.progress, Ask: a.asker(), DryRun: a.flags.dryRun}, nil
}

// run plans or resumes a request, runs it and shows its report.
func (a *app) run(ctx context.Context, env *job.Env, r *job.Request, show func(report []byte) error) error {
	if a.flags.dryRun {
		return a.dryRun(ctx, r)
	}
	if a.planOnly {
		return a.makePlan(ctx, env, r)
	}
	start := time.Now()
	end, p, err := job.Execute(ctx, env, r)
	if err != nil {
		return err
	}
	a.story.end()
	a.story.took(time.Since(start))
	if err := show(end.Report); err != nil {
		return err
	}
	a.told(ctx, r.State, p)
	return nil
}

// told notes that a job's outcome was shown. Where that cannot be noted the job is done all the same.
func (a *app) told(ctx context.Context, st plan.State, p *plan.Plan) {
	if err := job.Tell(ctx, st, p); err != nil {
		a.story.say("warning: this is done, but the same command will tell so once more before it does it again: %v", err)
	}
}

func (a *app) dryRun(ctx context.Context, r *job.Request) error {
	preview, err := job.Look(ctx, r)
	if err != nil {
		return err
	}
	if a.flags.json {
		return a.printJSON(a.out, preview)
	}
	fmt.Fprintf(a.out, "would %s %s\n  into      %s\n  tasks     %d\n", preview.Verb, preview.Source, preview.Destination, preview.Tasks)
	if preview.Items >= 0 {
		about := "about "
		if preview.Exact {
			about = ""
		}
		fmt.Fprintf(a.out, "  items     %s%d\n", about, preview.Items)
	}
	fmt.Fprintf(a.out, "  source    %s\n  state     %s\n", bytesText(preview.Bytes), preview.State)
	for _, line := range preview.Costs {
		fmt.Fprintf(a.out, "  %s\n", line)
	}
	if preview.Widens > 0 {
		fmt.Fprintf(a.out, "  widens    at most %s files of before, if there are new columns\n", countText(int64(preview.Widens)))
	}
	if preview.Resumes {
		fmt.Fprintln(a.out, "  it would go on with an unfinished plan of the same settings")
	}
	return nil
}
