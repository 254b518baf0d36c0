package kinesis

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"time"

	"dynaferry/internal/local/store"
)

const (
	iteratorLife   = 5 * time.Minute
	recordsMax     = 10_000
	recordBytesMax = 10 << 20
)

// iterator is a place in a shard, and when it was made.
type iterator struct {
	madeMs int64
	shard  int
	from   uint64 // the first number wanted
	stream string // its ID: a stream made anew under the same name is another one
	name   string
}

const iteratorVersion = 1

// String is the token that stands for it: a version, the numbers, the names, a checksum.
func (it iterator) String() string {
	b := binary.BigEndian.AppendUint64([]byte{iteratorVersion}, uint64(it.madeMs))
	b = binary.BigEndian.AppendUint32(b, uint32(it.shard))
	b = binary.BigEndian.AppendUint64(b, it.from)
	b = append(append(append(b, it.stream...), '/'), it.name...)
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b)))
}

func parseIterator(text string) (it iterator, ok bool) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) < 25 || b[0] != iteratorVersion {
		return it, false
	}
	content := b[:len(b)-4]
	if crc32.ChecksumIEEE(content) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return it, false
	}
	it.madeMs = int64(binary.BigEndian.Uint64(content[1:]))
	it.shard = int(binary.BigEndian.Uint32(content[9:]))
	it.from = binary.BigEndian.Uint64(content[13:])
	it.stream, it.name, ok = strings.Cut(string(content[21:]), "/")
	return it, ok
}

// expired complains about an iterator that is older than 5 minutes.
func (it iterator) expired(now time.Time) error {
	if age := now.UnixMilli() - it.madeMs; age > iteratorLife.Milliseconds() {
		return failf("ExpiredIteratorException", "Iterator expired. The iterator was created at time %s while right now it is %s "+
			"which is further in the future than the tolerated delay of %d milliseconds.",
			amzTime(it.madeMs), amzTime(now.UnixMilli()), iteratorLife.Milliseconds())
	}
	return nil
}

type shardIteratorIn struct {
	named
	ShardId                *string
	ShardIteratorType      *string
	StartingSequenceNumber *string
	Timestamp              *moment
}

func (c *call) getShardIterator(in *shardIteratorIn) (any, error) {
	v := &checks{}
	v.need(in.ShardId != nil, "shardId")
	v.name(in.ShardId, "shardId", nameMax)
	v.need(in.ShardIteratorType != nil, "shardIteratorType")
	v.oneOf(in.ShardIteratorType, "shardIteratorType", iteratorTypes...)
	s, err := c.asked(v, in.named)
	if err != nil {
		return nil, err
	}
	d := s.now()
	i, err := shardOf(d, *in.ShardId)
	if _, named := parseShardID(*in.ShardId); err != nil && named {
		return nil, failf("ResourceNotFoundException", "Shard %s in stream %s under account %s does not exist", *in.ShardId, d.Name, account)
	}
	if err != nil {
		return nil, err
	}
	from, err := c.start(s, i, startAt{*in.ShardIteratorType, in.StartingSequenceNumber, in.Timestamp}, "GetShardIterator")
	if err != nil {
		return nil, err
	}
	it := iterator{madeMs: c.now().UnixMilli(), shard: i, from: from, stream: d.ID, name: d.Name}
	return map[string]string{"ShardIterator": it.String()}, nil
}

const (
	atSequence    = "AT_SEQUENCE_NUMBER"
	afterSequence = "AFTER_SEQUENCE_NUMBER"
	atTimestamp   = "AT_TIMESTAMP"
	trimHorizon   = "TRIM_HORIZON"
	latest        = "LATEST"
)

var iteratorTypes = []string{afterSequence, latest, atTimestamp, atSequence, trimHorizon}

// startAt says where in a shard reading begins.
type startAt struct {
	kind      string
	number    *string
	timestamp *moment
}

// start is the first number that a reader who begins so wants.
func (c *call) start(s *stream, i int, at startAt, operation string) (uint64, error) {
	d := s.now()
	numbered := at.kind == atSequence || at.kind == afterSequence
	if numbered != (at.number != nil) {
		also := "also a"
		if at.number == nil {
			also = "no"
		}
		return 0, invalidArgument("Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or "+
			"(2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified %s and %s StartingSequenceNumber.", at.kind, also)
	}
	if at.timestamp != nil && at.kind != atTimestamp {
		return 0, invalidArgument("Timestamp can only be specified with the type AT_TIMESTAMP. Request specified %s.", at.kind)
	}
	switch at.kind {
	case trimHorizon:
		return d.Shards[i].Start, nil
	case latest:
		s.write.Lock()
		defer s.write.Unlock()
		return s.last + 1, nil
	case atTimestamp:
		if at.timestamp == nil {
			return 0, invalidArgument("Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. " +
				"Current request has no timestamp parameter.")
		}
		if now := c.now().UnixMilli(); at.timestamp.ms() > now {
			return 0, invalidArgument("The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. "+
				"timestampInMillis: %d, currentTimestampInMillis: %d", at.timestamp.ms(), now)
		}
		return max(d.Shards[i].Start, sequenceAt(at.timestamp.ms())), nil
	}
	shard, seq, ok := parseSequence(*at.number)
	switch {
	case !ok:
		return 0, invalidArgument("StartingSequenceNumber %s used in %s on shard %s in stream %s under account %s is invalid.",
			*at.number, operation, shardID(i), d.Name, account)
	case shard != i:
		return 0, invalidArgument("Invalid StartingSequenceNumber. It encodes %s, while it was used in a call to a shard with %s",
			shardID(shard), shardID(i))
	case seq+1 < d.Shards[i].Start: // one less is where a subscription stands that has seen nothing
		return 0, invalidArgument("StartingSequenceNumber %s used in %s on shard %s in stream %s under account %s is invalid "+
			"because it did not come from this stream.", *at.number, operation, shardID(i), d.Name, account)
	}
	if at.kind == afterSequence {
		seq++
	}
	return seq, nil
}

