package local

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/local/store"
)

// The bounds of reading a stream.
const (
	streamIteratorLife = 15 * time.Minute
	streamRecordsMax   = 1000
	streamBytesMax     = 1 << 20
)

// sequenceNumber is a number of the store's as readers see it: 40 digits, so that text sorts as numbers do.
func sequenceNumber(seq uint64) string { return fmt.Sprintf("1%039d", seq) }

func parseSequenceNumber(text string) (uint64, bool) {
	rest, ok := strings.CutPrefix(text, "1")
	if !ok || len(text) != 40 {
		return 0, false
	}
	seq, err := strconv.ParseUint(rest, 10, 64)
	return seq, err == nil
}

// streamIterator is a place in a shard: behind a sequence number.
type streamIterator struct {
	madeMs int64
	stream store.StreamID
	shard  uint32
	after  uint64
	shown  bool // the empty page at this place has been shown
}

const streamIteratorVersion = 1

// token is what a reader holds of it: the stream's ARN, and the place with a checksum.
func (c *call) token(n *streamNote, it streamIterator) string {
	b := binary.BigEndian.AppendUint64([]byte{streamIteratorVersion}, uint64(it.madeMs))
	b = binary.BigEndian.AppendUint32(b, uint32(it.stream))
	b = binary.BigEndian.AppendUint32(b, it.shard)
	b = binary.BigEndian.AppendUint64(b, it.after)
	b = append(b, byte(btoi(it.shown)))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return c.streamARN(n) + "|1|" + base64.StdEncoding.EncodeToString(b)
}

func parseStreamIterator(text string) (it streamIterator, ok bool) {
	at := strings.LastIndexByte(text, '|')
	b, err := base64.StdEncoding.DecodeString(text[at+1:])
	if err != nil || len(b) != 30 || b[0] != streamIteratorVersion || crc32.ChecksumIEEE(b[:26]) != binary.BigEndian.Uint32(b[26:]) {
		return it, false
	}
	return streamIterator{madeMs: int64(binary.BigEndian.Uint64(b[1:])), stream: store.StreamID(binary.BigEndian.Uint32(b[9:])),
		shard: binary.BigEndian.Uint32(b[13:]), after: binary.BigEndian.Uint64(b[17:]), shown: b[25] == 1}, true
}

