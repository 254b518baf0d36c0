package capture

import "github.com/zeebo/xxh3"

// seenRecords is how many records back a double is recognised: the service tells no window; doubles that were seen come
// from a batch that was sent again, of 500 at most.
const seenRecords = 1 << 16

// seen remembers the last records of a Kinesis stream by their event ids.
type seen struct {
	ids  map[xxh3.Uint128]struct{}
	ring []xxh3.Uint128
	next int
}

// before tells whether an event was seen, and remembers it. Records without id are never doubles.
func (s *seen) before(event []byte) bool {
	if len(event) == 0 {
		return false
	}
	id := xxh3.Hash128(event)
	if _, has := s.ids[id]; has {
		return true
	}
	if s.ids == nil {
		s.ids = map[xxh3.Uint128]struct{}{}
	}
	if len(s.ring) < seenRecords {
		s.ring = append(s.ring, id)
	} else {
		delete(s.ids, s.ring[s.next])
		s.ring[s.next] = id
		s.next = (s.next + 1) % seenRecords
	}
	s.ids[id] = struct{}{}
	return false
}
