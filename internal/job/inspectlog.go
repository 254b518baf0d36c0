package job

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/changelog"
	"dynaferry/internal/fault"
	"dynaferry/internal/world"
)

// What inspect tells of a change log (docs/formats/changelog.md): records about a log as a whole have times as all records do; those
// that show a shard, a gap, an entry or a block have the members of the format, whose times are µs since 1970.

// LogRecord describes a change log, with the members of the object log in docs/formats/changelog.md. From and To are the least and the greatest time of its records, as the stream told them.
type LogRecord struct {
	Type    string `json:"type"` // "change-log"
	Address string `json:"address"`
	changelog.Info
	Entries uint64     `json:"entries"`
	Records uint64     `json:"records"`
	Bytes   int64      `json:"bytes"` // of blocks, as stored
	From    *time.Time `json:"from,omitempty"`
	To      *time.Time `json:"to,omitempty"`
	Gaps    int        `json:"gaps"`
	Open    int        `json:"openGaps"` // that no compacted entry heals
}

// LogGroupRecord is how far one chain of a log has come.
type LogGroupRecord struct {
	Type    string     `json:"type"` // "log-group"
	Group   uint32     `json:"group"`
	Tail    uint64     `json:"tail"` // its last entry, 0 of none
	Stream  string     `json:"stream,omitempty"`
	Writer  string     `json:"writer,omitempty"` // of the last entry
	At      *time.Time `json:"at,omitempty"`     // when that was written
	Records uint64     `json:"records"`
	Bytes   int64      `json:"bytes"`
	From    *time.Time `json:"from,omitempty"`
	To      *time.Time `json:"to,omitempty"`
	Shards  int        `json:"shards"` // that are not finished
	Problem string     `json:"problem,omitempty"`
}

// LogShardRecord is where a shard stands behind the last entry of its group, with the members of a shard in docs/formats/changelog.md.
type LogShardRecord struct {
	Type  string `json:"type"` // "log-shard"
	Group uint32 `json:"group"`
	changelog.Shard
}

// LogGapRecord is a stretch of records that the stream no longer had, with the members of gap in docs/formats/changelog.md.
type LogGapRecord struct {
	Type  string `json:"type"` // "log-gap"
	Group uint32 `json:"group"`
	Entry uint64 `json:"entry"`
	changelog.GapNote
	Shards []changelog.Shard `json:"shards"`           // the records in (after, end] of each are missing
	Healed uint64            `json:"healed,omitempty"` // the first entry that tells final states of its time
}

// LogEntryRecord is one entry of a log, with the members of its payload in docs/formats/changelog.md.
type LogEntryRecord struct {
	Type    string `json:"type"` // "log-entry"
	Address string `json:"address"`
	Group   uint32 `json:"group"`
	N       uint64 `json:"n"`
	WriteID string `json:"writeId"`
	Size    int64  `json:"size"` // of the object
	Records uint64 `json:"records"`
	changelog.Entry
	Blocks int        `json:"blocks"` // each has a record of its own
	From   *time.Time `json:"from,omitempty"`
	To     *time.Time `json:"to,omitempty"`
}

// LogBlockRecord is one block of an entry, with its members in docs/formats/changelog.md. It was read to its last byte.
type LogBlockRecord struct {
	Type   string `json:"type"` // "log-block"
	Number int    `json:"number"`
	ID     string `json:"id,omitempty"` // of the shard
	changelog.Block
	Sound   bool   `json:"sound"`
	Problem string `json:"problem,omitempty"`
}

// LogIndexRecord is an index object of a log.
type LogIndexRecord struct {
	Type    string     `json:"type"` // "log-index"
	Address string     `json:"address"`
	Group   uint32     `json:"group"`
	Level   int        `json:"level"`
	K       uint64     `json:"k"`
	First   uint64     `json:"first"` // entry
	Last    uint64     `json:"last"`
	Records uint64     `json:"records"`
	From    *time.Time `json:"from,omitempty"`
	To      *time.Time `json:"to,omitempty"`
}

// LoggedRecord is one record of a log, as the stream gave it.
type LoggedRecord struct {
	Type   string          `json:"type"` // "log-record"
	Group  uint32          `json:"group"`
	Entry  uint64          `json:"entry"`
	Block  int             `json:"block"`
	Shard  string          `json:"shard,omitempty"`
	Record json.RawMessage `json:"record"`
}

// LogCountRecord is what reading all records of a log or an entry came to.
type LogCountRecord struct {
	Type    string            `json:"type"` // "log-count"
	Entries uint64            `json:"entries"`
	Blocks  uint64            `json:"blocks"`
	Records uint64            `json:"records"`
	Bytes   int64             `json:"bytes"`  // of blocks, as stored
	Raw     int64             `json:"raw"`    // of records
	Events  map[string]uint64 `json:"events"` // by eventName; of Kinesis records, which have none, ""
}

