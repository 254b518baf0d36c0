package delivery

import (
	"context"

	"dynaferry/internal/feed"
	"dynaferry/internal/item"
	"dynaferry/internal/row"
)

// Change is one record of the log on its way into files, as steps see it.
type Change struct {
	Shard    string // "" in a compacted entry
	Position feed.Position
	Event    feed.Event
	State    bool  // final state of a healed gap: Event is Modify, or Remove of what was gone then
	Service  bool  // by DynamoDB itself, as TTL deletes are
	Micros   int64 // when it happened: the running maximum along the lineage
	EventID  []byte
	Raw      []byte // the record as the service gave it; not what steps made of it

	// Keys, New and Old are the images; one that the record does not carry has no tape. A Transform may put others in
	// their place, and then sets Changed.
	Keys, New, Old item.Item
	Changed        bool
	Fate           Fate
	Reason         string // of Refused
	record         int    // index in its page
}

// Fate is what becomes of a change.
type Fate uint8

// The fates.
const (
	Kept Fate = iota
	Dropped
	Refused // goes to the dead letters, with a reason
)

// Transform is what steps do to changes.
type Transform interface {
	// Pure tells that the same change always becomes the same. What is not pure is made durable before it is used, and
	// not done again.
	Pure() bool
	// Apply takes changes in the order of their shard, and sets what becomes of each. Items that it puts in place stay as
	// they are until the next Apply. An error stops the delivery, of a retryable kind for a while; a change that cannot
	// pass is Refused instead. It is called by one goroutine at a time.
	Apply(ctx context.Context, changes []Change) error
}

// has tells whether an image is there.
func has(it item.Item) bool { return len(it.Tape) > 0 }

// image is the item that a change is about, as well as it is known: now, before, or its keys.
func (c *Change) image() item.Item {
	switch {
	case has(c.New):
		return c.New
	case has(c.Old):
		return c.Old
	}
	return c.Keys
}

// operation is what happened, in DynamoDB's words; STATE of the final state of a healed gap.
func (c *Change) operation() string {
	switch {
	case c.Event == feed.Remove:
		return row.Remove
	case c.State:
		return row.State
	case c.Event == feed.Insert:
		return row.Insert
	}
	return row.Modify
}
