package store

import (
	"errors"
	"time"
)

// StreamKeep is how long the records of a stream stay readable, also after it has ended or its table is gone.
const StreamKeep = 24 * time.Hour

// ErrTrimmed is what ReadShard's error wraps when records behind the asked position are gone after StreamKeep.
var ErrTrimmed = errors.New("stream records are trimmed")

// Stream is one stream, open or ended less than StreamKeep ago.
type Stream struct {
	ID     StreamID
	Table  TableID
	Opened time.Time
	Closed time.Time // zero: open
}

// Shard is a part of a stream: the changes of the keys whose hash lies in [Lo, Hi], from when it opened until it
// closed. A shard that was split or rolled has children, whose Parent it is, and which hold what came later.
type Shard struct {
	ID          uint32 // unique over all streams
	Parent      uint32 // 0: none, or gone
	First, Last uint64 // its records have sequence numbers in (First, Last]; Last 0: open
	Opened      time.Time
	Closed      time.Time // zero: open
	Lo, Hi      uint64
}

// Change is one change of an item, or what several came to. The bytes are the caller's.
type Change struct {
	Seq      uint64    // unique and rising over all tables
	Time     time.Time // to the millisecond, never falls
	Key      Key
	Old, New []byte // nil: there was none, is none, or (Old) Settings do not ask for it
	Service  bool   // see Write
}

// Page is a part of a shard.
type Page struct {
	Changes []Change
	Next    uint64 // the after of the next call; it rises also when there was nothing, so a quiet reader is never trimmed
	End     bool   // the shard is closed and this was its last part
}
