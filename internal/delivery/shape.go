package delivery

import (
	"strconv"
	"time"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/column"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
)

// The columns in front of a change row's attributes, and the members of a row with both images. An attribute that has a name of
// the former, or one with underscores behind it, gets one underscore more.
const (
	opColumn       = "_op"
	timeColumn     = "_time"
	positionColumn = "_position"
)

// changeSchema pins the columns that are ours.
func changeSchema(images Images) (*column.Schema, error) {
	names := map[Images][3]string{Changes: {opColumn, timeColumn, positionColumn}, Both: {"op", "time", "position"}}[images]
	if names[0] == "" {
		return nil, nil
	}
	return column.ParseSchema([]byte(`{"version":1,"columns":[{"name":"` + names[0] + `","type":"S","kind":"text"},` +
		`{"name":"` + names[1] + `","type":"S","kind":"timestamp","format":"` + column.FormatISOus + `"},` +
		`{"name":"` + names[2] + `","type":"S","kind":"text"}]}`))
}

// pinned are the columns by wish: ours, then those of the settings, which are of the items' attributes.
func (s *Settings) pinned() (*column.Schema, error) {
	ours, err := changeSchema(s.Images)
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
			if ourName([]byte(f.Source)) {
				return nil, fault.New(fault.User, "column %s: _op, _time and _position are of the change", f.Source)
			}
		}
		ours.Fields = append(ours.Fields, s.Columns.Fields...)
	}
	return ours, nil
}

// ourName tells whether an attribute's name is one of ours, or that with underscores behind it.
func ourName(name []byte) bool {
	if len(name) < len(opColumn) || name[0] != '_' {
		return false
	}
	end := len(name)
	for end > 0 && name[end-1] == '_' {
		end--
	}
	switch string(name[:end]) {
	case opColumn, timeColumn, positionColumn:
		return true
	}
	return false
}

// shaper makes rows of changes; it is for one goroutine.
type shaper struct {
	images Images
	build  item.Builder
	text   []byte
	second int64 // of the time in stamp
	stamp  []byte
}

// row appends the row of a change to b; ok is false when it makes none.
func (s *shaper) row(b *item.Batch, c *Change) (ok bool) {
	if s.images == New && !has(c.New) {
		return false
	}
	w := &s.build
	w.Reset(b)
	w.Begin(uint32(len(b.Rows)))
	switch s.images {
	case New:
		s.members(w, c.New, false)
	case Changes:
		s.what(w, c, opColumn, timeColumn, positionColumn)
		s.members(w, c.image(), true)
	case Both:
		s.what(w, c, "op", "time", "position")
		s.image(w, "keys", c.Keys)
		s.image(w, "new", c.New)
		s.image(w, "old", c.Old)
	}
	w.Finish()
	return true
}

func (s *shaper) what(w *item.Builder, c *Change, op, at, position string) {
	w.Name(op)
	w.PlainString([]byte(c.operation()))
	w.Name(at)
	w.PlainString(s.time(c.Micros))
	if !c.Position.IsZero() {
		w.Name(position)
		s.text = append(s.text[:0], c.Position.Seq...)
		if c.Position.Sub > 0 {
			s.text = strconv.AppendUint(append(s.text, '.'), c.Position.Sub, 10)
		}
		w.PlainString(s.text)
	}
}

// time is a time as text, with six decimals.
func (s *shaper) time(micros int64) []byte {
	second := micros / 1e6
	if s.stamp == nil || second != s.second {
		s.second = second
		s.stamp = time.Unix(second, 0).UTC().AppendFormat(s.stamp[:0], "2006-01-02T15:04:05.000000Z")
	}
	fraction := s.stamp[len(s.stamp)-len("000000Z"):]
	for i, rest := 5, micros%1e6; i >= 0; i-- {
		fraction[i] = byte('0' + rest%10)
		rest /= 10
	}
	return s.stamp
}

func (s *shaper) image(w *item.Builder, name string, it item.Item) {
	if has(it) {
		w.Name(name)
		w.Raw(it, 0)
	}
}

// members appends the attributes of an item. With ours, those that have names of ours get others.
func (s *shaper) members(w *item.Builder, it item.Item, ours bool) {
	for i := 1; i < len(it.Tape); i += 1 + int(it.Tape[i+1].Skip) {
		if ours && (it.Src[it.Tape[i].Off] == '_' || it.Tape[i].Flags&item.Escaped != 0) {
			if name := it.Text(i); ourName(name) {
				w.Name(string(name) + "_")
				w.Raw(it, i+1)
				continue
			}
		}
		w.RawName(it, i)
		w.Raw(it, i+1)
	}
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
