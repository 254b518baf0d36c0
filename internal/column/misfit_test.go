package column

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The Extra column of a file tells the very counts that shredding its items gave.
func TestExtraTellsItsCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := genOptions(t)
		items := genItems(t, 12)
		var stats Stats
		for _, it := range items[:rapid.IntRange(1, len(items)).Draw(t, "known")] {
			stats.Observe(it)
		}
		schema := stats.Schema(o)
		slabs, _ := shredCut(t, ShredOptions{Schema: schema}, items, func(int) bool { return false })
		counter := NewMisfitCounter(schema)
		if err := counter.Add(&slabs[0].Vectors[len(slabs[0].Vectors)-1]); err != nil {
			t.Fatalf("count: %v", err)
		}
		if got := counter.Misfits(); !slices.Equal(got, slabs[0].Misfits) {
			t.Fatalf("counted %v, shredded %v", got, slabs[0].Misfits)
		}
	})
}
