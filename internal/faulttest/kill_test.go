package faulttest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"dynaferry/internal/item"
	"dynaferry/internal/row"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// scenario is a command that is killed.
type scenario struct {
	name      string
	suffix    string // of the files a pattern sees; "" when the destination is a table
	remote    string // S3 endpoint when the destination is there
	remoteDir string // and where it keeps its objects
	prepare   func(at place)
	args      func(at place) []string
	points    int // share of the default sample
	only      func(call string) bool
	copies    bool // export or convert: a finished task's units are read once
	rows      int
	base      int // rows that lie there before
	want      item.Fingerprint
	made      func(at place) (source.Spec, error) // where the result lies, when that is not the destination

	calls []string // of an undisturbed run
	reads map[string]int
}

// place is what one kill point has to itself.
type place struct {
	dir   string // scratch
	dest  string // folder, address of a bucket or of a table
	state string // folder of the state root
	sight string // folder where the destination's objects lie as files, also those of the local S3
	told  int    // outcomes that were told there before
}

// killTally is what the suite prints.
type killTally struct{ points, killed, doubled, late, during, remote atomic.Int64 }

// TestKill runs commands again and again and kills them with SIGKILL at a numbered external call: before it, after it, or
// in its middle. What a pattern sees then must be nothing, or whole files of winners; and the same command run again must
// come to the same end, reading nothing again whose result stood.
func TestKill(t *testing.T) {
	endpoint := tables(t)
	scenarios := killScenarios(t, endpoint)
	seed := uint64(1)
	if long() {
		seed = uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
	}
	var tally killTally
	started := time.Now()
	var work []func() error
	for n := range scenarios {
		s := &scenarios[n]
		s.measure(t)
		random := rand.New(rand.NewPCG(seed, uint64(n)))
		for i, at := range s.sample(random, s.points*count(2, 8, 36)/10) {
			work = append(work, func() error {
				double := i%3 == 0
				if err := s.point(t, i, at, double, random.IntN, &tally); err != nil {
					return fmt.Errorf("%s, crash %s: %w", s.name, at, err)
				}
				return nil
			})
		}
	}
	inParallel(t, work)
	t.Logf("kill: %d points of %d commands, %d killed (%d in a recovery, %d during a commit, %d on S3), %d had ended before; %v",
		tally.points.Load(), len(scenarios), tally.killed.Load(), tally.doubled.Load(), tally.during.Load(), tally.remote.Load(), tally.late.Load(),
		time.Since(started).Round(time.Second))
}

// inParallel runs work by a few workers and fails with the first errors.
func inParallel(t *testing.T, work []func() error) {
	t.Helper()
	atOnce(t, 4, work)
}

func atOnce(t *testing.T, workers int, work []func() error) {
	t.Helper()
	var mu sync.Mutex
	failures := 0
	var group errgroup.Group
	group.SetLimit(workers)
	for _, do := range work {
		group.Go(func() error {
			if err := do(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if failures++; failures <= 10 {
					t.Error(err)
				}
			}
			return nil
		})
	}
	_ = group.Wait()
	if failures > 10 {
		t.Errorf("and %d more", failures-10)
	}
}

// smallItem is an item with a key of its own, a partition, and an attribute of two types.
func smallItem(dst []byte, i uint64, number string) []byte {
	dst = fmt.Appendf(dst, `{"pk":{"S":"p-%05d"},"region":{"S":"r%d"},"n":%s,"tags":{"SS":["a","b%d"]}`, i, i%3, number, i%7)
	if i%17 == 0 {
		dst = fmt.Appendf(dst, `,"only%d":{"M":{"deep":{"L":[{"NULL":true},{"B":"AAE="}]}}}`, i%5)
	}
	return append(dst, '}')
}

func whole(dst []byte, i uint64) []byte {
	return smallItem(dst, i, fmt.Sprintf(`{"N":"%d"}`, i))
}

func fraction(dst []byte, i uint64) []byte {
	return smallItem(dst, i+10_000, fmt.Sprintf(`{"N":"%d.125"}`, i))
}

func textual(dst []byte, i uint64) []byte {
	return smallItem(dst, i+20_000, fmt.Sprintf(`{"S":"text %d"}`, i))
}

// large is an item near the limit that no codec makes smaller.
func large(dst []byte, i uint64) []byte {
	random := rand.NewChaCha8([32]byte{byte(i)})
	bytes := make([]byte, 290<<10)
	_, _ = random.Read(bytes)
	return fmt.Appendf(dst, `{"pk":{"S":"l-%03d"},"b":{"B":"%s"}}`, i, base64.StdEncoding.EncodeToString(bytes))
}

