package faulttest

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dynaferry/internal/item"
	"dynaferry/internal/job"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// wire is the matrix's common ground: what every cell reads, and what must come out.
type wire struct {
	tables, objects, objectsDir string
	dir                         string
	small, bulk                 item.Fingerprint
	stream                      *stream
	number                      atomic.Int64
}

// cell is one fault in one command.
type cell struct {
	command string // export, import, absent, verify, bulk, follow
	fault   wireFault
	// stops tells that the command may end without having done its work, so that running it again does it.
	stops bool
	// refused tells that it must end so, with this text.
	refused string
}

func (c cell) String() string { return c.command + " " + c.fault.String() }

const wireRows = 150

// TestWire puts each fault of the wire into each operation of small commands and wants the exact result.
func TestWire(t *testing.T) {
	newWire(t).fill(t).all(t, wireCells(), 4)
}

// TestWireFollow does so with followers, which wait more than they work. How many calls one makes depends on when it looks, so a
// late call may not be made.
func TestWireFollow(t *testing.T) {
	w := newWire(t)
	w.stream = manyShards(t, w.tables, "Followed")
	w.all(t, followCells(), 6)
}

func (w *wire) all(t *testing.T, cells []cell, atOnceMost int) {
	if testing.Short() {
		var few []cell
		for i := 0; i < len(cells); i += 9 {
			few = append(few, cells[i])
		}
		cells = few
	}
	var struck, again, refused, missed atomic.Int64
	started := time.Now()
	work := make([]func() error, 0, len(cells))
	for _, c := range cells {
		work = append(work, func() error {
			begun := time.Now()
			n, twice, err := w.run(t, c)
			if took := time.Since(begun); took > 20*time.Second {
				t.Logf("%s took %v", c, took.Round(time.Second))
			}
			struck.Add(n)
			if n == 0 {
				t.Logf("%s struck nothing", c)
				missed.Add(1)
			}
			if twice {
				again.Add(1)
			}
			if c.refused != "" {
				refused.Add(1)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", c, err)
			}
			return nil
		})
	}
	atOnce(t, atOnceMost, work)
	if n := missed.Load(); n > int64(len(cells)/8) {
		t.Errorf("%d of %d faults struck nothing", n, len(cells))
	}
	t.Logf("wire: %d cells (%d struck nothing), %d requests struck, %d cells ran a second time, %d refused; %v", len(cells), missed.Load(), struck.Load(), again.Load(),
		refused.Load(), time.Since(started).Round(time.Second))
}

func newWire(t *testing.T) *wire {
	w := &wire{tables: tables(t), dir: scratch(t)}
	w.objects, w.objectsDir = objects(t)
	return w
}

// fill makes what the cells read that do not follow.
func (w *wire) fill(t *testing.T) *wire {
	t.Helper()
	write(t, filepath.Join(w.dir, "small", "a.json"), lines(wireRows/2, whole))
	write(t, filepath.Join(w.dir, "small", "b.json"), lines(wireRows/2, fraction))
	must(t, "import", filepath.Join(w.dir, "small"), w.table(w.tables, "Small"), "--create", "--key", "pk", "--from-format", "dynamodb-json", "--write-units", "unlimited")
	must(t, "convert", filepath.Join(w.dir, "small"), "s3://lake/small?endpoint="+w.objects, "--from-format", "dynamodb-json", "--format", "dynamodb-json", "--key", "pk", "--task-size", "1B")
	must(t, "convert", filepath.Join(w.dir, "small"), "s3://lake/parquet?endpoint="+w.objects, "--from-format", "dynamodb-json", "--key", "pk", "--task-size", "1B")
	write(t, filepath.Join(w.dir, "bulk", "a.json"), lines(24, large))
	in := world.New()
	w.small = printOf(t, in, source.Spec{Address: w.table(w.tables, "Small")})
	w.bulk = printOf(t, in, source.Spec{Address: filepath.Join(w.dir, "bulk"), Form: source.DynamoDBJSON})
	return w
}

func (w *wire) table(endpoint, name string) string {
	return "dynamodb://" + name + "?endpoint=" + endpoint
}

// matrix is what cells are added to.
type matrix []cell

