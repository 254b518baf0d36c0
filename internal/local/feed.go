package local

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/local/kinesis"
	"dynaferry/internal/local/store"
)

// feedNote is how far a table's changes have gone to Kinesis. What was sent behind it is sent again after a crash.
type feedNote struct {
	From  uint64               `json:"from"` // changes up to here are from before the destination
	At    map[uint32]uint64    `json:"at"`   // by shard: the last change that was sent
	Clock map[uint32]feedClock `json:"clock"`
}

// feedClock makes microseconds: a change's place among those of its millisecond. It is kept with the place, so that a
// change that is sent twice tells one time.
type feedClock struct {
	Ms  int64  `json:"ms"`
	Seq uint64 `json:"seq"` // of the first change in that millisecond
}

// feeds are the destinations' notes, by the table's UUID.
type feeds struct {
	notes notes[feedNote]
	mu    sync.Mutex // one feeds at a time
}

func (f *feeds) open(db *DB) error { return f.notes.open(db, "feed") }

// begin notes that a table's changes go to Kinesis from now on.
func (f *feeds) begin(d *definition) error {
	return f.notes.put(d.ID, &feedNote{From: f.notes.db.store.LastSeq()})
}

// feedAll sends what is new in all tables that have a destination.
func (db *DB) feedAll(ctx context.Context) error {
	var errs []error
	for _, name := range db.names() {
		db.mu.RLock()
		t := db.tables[name]
		db.mu.RUnlock()
		if t == nil || !t.def.fed() {
			continue
		}
		if err := db.feed(ctx, t); err != nil {
			errs = append(errs, fmt.Errorf("send changes of %s to Kinesis: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

const (
	feedRecords = 500
	feedBytes   = 4 << 20
)

// feed sends what is new in a table, parents before children, so that the changes of an item go in their order. When
// shards throttle it stops and goes on the next time.
func (db *DB) feed(ctx context.Context, t *table) error {
	db.feeds.mu.Lock()
	defer db.feeds.mu.Unlock()
	note := db.feeds.notes.get(t.def.ID)
	if note == nil {
		return nil
	}
	known := map[uint32]bool{}
	for _, s := range db.store.Streams() {
		n := db.streams.notes.get(streamID(s.ID))
		if s.Table != t.id || n == nil {
			continue
		}
		shards, err := db.store.Shards(s.ID)
		if err != nil {
			continue // its time is over
		}
		for i := range shards {
			known[shards[i].ID] = true
			done, err := db.feedShard(ctx, t, n, &shards[i], &note)
			if err != nil || !done {
				return err
			}
		}
	}
	if len(note.At) > 2*len(known)+feedGone {
		return db.feeds.notes.put(t.def.ID, note.without(known))
	}
	return nil
}

// feedGone is how many shards that are gone a note may hold before they are taken out.
const feedGone = 16

// without is the note without the shards that are not known any more.
func (f *feedNote) without(known map[uint32]bool) *feedNote {
	next := &feedNote{From: f.From, At: map[uint32]uint64{}, Clock: map[uint32]feedClock{}}
	for id := range known {
		if at, ok := f.At[id]; ok {
			next.At[id], next.Clock[id] = at, f.Clock[id]
		}
	}
	return next
}

// feedShard sends a shard's changes. done is false when Kinesis takes no more for now.
func (db *DB) feedShard(ctx context.Context, t *table, n *streamNote, s *store.Shard, note **feedNote) (done bool, err error) {
	for ctx.Err() == nil {
		after := max((*note).At[s.ID], (*note).From, s.First)
		if s.Last != 0 && after >= s.Last {
			return true, nil
		}
		p, err := db.store.ReadShard(n.ID, s.ID, after, feedRecords, feedBytes)
		if errors.Is(err, store.ErrTrimmed) {
			p, err = db.store.ReadShard(n.ID, s.ID, 0, feedRecords, feedBytes) // the service drops what it could not send, too
		}
		if err != nil {
			if fault.KindOf(err) == fault.NotFound {
				return true, nil
			}
			return false, err
		}
		next := (*note).moved(s.ID, p.Next)
		entries, err := db.envelopes(t, n, s.ID, p.Changes, next)
		if err != nil {
			return false, err
		}
		if len(entries) == 0 && len(p.Changes) == 0 {
			return true, nil // the place is not written down for nothing
		}
		if err := db.kinesis.Put(ctx, t.def.Kinesis.Stream, entries); err != nil {
			if kinesis.Throttled(err) || fault.KindOf(err) == fault.NotFound {
				return false, nil
			}
			return false, err
		}
		if err := db.feeds.notes.put(t.def.ID, next); err != nil {
			return false, err
		}
		*note = next
	}
	return false, ctx.Err()
}

// moved is the note with another place in a shard.
func (f *feedNote) moved(shard uint32, at uint64) *feedNote {
	next := &feedNote{From: f.From, At: map[uint32]uint64{shard: at}, Clock: map[uint32]feedClock{}}
	for id, place := range f.At {
		if id != shard {
			next.At[id] = place
		}
	}
	for id, clock := range f.Clock {
		next.Clock[id] = clock
	}
	return next
}

// envelopes are the Kinesis records of changes. next gets the clock that they end with.
func (db *DB) envelopes(t *table, n *streamNote, shard uint32, changes []store.Change, next *feedNote) ([]kinesis.Entry, error) {
	c := db.calls.Get().(*call)
	defer db.calls.Put(c)
	clock := next.Clock[shard]
	var entries []kinesis.Entry
	for i := range changes {
		ch := &changes[i]
		if ms := ch.Time.UnixMilli(); ms != clock.Ms {
			clock = feedClock{ms, ch.Seq}
		}
		told, ok, err := c.tell(n, imageBoth, ch)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		at := clock.Ms
		if t.def.Kinesis.Precision == precisionMicro {
			at = clock.Ms*1000 + int64(min(ch.Seq-clock.Seq, 999))
		}
		data := appendEnvelope(nil, t.def, &told, n.ID, ch, at)
		if len(data) > kinesis.RecordBytes {
			continue // the service skips what has grown beyond a record, too
		}
		entries = append(entries, kinesis.Entry{Key: fmt.Sprintf("%X", md5.Sum(told.keys)), Data: data})
	}
	next.Clock[shard] = clock
	if db.opts.KinesisDisorder {
		entries = disorder(entries)
	}
	return entries, nil
}

// appendEnvelope appends the record as DynamoDB puts it into Kinesis.
func appendEnvelope(dst []byte, d *definition, t *told, stream store.StreamID, ch *store.Change, at int64) []byte {
	digest := changeDigest(stream, ch.Seq)
	dst = fmt.Appendf(dst, `{"awsRegion":"%s","eventID":"%x-%x-%x-%x-%x","eventName":"%s","userIdentity":`, d.Kinesis.Region,
		digest[:4], digest[4:6], digest[6:8], digest[8:10], digest[10:16], t.name)
	if ch.Service {
		dst = append(dst, `{"principalId":"dynamodb.amazonaws.com","type":"Service"}`...)
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"recordFormat":"application/json","tableName":`...)
	dst = item.AppendString(dst, []byte(d.Name))
	dst = strconv.AppendInt(append(dst, `,"dynamodb":{"ApproximateCreationDateTime":`...), at, 10)
	dst = append(append(dst, `,"Keys":`...), t.keys...)
	if t.new != nil {
		dst = append(append(dst, `,"NewImage":`...), t.new...)
	}
	if t.old != nil {
		dst = append(append(dst, `,"OldImage":`...), t.old...)
	}
	dst = strconv.AppendInt(append(dst, `,"SizeBytes":`...), int64(t.size), 10)
	dst = append(append(dst, `,"ApproximateCreationDateTimePrecision":"`...), d.Kinesis.Precision...)
	return append(dst, `"},"eventSource":"aws:dynamodb"}`...)
}

// disorder does what the documentation allows: some records come twice, and neighbours change places.
func disorder(entries []kinesis.Entry) []kinesis.Entry {
	var out []kinesis.Entry
	for i, e := range entries {
		sum := md5.Sum(e.Data)
		out = append(out, e)
		if sum[0]%8 == 0 {
			out = append(out, e)
		}
		if i > 0 && sum[1]%4 == 0 {
			last := len(out) - 1
			other := max(0, last-1-int(sum[2]%5))
			out[last], out[other] = out[other], out[last]
		}
	}
	return out
}

// finishFeed sends what is left of a table that is about to go.
func (db *DB) finishFeed(ctx context.Context, t *table) error {
	if !t.def.fed() {
		return nil
	}
	grace, cancel := context.WithTimeout(ctx, feedGrace)
	defer cancel()
	return errors.Join(db.feed(grace, t), db.feeds.notes.drop(t.def.ID))
}

// feedGrace bounds how long deleting a table waits for its changes to reach Kinesis.
const feedGrace = 5 * time.Second
