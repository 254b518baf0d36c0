package changelog

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"

	"dynaferry/internal/blob"
	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// TestLog: what is added comes back line by line, with where each shard stands; a chain opened anew goes on there.
func TestLog(t *testing.T) {
	m := newMemory()
	l := makeLog(t, m, 1)
	c := openChain(t, l, "w1")
	b := newTestBuilder(t, c.State(), BuilderOptions{})
	must(t, b.Begin(Shard{ID: "a"}))
	add(t, b, "a", record(9, 100, "x"), record(10, 90, "y"))
	appendDraft(t, c, b.Cut())
	must(t, b.Close("a", "b", "c"))
	must(t, b.Begin(Shard{ID: "b", Parents: []string{"a"}}))
	add(t, b, "b", record(11, 50, "x"))
	appendDraft(t, c, b.Cut())

	c = openChain(t, l, "w2")
	if n := c.State().N; n != 2 {
		t.Fatalf("the chain ends at %d", n)
	}
	if a := c.State().Shard("a"); a == nil || !a.Closed || a.End.String() != "10" || a.Time != 100 || a.Total != 2 {
		t.Errorf("shard a stands at %+v", a)
	}
	if s := c.State().Shard("b"); s.Time != 100 {
		t.Errorf("time goes back along the lineage: %+v", s)
	}
	b = newTestBuilder(t, c.State(), BuilderOptions{})
	must(t, b.Begin(Shard{ID: "c", Parents: []string{"a"}}))
	must(t, b.Tip("c", 777))
	appendDraft(t, c, b.Cut())
	if a := c.State().Shard("a"); a != nil {
		t.Errorf("shard a is finished and still there: %+v", a)
	}
	lines, entries, err := readAll(t.Context(), l, Range{})
	must(t, err)
	if len(entries) != 3 || len(lines["a"]) != 2 || lines["a"][1] != string(record(10, 0, "y").Raw) || len(lines["b"]) != 1 {
		t.Errorf("%d entries, %v", len(entries), lines)
	}
	listed := []feed.Shard{{ID: "a"}, {ID: "b", Parents: []string{"a"}}, {ID: "c", Parents: []string{"a"}}, {ID: "d", Parents: []string{"c"}}}
	if unseen := c.State().Unseen(listed); len(unseen) != 1 || unseen[0].ID != "d" {
		t.Errorf("unseen: %v", unseen)
	}
}

// TestListingOlderThanTheLog: a finished shard whose way to a known one is missing in a listing does not begin again.
func TestListingOlderThanTheLog(t *testing.T) {
	a, second, third := feed.Shard{ID: "a"}, feed.Shard{ID: "b", Parents: []string{"a"}}, feed.Shard{ID: "c", Parents: []string{"b"}}
	d, e := feed.Shard{ID: "d", Parents: []string{"c"}}, feed.Shard{ID: "e"}
	for _, c := range []struct {
		listed []feed.Shard
		closed bool // shard c
		unseen string
	}{
		{listed: []feed.Shard{a}},
		{listed: []feed.Shard{a, second}},
		{listed: []feed.Shard{a, second, third}},
		{listed: []feed.Shard{e, third}, unseen: "[e]"},
		{listed: []feed.Shard{a, e}},
		{listed: []feed.Shard{a}, closed: true},
		{listed: []feed.Shard{d}, closed: true, unseen: "[d]"}, // c is no longer kept
		{listed: []feed.Shard{d}},
	} {
		state := newState(0)
		state.shards["c"] = &Shard{ID: "c", Parents: []string{"b"}, Closed: c.closed}
		var ids []string
		for _, shard := range state.Unseen(c.listed) {
			ids = append(ids, shard.ID)
		}
		if got := fmt.Sprint(ids); got != cmp.Or(c.unseen, "[]") {
			t.Errorf("of %v, c closed %v, unseen are %s, want %s", c.listed, c.closed, got, c.unseen)
		}
	}
}

