package store

import "time"

// LastTime is the time of the last write, which none after it comes before; zero when there was none.
func (s *Store) LastTime() time.Time {
	if ms := s.latest.Load(); ms != 0 {
		return time.UnixMilli(ms)
	}
	return time.Time{}
}