func (m *matrix) add(command, operation, faults string, firsts ...int) {
	for name := range strings.SplitSeq(faults, ",") {
		for _, first := range firsts {
			c := cell{command: command, fault: wireFault{operation, strings.TrimSpace(name), first, 1}}
			c.stops = slices.Contains([]string{"expired", "403"}, c.fault.fault)
			*m = append(*m, c)
		}
	}
}

func (m *matrix) burst(command, operation, name string, first, times int) {
	*m = append(*m, cell{command: command, fault: wireFault{operation, name, first, times}})
}

// followCells are of what streams and followers' buckets answer: rows 6 to 11, 14 to 20.
func followCells() (cells matrix) {
	add := func(operation, faults string, firsts ...int) { cells.add("follow", operation, faults, firsts...) }
	burst := func(operation, name string, first, times int) { cells.burst("follow", operation, name, first, times) }
	add("GetRecords", "throttle, limit, throttling, 500, 503, reset, lost, late, cut, cut last, flip, expired iterator, expired", 1, 4)
	burst("GetRecords", "limit", 1, 8)
	burst("GetRecords", "500", 2, 5)
	burst("GetRecords", "expired iterator", 2, 3)
	add("GetShardIterator", "limit, 500, reset, lost, late, cut, flip, expired", 1, 3)
	add("DescribeStream", "limit, 500, reset, lost, late, cut, flip", 1, 3)
	add("DescribeStream", "stale shards", 2, 3, 4)
	add("DescribeTable", "500, lost, cut", 1)
	add("PutObjectIfAbsent", "500, 503, reset, lost, late, 409, 412", 1, 2, 3, 4, 5, 6)
	burst("PutObjectIfAbsent", "lost", 1, 5)
	burst("PutObjectIfAbsent", "late", 2, 5)
	burst("PutObjectIfAbsent", "503", 2, 5)
	add("GetObject", "500, 503, reset, lost, cut, cut last, flip, expired", 1, 2)
	add("HeadObject", "500, reset, 403", 1, 2)
	return cells
}

func wireCells() []cell {
	var cells matrix
	add, burst := cells.add, cells.burst
	// DynamoDB: rows 1 to 5.
	for _, command := range []string{"export", "verify"} {
		add(command, "Scan", "throttle, throttling, 500, reset, lost, late, cut, cut last, flip, expired", 1, 3)
		add(command, "DescribeTable", "500, reset, lost, cut, flip, throttling", 1)
	}
	burst("export", "Scan", "throttle", 1, 6)
	burst("export", "Scan", "500", 2, 4)
	add("import", "BatchWriteItem", "throttle, throttling, 500, reset, lost, late, cut, flip, unprocessed, expired", 1, 4)
	burst("import", "BatchWriteItem", "throttle", 1, 8)
	burst("import", "BatchWriteItem", "unprocessed", 1, 5)
	burst("import", "BatchWriteItem", "late", 1, 3)
	add("absent", "PutItem", "throttle, 500, reset, lost, late, cut, flip, expired", 1, 70)
	burst("absent", "PutItem", "lost", 5, 5)
	add("import", "DescribeTable", "500, lost, cut", 1)
	// S3: rows 14 to 20 and 25.
	for _, operation := range []string{"PutObject", "PutObjectIfAbsent", "GetObject", "HeadObject", "ListObjectsV2", "DeleteObjects"} {
		add("export", operation, "500, 503, reset, lost, late, cut, expired", 1)
		add("export", operation, "500, lost, late", 4)
	}
	add("export", "PutObjectIfAbsent", "500, 503, reset, lost, late, 409, 412", 2, 3, 5, 6, 7, 8)
	burst("export", "PutObjectIfAbsent", "lost", 1, 4)
	burst("export", "PutObject", "503", 1, 4)
	add("export", "ListObjectsV2", "stale, twice, pages", 1, 3, 5)
	add("export", "HeadObject", "403", 2)
	add("import", "ListObjectsV2", "twice, pages", 1, 2)
	add("import", "GetObject", "500, 503, reset, cut, cut last, flip, lost, expired", 1, 2, 4, 5)
	add("parquet", "GetObject", "500, reset, cut, cut last, flip", 2, 3, 4, 5, 6)
	for _, operation := range []string{"CreateMultipartUpload", "UploadPartCopy", "UploadPart", "CompleteMultipartUpload"} {
		add("bulk", operation, "500, 503, reset, lost, late, cut", 1)
	}
	add("bulk", "CompleteMultipartUpload", "409, 404 upload, 200 error", 1)
	for _, operation := range []string{"PutObjectIfAbsent", "CompleteMultipartUpload"} {
		c := cell{command: "export", refused: "ignores If-None-Match", fault: wireFault{operation, "ignored condition", 1, 1000}}
		cells = append(cells, c)
	}
	return cells
}