type recordOut struct {
	ApproximateArrivalTimestamp seconds
	Data                        []byte
	EncryptionType              string
	PartitionKey                string
	SequenceNumber              string
}

type childShard struct {
	ShardId      string
	ParentShards []string
	HashKeyRange hashRange
}

func (d *description) childShards(i int) []childShard {
	var list []childShard
	for _, c := range d.children(i) {
		sh := &d.Shards[c]
		child := childShard{shardID(c), []string{shardID(sh.Parent)}, hashRange{sh.Low.String(), sh.High.String()}}
		if sh.Adjacent >= 0 {
			child.ParentShards = append(child.ParentShards, shardID(sh.Adjacent))
		}
		list = append(list, child)
	}
	return list
}

// page is a piece of a shard.
type page struct {
	records  []recordOut
	next     uint64
	bytes    int
	behindMs int64
	drained  bool // the shard is closed and there is nothing behind the page
}

// read reads a shard from a number on, at most limit records and 10 MB.
func (e *Engine) read(s *stream, shard int, from uint64, limit int) (page, error) {
	d := s.now() // before the records: a shard that is closed in it has all of them
	now := e.now()
	from = max(from, d.horizon(now))
	p := page{records: []recordOut{}, next: from}
	more := false
	it := e.store.Query(s.table, shardKey(shard), store.QueryOptions{Lower: placeKey(from), Limit: limit + 1})
	for it.Next() {
		r, seq, err := parseRecord(it.Raw())
		if err != nil {
			return p, cmp.Or(it.Close(), err)
		}
		size := len(r.data) + len(r.key)
		if more = len(p.records) == limit || (len(p.records) > 0 && p.bytes+size > recordBytesMax); more {
			p.behindMs = max(0, now.UnixMilli()-arrival(seq))
			break
		}
		p.bytes += size
		p.records = append(p.records, recordOut{seconds(arrival(seq)), r.data, "NONE", r.key, sequence(shard, seq)})
		p.next = seq + 1
	}
	if err := it.Close(); err != nil {
		return p, err
	}
	p.drained = !more && !d.Shards[shard].isOpen()
	return p, nil
}

type getRecordsIn struct {
	ShardIterator *string
	Limit         *int
	StreamARN     *string
}

func (c *call) getRecords(in *getRecordsIn) (any, error) {
	v := &checks{}
	v.need(in.ShardIterator != nil, "shardIterator")
	v.length(in.ShardIterator, "shardIterator", 1, 512)
	v.between(in.Limit, "limit", 1, recordsMax)
	if err := v.err(); err != nil {
		return nil, err
	}
	it, ok := parseIterator(*in.ShardIterator)
	if !ok {
		return nil, invalidArgument("Invalid ShardIterator.")
	}
	if in.StreamARN != nil {
		if name, ok := parseARN(*in.StreamARN); !ok || name != it.name {
			return nil, invalidArgument("StreamARN %s does not match the ShardIterator.", *in.StreamARN)
		}
	}
	if err := it.expired(c.now()); err != nil {
		return nil, err
	}
	s := c.find(it.name)
	if s == nil || s.now().ID != it.stream || it.shard >= len(s.now().Shards) {
		return nil, failf("ResourceNotFoundException", "Shard %s in stream %s under account %s does not exist",
			shardID(it.shard), it.name, account)
	}
	if err := s.limits.mayRead(c.Engine, it.name, it.shard); err != nil {
		return nil, err
	}
	limit := recordsMax
	if in.Limit != nil {
		limit = *in.Limit
	}
	p, err := c.read(s, it.shard, it.from, limit)
	if err != nil {
		return nil, err
	}
	s.limits.didRead(c.Engine, it.shard, p.bytes)
	out := map[string]any{"Records": p.records, "MillisBehindLatest": p.behindMs}
	if p.drained {
		out["ChildShards"] = s.now().childShards(it.shard)
		return out, nil
	}
	it.madeMs, it.from = c.now().UnixMilli(), p.next
	out["NextShardIterator"] = it.String()
	return out, nil
}
