package changelog

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"time"

	"golang.org/x/sync/semaphore"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// Range is what is read of a chain. All that is set restricts it.
type Range struct {
	Group uint32
	First uint64        // entry; 0 is the first
	Last  uint64        // 0: the last that is there, or with Poll none
	Poll  time.Duration // above 0, with Last 0: at the tail look for the next entry this often, until the context ends

	// Wake, with Poll, returns what is closed when there may be another entry: it is looked for at once then. It is called before
	// each look.
	Wake func() <-chan struct{}

	Shard string        // blocks of this shard alone
	After feed.Position // with Shard: records behind this one
	From  int64         // blocks that may hold records of this time or later
	To    int64         // and of before this one; 0 is without end
	Key   uint64        // blocks that may hold a record of the key with this hash (KeyHash)

	AheadBytes int64 // compressed bytes that are read before they are asked for; 0 is 32 MiB
}

const (
	aheadBytesDefault = 32 << 20
	// nearBytes between two wanted blocks are read with them: a request costs more.
	nearBytes = 64 << 10
)

// Batch is an entry as it is read, and where its group stands behind it. Parts are those of its blocks that were asked
// for, in order; what an entry says besides records matters without any.
type Batch struct {
	*Entry
	State *State
	Parts []Part
}

// Part is a block with its bytes, checked against damage.
type Part struct {
	*Block
	// Source is the shard that it is of, as of its entry; nil in a compacted entry.
	Source *Shard
	log    *Log
	name   string // of the object
	after  feed.Position
	frame  []byte
}

// Records appends the part's records to dst, each followed by a line feed: see Lines. Parts may be unpacked at once in
// several goroutines. Damage is an error of kind Corrupt that names the object.
func (p *Part) Records(dst []byte) ([]byte, error) {
	start := len(dst)
	out, err := p.log.zip.unpackBlock(dst, p.frame, p.Block)
	if err == nil && !p.after.IsZero() && p.First.Compare(p.after) <= 0 {
		var passed int
		if passed, err = passOver(out[start:], p.after); err == nil {
			out = append(out[:start], out[start+passed:]...)
		}
	}
	return out, p.log.damaged(err, p.name)
}

// passOver is how many bytes the records up to a position take.
func passOver(records []byte, after feed.Position) (n int, err error) {
	for line := range Lines(records) {
		at, err := PositionOf(line)
		if err != nil {
			return 0, err
		}
		if at.Compare(after) > 0 {
			break
		}
		n += len(line) + 1
	}
	return n, nil
}

// Lines yields records without their line feeds, as slices of them.
func Lines(records []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(records) > 0 {
			end := bytes.IndexByte(records, '\n')
			if end < 0 {
				end = len(records)
			}
			if !yield(records[:end:end]) {
				return
			}
			records = records[min(end+1, len(records)):]
		}
	}
}

// PositionOf finds the position in a record's line. It reads the whole of it: for the few lines around a place.
func PositionOf(line []byte) (feed.Position, error) {
	var record struct {
		DynamoDB *struct{ SequenceNumber string } `json:"dynamodb"`
		Kinesis  *struct {
			SequenceNumber    string `json:"sequenceNumber"`
			SubSequenceNumber uint64 `json:"subSequenceNumber"`
		} `json:"kinesis"`
	}
	if err := json.Unmarshal(line, &record); err != nil {
		return feed.Position{}, fault.New(fault.Corrupt, "a record of the change log is no JSON: %w", err)
	}
	var text string
	var p feed.Position
	switch {
	case record.Kinesis != nil:
		text, p.Sub = record.Kinesis.SequenceNumber, record.Kinesis.SubSequenceNumber
	case record.DynamoDB != nil:
		text = record.DynamoDB.SequenceNumber
	}
	var err error
	p.Seq, err = feed.ParseNumber(text)
	return p, err
}

