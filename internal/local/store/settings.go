package store

import (
	"encoding/binary"
	"math"
	"time"
)

// table is what the store knows of a table, also of a dropped one while its history is kept.
type table struct {
	Table
	since   int64 // Unix ms: the history begins here; with History 0 it means nothing
	dropped int64 // Unix ms, 0: it is there
}

// never is when a history begins, or a table was dropped, whose record is not yet durable.
const never = math.MaxInt64

// indexed tells whether writes have entries.
func (t *table) indexed() bool { return len(t.Settings.Indexes) > 0 }

// tellsOld tells whether records say what was before them.
func (t *table) tellsOld() bool {
	return t.Settings.History > 0 || t.Settings.Stream != 0 && t.Settings.OldImages
}

// Flags of encoded settings.
const settingOldImages = 1 << 0

// appendSettings is the form of settings in records and in the index: flags, stream, shards, history in ms, when it
// began in Unix ms (0: with this record), when the table was dropped (0: not), the indexes; all uvarints.
func (t *table) appendSettings(dst []byte) []byte {
	flags := uint64(0)
	if t.Settings.OldImages {
		flags |= settingOldImages
	}
	began := t.since
	if began == never {
		began = 0
	}
	for _, n := range []uint64{flags, uint64(t.Settings.Stream), uint64(t.Settings.Shards),
		uint64(t.Settings.History.Milliseconds()), uint64(began), uint64(t.dropped)} {
		dst = binary.AppendUvarint(dst, n)
	}
	for _, index := range t.Settings.Indexes {
		dst = binary.AppendUvarint(dst, uint64(index))
	}
	return dst
}

func (t *table) parseSettings(b []byte) bool {
	if len(b) == 0 {
		return true // written before there were any
	}
	p := cursor{b: b}
	flags := p.uvarint()
	t.Settings.OldImages = flags&settingOldImages != 0
	t.Settings.Stream = StreamID(p.uint32())
	t.Settings.Shards = int(p.uint32())
	t.Settings.History = time.Duration(p.uvarint()) * time.Millisecond
	t.since, t.dropped = int64(p.uvarint()), int64(p.uvarint())
	for p.at < len(b) && !p.bad {
		t.Settings.Indexes = append(t.Settings.Indexes, IndexID(p.uint32()))
	}
	return !p.bad && flags&^settingOldImages == 0
}

// appendTable is the value of D/<table>: the name's length, the name, the definition.
func appendTable(dst []byte, name string, definition []byte) []byte {
	return append(appendBytes(dst, []byte(name)), definition...)
}

func (t *table) parse(v []byte) bool {
	p := cursor{b: v}
	t.Name = string(p.bytes())
	t.Definition = append([]byte(nil), v[p.at:]...)
	return !p.bad
}