// TestPlainZstd: any decoder of zstd prints an entry's records, since all else stands in a frame that it passes over.
func TestPlainZstd(t *testing.T) {
	m := newMemory()
	l := makeLog(t, m, 1)
	c := openChain(t, l, "w1")
	b := newTestBuilder(t, c.State(), BuilderOptions{BlockBytes: 200})
	must(t, b.Begin(Shard{ID: "a"}))
	var want []byte
	for i := 1; i < 20; i++ {
		r := record(i, 1, "k")
		add(t, b, "a", r)
		want = append(append(want, r.Raw...), '\n')
	}
	e := appendDraft(t, c, b.Cut())
	if len(e.Blocks) < 5 {
		t.Errorf("only %d blocks", len(e.Blocks))
	}
	data := m.objects[entryName("", 0, 1)]
	plain, err := zstd.NewReader(nil)
	must(t, err)
	defer plain.Close()
	got, err := plain.DecodeAll(data, nil)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("a plain decoder prints %q, %v", got, err)
	}
	path, err := exec.LookPath("zstd")
	if err != nil {
		t.Skip("SKIPPED, NOT PASSED: this machine has no zstd program to print an entry with; the library's decoder has read the same bytes")
	}
	cmd := exec.Command(path, "-dc")
	cmd.Stdin = bytes.NewReader(data)
	if got, err := cmd.Output(); err != nil || !bytes.Equal(got, want) {
		t.Errorf("zstd -dc prints %q, %v", got, err)
	}
}

// TestLostAnswers: an append whose answers get lost is in the log once, and the chain goes on.
func TestLostAnswers(t *testing.T) {
	for _, plan := range []string{
		"put(chain*)#1: lost",
		"put(chain*)#2: lost; get(chain*)#1: 503",
		"put(chain*)#1: 503; put(chain*)#2: lost",
		"put(chain*)#1: late 70ms",
		"put(chain*)#1: 500; put(chain*)#2: late 1s; get(chain*)#1-2: 503",
	} {
		t.Run(plan, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				makeLog(t, m, 1)
				l, f := faultedLog(t, m, plan)
				c := openChain(t, l, "w1")
				b := newTestBuilder(t, c.State(), BuilderOptions{})
				must(t, b.Begin(Shard{ID: "a"}))
				for i := 1; i <= 3; i++ {
					add(t, b, "a", record(i, 1, "k"))
					appendDraft(t, c, b.Cut())
				}
				f.Wait()
				lines, entries, err := readAll(t.Context(), l, Range{})
				if err != nil || len(entries) != 3 || len(lines["a"]) != 3 {
					t.Errorf("%d entries, %v, %v", len(entries), lines, err)
				}
			})
		})
	}
}

// TestUnknown: an append whose outcome cannot be learnt leaves a dead chain, which appends nothing more.
func TestUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		makeLog(t, m, 1)
		l, calls := faultedLog(t, m, "put(chain*)#1: lost; put(chain*)#2+: 503; get(chain*)#1+: 503")
		c := openChain(t, l, "w1")
		b := newTestBuilder(t, c.State(), BuilderOptions{})
		must(t, b.Begin(Shard{ID: "a"}))
		add(t, b, "a", record(1, 1, "k"))
		if _, err := c.Append(t.Context(), b.Cut()); fault.KindOf(err) != fault.Unknown || fault.HintOf(err) == "" {
			t.Errorf("%v of kind %v", err, fault.KindOf(err))
		}
		before := calls.Calls()
		if _, err := c.Append(t.Context(), b.Cut()); fault.KindOf(err) != fault.Unknown || calls.Calls() != before {
			t.Errorf("a dead chain appends: %v", err)
		}
		if s := openChain(t, makeLog(t, m, 1), "w2").State(); s.N != 1 || s.Shard("a").Total != 1 {
			t.Errorf("opened again: %+v", s)
		}
	})
}

