package codec

import "dynaferry/internal/item"

// ChangeReader yields the changes of one stream in order: records of an incremental export.
type ChangeReader interface {
	// ReadChanges resets b and fills it with the next changes. What Reader.Read says of ends, rejects and damage holds here.
	ReadChanges(b *item.Changes) error
}
