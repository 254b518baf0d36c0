package delivery

import (
	"strconv"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/column"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
	"dynaferry/internal/row"
)

// pinned are the columns by wish: ours, then those of the settings, which are of the items' attributes.
func (s *Settings) pinned() (*column.Schema, error) {
	ours, err := row.Schema(s.Images)
	if err != nil || s.Columns == nil {
		return ours, err
	}
	switch s.Images {
	case New:
		return s.Columns, nil
	case Both:
		for _, name := range []string{"new", "old"} {
			ours.Fields = append(ours.Fields, &column.Field{Name: name, Source: name, Kind: column.Struct, Type: item.M, Fields: s.Columns.Fields})
		}
	default:
		for _, f := range s.Columns.Fields {
			if row.Ours([]byte(f.Source)) {
				return nil, fault.New(fault.User, "column %s: _op, _time and _position are of the change", f.Source)
			}
		}
		ours.Fields = append(ours.Fields, s.Columns.Fields...)
	}
	return ours, nil
}

// shaper makes rows and lines of changes; it is for one goroutine.
type shaper struct {
	images Images
	rows   row.Shaper
}

// row appends the row of a change to b; ok is false when it makes none.
func (s *shaper) row(b *item.Batch, c *Change) (ok bool) {
	return s.rows.Row(b, s.images, &row.Change{Op: c.operation(), Micros: c.Micros, Position: position(c), Keys: c.Keys, New: c.New, Old: c.Old})
}

// position is a change's place in its shard as text; "" of one that has none.
func position(c *Change) string {
	if c.Position.Sub == 0 {
		return string(c.Position.Seq)
	}
	return c.Position.String()
}

// line appends a change as DynamoDB JSON; ok is false when it makes no line.
func (s *shaper) line(dst []byte, c *Change) (_ []byte, ok bool) {
	switch s.images {
	case New:
		if !has(c.New) {
			return dst, false
		}
		return ddbjson.AppendLine(dst, c.New, ddbjson.Wrapped), true
	case Both:
		return append(exportLine(dst, c), '\n'), true
	}
	if !c.Changed {
		return append(append(dst, c.Raw...), '\n'), true
	}
	return append(recordLine(dst, c), '\n'), true
}

// exportLine appends a change as a line of an incremental export.
func exportLine(dst []byte, c *Change) []byte {
	dst = append(dst, `{"Metadata":{"WriteTimestampMicros":{"N":"`...)
	dst = strconv.AppendInt(dst, c.Micros, 10)
	dst = append(dst, `"}},"Keys":`...)
	dst = appendImage(dst, c.Keys)
	if has(c.New) {
		dst = appendImage(append(dst, `,"NewImage":`...), c.New)
	}
	if has(c.Old) {
		dst = appendImage(append(dst, `,"OldImage":`...), c.Old)
	}
	return append(dst, '}')
}

func appendImage(dst []byte, it item.Item) []byte {
	if item.IsCompact(it) {
		return append(dst, it.Raw()...)
	}
	return item.AppendCompact(dst, it)
}

// recordLine appends a record of DynamoDB Streams that a step has changed, with what there is besides images.
func recordLine(dst []byte, c *Change) []byte {
	dst = append(dst, `{"eventID":`...)
	dst = item.AppendString(dst, c.EventID)
	dst = append(dst, `,"eventName":"`...)
	dst = append(dst, map[feed.Event]string{feed.Insert: "INSERT", feed.Modify: "MODIFY", feed.Remove: "REMOVE"}[c.Event]...)
	dst = append(dst, `","eventSource":"aws:dynamodb","dynamodb":{"ApproximateCreationDateTime":`...)
	dst = strconv.AppendInt(dst, c.Micros/1e6, 10)
	dst = append(dst, `,"Keys":`...)
	dst = appendImage(dst, c.Keys)
	if has(c.New) {
		dst = appendImage(append(dst, `,"NewImage":`...), c.New)
	}
	if has(c.Old) {
		dst = appendImage(append(dst, `,"OldImage":`...), c.Old)
	}
	if c.Position.Seq != "" {
		dst = append(append(append(dst, `,"SequenceNumber":"`...), c.Position.Seq...), '"')
	}
	dst = append(dst, '}')
	if c.Service {
		dst = append(dst, `,"userIdentity":{"type":"Service","principalId":"dynamodb.amazonaws.com"}`...)
	}
	return append(dst, '}')
}
