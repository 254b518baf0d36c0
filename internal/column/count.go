package column

import "dynaferry/internal/item"

// node returns the Stats' node of a column, making it if need be: call it only when something was counted there. What
// the Stats no longer track gets a node that nobody sees.
func (s *Shredder) node(c *col) *node {
	if c.node != nil {
		return c.node
	}
	switch {
	case c.parent == s.root:
		c.node = s.stats.attribute([]byte(c.field.Source))
	case s.collapsed(c.parent):
	case c.parent.field.Kind == List:
		c.node = s.stats.element(s.node(c.parent))
	default:
		c.node = s.stats.member(s.node(c.parent), []byte(c.field.Source))
	}
	if c.node == nil {
		c.node = &node{}
	}
	return c.node
}

// open makes the node of a container ready for what lies in it.
func (s *Shredder) open(c *col) *more {
	n := s.node(c)
	if n.more != nil && n.more.depth > 0 {
		return n.more
	}
	var above *node
	if c.parent != s.root {
		above = s.node(c.parent)
	}
	return s.stats.open(n, above, c.depth())
}

// collapsed tells whether the Stats have given up on what lies in c.
func (s *Shredder) collapsed(c *col) bool {
	return s.stats != nil && c != s.root && s.open(c).collapsed
}

// depth is 1 at the top level.
func (c *col) depth() uint8 {
	depth := uint8(0)
	for ; c.parent != nil; c = c.parent {
		depth++
	}
	return depth
}

// observe counts a value that its column does not count itself.
func (s *Shredder) observe(c *col, it item.Item, i int) {
	if s.stats == nil || c.parent.field.Type.IsSet() {
		return
	}
	var above *node
	if c.parent != s.root {
		above = s.node(c.parent)
	}
	s.stats.value(s.node(c), above, c.depth(), it, i)
}

// flush moves the counts of c and all below to the Stats.
func (s *Shredder) flush(c *col) {
	if c.parent != nil && c.parent.field.Type.IsSet() {
		c.count = 0 // a set is counted as one value
	}
	if c.count > 0 {
		s.node(c).add(c.field.Type, c.count)
		if c.field.Kind == Struct || c.field.Type == item.L {
			s.open(c)
		}
	}
	if c.nulls > 0 {
		s.node(c).nulls += c.nulls
	}
	c.count, c.nulls = 0, 0
	if len(c.bins) > 0 {
		s.flushNumbers(c)
	}
	if c.elem != nil {
		s.flush(c.elem)
	}
	for _, kid := range c.kids {
		s.flush(kid)
	}
}

func (s *Shredder) flushNumbers(c *col) {
	for i, n := range c.bins {
		if n > 0 {
			s.countNumber(c, makeShape(i/binScales, i%binScales), uint64(n))
			c.bins[i] = 0
		}
	}
}

// countNumber counts numbers of a shape; those of a set are the set's.
func (s *Shredder) countNumber(c *col, sh shape, by uint64) {
	if s.stats == nil {
		return
	}
	if c.parent.field.Type == item.NS {
		s.node(c.parent).extend().members.add(sh, by)
		return
	}
	n := s.node(c)
	n.add(item.N, by)
	n.number(sh, by)
}

// known returns the node of a column if the Stats have one.
func (s *Shredder) known(c *col) *node {
	if c.parent == s.root {
		return s.stats.top.find([]byte(c.field.Source))
	}
	above := s.known(c.parent)
	switch {
	case above == nil || above.more == nil:
		return nil
	case c.parent.field.Kind == List:
		return above.more.elem
	case above.more.kids == nil:
		return nil
	}
	return above.more.kids.find([]byte(c.field.Source))
}
