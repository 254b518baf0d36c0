package json

import (
	"bytes"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// typedParser turns records of DynamoDB JSON into items of the batch.
type typedParser struct {
	shape ddbjson.Shape
	batch *item.Batch
}

func (p *typedParser) begin(b *item.Batch) { p.batch = b }

func (p *typedParser) parse(raw []byte, place fault.Place) error {
	b := p.batch
	from, stream := len(b.Src), b.Offset
	b.Src, b.Offset = append(b.Src, raw...), 0 // offsets within Src are none of the stream's: what stood between records is left out
	err := ddbjson.ParseRecord(b, from, p.shape)
	b.Offset = stream
	if err == nil {
		b.Rows[len(b.Rows)-1].Line = uint32(place.Line - b.FirstLine)
		return nil
	}
	b.Src = b.Src[:from]
	at := fault.PlaceOf(err)
	inside := min(max(at.Offset-int64(from), 0), int64(len(raw)))
	place.Line += int64(bytes.Count(raw[:inside], newline))
	place.Offset, place.Path = place.Offset+inside, at.Path
	if e, ok := err.(*fault.Error); ok && e.Place != (fault.Place{}) {
		err = e.Err
	}
	return fault.At(err, place)
}
