package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"dynaferry/internal/changelog"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// golden makes a log of one change of each kind.
func golden(t testing.TB) *writer {
	w := newLog(t, 1)
	w.record(0, `"INSERT";"Keys":{"id":{"S":"a"}},"NewImage":{"id":{"S":"a"},"_op":{"N":"1.50"},"tags":{"SS":["x","y"]}}`)
	w.record(0, `"MODIFY";"Keys":{"id":{"S":"a"}},"NewImage":{"id":{"S":"a"},"_op_":{"N":"2"}},"OldImage":{"id":{"S":"a"},"_op":{"N":"1.5"}}`)
	w.record(0, `"REMOVE";"Keys":{"id":{"S":"a"}},"OldImage":{"id":{"S":"a"},"n":{"N":"7"}}`)
	w.record(0, `"REMOVE";"Keys":{"id":{"S":"b"}}`)
	w.cut(0)
	return w
}

func deliver(t testing.TB, w *writer, s Settings, o Options) *memory {
	t.Helper()
	dst := newMemory()
	o.Once, o.Commit = true, quick
	must(t, Run(t.Context(), w.log, dst, s, o))
	return dst
}

// TestRows: every kind of row in every form, and under which name. The sequence numbers are 1 to 4.
func TestRows(t *testing.T) {
	w := golden(t)
	const when = `2026-11-25T23:59:50.000000Z`
	for _, c := range []struct {
		set  Settings
		name string
		want string
	}{
		{Settings{Form: DynamoDBJSON, Images: Changes, Compression: "none"}, "changes-000000000001-0000-000.json", strings.Join(w.lines, "\n") + "\n"},
		{Settings{Form: DynamoDBJSON, Images: New, Name: "orders"}, "orders-000000000001-0000-000.json.gz",
			`{"Item":{"id":{"S":"a"},"_op":{"N":"1.50"},"tags":{"SS":["x","y"]}}}` + "\n" + `{"Item":{"id":{"S":"a"},"_op_":{"N":"2"}}}` + "\n"},
		{Settings{Form: JSON, Images: New, Compression: "zstd", Prefix: "d=!{timestamp:dd}/"}, "d=25/changes-000000000001-0000-000.json.zst",
			`{"id":"a","_op":1.5,"tags":["x","y"]}` + "\n" + `{"id":"a","_op_":2}` + "\n"},
		{Settings{Form: JSON, Images: Changes, Extension: ".log"}, "changes-000000000001-0000-000.log",
			`{"_op":"INSERT","_time":"` + when + `","_position":"1","id":"a","_op_":1.5,"tags":["x","y"]}` + "\n" +
				`{"_op":"MODIFY","_time":"` + when + `","_position":"2","id":"a","_op__":2}` + "\n" +
				`{"_op":"REMOVE","_time":"` + when + `","_position":"3","id":"a","n":7}` + "\n" +
				`{"_op":"REMOVE","_time":"` + when + `","_position":"4","id":"b"}` + "\n"},
		{Settings{Form: JSON, Images: Both}, "changes-000000000001-0000-000.json.gz",
			`{"op":"INSERT","time":"` + when + `","position":"1","keys":{"id":"a"},"new":{"id":"a","_op":1.5,"tags":["x","y"]}}` + "\n" +
				`{"op":"MODIFY","time":"` + when + `","position":"2","keys":{"id":"a"},"new":{"id":"a","_op_":2},"old":{"id":"a","_op":1.5}}` + "\n" +
				`{"op":"REMOVE","time":"` + when + `","position":"3","keys":{"id":"a"},"old":{"id":"a","n":7}}` + "\n" +
				`{"op":"REMOVE","time":"` + when + `","position":"4","keys":{"id":"b"}}` + "\n"},
		{Settings{Form: CSV, Images: Changes, Keys: []string{"id"}}, "changes-000000000001-0000-000.csv.gz",
			"_op,_time,_position,id,_op_,_op__,n,tags\n" +
				`INSERT,` + when + `,1,a,1.5,,,"{""SS"":[""x"",""y""]}"` + "\n" + `MODIFY,` + when + `,2,a,,2,,` + "\n" + `REMOVE,` + when + `,3,a,,,7,` + "\n" + `REMOVE,` + when + `,4,b,,,,` + "\n"},
	} {
		files := objects(t, deliver(t, w, c.set, Options{}), false)
		if names := slices.Collect(maps.Keys(files)); len(names) != 1 || names[0] != c.name {
			t.Errorf("%+v: files %q, want %q", c.set, names, c.name)
			continue
		}
		if got := unpacked(t, files[c.name]); got != c.want {
			t.Errorf("%s %s:\n%s\nwant\n%s", c.set.Form, c.set.Images, got, c.want)
		}
	}
}

