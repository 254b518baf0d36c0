package backup

import (
	"fmt"
	"slices"
	"time"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
)

// Point is a time at which the table can be made, and what of.
type Point struct {
	At         time.Time
	Base       Link
	By         string // how the base was made
	Windows    []Link // laid over the base, in order
	Table      Table
	Definition *dynamo.Definition // as of the backup that At is of
	Number     int                // of that backup
}

// window is a link of changes with the backup that tells it.
type window struct {
	Link
	of *Backup
}

// windows are all changes of a table, in their order.
func (c *Catalogue) windows(table string) []window {
	var all []window
	for i := range c.Backups {
		if b := &c.Backups[i]; b.Kind == Changes && b.Table.ID == table {
			for _, l := range b.Links {
				all = append(all, window{l, b})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b window) int { return a.From.Compare(b.From) })
	return all
}

// Points are all times that the catalogue covers, in their order; of one time the way with the fewest windows, and of those
// the newest.
func (c *Catalogue) Points() []Point {
	at := map[int64]Point{}
	put := func(p Point) {
		if have, ok := at[p.At.UnixMilli()]; !ok || len(p.Windows) <= len(have.Windows) {
			at[p.At.UnixMilli()] = p
		}
	}
	for i := range c.Backups {
		b := &c.Backups[i]
		if b.Kind != Base {
			continue
		}
		base := b.Links[0]
		put(Point{At: base.To, Base: base, By: b.By, Table: b.Table, Definition: &b.Definition, Number: b.Number})
		chain, _ := c.chain(b)
		for n, w := range chain {
			if w.To.After(base.To) { // a scan has no state before its end
				put(Point{At: w.To, Base: base, By: b.By, Windows: links(chain[:n+1]), Table: b.Table, Definition: &w.of.Definition, Number: w.of.Number})
			}
		}
	}
	points := make([]Point, 0, len(at))
	for _, p := range at {
		points = append(points, p)
	}
	slices.SortFunc(points, func(a, b Point) int { return a.At.Compare(b.At) })
	return points
}

// start is from when on a base needs changes.
func start(b *Backup) time.Time {
	l := b.Links[0]
	if l.scanned(b.Kind) {
		return l.From
	}
	return l.To
}

// chain are the windows that join a base one after another, and the hole that ends them where there are later ones. The
// base of a scan may lie within its first window.
func (c *Catalogue) chain(b *Backup) (chain []window, hole *HoleError) {
	end := start(b)
	scanned := b.Links[0].scanned(b.Kind)
	for _, w := range c.windows(b.Table.ID) {
		switch {
		case !w.To.After(end): // of before
		case w.From.Equal(end), scanned && len(chain) == 0 && w.From.Before(end):
			chain, end = append(chain, w), w.To
		case w.From.Before(end) && len(chain) == 0: // a moment in the middle of a window: no changes join it
			return nil, nil
		default:
			last := b.Number
			if len(chain) > 0 {
				last = chain[len(chain)-1].of.Number
			}
			return chain, &HoleError{From: end, To: w.From, Before: last, After: w.of.Number}
		}
	}
	return chain, nil
}

func links(chain []window) []Link {
	all := make([]Link, len(chain))
	for i, w := range chain {
		all[i] = w.Link
	}
	return all
}

// Holes are the stretches of time that are missing in the chains of bases.
func (c *Catalogue) Holes() []*HoleError {
	var holes []*HoleError
	for i := range c.Backups {
		b := &c.Backups[i]
		if b.Kind != Base {
			continue
		}
		if _, hole := c.chain(b); hole != nil && !c.spanned(hole) {
			holes = append(holes, hole)
		}
	}
	return slices.CompactFunc(holes, func(a, b *HoleError) bool { return a.From.Equal(b.From) && a.To.Equal(b.To) })
}

// spanned tells whether a base stands between the two sides of a hole: its chain goes on from there.
func (c *Catalogue) spanned(h *HoleError) bool {
	return slices.ContainsFunc(c.Backups, func(b Backup) bool {
		return b.Kind == Base && !start(&b).Before(h.From) && !start(&b).After(h.To) && b.Number != h.Before
	})
}

// HoleError tells that changes are missing between two backups.
type HoleError struct {
	From, To      time.Time
	Before, After int // numbers of the backups on both sides
}

// Error names both sides.
func (e *HoleError) Error() string {
	return fmt.Sprintf("the chain has a hole: the changes from %s to %s, between backup %d and backup %d, are missing", Stamp(e.From), Stamp(e.To), e.Before, e.After)
}

// NoPointError tells that a time is none that the catalogue covers, and the nearest that are; zero where there is none.
type NoPointError struct{ At, Before, After time.Time }

// Error names them.
func (e *NoPointError) Error() string {
	text := fmt.Sprintf("no backup shows the table of %s", Stamp(e.At))
	switch {
	case e.Before.IsZero() && e.After.IsZero():
		return text
	case e.Before.IsZero():
		return text + "; the first is of " + Stamp(e.After)
	case e.After.IsZero():
		return text + "; the last is of " + Stamp(e.Before)
	}
	return text + fmt.Sprintf("; the nearest are of %s and %s", Stamp(e.Before), Stamp(e.After))
}

// At chooses what the table of a time is made of; the zero time is the latest. *NoPointError and *HoleError tell why there
// is nothing to choose.
func (c *Catalogue) At(at time.Time) (*Point, error) {
	points := c.Points()
	if len(points) == 0 {
		return nil, fault.New(fault.NotFound, "the catalogue has no base: changes alone make no table")
	}
	if at.IsZero() {
		p := points[len(points)-1]
		if hole := c.behind(p.At); hole != nil {
			return nil, fault.Hint(fault.As(fault.Corrupt, hole), "restore what is before the hole: --at %s", Stamp(p.At))
		}
		return &p, nil
	}
	i, found := slices.BinarySearchFunc(points, at, func(p Point, t time.Time) int { return p.At.Compare(t) })
	if found {
		return &points[i], nil
	}
	e := &NoPointError{At: at}
	if i > 0 {
		e.Before = points[i-1].At
	}
	if i < len(points) {
		e.After = points[i].At
	}
	for _, hole := range c.Holes() {
		if at.After(hole.From) && (e.After.IsZero() || at.Before(e.After)) {
			return nil, fault.Hint(fault.As(fault.Corrupt, hole), "restore what is before the hole: --at %s", Stamp(hole.From))
		}
	}
	return nil, fault.As(fault.User, e)
}

// Until chooses the latest time that the catalogue covers and that is not after at; ok is false when there is none.
func (c *Catalogue) Until(at time.Time) (p Point, ok bool) {
	for _, point := range c.Points() {
		if !point.At.After(at) {
			p, ok = point, true
		}
	}
	return p, ok
}

// behind finds a hole that hides changes later than the last point.
func (c *Catalogue) behind(last time.Time) *HoleError {
	for _, hole := range c.Holes() {
		if !hole.From.Before(last) {
			return hole
		}
	}
	return nil
}

// Open are the stretches of changes that are missing within the chain of a table's newest base, and where that chain ends: from
// there on further changes are wanted. ok is false when the table has no base here.
func (c *Catalogue) Open(table string) (holes [][2]time.Time, end time.Time, ok bool) {
	var base *Backup
	for i := range c.Backups {
		b := &c.Backups[i]
		if b.Kind == Base && b.Table.ID == table && (base == nil || !start(b).Before(start(base))) {
			base = b
		}
	}
	if base == nil {
		return nil, time.Time{}, false
	}
	end = start(base)
	for _, w := range c.windows(table) {
		if !w.To.After(end) {
			continue
		}
		if w.From.After(end) {
			holes = append(holes, [2]time.Time{end, w.From})
		}
		end = w.To
	}
	return holes, end, true
}
