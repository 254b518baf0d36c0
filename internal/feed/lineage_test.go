package feed

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestParentsComeFirst: whatever the order of a list, with none lost, and with parents that are not listed or absurd.
func TestParentsComeFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 30).Draw(t, "n")
		var shards []Shard
		for i := range n {
			s := Shard{ID: fmt.Sprint(i)}
			for range rapid.IntRange(0, min(i, 2)).Draw(t, "parents") {
				s.Parents = append(s.Parents, fmt.Sprint(rapid.IntRange(-1, i-1).Draw(t, "parent")))
			}
			shards = append(shards, s)
		}
		shuffled := rapid.Permutation(shards).Draw(t, "order")
		place := map[string]int{}
		for i, s := range SortShards(shuffled) {
			place[s.ID] = i
		}
		if len(place) != n {
			t.Fatalf("%d shards of %d", len(place), n)
		}
		for _, s := range shards {
			for _, p := range s.Parents {
				if at, listed := place[p]; listed && at > place[s.ID] {
					t.Fatalf("shard %s comes before its parent %s", s.ID, p)
				}
			}
		}
	})
	ring := []Shard{{ID: "a", Parents: []string{"b"}}, {ID: "b", Parents: []string{"a"}}, {ID: "c", Parents: []string{"c"}}}
	if got := SortShards(ring); len(got) != 3 {
		t.Errorf("a ring gives %v", got)
	}
	sorted := []Shard{{ID: "z"}, {ID: "a"}, {ID: "m", Parents: []string{"z", "a"}}}
	if got := SortShards(sorted); !slices.EqualFunc(got, sorted, func(a, b Shard) bool { return a.ID == b.ID }) {
		t.Errorf("what is in order becomes %v", got)
	}
	if got := ChildrenOf("a", sorted); len(got) != 1 || got[0].ID != "m" {
		t.Errorf("children of a: %v", got)
	}
}