// TestExportLines: with both images DynamoDB JSON is what our reader of incremental exports takes.
func TestExportLines(t *testing.T) {
	files := objects(t, deliver(t, golden(t), Settings{Images: Both, Compression: "none"}, Options{}), false)
	for _, text := range files {
		var b item.Changes
		must(t, ddbjson.NewChangeReader(strings.NewReader(text), ddbjson.ReaderOptions{}).ReadChanges(&b))
		if len(b.List) != 4 || b.List[0].Micros != testStart*1e6 {
			t.Fatalf("%d changes of %s", len(b.List), text)
		}
		if _, has := b.Old(1); !has {
			t.Errorf("the second change has no old image")
		}
	}
}

// TestColumnsEvolve: over epochs Parquet gets new columns at the end, keeps places and types, and what does not fit stays exact
// and is counted; every file is read back as what its records were.
func TestColumnsEvolve(t *testing.T) {
	w := newLog(t, 1)
	dst := newMemory()
	var p Progress
	next := func(images ...string) {
		for _, image := range images {
			w.record(0, `"INSERT";"Keys":{"id":{"S":"a"}},"NewImage":%s`, image)
		}
		w.cut(0)
		must(t, Run(t.Context(), w.log, dst, Settings{Form: Parquet, Images: New}, Options{Once: true, Progress: &p}))
	}
	var want []string
	for _, images := range [][]string{
		{`{"id":{"S":"a"},"n":{"N":"1"}}`},
		{`{"id":{"S":"b"},"n":{"N":"2.5"},"a":{"S":"new"}}`, `{"id":{"S":"c"},"m":{"M":{"x":{"N":"1"}}}}`},
		{`{"id":{"S":"d"},"n":{"S":"text"},"m":{"M":{"y":{"BOOL":true}}},"a":{"NULL":true}}`},
		{`{"id":{"S":"e"}}`},
	} {
		next(images...)
		want = append(want, images...)
	}
	var got, columns []string
	files := objects(t, dst, false)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		got = append(got, readParquet(t, name, files[name])...)
		columns = append(columns, columnNames(t, files[name]))
	}
	for i := range want {
		it, err := ddbjson.ParseItem([]byte(want[i]))
		must(t, err)
		want[i] = string(item.AppendCanonical(nil, it))
	}
	if !slices.Equal(got, want) {
		t.Errorf("read back is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if want := "[id:text n:long] [id:text n:long a:text m:struct] [id:text n:long a:text m:struct] [id:text n:long a:text m:struct]"; strings.Join(columns, " ") != want {
		t.Errorf("columns are %s, want %s", columns, want)
	}
	if p.Misfits.Load() != 3 { // 2.5, text, NULL
		t.Errorf("%d misfits", p.Misfits.Load())
	}
	schemas := 0
	for name := range objects(t, dst, true) {
		if strings.Contains(name, "/schemas/") {
			schemas++
		}
	}
	if schemas != 3 {
		t.Errorf("%d schemas; the last epoch brings none", schemas)
	}
}

// TestCellsEvolve: so does CSV.
func TestCellsEvolve(t *testing.T) {
	w, dst := newLog(t, 1), newMemory()
	for _, image := range []string{`{"id":{"S":"a"},"n":{"N":"1"}}`, `{"id":{"S":"b"},"n":{"S":"x"},"a":{"S":"y"}}`, `{"id":{"S":"c"}}`} {
		w.record(0, `"INSERT";"Keys":{"id":{"S":"a"}},"NewImage":%s`, image)
		w.cut(0)
		must(t, Run(t.Context(), w.log, dst, Settings{Form: CSV, Images: New, Compression: "none"}, Options{Once: true}))
	}
	files := objects(t, dst, false)
	var got []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		got = append(got, files[name])
	}
	if want := []string{"id,n\na,1\n", "id,n,a\nb,\"{\"\"S\"\":\"\"x\"\"}\",y\n", "id,n,a\nc,,\n"}; !slices.Equal(got, want) {
		t.Errorf("files are %q, want %q", got, want)
	}
}