// openLog finds a change log at the address, nil when there is none.
func (i *inspection) openLog() (*changelog.Log, error) {
	head, _, err := blob.ReadRange(i.ctx, i.loc.Bucket, path.Join(i.loc.Prefix, "log"), blob.ReadOptions{Length: sniffBytes}, sniffBytes)
	if errors.Is(err, blob.ErrNotFound) || err == nil && !isEnvelope(head) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", i.at, err)
	}
	return changelog.Open(i.ctx, i.loc.Bucket, i.loc.Prefix)
}

// logged is what the entries of a log's groups came to.
type logged struct {
	sum    LogRecord
	groups []LogGroupRecord
	shards []LogShardRecord
	gaps   []LogGapRecord
	first  error
}

// changeLog describes a whole log by what its entries say. A group that is damaged is told as far as it goes, and is an error behind all
// that is told.
func (i *inspection) changeLog(l *changelog.Log) error {
	all := &logged{sum: LogRecord{Type: "change-log", Address: i.at.String(), Info: l.Info}}
	for group := range l.Groups {
		if err := all.group(i, l, group); err != nil && all.first == nil {
			all.first = err
		}
	}
	all.sum.Gaps = len(all.gaps)
	for _, g := range all.gaps {
		if g.Healed == 0 {
			all.sum.Open++
		}
	}
	if err := errors.Join(i.emit(all.sum), emitAll(i, all.groups), emitAll(i, all.shards), emitAll(i, all.gaps)); err != nil {
		return err
	}
	if all.first != nil {
		return all.first
	}
	return i.logRecords(func(yield func(*changelog.Batch, error) bool) {
		for group := range l.Groups {
			for b, err := range l.Read(i.ctx, changelog.Range{Group: group}) {
				if !yield(b, err) {
					return
				}
			}
		}
	})
}

func emitAll[R any](i *inspection, records []R) error {
	for _, r := range records {
		if err := i.emit(r); err != nil {
			return err
		}
	}
	return nil
}

// group takes the entries of a group up.
func (a *logged) group(i *inspection, l *changelog.Log, group uint32) (err error) {
	r := LogGroupRecord{Type: "log-group", Group: group}
	tail, err := l.Tail(i.ctx, group)
	if err != nil {
		return err
	}
	var state *changelog.State
	for b, readErr := range l.Entries(i.ctx, group, 1, tail) {
		if err = readErr; err != nil {
			break
		}
		state = b.State
		r.Tail, r.Stream, r.Writer, r.At = b.N, b.Stream, b.Writer, micros(b.At)
		r.Records += b.Records()
		r.Bytes += blockBytes(b.Entry)
		from, to := b.Span()
		r.From, r.To = span(r.From, r.To, from, to)
		a.gap(b.Entry)
	}
	if err == nil {
		err = l.Lost(i.ctx, group, tail)
	}
	if err != nil {
		r.Problem = err.Error()
	}
	if state != nil {
		for _, s := range state.Shards() {
			a.shards = append(a.shards, LogShardRecord{"log-shard", group, *s})
			r.Shards++
		}
	}
	a.groups = append(a.groups, r)
	a.sum.Entries, a.sum.Records, a.sum.Bytes = a.sum.Entries+r.Tail, a.sum.Records+r.Records, a.sum.Bytes+r.Bytes
	if r.From != nil {
		a.sum.From, a.sum.To = span(a.sum.From, a.sum.To, r.From.UnixMicro(), r.To.UnixMicro())
	}
	return err
}

// gap takes up what an entry says of gaps.
func (a *logged) gap(e *changelog.Entry) {
	switch e.Kind {
	case changelog.Gap:
		a.gaps = append(a.gaps, LogGapRecord{Type: "log-gap", Group: e.Group, Entry: e.N, GapNote: *e.Gap, Shards: e.Shards})
	case changelog.Compacted:
		at := slices.IndexFunc(a.gaps, func(g LogGapRecord) bool { return g.Group == e.Group && g.Entry == e.Compacted.Gap })
		if at >= 0 && a.gaps[at].Healed == 0 && !e.Compacted.More {
			a.gaps[at].Healed = e.N
		}
	}
}

func blockBytes(e *changelog.Entry) (n int64) {
	for i := range e.Blocks {
		n += e.Blocks[i].Length
	}
	return n
}

// micros is a time of a log; nil of none.
func micros(at int64) *time.Time {
	if at == 0 {
		return nil
	}
	t := time.UnixMicro(at).UTC()
	return &t
}

// span widens a span of time by another, which has none when from is behind to.
func span(first, last *time.Time, from, to int64) (*time.Time, *time.Time) {
	if from > to {
		return first, last
	}
	if f := time.UnixMicro(from).UTC(); first == nil || f.Before(*first) {
		first = &f
	}
	if t := time.UnixMicro(to).UTC(); last == nil || t.After(*last) {
		last = &t
	}
	return first, last
}

