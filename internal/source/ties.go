package source

import (
	"slices"

	"github.com/zeebo/xxh3"

	"dynaferry/internal/feed"
	"dynaferry/internal/item"
)

// Changes that came by Kinesis are in order by their times, which are no finer than a millisecond, or a microsecond: of those that one item
// had within one, and that came out of order, the images tell which was first. Each is a step from an old image to a new one,
// and all of them make one walk. It is looked for among what is read at once; what is cut apart there keeps the order in which it came.

// tie is an item at a time.
type tie struct {
	key    uint64
	micros int64
}

// ordered are the indices of a page's records so that ties are in the order of their images, each change once.
func ordered(page *feed.Page, keys item.KeySchema) []int {
	order := make([]int, len(page.Records))
	ties := make(map[tie][]int, len(page.Records)) // places in order
	var again []tie
	hashes := make([]uint64, len(page.Records))
	var key []byte
	for i := range page.Records {
		order[i] = i
		r := &page.Records[i]
		if r.Event == 0 {
			continue
		}
		key, err := keys.AppendKey(key[:0], page.Items.Item(int(r.Keys)))
		if err != nil {
			continue // of another table, which writes into the same stream
		}
		hashes[i] = xxh3.Hash(key)
		t := tie{hashes[i], r.Micros}
		if ties[t] = append(ties[t], i); len(ties[t]) == 2 {
			again = append(again, t)
		}
	}
	for _, t := range again {
		places := ties[t]
		walk := walked(page, places, func() (start string, known bool) { // by what the item's change before came to, or the next begins at
			before, behind := -1, -1
			for i := range page.Records {
				switch r := &page.Records[i]; {
				case hashes[i] != t.key || r.Event == 0:
				case r.Micros < t.micros && (before < 0 || r.Micros >= page.Records[before].Micros):
					before = i
				case r.Micros > t.micros && (behind < 0 || r.Micros < page.Records[behind].Micros):
					behind = i
				}
			}
			switch {
			case before >= 0:
				return imageOf(page, page.Records[before].New), true
			case behind >= 0:
				return imageOf(page, page.Records[behind].Old), true
			}
			return "", false
		})
		for n, at := range places {
			order[at] = -1 // a double
			if n < len(walk) {
				order[at] = walk[n]
			}
		}
	}
	return slices.DeleteFunc(order, func(i int) bool { return i < 0 })
}

// imageOf is an image as text; "" of an item that is not there.
func imageOf(page *feed.Page, row int32) string {
	if row == item.NoImage {
		return ""
	}
	return string(item.AppendCanonical(nil, page.Items.Item(int(row))))
}

// walked orders records of one item and time, without doubles: the one walk from image to image that has all of them, or where there
// is none, as they came. Where a walk ends where it begins, beside tells where that is.
func walked(page *feed.Page, records []int, beside func() (start string, known bool)) []int {
	type step struct {
		record   int
		from, to string
		taken    bool
	}
	var steps []step
	balance := map[string]int{} // how often more it is left than reached
	seen := map[string]bool{}
	for _, i := range records {
		r := &page.Records[i]
		if id := string(r.EventID); id != "" && seen[id] {
			continue
		} else {
			seen[id] = true
		}
		s := step{record: i, from: imageOf(page, r.Old), to: imageOf(page, r.New)}
		steps = append(steps, s)
		balance[s.from]++
		balance[s.to]--
	}
	start, open := steps[0].from, false
	for _, s := range steps {
		if balance[s.from] > 0 {
			start, open = s.from, true
		}
	}
	if !open {
		if image, known := beside(); known && slices.ContainsFunc(steps, func(s step) bool { return s.from == image }) {
			start = image
		}
	}
	// Hierholzer: the walk from behind.
	var walk, trail []int
	for at := start; ; {
		next := slices.IndexFunc(steps, func(s step) bool { return !s.taken && s.from == at })
		if next >= 0 {
			steps[next].taken = true
			trail, at = append(trail, next), steps[next].to
			continue
		}
		if len(trail) == 0 {
			break
		}
		last := trail[len(trail)-1]
		trail, at = trail[:len(trail)-1], steps[last].from
		walk = append(walk, steps[last].record)
	}
	slices.Reverse(walk)
	if len(walk) < len(steps) { // some of them are missing here
		walk = walk[:0]
		for _, s := range steps {
			walk = append(walk, s.record)
		}
	}
	return walk
}