// TestFenced: who finds another's entry under his number is told, with the entry; his own records are nowhere.
func TestFenced(t *testing.T) {
	m := newMemory()
	l := makeLog(t, m, 1)
	zombie := openChain(t, l, "zombie")
	b := newTestBuilder(t, zombie.State(), BuilderOptions{})
	must(t, b.Begin(Shard{ID: "a"}))
	add(t, b, "a", record(1, 1, "k"))
	appendDraft(t, zombie, b.Cut())

	heir := openChain(t, l, "heir")
	fence := appendDraft(t, heir, &Draft{Kind: Fence, At: 5})
	if fence.Fence.Writer != "zombie" || !fence.Whole || fence.Shard("a") == nil {
		t.Errorf("the fence says %+v", fence)
	}
	add(t, b, "a", record(2, 1, "k"))
	_, err := zombie.Append(t.Context(), b.Cut())
	var fenced *FencedError
	if !errors.As(err, &fenced) || fenced.Entry.Kind != Fence || fenced.Entry.Writer != "heir" || fault.KindOf(err) != fault.Conflict {
		t.Fatalf("the zombie gets %v", err)
	}
	// What he built is void, also when he tries to add it behind the fence: it goes on where the log does not end.
	add(t, b, "a", record(3, 1, "k"))
	if _, err := zombie.Append(t.Context(), b.Cut()); fault.KindOf(err) != fault.Conflict {
		t.Errorf("the zombie appends: %v", err)
	}
	lines, _, err := readAll(t.Context(), l, Range{})
	if err != nil || len(lines["a"]) != 1 {
		t.Errorf("%v, %v", lines, err)
	}
	// Taking over in a race: the fence goes behind the entry that was faster.
	late := openChain(t, l, "late")
	appendDraft(t, heir, newTestBuilder(t, heir.State(), BuilderOptions{}).Cut())
	if _, err := late.Append(t.Context(), &Draft{Kind: Fence}); !errors.As(err, &fenced) || fenced.Entry.N != 3 {
		t.Fatalf("the late one gets %v", err)
	}
	if e := appendDraft(t, late, &Draft{Kind: Fence}); e.N != 4 || e.Fence.Writer != "heir" {
		t.Errorf("the late fence is %+v", e)
	}
}

// TestKinds: gaps, compacted entries and releases say what they are for.
func TestKinds(t *testing.T) {
	m := newMemory()
	l := makeLog(t, m, 2)
	c := openChain(t, l, "w1")
	b := newTestBuilder(t, c.State(), BuilderOptions{})
	must(t, b.Begin(Shard{ID: "a"}))
	must(t, b.Begin(Shard{ID: "z"}))
	add(t, b, "a", record(1, 1, "k"))
	if _, err := b.Gap(GapNote{Reason: "trimmed"}, nil); fault.KindOf(err) != fault.Bug {
		t.Errorf("a gap in the middle of a draft: %v", err)
	}
	appendDraft(t, c, b.Cut())
	gap, err := b.Gap(GapNote{Reason: "trimmed", From: 1, To: 9}, map[string]feed.Position{"a": {Seq: "500"}})
	must(t, err)
	if e := appendDraft(t, c, gap); e.Shard("a").After.String() != "1" || e.Shard("a").End.String() != "500" {
		t.Errorf("the gap is %+v", e)
	}
	must(t, b.AddLoose(record(0, 8, "k")))
	must(t, b.AddLoose(record(0, 3, "l")))
	healed := b.Cut()
	healed.Kind, healed.Compacted = Compacted, &CompactedNote{Gap: 2, From: 1, To: 9, Source: "export/1"}
	if e := appendDraft(t, c, healed); e.Blocks[0].Shard != -1 || e.Blocks[0].From != 3 || e.Blocks[0].To != 8 || !e.Blocks[0].Keys.Has(KeyHash([]byte("l"))) {
		t.Errorf("the compacted entry is %+v", e)
	}
	add(t, b, "a", record(501, 1, "k"))
	appendDraft(t, c, b.Cut())
	release, err := b.Release(1, "z")
	must(t, err)
	appendDraft(t, c, release)
	if c.State().Shard("z") != nil || openChain(t, l, "w2").State().Shard("z") != nil {
		t.Error("shard z is still there")
	}
	lines, entries, err := readAll(t.Context(), l, Range{})
	if err != nil || len(lines["a"]) != 2 || len(lines[""]) != 2 || len(entries) != 5 {
		t.Errorf("%d entries, %v, %v", len(entries), lines, err)
	}
	// The other group takes it up where it ended.
	other, err := l.Chain(t.Context(), 1, "w1", ChainOptions{})
	must(t, err)
	b = newTestBuilder(t, other.State(), BuilderOptions{})
	must(t, b.Begin(Shard{ID: "z", End: feed.Position{Seq: "7"}, Total: 3, Taken: &Taken{0, 5}}))
	add(t, b, "z", record(8, 1, "k"))
	if e := appendDraft(t, other, b.Cut()); e.Shards[0].After.String() != "7" || e.Shards[0].Total != 4 {
		t.Errorf("taken over: %+v", e.Shards[0])
	}
}