func (c *call) getShardIterator() error {
	v := &constraints{}
	arn, err := c.checked(v, "StreamArn", true, streamARNMin, streamARNMost)
	if err != nil {
		return err
	}
	shard, err := c.checked(v, "ShardId", true, shardIDMin, shardIDMax)
	if err != nil {
		return err
	}
	kind, err := c.checked(v, "ShardIteratorType", true, 0, streamARNMost)
	if err != nil {
		return err
	}
	v.oneOf(kind, "shardIteratorType", "AFTER_SEQUENCE_NUMBER", "LATEST", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON")
	number, err := c.checked(v, "SequenceNumber", false, 21, 40)
	if err != nil {
		return err
	}
	if err := v.err(); err != nil {
		return err
	}
	n, err := c.streamOf(arn)
	if err != nil {
		return err
	}
	list, err := c.shards(n)
	if err != nil {
		return err
	}
	id, ok := parseShardName(shard)
	for i := range list {
		if ok && list[i].ID == id && shardName(id, list[i].Opened.UnixMilli()) == shard {
			it := streamIterator{madeMs: millis(c.db.now()), stream: n.ID, shard: id}
			if it.after, err = c.startAfter(&list[i], kind, number); err != nil {
				return err
			}
			if _, err := c.readShard(it, 1); err != nil {
				return err // trimmed, most likely
			}
			return c.replyWhole(struct{ ShardIterator string }{c.token(n, it)})
		}
	}
	return notFound("Requested resource not found: Shard does not exist")
}

// startAfter is the sequence number that an iterator of this kind stands behind; 0 is the oldest that is kept.
func (c *call) startAfter(s *store.Shard, kind, number string) (uint64, error) {
	numbered := kind == "AT_SEQUENCE_NUMBER" || kind == "AFTER_SEQUENCE_NUMBER"
	switch {
	case numbered && number == "":
		return 0, invalidValue("Invalid SequenceNumber")
	case !numbered && number != "":
		return 0, invalidValue("SequenceNumber should not be passed for this iterator type")
	case kind == "TRIM_HORIZON":
		return 0, nil
	case kind == "LATEST":
		return max(c.db.store.LastSeq(), s.First), nil
	}
	last := s.Last
	if s.Closed.IsZero() {
		last = max(c.db.store.LastSeq(), s.First+1)
	}
	seq, ok := parseSequenceNumber(number)
	if !ok || seq <= s.First || seq > last {
		return 0, invalid("Invalid SequenceNumber for the shard")
	}
	if kind == "AT_SEQUENCE_NUMBER" {
		seq--
	}
	return seq, nil
}

const saysTrimmed = "The operation attempted to read past the oldest stream record in a shard."

// readShard reads a page in the service's words of what can go wrong.
func (c *call) readShard(it streamIterator, limit int) (store.Page, error) {
	p, err := c.db.store.ReadShard(it.stream, it.shard, it.after, limit, streamBytesMax)
	switch {
	case errors.Is(err, store.ErrTrimmed):
		return p, &apiError{400, nsDynamo + "TrimmedDataAccessException", saysTrimmed, nil}
	case fault.KindOf(err) == fault.NotFound:
		return p, notFound("Requested resource not found: Shard does not exist")
	}
	return p, err
}

func (c *call) getStreamRecords() error {
	v := &constraints{}
	token, err := c.checked(v, "ShardIterator", true, 1, 2048)
	if err != nil {
		return err
	}
	limit, err := c.args.integer("Limit", "Integer")
	if err != nil {
		return err
	}
	v.atLeast(limit, "limit", 1)
	if err := v.err(); err != nil {
		return err
	}
	if limit != nil && *limit > streamRecordsMax {
		return invalidValue("Limit should be less than or equal to %d", streamRecordsMax)
	}
	it, ok := parseStreamIterator(token)
	if !ok {
		return invalid("Invalid ShardIterator")
	}
	now := millis(c.db.now())
	if now-it.madeMs > streamIteratorLife.Milliseconds() {
		return &apiError{400, nsDynamo + "ExpiredIteratorException", "The provided iterator exceeds the maximum age allowed.", nil}
	}
	n := c.db.streams.notes.get(streamID(it.stream))
	if n == nil {
		return notFound("Requested resource not found: Stream not found")
	}
	count := streamRecordsMax
	if limit != nil {
		count = int(*limit)
	}
	p, err := c.readShard(it, count)
	if err != nil {
		return err
	}
	it.madeMs = now
	if !it.shown && len(p.Changes) > 0 && emptyAt(it.shard, it.after) && !c.db.opts.FullPages {
		it.shown = true
		c.member("NextShardIterator")
		return c.closeRecords(n, it, false)
	}
	it.after, it.shown = p.Next, false
	c.member("Records")
	c.out = append(c.out, '[')
	for i := range p.Changes {
		before := len(c.out)
		told, err := c.appendChange(n, &p.Changes[i])
		if err != nil {
			return err
		}
		if told {
			c.out = append(c.out, ',')
		} else {
			c.out = c.out[:before]
		}
	}
	c.out = append(trimComma(c.out), ']')
	if p.End {
		return c.finish()
	}
	c.member("NextShardIterator")
	return c.closeRecords(n, it, true)
}

// closeRecords writes the next iterator, and an empty list of records when there is none yet.
func (c *call) closeRecords(n *streamNote, it streamIterator, listed bool) error {
	c.out = append(append(append(c.out, '"'), c.token(n, it)...), '"')
	if !listed {
		c.member("Records")
		c.out = append(c.out, "[]"...)
	}
	return c.finish()
}

// emptyAt tells whether the first page at a place is empty though there are records: the service gives such pages when
// it has looked through a part of a shard that holds none, and readers must not take them for the end. One place in four;
// never a shard's beginning, where readers of a new stream find its first records at once, as the service's do.
func emptyAt(shard uint32, after uint64) bool {
	const golden = 0x9E3779B97F4A7C15
	return after != 0 && bits.RotateLeft64((after+uint64(shard)+1)*golden, 2)&3 == 0
}
