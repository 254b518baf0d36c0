package codec

import (
	"io"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// Reader yields the items of one stream in order.
type Reader interface {
	// Read resets b and fills it with the next items; b.File is left to the caller, FirstLine, Offset and Row.Line are
	// set. io.EOF ends the stream (with b empty). A record that cannot become an item is handed to the Rejects function
	// given at construction and skipped; damage that ends the stream (a broken compression frame, a lying page) is an
	// error of kind Corrupt with its offset.
	Read(b *item.Batch) error
}

// Reject is one record that could not become an item.
type Reject struct {
	Place fault.Place // line and offset in the stream
	Raw   []byte      // the record's bytes; valid during the call only
	Err   error
}

// Rejects receives records that could not become items. Returning an error stops the reader with it.
type Rejects func(Reject) error

// Writer encodes items onto one stream.
type Writer interface {
	// Write encodes the batch; it may keep bytes back until Close. After it returns the caller may reuse b.
	Write(b *item.Batch) error
	// Close writes what is kept back and ends the stream. It does not close the io.Writer below.
	Close() error
}

// EOF is io.EOF, named here so that callers of Read see where it comes from.
var EOF = io.EOF
