package capture

// doubts counts what of the group's stream has not answered yet, or answered what may be better later: that no record came means
// nothing until all of it has.
func (g *group) doubts() {
	n := int64(len(g.lost) + len(g.waiting) + len(g.orphans))
	if !g.listed || g.refused > 0 || g.telling {
		n++
	}
	for _, s := range g.list {
		if !s.absent.IsZero() && !s.gone || !s.closed && (!s.heard || s.failures > 0) {
			n++
		}
	}
	g.o.Metrics.Unsure.Add(n - g.doubted)
	g.doubted = n
}