// TestGaps: a gap stops the delivery behind all that comes before it, names the cure, and is passed over when that is asked for, or when
// a later entry heals it: then its final states are rows.
func TestGaps(t *testing.T) {
	w := newLog(t, 1)
	w.orders(0, 3)
	w.cut(0)
	d, err := w.builds[0].Gap(changelog.GapNote{Reason: "trimmed", From: testStart * 1e6, To: (testStart + 9) * 1e6}, nil)
	must(t, err)
	gap := w.append(0, d)
	w.orders(0, 2)
	w.cut(0)
	dst := newMemory()
	err = Run(t.Context(), w.log, dst, Settings{}, Options{Once: true})
	told, ok := err.(*GapError)
	if !ok || told.Entry != gap.N || told.Reason != "trimmed" || !strings.Contains(fault.HintOf(err), "--heal") {
		t.Fatalf("a gap is %v (%s)", err, fault.HintOf(err))
	}
	if n := len(allLines(t, dst)); n != 3 {
		t.Errorf("%d lines before the gap", n)
	}
	if err := Run(t.Context(), w.log, dst, Settings{}, Options{Once: true}); err == nil || err.Error() != told.Error() {
		t.Errorf("again: %v", err)
	}
	passed := deliver(t, w, Settings{}, Options{AcceptGaps: true})
	if n := len(allLines(t, passed)); n != 5 {
		t.Errorf("%d lines with --accept-gaps", n)
	}
	e, err := newLedger(passed, "", "changes").epoch(t.Context(), 1)
	must(t, err)
	if want := []GapSeen{{Entry: gap.N, GapNote: *gap.Gap}}; fmt.Sprint(e.Gaps) != fmt.Sprint(want) {
		t.Errorf("the epoch tells %+v", e.Gaps)
	}
	// Healed:
	healing := &changelog.CompactedNote{Gap: gap.N, From: testStart * 1e6, To: (testStart + 60) * 1e6, Source: "export"}
	for _, line := range []string{`{"Metadata":{"WriteTimestampMicros":{"N":"1795651195000001"}},"Keys":{"orderId":{"S":"x"}},"NewImage":{"orderId":{"S":"x"}}}`,
		`{"Keys":{"orderId":{"S":"y"}}}`} {
		must(t, w.builds[0].AddLoose(changelog.Record{Raw: []byte(line), Micros: (testStart + 5) * 1e6}))
	}
	draft := w.builds[0].Cut()
	draft.Kind, draft.Compacted = changelog.Compacted, healing
	w.append(0, draft)
	must(t, Run(t.Context(), w.log, dst, Settings{}, Options{Once: true}))
	if n := len(allLines(t, dst)); n != 7 {
		t.Errorf("%d lines when healed", n)
	}
	var states []string
	for _, line := range allLines(t, deliver(t, w, Settings{Form: JSON}, Options{})) {
		if !strings.Contains(line, "_position") {
			states = append(states, line)
		}
	}
	if want := []string{`{"_op":"REMOVE","_time":"2026-11-25T23:59:55.000000Z","orderId":"y"}`, `{"_op":"STATE","_time":"2026-11-25T23:59:55.000001Z","orderId":"x"}`}; !slices.Equal(states, want) {
		t.Errorf("final states are %q", states)
	}
}

// flaky is a transform that is not pure: what it makes depends on how often it ran.
type flaky struct {
	pure  bool
	calls int
}

func (f *flaky) Pure() bool { return f.pure }

func (f *flaky) Apply(_ context.Context, changes []Change) error {
	f.calls++
	for i := range changes {
		c := &changes[i]
		switch i % 4 {
		case 1:
			c.Fate = Dropped
		case 2:
			c.Fate, c.Reason = Refused, "too odd"
		case 3:
			run := 0
			if !f.pure {
				run = f.calls
			}
			it, err := ddbjson.ParseItem(fmt.Appendf(nil, `{"id":{"S":"z"},"run":{"N":"%d"}}`, run))
			if err != nil {
				return err
			}
			c.New, c.Changed = it, true
		}
	}
	return nil
}