// Read yields the entries of a range in the order of the chain, each checked to go on where the one before ended, with the
// blocks that were asked for. Reads run ahead of the caller, within AheadBytes. A batch's bytes are the caller's until he
// asks for the next. It ends with the first error: of kind Corrupt where the chain is damaged, with the object's name; the
// context's when it ends.
func (l *Log) Read(ctx context.Context, r Range) iter.Seq2[*Batch, error] {
	r.First = max(r.First, 1)
	r.AheadBytes = cmp.Or(r.AheadBytes, aheadBytesDefault)
	budget := semaphore.NewWeighted(r.AheadBytes)
	// Room is taken in the order of the chain, before the load: the batch that the caller waits for has it.
	wanted := func(ctx context.Context) iter.Seq2[*loading, error] {
		return func(yield func(*loading, error) bool) {
			for s, err := range l.walk(ctx, r, r.Key != 0 || r.Shard != "") {
				var load *loading
				if err == nil {
					load = r.want(s)
					load.room = min(load.room, r.AheadBytes)
					err = budget.Acquire(ctx, load.room)
				}
				if !yield(load, err) || err != nil {
					return
				}
			}
		}
	}
	return func(yield func(*Batch, error) bool) {
		if r.Last > 0 && r.First > r.Last {
			return
		}
		for load, err := range ahead(ctx, flightMax, wanted, l.loadBlocks) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(&load.batch, nil) {
				return
			}
			budget.Release(load.room)
		}
	}
}

// loading is a batch whose blocks are still to be read.
type loading struct {
	batch Batch
	step  step
	room  int64 // bytes that it takes
}

// want picks the blocks of an entry.
func (r *Range) want(s step) *loading {
	load := &loading{batch: Batch{Entry: s.entry, State: s.state}, step: s}
	for i := range s.entry.Blocks {
		b := &s.entry.Blocks[i]
		p := Part{Block: b}
		if b.Shard >= 0 {
			p.Source = &s.entry.Shards[b.Shard]
		}
		if r.Shard != "" {
			if p.Source == nil || p.Source.ID != r.Shard || b.Last.Compare(r.After) <= 0 {
				continue
			}
			p.after = r.After
		}
		if b.To < r.From || r.To > 0 && b.From >= r.To || r.Key != 0 && !b.Keys.Has(r.Key) {
			continue
		}
		load.batch.Parts = append(load.batch.Parts, p)
		load.room += b.Length
	}
	return load
}

// loadBlocks reads the blocks of a batch that did not come with its footer, neighbours with one request.
func (l *Log) loadBlocks(ctx context.Context, load *loading) (*loading, error) {
	name := entryName(l.dir, load.batch.Group, load.batch.N)
	parts, f := load.batch.Parts, load.step.fetched
	for i := range parts {
		parts[i].log, parts[i].name = l, name
	}
	for i := 0; i < len(parts); {
		end := i + 1
		for end < len(parts) && parts[end].Offset-(parts[end-1].Offset+parts[end-1].Length) <= nearBytes {
			end++
		}
		from, to := parts[i].Offset, parts[end-1].Offset+parts[end-1].Length
		if f.tail == nil || from < f.start || cut(parts[i:end], f.tail[from-f.start:], from) != nil {
			if err := l.loadRange(ctx, name, parts[i:end], blob.ReadOptions{Offset: from, Length: to - from, IfMatch: f.info.ETag}); err != nil {
				return nil, l.damaged(l.missing(err, load.batch.Group, load.batch.N), name)
			}
		}
		i = end
	}
	return load, nil
}

func (l *Log) loadRange(ctx context.Context, name string, parts []Part, opts blob.ReadOptions) error {
	_, err := fault.Again(ctx, func() (struct{}, error) {
		data, _, err := blob.ReadRange(ctx, l.bucket, name, opts, EntryBytesMax)
		if err == nil {
			err = cut(parts, data, opts.Offset)
		}
		return struct{}{}, err
	})
	return err
}

// cut hands each part its bytes of data, which begins at byte from of the entry.
func cut(parts []Part, data []byte, from int64) error {
	for i := range parts {
		p := &parts[i]
		if end := p.Offset - from + p.Length; end > int64(len(data)) {
			return broken("the block at byte %d has %d bytes and ends %d too early", p.Offset, p.Length, end-int64(len(data)))
		}
		p.frame = data[p.Offset-from:][:p.Length]
		if sum := checksum(p.frame); sum != p.Sum {
			return broken("the checksum of the block at byte %d is %v, the footer says %v", p.Offset, sum, p.Sum)
		}
	}
	return nil
}
