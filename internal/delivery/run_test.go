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
