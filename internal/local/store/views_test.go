package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/vfs"

	"dynaferry/internal/fault"
)

// textEntries is the index function of texts as textOf and killText write them: index 1 by their last letter and
// length, index 2 by length, without those of an even one.
func textEntries(dst []Entry, _, item []byte) []Entry {
	length, _ := EncodeNumber(nil, fmt.Append(nil, len(item)))
	dst = append(dst, Entry{1, Key{EncodeString(nil, item[len(item)-1:]), length}})
	if len(item)%2 == 1 {
		dst = append(dst, Entry{2, Key{EncodeString(nil, []byte("odd")), length}})
	}
	return dst
}

// viewsOf are the settings of a table that has everything.
func viewsOf(s *Store, shards int) Settings {
	return Settings{Indexes: []IndexID{1}, Stream: s.NewStream(), Shards: shards, OldImages: true, History: 12 * time.Hour}
}

// checkViews compares all views of a table's changes with each other and with its items: entries, stream and history
// are made and read in different ways, and must say the same. It returns the stream's records.
func checkViews(s *Store, id TableID) ([]Change, error) {
	var t Table
	for _, t = range s.Tables() {
		if t.ID == id {
			break
		}
	}
	items := map[string]string{}
	it := s.Scan(id, ScanOptions{})
	for it.Next() {
		items[string(itemKey(nil, id, it.Key()))] = string(it.Raw())
	}
	if err := it.Close(); err != nil {
		return nil, err
	}
	for _, index := range t.Settings.Indexes {
		if err := checkIndex(s, id, index, items); err != nil {
			return nil, fmt.Errorf("index %d: %w", index, err)
		}
	}
	records, err := readStream(s, t.Settings.Stream)
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	last := map[string]string{}
	for i, c := range records {
		key := string(itemKey(nil, id, c.Key))
		if before, ok := last[key]; ok && before != string(c.Old) || i > 0 && c.Seq <= records[i-1].Seq {
			return nil, fmt.Errorf("record %d of %q: old image %.40q, before it was %.40q", c.Seq, c.Key.Hash, c.Old, before)
		}
		last[key] = string(c.New)
	}
	for key, text := range last {
		if items[key] != text {
			return nil, fmt.Errorf("the last record of %q says %.40q, the item is %.40q", key, text, items[key])
		}
	}
	return records, checkPast(s, id, items, records)
}

func checkIndex(s *Store, id TableID, index IndexID, items map[string]string) error {
	var want, got []string
	for key, text := range items {
		for _, e := range textEntries(nil, nil, []byte(text)) {
			if e.Index == index {
				want = append(want, fmt.Sprintf("%x %x %x", e.Key.Hash, e.Key.Range, key))
			}
		}
	}
	it := s.ScanIndex(id, index, ScanOptions{})
	for it.Next() {
		key := string(itemKey(nil, id, it.BaseKey()))
		if items[key] != string(it.Raw()) {
			return fmt.Errorf("under %q is %.40q, the item is %.40q", it.Key().Hash, it.Raw(), items[key])
		}
		got = append(got, fmt.Sprintf("%x %x %x", it.Key().Hash, it.Key().Range, key))
	}
	slices.Sort(want)
	slices.Sort(got)
	if err := it.Close(); err != nil || !slices.Equal(got, want) {
		return fmt.Errorf("%d entries, want %d, %v", len(got), len(want), err)
	}
	return nil
}

// readStream reads all shards of a stream, and checks that each hash has one open shard.
func readStream(s *Store, stream StreamID) ([]Change, error) {
	shards, err := s.Shards(stream)
	if err != nil {
		return nil, err
	}
	var all []Change
	var open []Shard
	for _, sh := range shards {
		if sh.Last == 0 {
			open = append(open, sh)
		}
		for after := uint64(0); ; {
			p, err := s.ReadShard(stream, sh.ID, after, 100, 0)
			if err != nil {
				return nil, err
			}
			all = append(all, p.Changes...)
			if after = p.Next; len(p.Changes) == 0 || p.End {
				break
			}
		}
	}
	slices.SortFunc(open, func(a, b Shard) int { return cmp.Compare(a.Lo, b.Lo) })
	next := uint64(0)
	for _, sh := range open {
		if sh.Lo != next {
			return nil, fmt.Errorf("open shards %+v", open)
		}
		next = sh.Hi + 1
	}
	if next != 0 {
		return nil, fmt.Errorf("open shards %+v", open)
	}
	slices.SortFunc(all, func(a, b Change) int { return cmp.Compare(a.Seq, b.Seq) })
	return all, nil
}