func shifted(by uint64) func(dst []byte, i uint64) []byte {
	return func(dst []byte, i uint64) []byte { return whole(dst, i+by) }
}

// doubled has the keys of whole, with another content.
func doubled(dst []byte, i uint64) []byte {
	return smallItem(dst, i, fmt.Sprintf(`{"S":"again %d"}`, i))
}

func killScenarios(t *testing.T, endpoint string) []scenario {
	dir := scratch(t)
	table := func(name string) string { return "dynamodb://" + name + "?endpoint=" + endpoint }
	in := func(names ...string) string { return filepath.Join(append([]string{dir}, names...)...) }
	const n = 120
	write(t, in("plain", "a.json"), lines(n, whole))
	write(t, in("plain", "b.json"), lines(n, shifted(1000)))
	write(t, in("mixed", "a.json"), lines(n, whole))
	write(t, in("mixed", "b.json"), lines(n, fraction))
	write(t, in("mixed", "c.json"), lines(n, textual))
	write(t, in("twice", "a.json"), lines(n, whole))
	write(t, in("twice", "b.json"), lines(n, shifted(60)))
	write(t, in("twice", "c.json"), lines(20, doubled))
	loose := []string{"--from-format", "dynamodb-json", "--workers", "1", "--state"}
	must(t, append([]string{"import", in("mixed"), table("Source"), "--create", "--key", "pk"}, append(loose, in("state"))...)...)
	for _, name := range []string{"plain", "mixed"} {
		must(t, "convert", in(name), in("export-"+name), "--format", "dynamodb-json", "--task-size", "1B", "--from-format", "dynamodb-json", "--key", "pk")
	}
	export := func(more ...string) func(place) []string {
		return func(at place) []string {
			return append([]string{"export", table("Source"), at.dest, "--workers", "1", "--segments", "3", "--read-units", "unlimited"}, more...)
		}
	}
	convert := func(from string, more ...string) func(place) []string {
		return func(at place) []string {
			return append([]string{"convert", from, at.dest, "--workers", "1", "--task-size", "1B"}, more...)
		}
	}
	load := func(from string, more ...string) func(place) []string {
		return func(at place) []string {
			return append([]string{"import", from, at.dest, "--workers", "1", "--create", "--write-units", "unlimited", "--state", at.state}, more...)
		}
	}
	standing := func(at place) {
		must(t, "convert", in("export-plain"), at.dest, "--task-size", "1B")
	}
	w := world.New()
	all := printOf(t, w, source.Spec{Address: table("Source")})
	plain := printOf(t, w, source.Spec{Address: in("export-plain")})
	// Last in source order wins: c over a, b over a's second half.
	write(t, in("last", "c.json"), lines(20, doubled))
	last := lines(60, whole)
	last = append(last[:0:0], lastLines(last, 20)...)
	write(t, in("last", "a.json"), last)
	write(t, in("last", "b.json"), lines(n, shifted(60)))
	deduped := printOf(t, w, source.Spec{Address: in("last"), Form: source.DynamoDBJSON})
	// What is appended has attributes that the files there lack, also in a map they have.
	write(t, in("wider", "a.json"), []byte(strings.NewReplacer(`"tags":`, `"colour":{"S":"red"},"tags":`, `"deep"`, `"deeper"`).Replace(string(lines(n, shifted(2000))))))
	wider := []string{"--into", "append", "--from-format", "dynamodb-json"}
	widened := plain
	widened.Merge(printOf(t, w, source.Spec{Address: in("wider"), Form: source.DynamoDBJSON}))
	list := []scenario{
		{name: "export parquet", suffix: ".parquet", args: export(), points: 40, copies: true, rows: 3 * n, want: all},
		{name: "export partitioned", suffix: ".parquet", args: export("--partition", "region"), points: 40, copies: true, rows: 3 * n, want: all},
		{name: "export dynamodb-json", suffix: ".json.gz", args: export("--format", "dynamodb-json"), points: 25, copies: true, rows: 3 * n, want: all},
		{name: "convert", suffix: ".parquet", args: convert(in("export-plain")), points: 25, copies: true, rows: 2 * n, want: plain},
		{name: "convert with rewrite", suffix: ".parquet", args: convert(in("export-mixed")), points: 35, copies: true, rows: 3 * n, want: all},
		{name: "convert replace", suffix: ".parquet", args: convert(in("export-mixed"), "--into", "replace"), prepare: standing, points: 25,
			copies: true, rows: 3 * n, base: 2 * n, want: all},
		{name: "convert append wider", suffix: ".parquet", args: convert(in("wider"), wider...), prepare: standing, points: 30, copies: true, rows: 3 * n,
			base: 2 * n, want: widened},
		{name: "import duplicates", args: load(in("twice"), "--from-format", "dynamodb-json", "--key", "pk"), points: 35, rows: n + 60, want: deduped},
		{name: "import", args: load(in("export-mixed"), "--key", "pk"), points: 15, rows: 3 * n, want: all},
		{name: "import if-absent", args: load(in("twice"), "--from-format", "dynamodb-json", "--key", "pk", "--mode", "if-absent"), points: 20, rows: n + 60, want: deduped},
	}
	log := in("changes.log")
	must(t, "import", in("export-mixed"), table("Logged"), "--create", "--key", "pk", "--state", in("state"))
	must(t, "follow", table("Logged"), "--log", log, "--enable-stream", "new-and-old", "--exit-when-idle", "300ms")
	must(t, "import", in("export-plain"), table("Logged"), "--overwrite", "--state", in("state"))
	must(t, "import", in("last", "b.json"), table("Logged"), "--mode", "delete", "--from-format", "dynamodb-json", "--state", in("state"))
	must(t, "follow", table("Logged"), "--log", log, "--exit-when-idle", "300ms")
	replay := func(to string, more ...string) []string {
		return append([]string{"replay", log, to, "--workers", "1"}, more...)
	}
	became := []string{"--op", "put", "--images", "new", "--format", "dynamodb-json"}
	must(t, replay(in("became"), became...)...)
	list = append(list, scenario{name: "replay into files", suffix: ".json.gz", points: 15, rows: n, want: printOf(t, w, source.Spec{Address: in("became")}),
		args: func(at place) []string { return replay(at.dest, became...) }})
	// Another log, of several entries and two chains, whose own tails are all that says how far it is.
	grouped, puts := in("grouped.log"), &source.LogSpec{Images: row.Changes, Ops: []string{source.OpPut}}
	must(t, "follow", table("Logged"), "--log", grouped, "--groups", "2", "--exit-when-idle", "300ms")
	list = append(list, scenario{name: "replay into a log", points: 25, want: printOf(t, w, source.Spec{Address: grouped, Log: puts}),
		args: func(at place) []string {
			return []string{"replay", grouped, filepath.Join(at.dir, "part"), "--format", "log", "--op", "put", "--target-size", "16KiB", "--workers", "1", "--state", at.state}
		},
		made: func(at place) (source.Spec, error) {
			return source.Spec{Address: filepath.Join(at.dir, "part"), Log: puts}, nil
		}})
	list = append(list, overlayScenarios(t, in("overlay"))...)
	list = append(list, backupScenarios(t, in("backup"), table)...)
	tablesOf = table
	remote, remoteDir := objects(t)
	list = append(list,
		scenario{name: "export parquet to S3", suffix: ".parquet", args: export(), points: 14, copies: true, rows: 3 * n, want: all, remote: remote, remoteDir: remoteDir},
		scenario{name: "convert with rewrite to S3", suffix: ".parquet", args: convert(in("export-mixed")), points: 12, copies: true, rows: 3 * n, want: all,
			remote: remote, remoteDir: remoteDir},
		scenario{name: "convert append wider on S3", suffix: ".parquet", args: convert(in("wider"), wider...), prepare: standing, points: 10, copies: true, rows: 3 * n,
			base: 2 * n, want: widened, remote: remote, remoteDir: remoteDir})
	if !testing.Short() {
		write(t, in("large", "a.json"), lines(48, large))
		inParts := scenario{suffix: ".parquet", args: convert(in("large"), "--compression", "none", "--from-format", "dynamodb-json"), rows: 48, points: 10, copies: true,
			want: printOf(t, w, source.Spec{Address: in("large"), Form: source.DynamoDBJSON}),
			only: func(operation string) bool {
				return slices.Contains([]string{"create", "part", "complete", "publish", "step"}, operation)
			}}
		inParts.name = "convert in parts"
		list = append(list, inParts)
		inParts.name, inParts.points, inParts.remote, inParts.remoteDir = "convert in parts to S3", 8, remote, remoteDir
		list = append(list, inParts)
	}
	return list
}