// run does one cell. The fault is between the program and the service whose operation it names.
func (w *wire) run(t *testing.T, c cell) (struck int64, twice bool, err error) {
	n := w.number.Add(1)
	tablesAt, objectsAt := w.tables, w.objects
	tablesProxied := slices.Contains([]string{"Scan", "DescribeTable", "BatchWriteItem", "PutItem", "GetRecords", "GetShardIterator", "DescribeStream"}, c.fault.operation)
	upstream := objectsAt
	if tablesProxied {
		upstream = tablesAt
	}
	p := newProxy(t, upstream, c.fault)
	defer p.end()
	if tablesProxied {
		tablesAt = p.URL
	} else {
		objectsAt = p.URL
	}
	name := fmt.Sprintf("cell%05d", n)
	args, result := w.command(c, name, tablesAt, objectsAt)
	o := inside(nil, args...)
	p.late.Wait()
	if c.refused != "" {
		return p.struck.Load(), false, w.mustRefuse(c, o, name)
	}
	if o.code != 0 && (c.stops || o.code == 75) {
		twice = true
		if o = inside(nil, args...); o.code != 0 && o.code != 5 {
			return p.struck.Load(), true, fmt.Errorf("again: %s", o)
		}
	} else if o.code != 0 {
		return p.struck.Load(), false, fmt.Errorf("%s", o)
	}
	// How many calls a follower makes depends on when it looks.
	if p.struck.Load() == 0 && c.fault.operation != "DeleteObjects" && c.command != "follow" {
		return 0, twice, fmt.Errorf("the fault struck nothing")
	}
	return p.struck.Load(), twice, result(o)
}

func (w *wire) mustRefuse(c cell, o *outcome, name string) error {
	if o.code == 0 || !strings.Contains(o.stderr, c.refused) {
		return fmt.Errorf("it must be refused (%s): %s", c.refused, o)
	}
	return w.rows(name, 0)
}

// rows looks at what lies open in the bucket.
func (w *wire) rows(name string, want int) error {
	sight, err := look(filepath.Join(w.objectsDir, "buckets", "lake", name), ".parquet", "pk")
	if err == nil && sight.rows != want {
		err = fmt.Errorf("a pattern sees %d rows, not %d: %q", sight.rows, want, sight.files)
	}
	return err
}

