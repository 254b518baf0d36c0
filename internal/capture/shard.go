package capture

import (
	"time"

	"dynaferry/internal/feed"
	"dynaferry/internal/planted"
)

// shard is where one stands behind all that was added to the builder.
type shard struct {
	feed.Shard
	end  feed.Position // of the last record that was added or passed over
	time int64         // the greatest time of its records and its parents'
	// basis is the time before which no record is missing, or it is told as a gap: the greatest time, or tip, or when it
	// was taken up.
	basis  int64
	closed bool // drained

	iterator string
	horizon  bool // open the next iterator at the oldest record
	trimmed  bool // since the service refused the position
	unjudged bool // the next page is the first since it was opened where records may be missing

	pace     pace
	at       time.Time // when the next page is due
	index    int       // in the schedule; -1 outside
	failures int       // calls in a row
	heard    bool      // a page came
	absent   time.Time // since when the service says that there is no such shard
	absences int
	gone     bool // it is certain

	quiet []int64 // when the last empty pages in a row were asked for: µs by the service's clock
	tip   int64   // seen at its open end: every record of before was read
	told  int64   // what of that was given to the builder
	ahead bool    // at its open end, or nearly: else pages are read as fast as may be
	size  int     // bytes of its records, about

	lookAt    time.Time // when its children are asked for, once it is closed
	looks     int
	known     bool // children were seen
	asking    bool
	elsewhere bool // its child is of another group

	restored, forgotten bool // for planted bugs
}

const (
	// How a tip is recognised on DynamoDB Streams, where empty pages come in the middle of a shard too: so many in a row,
	// over so long, all asked for so long after the time that is marked.
	tipPages = 5
	tipOver  = 10 * time.Second
	tipAfter = 60 * time.Second
	// Kinesis says how far behind a page is; twice 0 is enough.
	tipPagesKinesis = 2
	// tipStep is how much a mark must be newer than the last to be told along with records.
	tipStep = int64(time.Minute / time.Microsecond)
)

// enter makes a shard of this life.
func (g *group) enter(from feed.Shard) *shard {
	s := &shard{Shard: from, index: -1}
	g.shards[s.ID], g.over[s.ID] = s, true
	g.list = append(g.list, s)
	return s
}

// empty notes a page that shows that the shard had nothing more when it was asked for, and tells whether the tip moved.
func (s *shard) empty(asked int64, kinesis bool) bool {
	s.quiet = append(s.quiet, asked)
	pages, over := tipPages, tipOver.Microseconds()
	if kinesis {
		pages, over = tipPagesKinesis, 0
	}
	for len(s.quiet) > pages && asked-s.quiet[1] >= over {
		s.quiet = s.quiet[1:]
	}
	s.ahead = s.ahead || len(s.quiet) >= pages
	tip := s.quiet[0] - tipAfter.Microseconds()
	if planted.Is(planted.TipAtOnce) {
		tip = asked
	} else if len(s.quiet) < pages || asked-s.quiet[0] < over {
		return false
	}
	if tip <= s.tip {
		return false
	}
	s.tip, s.basis = tip, max(s.basis, tip)
	return true
}

// reopen makes the next read open an iterator again.
func (s *shard) reopen() { s.iterator, s.quiet = "", nil }

// look begins to ask for a closed shard's children.
func (s *shard) look(known bool) {
	s.lookAt, s.looks, s.known = time.Now(), 0, known
}

const (
	lookFirst = time.Second
	lookMax   = time.Minute
	// lookSure is how often children are asked for after the first were seen: others may be listed later.
	lookSure = 8
)

// looked says when to ask again, false when no more is to come.
func (s *shard) looked() bool {
	s.looks++
	s.lookAt = time.Now().Add(min(lookFirst<<min(s.looks-1, 10), lookMax))
	return !s.known || s.looks < lookSure
}