// checkPast compares states of the past and what changed since with what the stream's records say.
func checkPast(s *Store, id TableID, items map[string]string, records []Change) error {
	from, err := s.HistoryFrom(id)
	if err != nil {
		return err
	}
	times := []time.Time{from, time.UnixMilli(s.now())}
	for i := 1; i < 4 && len(records) > 0; i++ {
		if t := records[len(records)*i/4].Time; !t.Before(from) {
			times = append(times, t)
		}
	}
	for _, t := range times {
		then := map[string]string{}
		for key, text := range items {
			then[key] = text
		}
		changed := map[string]bool{}
		for _, c := range slices.Backward(records) {
			if !c.Time.After(t) {
				break
			}
			key := string(itemKey(nil, id, c.Key))
			changed[key] = true
			if then[key] = string(c.Old); c.Old == nil {
				delete(then, key)
			}
		}
		it := s.StateAt(id, t, ScanOptions{})
		n := 0
		for it.Next() {
			n++
			if key := string(itemKey(nil, id, it.Key())); then[key] != string(it.Raw()) {
				return fmt.Errorf("at %v %q is %.40q, was %.40q", t, key, it.Raw(), then[key])
			}
		}
		if err := it.Close(); err != nil || n != len(then) {
			return fmt.Errorf("at %v there are %d items, were %d, %v", t, n, len(then), err)
		}
		err := s.Changes(context.Background(), id, t, time.UnixMilli(s.now()), func(c Change) error {
			key := string(itemKey(nil, id, c.Key))
			if !changed[key] || string(c.Old) != then[key] || string(c.New) != items[key] {
				return fmt.Errorf("since %v %q became %.40q from %.40q", t, key, c.New, c.Old)
			}
			delete(changed, key)
			return nil
		})
		if err != nil || len(changed) != 0 {
			return fmt.Errorf("%d more keys changed since %v, %v", len(changed), t, err)
		}
	}
	return nil
}

// disturb reshards, builds and drops while others write.
func disturb(s *Store, id TableID, rng *rand.Rand) error {
	t := s.Tables()[0]
	shards, err := s.Shards(t.Settings.Stream)
	if err != nil {
		return err
	}
	sh := shards[rng.IntN(len(shards))]
	switch rng.IntN(4) {
	case 0:
		if len(shards) < 40 {
			err = s.SplitShard(t.Settings.Stream, sh.ID)
		}
	case 1:
		err = s.RollShard(t.Settings.Stream, sh.ID)
	case 2:
		if !slices.Contains(t.Settings.Indexes, 2) {
			settings := t.Settings
			settings.Indexes = []IndexID{1, 2}
			err = s.UpdateTable(id, t.Definition, settings)
		} else if err = s.BuildIndex(context.Background(), id, 2, nil); err == nil {
			err = checkIndexGrowing(s, id)
		}
	case 3:
		if slices.Contains(t.Settings.Indexes, 2) && rng.IntN(3) == 0 {
			err = s.DropIndex(id, 2)
		}
	}
	if fault.KindOf(err) == fault.Conflict {
		return nil // a closed shard
	}
	return err
}

// checkIndexGrowing reads an index that is written to meanwhile: each item it shows has that entry.
func checkIndexGrowing(s *Store, id TableID) error {
	it := s.ScanIndex(id, 2, ScanOptions{})
	for it.Next() {
		e := textEntries(nil, nil, it.Raw())
		if len(e) != 2 || !e[1].Key.same(it.Key()) {
			return errors.Join(fmt.Errorf("under %q is %.40q", it.Key().Range, it.Raw()), it.Close())
		}
	}
	return it.Close()
}

func viewOptions(o Options, clock func() time.Time) Options {
	o.Entries, o.Clock, o.changedMax = textEntries, clock, 5
	return o
}