// command is the cell's command line and what must be true after it. Results are read past the proxy.
func (w *wire) command(c cell, name, tablesAt, objectsAt string) (args []string, result func(o *outcome) error) {
	at := "s3://lake/" + name + "?endpoint="
	same := func(spec source.Spec, want item.Fingerprint) error {
		print, err := fingerprint(world.New(), spec)
		if err == nil && print != want {
			err = fmt.Errorf("the result is %v, not %v", print, want)
		}
		return err
	}
	state := filepath.Join(w.dir, name)
	switch c.command {
	case "export":
		return []string{"export", w.table(tablesAt, "Small"), at + objectsAt, "--segments", "3", "--read-units", "unlimited", "--workers", "1"}, func(o *outcome) error {
			if err := same(source.Spec{Address: at + w.objects}, w.small); err != nil {
				return err
			}
			return w.rows(name, wireRows)
		}
	case "bulk":
		return []string{"convert", filepath.Join(w.dir, "bulk"), at + objectsAt, "--compression", "none", "--from-format", "dynamodb-json"}, func(o *outcome) error {
			if err := same(source.Spec{Address: at + w.objects}, w.bulk); err != nil {
				return err
			}
			return w.rows(name, 24)
		}
	case "follow":
		f, from := &follower{suffix: ".jsonl", remote: true, flags: []string{"--compression", "none", "--extension", ".jsonl",
			"--prefix", "kind=!{partitionKeyFromQuery:kind}/", "--partition-key", "kind=kind"}}, *w.stream
		from.address = w.table(tablesAt, from.table)
		at := site{at + objectsAt, "s3://lake/" + name + "/_dynaferry/log?endpoint=" + w.objects, filepath.Join(w.objectsDir, "buckets", "lake", name)}
		return f.args(&from, at.dest), func(*outcome) error {
			if err := f.glimpse(at, from.writes); err != nil || f.result(at, from.writes) == nil {
				return err
			}
			return f.finish(&from, at) // it took a stream that is read slowly for one that rests
		}
	case "import", "absent", "parquet":
		from := map[string]string{"import": "small", "absent": "small", "parquet": "parquet"}[c.command]
		args := []string{"import", "s3://lake/" + from + "?endpoint=" + objectsAt, w.table(tablesAt, name), "--create", "--write-units", "unlimited", "--state", state, "--key", "pk",
			"--workers", "1"}
		if c.command == "absent" {
			args = append(args, "--mode", "if-absent")
		}
		return args, func(o *outcome) error {
			if err := same(source.Spec{Address: w.table(w.tables, name)}, w.small); err != nil {
				return err
			}
			if o.code == 0 && (o.number("written")+o.number("equal") != wireRows || o.number("skipped") != 0 || o.number("read") != wireRows) {
				return fmt.Errorf("counts: %s", o.out)
			}
			return nil
		}
	case "verify":
		return []string{"verify", w.table(tablesAt, "Small"), "s3://lake/small?endpoint=" + objectsAt, "--state", state, "--read-units", "unlimited"}, func(o *outcome) error {
			if equal, _ := o.report["equal"].(bool); !equal {
				return fmt.Errorf("said to differ: %s", o.out)
			}
			return nil
		}
	}
	panic("no command " + c.command)
}

// TestPoison has a table that never takes one key: everything else must be written, and the one be a dead letter.
func TestPoison(t *testing.T) {
	endpoint, dir := tables(t), scratch(t)
	p := newProxy(t, endpoint, wireFault{"BatchWriteItem", "poison", 1, 1 << 30})
	p.poison = `"p-00042"`
	defer p.end()
	from := write(t, filepath.Join(dir, "a.json"), lines(100, whole))
	env := &job.Env{World: world.New(), Version: "test", Workers: 1, State: filepath.Join(dir, "state"), MemberRetryFor: 300 * time.Millisecond}
	must(t, "import", write(t, filepath.Join(dir, "none", "a.json"), lines(1, shifted(42))), "dynamodb://Poison?endpoint="+endpoint, "--create", "--key", "pk", "--from-format", "dynamodb-json", "--state", filepath.Join(dir, "none"))
	r, err := job.NewImport(context.Background(), env, source.Spec{Address: from, Form: source.DynamoDBJSON}, job.ImportWish{Import: job.Import{Table: "dynamodb://Poison?endpoint=" + p.URL, Mode: job.ModePut, Overwrite: true, Tuning: job.Tuning{WriteUnits: "unlimited"}}})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	end, _, err := job.Execute(context.Background(), env, r)
	if err != nil {
		t.Fatal(err)
	}
	var report job.ImportReport
	if err := json.Unmarshal(end.Report, &report); err != nil {
		t.Fatal(err)
	}
	if report.DeadLetters != 1 || report.Written != 99 || len(report.DeadLetterFiles) != 1 {
		t.Errorf("report %s", end.Report)
	}
	if len(report.DeadLetterFiles) == 1 {
		if letters := read(t, report.DeadLetterFiles[0]); strings.Count(string(letters), "\n") != 1 || !strings.Contains(string(letters), "p-00042") {
			t.Errorf("dead letters %s", letters)
		}
	}
	want := printOf(t, world.New(), source.Spec{Address: from, Form: source.DynamoDBJSON})
	if got := printOf(t, world.New(), source.Spec{Address: "dynamodb://Poison?endpoint=" + endpoint}); got != want {
		t.Errorf("the table has %v, not %v", got, want)
	}
	t.Logf("poison: 99 written, 1 dead letter, %v", time.Since(begun).Round(time.Millisecond))
}
