package commit

import (
	"context"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

// Object is a decision in a binary form of the caller's, which bears its write id near its end.
type Object struct {
	Data []byte
	ID   ID // the one that Data bears, drawn with NewID for this write alone
	// Tail is how many bytes at the end are read back to find who won: at least those that bear the id. More of them save
	// the loser a read.
	Tail int64
	// IDOf finds the id in the tail of an object of this form and checks what it rests on. What is no such object is an
	// error of kind Corrupt.
	IDOf        func(tail []byte) (ID, error)
	ContentType string
}

// Standing is a known outcome of PutBytes: what stands under the name.
type Standing struct {
	Won  bool
	Tail []byte    // the last Object.Tail bytes, or all if there are fewer
	Info blob.Info // of an object that was read back; zero when the first answer came
}

// PutBytes is Put for an object that is no JSON: o stands under name if nobody was first. Its outcomes and errors are
// Put's, and it retries by itself as Put does; o.Data is not kept.
func PutBytes(ctx context.Context, b blob.Bucket, name string, o Object, opts Options) (Standing, error) {
	if len(o.Data) > SizeMax {
		return Standing{}, fault.New(fault.Limit, "commit object %s of %d bytes; at most %d", name, len(o.Data), SizeMax)
	}
	standing := Standing{Tail: o.Data[max(0, len(o.Data)-int(o.Tail)):]}
	won, err := decide(ctx, b, name, o.Data, o.ContentType, o.ID, opts, func(ctx context.Context) (bool, error) {
		there, err := fault.Again(ctx, func() (there Standing, err error) {
			there.Tail, there.Info, err = blob.ReadRange(ctx, b, name, blob.ReadOptions{Offset: -o.Tail}, o.Tail)
			if err == nil {
				var id ID
				id, err = o.IDOf(there.Tail)
				there.Won = id == o.ID
			}
			return there, err
		})
		if err == nil {
			standing = there
		}
		return there.Won, err
	})
	if err != nil {
		return Standing{}, err
	}
	standing.Won = won
	return standing, nil
}
