package commit

import (
	"crypto/rand"
	"encoding/hex"
)

// ID is a write id: drawn at random by the writer for one write alone, so that it knows its own object again.
type ID [16]byte

// NewID draws one.
func NewID() (id ID) {
	_, _ = rand.Read(id[:]) // never fails since Go 1.24
	return id
}

// String is the id in hex.
func (id ID) String() string { return hex.EncodeToString(id[:]) }