// TestRefused: what a step refuses, what is no record and what is no change are put aside with reason and place, in our layout or in
// Firehose's, and are counted.
func TestRefused(t *testing.T) {
	w := newLog(t, 1)
	w.orders(0, 8)
	w.seq++
	w.raw(0, `{"eventName":"INSERT","dynamodb":{"Keys":{"id":{"N":"bad"}},"SequenceNumber":"9"}}`, testStart*1e6)
	w.seq++
	w.raw(0, `{"dynamodb":{"SequenceNumber":"10"}}`, testStart*1e6)
	w.cut(0)
	var p Progress
	steps := Options{Progress: &p, Transform: func([]string) (Transform, error) { return &flaky{pure: true}, nil }}
	set := Settings{Form: JSON, Images: Both, Compression: "none", Steps: []string{"odd"}}
	ours := deliver(t, w, set, steps)
	if p.Records.Load() != 10 || p.Dropped.Load() != 2 || p.Refused.Load() != 4 {
		t.Errorf("%d records, %d dropped, %d refused", p.Records.Load(), p.Dropped.Load(), p.Refused.Load())
	}
	if n := len(allLines(t, ours)); n != 4 {
		t.Errorf("%d rows", n)
	}
	dead := objects(t, ours, true)["_dynaferry/dead-letters/changes-000000000001-0000.dead"]
	var reasons []string
	for line := range strings.Lines(dead) {
		var l letter
		must(t, json.Unmarshal([]byte(line), &l))
		if l.Raw == "" || l.Shard != "shard-0" || !strings.HasPrefix(l.File, "arn:stream/1#1 ") {
			t.Errorf("a letter is %s", line)
		}
		reasons = append(reasons, l.Position+" "+l.ErrorMessages[0])
	}
	if got := strings.Join(reasons, "; "); !strings.Contains(got, "3 too odd; 7 too odd") || !strings.Contains(got, "10 no change of DynamoDB's") || !strings.Contains(got, "bad") {
		t.Errorf("reasons are %s", got)
	}
	set.ErrorPrefix = "failed/!{firehose:error-output-type}/!{timestamp:yyyy}/"
	theirs := objects(t, deliver(t, w, set, Options{Transform: steps.Transform}), false)["failed/processing-failed/2026/changes-000000000001-0000-errors.json"]
	if n := strings.Count(theirs, "\n"); n != 4 {
		t.Fatalf("%d error records", n)
	}
	var r errorRecord
	must(t, json.Unmarshal([]byte(theirs[strings.Index(theirs, `{"attemptsMade":1,"arrivalTimestamp":1795651190000,"errorCode":"Step.Refused","errorMessage":"too odd","attemptEndingTimestamp":`):strings.Index(theirs, "\n")]), &r))
}

// TestImpure: what steps made that are not pure is used by whoever finishes the epoch, though they would make something else now.
func TestImpure(t *testing.T) {
	w := logOf(t, 4)
	shared := &flaky{}
	steps := func([]string) (Transform, error) { return shared, nil }
	set := Settings{Form: JSON, Images: Both, Compression: "none", Steps: []string{"odd"}}
	dst := deliver(t, w, set, Options{Transform: steps})
	want, calls := objects(t, dst, false), shared.calls
	for name := range want {
		must(t, dst.Delete(t.Context(), name))
	}
	for name := range objects(t, dst, true) {
		if strings.HasSuffix(name, ".done") {
			must(t, dst.Delete(t.Context(), name))
		}
	}
	must(t, Run(t.Context(), w.log, dst, set, Options{Once: true, Transform: steps}))
	same(t, "again", objects(t, dst, false), want)
	if shared.calls != calls || calls == 0 {
		t.Errorf("the steps ran %d times, and %d times more", calls, shared.calls-calls)
	}
}

// TestOthers: what is of another log, form or stranger is refused, not mixed.
func TestOthers(t *testing.T) {
	w := logOf(t, 1)
	dst := deliver(t, w, Settings{}, Options{})
	for what, run := range map[string]func() error{
		"not the one of":          func() error { return Run(t.Context(), logOf(t, 1).log, dst, Settings{}, Options{Once: true}) },
		"not json with images":    func() error { return Run(t.Context(), w.log, dst, Settings{Form: JSON}, Options{Once: true}) },
		"is not of this delivery": func() error { return stranger(t, w) },
	} {
		if err := run(); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), what) || fault.HintOf(err) == "" {
			t.Errorf("%v (%s), want %q", err, fault.HintOf(err), what)
		}
	}
	must(t, Run(t.Context(), w.log, dst, Settings{Form: JSON, Name: "json"}, Options{Once: true}))
}

// stranger delivers where a file of somebody else has the name.
func stranger(t *testing.T, w *writer) error {
	dst := newMemory()
	dst.objects["changes-000000000001-0000-000.json.gz"] = object{data: []byte("mine")}
	return Run(t.Context(), w.log, dst, Settings{}, Options{Once: true, Commit: quick})
}
