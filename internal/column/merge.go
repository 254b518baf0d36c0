package column

import "dynaferry/internal/item"

// Merge adds what o has counted; o stays as it is. s.Merge(o) and o.Merge(s) give equal Stats.
func (s *Stats) Merge(o *Stats) {
	s.items += o.items
	if o.flat && !s.flat {
		s.flatten()
	}
	if o.over && (!s.over || compareNames(o.last, s.last) < 0) {
		s.over, s.last = true, o.last
		s.drop()
	}
	for _, from := range o.top.table {
		if from == nil {
			continue
		}
		if to := s.attribute([]byte(from.name)); to != nil {
			s.mergeNode(to, nil, 1, from)
		}
	}
}

// drop removes the attributes beyond last.
func (s *Stats) drop() {
	all := s.attributes()
	s.top, s.text = kids{}, 0
	for _, n := range all {
		if compareNames(n.name, s.last) <= 0 {
			s.top.insert(n)
			s.text += len(n.name)
		}
	}
}

func (s *Stats) mergeNode(to, parent *node, depth uint8, from *node) {
	counts := from.counts()
	for t := item.S; t <= item.BS; t++ {
		if t != item.N && counts[t] > 0 {
			to.add(t, counts[t])
		}
	}
	for _, b := range from.numbers() {
		to.add(item.N, b.n)
		to.number(b.shape, b.n)
	}
	m := from.more
	if m == nil {
		return
	}
	for _, b := range m.members {
		to.extend().members.add(b.shape, b.n)
	}
	if m.depth > 0 {
		s.mergeContainer(to, parent, depth, m)
	}
}

func (s *Stats) mergeContainer(to, parent *node, depth uint8, from *more) {
	m := s.open(to, parent, depth)
	if m.collapsed {
		return
	}
	if from.collapsed {
		s.charge(to, weightMax(depth)+1)
		return
	}
	if from.elem != nil {
		s.mergeNode(s.element(to), to, depth+1, from.elem)
	}
	if from.kids == nil {
		return
	}
	for _, kid := range from.kids.table {
		if kid == nil || m.collapsed {
			continue
		}
		if into := s.member(to, []byte(kid.name)); into != nil {
			s.mergeNode(into, to, depth+1, kid)
		}
	}
}