// logObject describes an entry or an index object by its name; found is false when the object is none.
func (i *inspection) logObject(info blob.Info) (found bool, err error) {
	o, ok := changelog.ParseName(i.name(info))
	if !ok {
		return false, nil
	}
	loc := i.loc
	if i.at.Scheme == world.File { // whose bucket begins at the folder of the file
		root := i.at
		root.Path = cmp.Or(o.Dir, ".")
		if loc, err = i.env.World.Existing(i.ctx, root); err != nil {
			return true, err
		}
		o.Dir = loc.Prefix
	}
	l, err := o.Log(loc.Bucket)
	if err != nil {
		return true, err
	}
	if o.Level > 0 {
		return true, i.logIndex(l, o)
	}
	return true, i.logEntry(l, o)
}

func (i *inspection) logIndex(l *changelog.Log, o changelog.Object) error {
	s, err := l.IndexObject(i.ctx, o)
	if err != nil {
		return err
	}
	r := LogIndexRecord{Type: "log-index", Address: i.at.String(), Group: o.Group, Level: o.Level, K: o.N, First: s.First, Last: s.Last, Records: s.Records}
	r.From, r.To = span(nil, nil, s.From, s.To)
	return i.emit(r)
}

// logEntry tells what an entry says and whether its blocks are sound; a block that is not is an error behind all that is told.
func (i *inspection) logEntry(l *changelog.Log, o changelog.Object) error {
	e, err := l.Entry(i.ctx, o.Group, o.N)
	if err != nil {
		return err
	}
	r := LogEntryRecord{Type: "log-entry", Address: i.at.String(), Group: e.Group, N: e.N, WriteID: e.ID.String(), Size: e.Size, Records: e.Records(), Entry: *e,
		Blocks: len(e.Blocks)}
	from, to := e.Span()
	r.From, r.To = span(nil, nil, from, to)
	if err := i.emit(r); err != nil {
		return err
	}
	sound := &changelog.Batch{Entry: e}
	var first error
	for n := range e.Blocks {
		r := LogBlockRecord{Type: "log-block", Number: n, Block: e.Blocks[n], Sound: true}
		r.Keys = nil // a filter says nothing to a reader
		if r.Block.Shard >= 0 {
			r.ID = e.Shards[r.Block.Shard].ID
		}
		p, err := l.ReadPart(i.ctx, e, n)
		if err == nil {
			_, err = p.Records(nil)
		}
		if err == nil {
			sound.Parts = append(sound.Parts, *p)
		} else {
			if fault.KindOf(err) != fault.Corrupt {
				return err
			}
			r.Sound, r.Problem = false, fault.Reason(err)
			if first == nil {
				first = err
			}
		}
		if err := i.emit(r); err != nil {
			return err
		}
	}
	if err := i.logRecords(func(yield func(*changelog.Batch, error) bool) { yield(sound, nil) }); err != nil {
		return err
	}
	return first
}

// logRecords shows the first records of some entries, or with Count what all come to.
func (i *inspection) logRecords(entries func(func(*changelog.Batch, error) bool)) error {
	if !i.o.Count && i.o.First <= 0 {
		return nil
	}
	sum := LogCountRecord{Type: "log-count", Events: map[string]uint64{}}
	left := i.o.First
	var lines []byte
	for b, err := range entries {
		if err != nil {
			return err
		}
		sum.Entries++
		for n := range b.Parts {
			p := &b.Parts[n]
			if lines, err = p.Records(lines[:0]); err != nil {
				return err
			}
			sum.Blocks, sum.Bytes, sum.Raw = sum.Blocks+1, sum.Bytes+p.Length, sum.Raw+p.Bytes
			for line := range changelog.Lines(lines) {
				if i.o.Count {
					if err := sum.add(line); err != nil {
						return fmt.Errorf("entry %d of group %d, block at byte %d: %w", b.N, b.Group, p.Offset, err)
					}
					continue
				}
				r := LoggedRecord{Type: "log-record", Group: b.Group, Entry: b.N, Block: n, Record: line}
				if p.Source != nil {
					r.Shard = p.Source.ID
				}
				if err := i.emit(r); err != nil {
					return err
				}
				if left--; left == 0 {
					return nil
				}
			}
		}
	}
	if !i.o.Count {
		return nil
	}
	return i.emit(sum)
}

func (r *LogCountRecord) add(line []byte) error {
	var record struct{ EventName string }
	if err := json.Unmarshal(line, &record); err != nil {
		return fault.New(fault.Corrupt, "a record is no JSON: %w", err)
	}
	r.Records++
	r.Events[record.EventName]++
	return nil
}
