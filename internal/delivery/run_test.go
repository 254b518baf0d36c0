package delivery

import (
	"slices"
	"testing"
)

// TestDeliver: what is in the log is in visible files, each record once, and nothing else is visible.
func TestDeliver(t *testing.T) {
	w := newLog(t, 2)
	for i := range 4 {
		w.orders(i%2, 30)
		w.cut(i % 2)
	}
	dst := newMemory()
	var p Progress
	must(t, Run(t.Context(), w.log, dst, Settings{}, Options{Once: true, Progress: &p}))
	got, want := allLines(t, dst), slices.Sorted(slices.Values(w.lines))
	if !slices.Equal(got, want) {
		t.Fatalf("%d lines are visible, the log has %d, or they differ", len(got), len(want))
	}
	if p.Records.Load() != int64(len(want)) || p.Epochs.Load() != 1 || p.Lag() != 0 {
		t.Errorf("%d records, %d epochs, lag %v", p.Records.Load(), p.Epochs.Load(), p.Lag())
	}
	// Again: there is nothing to do.
	before := objects(t, dst, true)
	must(t, Run(t.Context(), w.log, dst, Settings{}, Options{Once: true}))
	same(t, "again", objects(t, dst, true), before)
	// And on.
	w.orders(1, 7)
	w.cut(1)
	must(t, Run(t.Context(), w.log, dst, Settings{}, Options{Once: true}))
	if got, want := allLines(t, dst), slices.Sorted(slices.Values(w.lines)); !slices.Equal(got, want) {
		t.Fatalf("%d lines are visible, the log has %d, or they differ", len(got), len(want))
	}
	for name, data := range objects(t, dst, true) {
		t.Log(name, len(data))
	}
	for name, data := range objects(t, dst, false) {
		t.Log(name, len(data))
	}
}

// TestSpansFitMemory: files of an epoch are in memory together, so that there are fewer of them where there is less, and
// never none.
func TestSpansFitMemory(t *testing.T) {
	for _, c := range []struct {
		memory, buffer int64
		want           int
	}{{0, 64 << 20, 2}, {1 << 30, 64 << 20, 4}, {128 << 20, 128 << 20, 1}, {32 << 20, 128 << 20, 1}, {128 << 20, 1 << 20, 4}} {
		o := Options{MemoryBytes: c.memory}.filled()
		if got := o.spans(c.buffer); got != c.want {
			t.Errorf("%d bytes for spans of %d: %d at once, want %d", c.memory, c.buffer, got, c.want)
		}
	}
}