// tablesOf addresses a table of the suite's DynamoDB.
var tablesOf func(name string) string

// lastLines drops the first n lines.
func lastLines(data []byte, n int) []byte {
	for range n {
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	return data
}

var placeNumber atomic.Int64

func (s *scenario) place(t testing.TB) (place, func()) {
	n := placeNumber.Add(1)
	dir, err := os.MkdirTemp(fastDir(), "faulttest-kill-")
	if err != nil {
		t.Fatal(err)
	}
	at := place{dir: dir}
	if s.suffix == "" {
		at.dest, at.state = tablesOf(fmt.Sprintf("Kill%05d", n)), filepath.Join(dir, "state")
	} else {
		at.dest, at.sight = filepath.Join(dir, "dest"), filepath.Join(dir, "dest")
		if s.remote != "" {
			name := fmt.Sprintf("kill%05d", n)
			at.dest, at.sight = "s3://lake/"+name+"?endpoint="+s.remote, filepath.Join(s.remoteDir, "buckets", "lake", name)
		}
		at.state = filepath.Join(at.sight, "_dynaferry")
	}
	if s.prepare != nil {
		s.prepare(at)
		for _, p := range plansIn(t, at.state) {
			if p.told {
				at.told++
			}
		}
	}
	return at, func() { _ = os.RemoveAll(dir) }
}

// measure runs the command undisturbed, to learn its calls and to see that it does what the suite expects.
func (s *scenario) measure(t *testing.T) {
	t.Helper()
	at, done := s.place(t)
	defer done()
	trace := &trace{}
	if o := inside(trace, s.args(at)...); o.code != 0 {
		t.Fatalf("%s: %s", s.name, o)
	}
	if err := s.result(at); err != nil {
		t.Fatalf("%s, undisturbed: %v", s.name, err)
	}
	s.calls, s.reads = trace.list(), readsOf(trace.list())
}

// readsOf counts how often each unit of a source was read.
func readsOf(calls []string) map[string]int {
	reads := map[string]int{}
	for _, call := range calls {
		operation, name, _ := strings.Cut(call, " ")
		switch operation {
		case "scan":
			if _, segment, ok := strings.Cut(name, " "); ok {
				number, _, _ := strings.Cut(segment, "/")
				reads["segment "+number]++
			}
		case "get", "openat":
			reads["file "+name]++
		}
	}
	return reads
}

// sample draws kill points: a call and a phase.
func (s *scenario) sample(random *rand.Rand, n int) []string {
	// Half of the points are drawn from the commit, which is short and where it matters most.
	commits := len(s.calls)
	for i, call := range s.calls {
		if strings.HasSuffix(call, ".decided") && strings.HasPrefix(call, "put ") && !strings.HasPrefix(call, "put _dynaferry/versions/00000000") == (s.base > 0) {
			commits = i
		}
	}
	return append(s.draw(random, (n+1)/2, commits, len(s.calls)), s.draw(random, n-(n+1)/2, 0, commits)...)
}

// draw draws kill points among the calls from one to another.
func (s *scenario) draw(random *rand.Rand, n, from, to int) []string {
	var all []string
	for i, call := range s.calls[from:to] {
		operation, _, _ := strings.Cut(call, " ")
		at := from + i + 1
		if s.only != nil && !s.only(operation) {
			continue
		}
		all = append(all, fmt.Sprintf("%d before", at))
		switch operation {
		case "step", "head", "list", "describe", "openat":
		case "put", "publish", "batchwrite", "write", "complete", "part", "create", "createtable", "delete":
			all = append(all, fmt.Sprintf("%d after", at), fmt.Sprintf("%d mid %dµs", at, random.IntN(400)))
		default:
			all = append(all, fmt.Sprintf("%d after", at))
		}
	}
	random.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
	return all[:min(n, len(all))]
}

// point is one kill and what follows.
func (s *scenario) point(t *testing.T, i int, crash string, double bool, draw func(int) int, tally *killTally) error {
	at, done := s.place(t)
	defer done()
	tally.points.Add(1)
	o := outside(t, "cli", []string{crashVariable + "=" + crash}, s.args(at)...)
	if !o.killed && o.code != 0 {
		return fmt.Errorf("the first run: %s", o)
	}
	if o.killed {
		tally.killed.Add(1)
		if s.remote != "" {
			tally.remote.Add(1)
		}
	} else {
		tally.late.Add(1)
	}
	if err := s.glimpse(at, tally); err != nil {
		return fmt.Errorf("after the kill: %w", err)
	}
	before := plansIn(t, at.state)
	if double && !finished(at, before) {
		second := fmt.Sprintf("%d %s", 1+(i*7919+len(crash))%len(s.calls), []string{"before", "after"}[i%2])
		o := outside(t, "cli", []string{crashVariable + "=" + second}, s.args(at)...)
		if !o.killed && o.code != 0 {
			return fmt.Errorf("the second run, crash %s: %s", second, o)
		}
		if o.killed {
			tally.killed.Add(1)
			tally.doubled.Add(1)
		}
		if err := s.glimpse(at, tally); err != nil {
			return fmt.Errorf("after the second kill, %s: %w", second, err)
		}
		before = plansIn(t, at.state)
	}
	if !finished(at, before) {
		trace := &trace{}
		if o := inside(trace, s.args(at)...); o.code != 0 {
			return fmt.Errorf("the last run: %s", o)
		}
		if err := s.onceOnly(t, before, trace.list()); err != nil {
			return err
		}
	}
	return s.result(at)
}

// finished tells whether the command had told how it ended: from then on the same command is another one.
func finished(at place, plans []planState) bool {
	told := 0
	for _, p := range plans {
		if p.round == 0 && !p.told {
			return false
		}
		if p.told {
			told++
		}
	}
	return told > at.told
}

// glimpse is what a reader sees at the moment of the kill.
func (s *scenario) glimpse(at place, tally *killTally) error {
	if err := noData(at.state); err != nil {
		return err
	}
	if s.suffix == "" {
		return nil
	}
	sight, err := look(at.sight, s.suffix, "pk")
	if err != nil {
		return err
	}
	decided, _ := filepath.Glob(filepath.Join(at.state, "versions", "*.decided"))
	before := 0
	if s.base > 0 {
		before = 1
	}
	if len(decided) <= before && sight.rows != s.base {
		return fmt.Errorf("before the commit %d rows are seen, not %d: %q", sight.rows, s.base, sight.files)
	}
	if len(decided) > before && sight.rows > 0 && sight.rows < s.rows {
		tally.during.Add(1)
	}
	return nil
}

// onceOnly holds what the recovery read against what was finished.
func (s *scenario) onceOnly(t *testing.T, before []planState, calls []string) error {
	finishedReads := map[string]int{}
	for _, p := range before {
		for i, task := range p.tasks {
			if !p.done[i] || !readsSource(p) {
				continue
			}
			for _, unit := range unitsOf(t, task) {
				finishedReads[unit]++
			}
		}
	}
	again := readsOf(calls)
	for unit, n := range finishedReads {
		if left := s.reads[unit] - n; again[unit] > max(left, 0) && !(strings.HasPrefix(unit, "segment") && !s.copies) {
			return fmt.Errorf("%s was read %d times again, %d of %d reads were finished", unit, again[unit], n, s.reads[unit])
		}
	}
	return nil
}

func readsSource(p planState) bool {
	return p.stage == "" || p.stage == "index" || p.stage == "write"
}

// result holds the end against what was expected.
func (s *scenario) result(at place) error {
	spec := source.Spec{Address: at.dest}
	if s.made != nil {
		var err error
		if spec, err = s.made(at); err != nil {
			return err
		}
	}
	print, err := fingerprint(world.New(), spec)
	if err != nil {
		return fmt.Errorf("read the result: %w", err)
	}
	if print != s.want {
		return fmt.Errorf("the result is %v, not %v", print, s.want)
	}
	if err := noData(at.state); err != nil {
		return err
	}
	if s.suffix == "" {
		return nil
	}
	sight, err := look(at.sight, s.suffix, "pk")
	if err != nil {
		return err
	}
	if sight.rows != s.rows {
		return fmt.Errorf("a pattern sees %d rows, not %d: %q", sight.rows, s.rows, sight.files)
	}
	return s.leftovers(at, sight)
}

// leftovers looks for visible files that are none of the data set.
func (s *scenario) leftovers(at place, sight *seen) error {
	var extra []string
	err := filepath.WalkDir(at.sight, func(name string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() {
			if base == "_dynaferry" {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || strings.HasPrefix(base, "manifest-") || slices.Contains(sight.files, name) {
			return nil
		}
		extra = append(extra, name)
		return nil
	})
	if err == nil && len(extra) > 0 {
		err = fmt.Errorf("left over: %q", extra)
	}
	return err
}
