package column

import "dynaferry/internal/item"

// Types returns how many values of each type a top-level attribute has, indexed by item.Type; all zero for one that was
// not seen.
func (s *Stats) Types(name string) (counts [item.BS + 1]uint64) {
	if n := s.top.find([]byte(name)); n != nil {
		counts = n.counts()
	}
	return counts
}

// Attributes lists the top-level attributes that are tracked, sorted by name: also those that are only ever NULL, which
// get no column.
func (s *Stats) Attributes() []string {
	s.trim()
	var names []string
	for _, n := range s.top.sorted() {
		names = append(names, n.name)
	}
	return names
}
