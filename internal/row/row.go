package row

import (
	"time"

	"dynaferry/internal/column"
	"dynaferry/internal/item"
)

// Images is what of a change becomes a row.
type Images string

// The kinds of rows.
const (
	New     Images = "new"     // the item as it is now; deletions give none
	Both    Images = "both"    // what happened, keys, the item now and before, apart from each other
	Changes Images = "changes" // what happened in front of the attributes of the item now, or before when it is gone
)

// What happened, in DynamoDB's words.
const (
	Insert = "INSERT"
	Modify = "MODIFY"
	Remove = "REMOVE"
	State  = "STATE" // final state of a healed gap: the changes that led there are missing
)

// The members in front of a row of Changes. An attribute that has a name of them, or one with underscores behind it, gets one
// underscore more.
const (
	OpName       = "_op"
	TimeName     = "_time"
	PositionName = "_position"
)

// Change is what a row tells. An image that is not known has no tape.
type Change struct {
	Op       string
	Micros   int64  // when it happened, µs since 1970
	Position string // in its shard; "" makes no member
	Keys     item.Item
	New, Old item.Item
}

// Schema pins the columns that are no attributes of the items; nil of rows that have none.
func Schema(images Images) (*column.Schema, error) {
	names := map[Images][3]string{Changes: {OpName, TimeName, PositionName}, Both: {"op", "time", "position"}}[images]
	if names[0] == "" {
		return nil, nil
	}
	return column.ParseSchema([]byte(`{"version":1,"columns":[{"name":"` + names[0] + `","type":"S","kind":"text"},` +
		`{"name":"` + names[1] + `","type":"S","kind":"timestamp","format":"` + column.FormatISOus + `"},` +
		`{"name":"` + names[2] + `","type":"S","kind":"text"}]}`))
}

// Ours tells whether an attribute's name is one of a row of Changes, or that with underscores behind it.
func Ours(name []byte) bool {
	if len(name) < len(OpName) || name[0] != '_' {
		return false
	}
	end := len(name)
	for end > 0 && name[end-1] == '_' {
		end--
	}
	switch string(name[:end]) {
	case OpName, TimeName, PositionName:
		return true
	}
	return false
}

// Shaper makes rows; it keeps memory, and is for one goroutine.
type Shaper struct {
	build  item.Builder
	second int64 // of the time in stamp
	stamp  []byte
	text   []byte
}

func has(it item.Item) bool { return len(it.Tape) > 0 }

// Row appends the row of a change to b; ok is false when it makes none.
func (s *Shaper) Row(b *item.Batch, images Images, c *Change) (ok bool) {
	if images == New && !has(c.New) {
		return false
	}
	w := &s.build
	w.Reset(b)
	w.Begin(uint32(len(b.Rows)))
	switch images {
	case New:
		s.members(w, c.New, false)
	case Changes:
		s.what(w, c, OpName, TimeName, PositionName)
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

func (s *Shaper) what(w *item.Builder, c *Change, op, at, position string) {
	w.Name(op)
	s.text = append(s.text[:0], c.Op...)
	w.PlainString(s.text)
	w.Name(at)
	w.PlainString(s.time(c.Micros))
	if c.Position != "" {
		w.Name(position)
		s.text = append(s.text[:0], c.Position...)
		w.PlainString(s.text)
	}
}

// time is a time as text, with six decimals.
func (s *Shaper) time(micros int64) []byte {
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

func (s *Shaper) image(w *item.Builder, name string, it item.Item) {
	if has(it) {
		w.Name(name)
		w.Raw(it, 0)
	}
}

// members appends the attributes of an item. With ours, those that have names of ours get others.
func (s *Shaper) members(w *item.Builder, it item.Item, ours bool) {
	for i := 1; i < len(it.Tape); i += 1 + int(it.Tape[i+1].Skip) {
		if ours && (it.Src[it.Tape[i].Off] == '_' || it.Tape[i].Flags&item.Escaped != 0) {
			if name := it.Text(i); Ours(name) {
				w.Name(string(name) + "_")
				w.Raw(it, i+1)
				continue
			}
		}
		w.RawName(it, i)
		w.Raw(it, i+1)
	}
}