// TestNotContinuing: drafts that do not go on where the chain stands are refused before anything is sent.
func TestNotContinuing(t *testing.T) {
	base := func() (*Chain, *memory) {
		m := newMemory()
		c := openChain(t, makeLog(t, m, 1), "w1")
		b := newTestBuilder(t, c.State(), BuilderOptions{})
		must(t, b.Begin(Shard{ID: "a"}))
		must(t, b.Begin(Shard{ID: "p"}))
		add(t, b, "a", record(5, 10, "k"))
		must(t, b.Close("p"))
		appendDraft(t, c, b.Cut())
		return c, m
	}
	at := func(seq string) feed.Position { return feed.Position{Seq: feed.Number(seq)} }
	for want, shards := range map[string][]Shard{
		"goes on behind 4; the log ends at 5":     {{ID: "a", After: at("4"), End: at("6"), Time: 10, Total: 1}},
		"begins behind 4 instead":                 {{ID: "new", After: at("4"), End: at("6")}},
		"before its parent a is closed":           {{ID: "new", Parents: []string{"a"}, Time: 10}},
		"is closed and goes on":                   {{ID: "p", End: at("6"), Closed: true}},
		"p is closed and goes on":                 {{ID: "p"}},
		"goes back from the time 10":              {{ID: "a", After: at("5"), End: at("5"), Time: 9, Total: 1}},
		"has 7 records in all":                    {{ID: "a", After: at("5"), End: at("5"), Time: 10, Total: 7}},
		"has the parents":                         {{ID: "a", Parents: []string{"q"}, After: at("5"), End: at("5"), Time: 10, Total: 1}},
		"twice":                                   {{ID: "p", Closed: true}, {ID: "p", Closed: true}},
		"ends at 4, before it begins at 5":        {{ID: "a", After: at("5"), End: at("4"), Time: 10, Total: 1}},
		"has children and is open":                {{ID: "new", Children: []string{"c"}}},
		"has 3 records in this entry and 2 in":    {{ID: "a", After: at("5"), End: at("5"), Time: 10, Records: 3, Total: 2}},
		"0 records in blocks and is said to have": {{ID: "a", After: at("5"), End: at("8"), Time: 10, Records: 3, Total: 4}},
	} {
		c, m := base()
		before := len(m.names())
		_, err := c.Append(t.Context(), &Draft{Kind: Segment, Shards: shards})
		if fault.KindOf(err) != fault.Conflict || !strings.Contains(fmt.Sprint(err), want) {
			if !(strings.HasPrefix(want, "has 3") && err != nil) {
				t.Errorf("want %q, got %v", want, err)
			}
		}
		if len(m.names()) != before {
			t.Errorf("%q was sent", want)
		}
	}
	c, _ := base()
	if _, err := c.Append(t.Context(), &Draft{Kind: Segment, Stream: "arn:stream/2"}); err == nil || !strings.Contains(err.Error(), "no gap is told") {
		t.Errorf("another stream without a gap: %v", err)
	}
	if e := appendDraft(t, c, &Draft{Kind: Gap, Gap: &GapNote{Reason: "new stream", Stream: "arn:stream/1"}, Stream: "arn:stream/2"}); e.Stream != "arn:stream/2" {
		t.Errorf("%+v", e)
	}
}

