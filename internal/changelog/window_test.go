package changelog

import (
	"testing"

	"dynaferry/internal/fault"
)

// TestSince: entries are found by when they were written, and told without their blocks, with an index and beyond it.
func TestSince(t *testing.T) {
	m := newMemory()
	l := makeLog(t, m, 1)
	c := openChain(t, l, "w1")
	b := newTestBuilder(t, c.State(), BuilderOptions{})
	must(t, b.Begin(Shard{ID: "a"}))
	for i := 1; i <= 300; i++ {
		add(t, b, "a", record(i, int64(i), "k"))
		d := b.Cut()
		d.At = int64(10 * i)
		appendDraft(t, c, d)
	}
	for at, want := range map[int64]uint64{0: 1, 10: 1, 11: 2, 2000: 200, 3000: 300, 3001: 301} {
		if first, last, err := l.Since(t.Context(), 0, at); err != nil || first != want || last != 300 {
			t.Errorf("since %d: entries %d to %d, %v; want %d", at, first, last, err, want)
		}
	}
	n := uint64(250)
	for e, err := range l.Entries(t.Context(), 0, n, 290) {
		if err != nil || e.N != n || len(e.Parts) > 0 || e.State.Shard("a").Total != n || len(e.Blocks) != 1 {
			t.Fatalf("entry %d: %+v, %v", n, e, err)
		}
		n++
	}
	if n != 291 {
		t.Errorf("the last entry was %d", n-1)
	}
	must(t, m.Delete(t.Context(), entryName("", 0, 150)))
	if _, _, err := l.Since(t.Context(), 0, 1500); fault.KindOf(err) != fault.Corrupt {
		t.Errorf("with a hole: %v", err)
	}
}

// TestSinceClocks: a writer whose clock is behind does not hide what others wrote before it.
func TestSinceClocks(t *testing.T) {
	l := makeLog(t, newMemory(), 1)
	c := openChain(t, l, "w1")
	for i, at := range []int64{10, 20, 30, 5, 7, 40} {
		if i == 3 {
			c = openChain(t, l, "w2") // whose state is read, not known
		}
		appendDraft(t, c, &Draft{Kind: Fence, At: at})
	}
	for at, want := range map[int64]uint64{5: 1, 20: 2, 25: 3, 30: 3, 31: 6} {
		if first, _, err := l.Since(t.Context(), 0, at); err != nil || first != want {
			t.Errorf("since %d: entry %d, %v; want %d", at, first, err, want)
		}
	}
}
