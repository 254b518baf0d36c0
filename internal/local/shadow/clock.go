package shadow

import (
	"sync/atomic"
	"time"
)

// Clock is the time that the next write of a store bears. While nothing is followed it is the wall's. Until a keeper has
// looked at what is followed it stands still, at the store's last time: a write then must not outrun changes that are still to come.
type Clock struct {
	wall   func() time.Time
	pinned atomic.Int64 // Unix ms, 0: the wall's
}

// still is before any time of a store.
const still = 1

// NewClock returns a clock that stands still until a keeper's Resumed.
func NewClock(wall func() time.Time) *Clock {
	c := &Clock{wall: wall}
	c.pinned.Store(still)
	return c
}

// Now is the clock's time; the store never lets it run backwards.
func (c *Clock) Now() time.Time {
	if ms := c.pinned.Load(); ms != 0 {
		return time.UnixMilli(ms)
	}
	return c.wall()
}