// TestMisuse: a builder refuses what would make a log that lies.
func TestMisuse(t *testing.T) {
	b := newTestBuilder(t, newState(0), BuilderOptions{})
	must(t, b.Begin(Shard{ID: "a"}))
	add(t, b, "a", record(9, 1, "k"))
	for name, err := range map[string]error{
		"unknown shard":     b.Add("b", record(1, 1, "k")),
		"same position":     b.Add("a", record(9, 1, "k")),
		"shorter position":  b.Add("a", record(8, 1, "k")),
		"begun twice":       b.Begin(Shard{ID: "a"}),
		"parent open":       b.Begin(Shard{ID: "c", Parents: []string{"a"}}),
		"two lines":         b.Add("a", Record{Raw: []byte("{\n}"), Position: feed.Position{Seq: "10"}}),
		"no line":           b.Add("a", Record{Position: feed.Position{Seq: "10"}}),
		"close of nothing":  b.Close("b"),
		"tip of nothing":    b.Tip("b", 1),
		"release too early": func() error { _, err := b.Release(1, "a"); return err }(),
	} {
		if fault.KindOf(err) != fault.Bug || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := b.Add("a", Record{Raw: make([]byte, recordBytesMax+1), Position: feed.Position{Seq: "10"}}); fault.KindOf(err) != fault.Limit {
		t.Errorf("a large record: %v", err)
	}
	must(t, b.Close("a"))
	if err := b.Add("a", record(10, 1, "k")); fault.KindOf(err) != fault.Bug {
		t.Errorf("behind the end: %v", err)
	}
	for !b.Full() {
		must(t, b.AddLoose(Record{Raw: make([]byte, 1<<20)}))
	}
	must(t, b.AddLoose(Record{Raw: make([]byte, recordBytesMax/2)}))
	if err := b.AddLoose(Record{Raw: make([]byte, recordBytesMax)}); fault.KindOf(err) != fault.Bug {
		t.Errorf("a full draft takes more: %v", err)
	}
}

// TestSameBytes: an entry's bytes depend on what was added, not on how its blocks were compressed beside each other.
func TestSameBytes(t *testing.T) {
	var first []byte
	for range 5 {
		b := newTestBuilder(t, newState(0), BuilderOptions{BlockBytes: 300, OpenBytes: 900, Workers: 4})
		for s := range 7 {
			must(t, b.Begin(Shard{ID: fmt.Sprint("s", s)}))
		}
		for i := range 400 {
			add(t, b, fmt.Sprint("s", i%7), record(i+1, int64(i), fmt.Sprint(i%13)))
		}
		d := b.Cut()
		if first == nil {
			first = slices.Clone(d.body)
		}
		if !bytes.Equal(d.body, first) {
			t.Fatal("bodies differ")
		}
	}
}

// TestInfo: a log has one description, and who comes with another is told.
func TestInfo(t *testing.T) {
	m := newMemory()
	ctx := t.Context()
	if _, err := Open(ctx, m, ""); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("open of nothing: %v", err)
	}
	info := Info{Stream: "arn:stream/1", Table: "Orders", View: feed.BothImages, Groups: 2, Created: time.Unix(9, 0)}
	if l, err := Find(ctx, m, "", info); l != nil || err != nil {
		t.Fatalf("a log before there is one: %v, %v", l, err)
	}
	l, err := Create(ctx, m, "", info)
	must(t, err)
	again := info
	again.Created, again.Stream = time.Unix(10, 0), "arn:stream/2"
	same, err := Create(ctx, m, "", again)
	if err != nil || same.Info.Stream != l.Info.Stream || !same.Created.Equal(info.Created) {
		t.Errorf("%+v, %v", same, err)
	}
	other := info
	other.Groups = 3
	if _, err := Find(ctx, m, "", other); fault.KindOf(err) != fault.Conflict {
		t.Errorf("found the log of another table: %v", err)
	}
	if found, err := Find(ctx, m, "", again); err != nil || found.Created != l.Created {
		t.Errorf("found %v, %v", found, err)
	}
	if _, err := Create(ctx, m, "", other); fault.KindOf(err) != fault.Conflict || fault.HintOf(err) == "" {
		t.Errorf("other groups: %v", err)
	}
	other.Groups = GroupsMax + 1
	if _, err := Create(ctx, m, "", other); fault.KindOf(err) != fault.User {
		t.Errorf("%d groups: %v", other.Groups, err)
	}
	other.Groups = 0 // whatever it has
	if kept, err := Create(ctx, m, "", other); err != nil || kept.Groups != l.Groups {
		t.Errorf("groups that are not told: %v", err)
	}
	if _, err := l.Tail(ctx, 2); fault.KindOf(err) != fault.User {
		t.Errorf("group 2 of 2: %v", err)
	}
	for body, kind := range map[string]fault.Kind{`{"version":2,"groups":1}`: fault.Unsupported, `{"version":1}`: fault.Corrupt, `[]`: fault.Corrupt} {
		m := newMemory()
		_, err := commit.Put(ctx, m, "log", []byte(body), commit.Options{})
		must(t, err)
		if _, err := Open(ctx, m, ""); fault.KindOf(err) != kind || fault.PlaceOf(err).File != "mem://log/log" {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// blurred is a bucket where the first reads of an object go wrong: one bit differs, then the store is too busy.
type blurred struct {
	*memory
	name  string
	reads int
}

func (b *blurred) Get(ctx context.Context, name string, o blob.ReadOptions) (io.ReadCloser, blob.Info, error) {
	r, info, err := b.memory.Get(ctx, name, o)
	if err != nil || name != b.name {
		return r, info, err
	}
	switch b.reads++; b.reads {
	case 1:
		data, _ := io.ReadAll(r)
		data[0] ^= 1
		return io.NopCloser(bytes.NewReader(data)), info, nil
	case 2:
		return nil, info, fault.New(fault.Unavailable, "503 Slow Down")
	}
	return r, info, nil
}

// TestFencedUnread: who cannot read what stands in his way asks again, and learns it.
func TestFencedUnread(t *testing.T) {
	m := newMemory()
	l := makeLog(t, m, 1)
	b := newTestBuilder(t, openChain(t, l, "first").State(), BuilderOptions{})
	must(t, b.Begin(Shard{ID: "a"}))
	late, err := Open(t.Context(), &blurred{memory: m, name: entryName(l.dir, 0, 1)}, "")
	if err != nil {
		t.Fatal(err)
	}
	c := openChain(t, late, "late")
	appendDraft(t, openChain(t, l, "first"), b.Cut())
	if _, err := c.Append(t.Context(), &Draft{Kind: Fence}); fault.KindOf(err) != fault.Unavailable {
		t.Fatalf("first it gets %v", err)
	}
	var fenced *FencedError
	if _, err := c.Append(t.Context(), &Draft{Kind: Fence}); !errors.As(err, &fenced) || fenced.Entry.N != 1 {
		t.Errorf("then it gets %v", err)
	}
}