// TestPowerCutViews: after a power cut at any change of any file, entries, stream and history say the same as the items
// do, and tell of all acknowledged writes that they still keep. Time flies, so trimming and compaction run all the time.
func TestPowerCutViews(t *testing.T) {
	fs := newJournalFS()
	var ticks, step atomic.Int64
	step.Store(6)
	s := mustOpen(t, viewOptions(crashOptions(fs), func() time.Time {
		return time.UnixMilli(1e12).Add(time.Duration(ticks.Add(step.Load())) * time.Minute)
	}))
	id, err := s.CreateTable(nil, "T", viewsOf(s, 3))
	if err != nil {
		t.Fatal(err)
	}
	tableAt := fs.length()
	stop, ended := make(chan bool), make(chan error)
	go func() {
		rng := rand.New(rand.NewPCG(4, 4))
		for {
			select {
			case <-stop:
				ended <- nil
				return
			default:
			}
			if err := disturb(s, id, rng); err != nil {
				ended <- err
				return
			}
		}
	}()
	h := load(t, s, id, fs, 4, 250)
	close(stop)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	step.Store(0)
	if slices.Contains(s.Tables()[0].Settings.Indexes, 2) {
		if err := s.BuildIndex(context.Background(), id, 2, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := checkViews(s, id); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	total, points := fs.length(), 15
	if long() {
		points = 1 << 30
	}
	rng := rand.New(rand.NewPCG(1, uint64(total)))
	stride := max(1, total/points)
	t.Logf("%d changes, %d segments, %d left", total, s.reached.segment, len(s.log.snapshot()))
	for k := rng.IntN(stride); k <= total; k += stride {
		for _, keep := range []int{0, 50, 100} {
			if err := recoveredViews(fs.crash(k, keep, rng), id, h, k, tableAt); err != nil {
				t.Fatalf("crash after change %d of %d, %d%% of unsynced sectors kept: %v", k, total, keep, err)
			}
		}
	}
}

func recoveredViews(fs vfs.FS, id TableID, h *history, k, tableAt int) error {
	for range 2 { // once more after a clean close
		s, err := Open(viewOptions(crashOptions(fs), func() time.Time { return time.UnixMilli(0) }))
		if err != nil {
			return fmt.Errorf("open: %w", err)
		}
		defer s.Close()
		if len(s.Tables()) == 0 && k < tableAt {
			return nil
		}
		if err := h.check(s, id, k); err != nil {
			return err
		}
		if slices.Contains(s.Tables()[0].Settings.Indexes, 2) {
			if err := s.BuildIndex(context.Background(), id, 2, nil); err != nil {
				return fmt.Errorf("build: %w", err)
			}
		}
		records, err := checkViews(s, id)
		if err != nil {
			return err
		}
		if err := h.checkStream(s, records, k); err != nil {
			return err
		}
		if err := s.Close(); err != nil {
			return fmt.Errorf("close: %w", err)
		}
	}
	return nil
}

// checkStream tells whether all acknowledged writes are among the records that are kept.
func (h *history) checkStream(s *Store, records []Change, k int) error {
	there := map[uint64]string{}
	for _, c := range records {
		there[c.Seq] = string(c.New)
	}
	horizon := s.streamHorizon()
	for key, versions := range h.keys {
		for _, v := range versions {
			if v.won > k || v.commit.Seq == 0 || v.commit.Time < horizon {
				continue
			}
			if text, ok := there[v.commit.Seq]; !ok || text != v.text {
				return fmt.Errorf("record %d of %s is %.40q (%v), acknowledged was %.40q", v.commit.Seq, key, text, ok, v.text)
			}
		}
	}
	return nil
}

// TestViewsUnderLoad: while many write, shards split and roll, an index comes and goes and the past is read, all views
// agree in the end, and a reader that follows the shards has met each change of a key once and in order.
func TestViewsUnderLoad(t *testing.T) {
	s := mustOpen(t, viewOptions(Options{SegmentBytes: 64 << 10}, nil))
	defer s.Close()
	id, err := s.CreateTable(nil, "T", viewsOf(s, 2))
	if err != nil {
		t.Fatal(err)
	}
	stream := s.Tables()[0].Settings.Stream
	var stop atomic.Bool
	var others sync.WaitGroup
	others.Go(func() {
		rng := rand.New(rand.NewPCG(5, 5))
		for !stop.Load() {
			if err := disturb(s, id, rng); err != nil {
				t.Error(err)
				return
			}
		}
	})
	others.Go(func() {
		for !stop.Load() {
			for it := s.StateAt(id, time.UnixMilli(s.now()), ScanOptions{}); ; {
				if it.Next() {
					continue
				}
				if err := it.Close(); err != nil {
					t.Error(err)
				}
				break
			}
		}
	})
	var followed []Change
	others.Go(func() { followed = follow(t, s, stream, &stop) })
	h := load(t, s, id, newJournalFS(), 8, 300)
	stop.Store(true)
	others.Wait()
	if slices.Contains(s.Tables()[0].Settings.Indexes, 2) {
		if err := s.BuildIndex(context.Background(), id, 2, nil); err != nil {
			t.Fatal(err)
		}
	}
	records, err := checkViews(s, id)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.checkStream(s, records, 0); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(followed, func(a, b Change) int { return cmp.Compare(a.Seq, b.Seq) })
	if len(followed) != len(records) {
		t.Fatalf("the follower met %d of %d changes", len(followed), len(records))
	}
	for i, c := range records {
		if f := followed[i]; f.Seq != c.Seq || !f.Key.same(c.Key) || !bytes.Equal(f.New, c.New) || !bytes.Equal(f.Old, c.Old) {
			t.Fatalf("the follower met %+v, the stream holds %+v", f, c)
		}
	}
}

// follow reads a stream's shards as they grow, children after their parents, until all is read after stop.
func follow(t *testing.T, s *Store, stream StreamID, stop *atomic.Bool) (met []Change) {
	at, done := map[uint32]uint64{}, map[uint32]bool{}
	last := map[string]uint64{}
	for {
		stopped := stop.Load()
		shards, err := s.Shards(stream)
		if err != nil {
			t.Error(err)
			return
		}
		news := 0
		for _, sh := range shards {
			if done[sh.ID] || sh.Parent != 0 && !done[sh.Parent] {
				continue
			}
			p, err := s.ReadShard(stream, sh.ID, at[sh.ID], 50, 0)
			if err != nil {
				t.Error(err)
				return
			}
			for _, c := range p.Changes {
				if key := string(itemKey(nil, 0, c.Key)); c.Seq <= last[key] {
					t.Errorf("%s: %d after %d", c.Key.Hash, c.Seq, last[key])
				} else {
					last[key] = c.Seq
				}
			}
			met = append(met, p.Changes...)
			at[sh.ID], done[sh.ID] = p.Next, p.End
			if news += len(p.Changes); p.End {
				news++
			}
		}
		if stopped && news == 0 {
			return met
		}
	}
}

// TestPastOfNowReadsNothing: the state at a time behind the last change, which most exports ask for, is the index; the
// log is read from the segment on that holds the first change behind the time.
func TestPastOfNowReadsNothing(t *testing.T) {
	now := int64(1e12)
	o := viewOptions(Options{Dir: "/db", SegmentBytes: 16 << 10, fs: vfs.NewMem()}, nil)
	o.Clock = func() time.Time { return time.UnixMilli(now) }
	s := mustOpen(t, o)
	defer s.Close()
	id := mustCreate(t, s)
	if err := s.UpdateTable(id, nil, viewsOf(s, 1)); err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		now += 1000
		key := keyOf(fmt.Sprint(n), "")
		if _, err := s.Update(context.Background(), id, key, func([]byte) (Op, []byte, error) { return OpPut, bytes.Repeat([]byte("x"), 6000), nil }); err != nil {
			t.Fatal(err)
		}
	}
	last := now
	for _, test := range []struct {
		from  int64
		parts int
	}{{last, 0}, {last - 1, 1}, {last - 4000, 2}, {1e12, 5}} {
		now = last + 5000
		p, err := s.pinPast(id, test.from, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.parts) != test.parts {
			t.Errorf("from %d ms before the last change %d segments are read, not %d", last-test.from, len(p.parts), test.parts)
		}
		p.view.release()
		s.reads.Done()
	}
}
