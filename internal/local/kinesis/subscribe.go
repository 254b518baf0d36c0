package kinesis

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"net/http"
	"time"
)

type startingPosition struct {
	Type           *string
	SequenceNumber *string
	Timestamp      *moment
}

type subscribeIn struct {
	ConsumerARN      *string
	ShardId          *string
	StartingPosition *startingPosition
}

// The rhythm of a subscription: it lasts 5 minutes, looks for records this often, and says that there are none this
// often, so that the reader knows its place.
const (
	subscriptionLife = 5 * time.Minute
	subscriptionPoll = 50 * time.Millisecond
	subscriptionIdle = 5 * time.Second
	subscriptionPage = 1000
)

// subscribeToShard answers with a stream of events until the shard's end, 5 minutes, or the reader's going away.
func (c *call) subscribeToShard(in *subscribeIn) (any, error) {
	v := &checks{}
	v.need(in.ConsumerARN != nil, "consumerARN")
	v.need(in.ShardId != nil, "shardId")
	v.name(in.ShardId, "shardId", nameMax)
	v.need(in.StartingPosition != nil, "startingPosition")
	if p := in.StartingPosition; p != nil {
		v.need(p.Type != nil, "startingPosition.type")
		v.oneOf(p.Type, "startingPosition.type", iteratorTypes...)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	s, _, err := c.consumer(&consumerIn{ConsumerARN: in.ConsumerARN})
	if err != nil {
		return nil, err
	}
	i, err := shardOf(s.now(), *in.ShardId)
	if err != nil {
		return nil, err
	}
	p := in.StartingPosition
	from, err := c.start(s, i, startAt{*p.Type, p.SequenceNumber, p.Timestamp}, "SubscribeToShard")
	if err != nil {
		return nil, err
	}
	c.taken = true
	c.subscribe(s, i, from)
	return nil, nil
}

// subscribe writes the events. An error in the middle ends the stream, and the reader subscribes again.
func (c *call) subscribe(s *stream, shard int, from uint64) {
	h := c.w.Header()
	h["x-amzn-RequestId"] = []string{uuid()}
	h.Set("Content-Type", "application/vnd.amazon.eventstream")
	c.w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(c.w)
	if !c.event(flush, "initial-response", []byte("{}")) {
		return
	}
	end := time.NewTimer(subscriptionLife)
	defer end.Stop()
	poll := time.NewTicker(subscriptionPoll)
	defer poll.Stop()
	told := time.Time{}
	for {
		p, err := c.read(s, shard, from, subscriptionPage)
		if err != nil {
			return
		}
		if len(p.records) > 0 || p.drained || time.Since(told) >= subscriptionIdle {
			told, from = time.Now(), p.next
			out := map[string]any{"Records": p.records, "MillisBehindLatest": p.behindMs,
				"ContinuationSequenceNumber": sequence(shard, p.next-1)} // to be read on after it
			if p.drained {
				delete(out, "ContinuationSequenceNumber")
				out["ChildShards"] = s.now().childShards(shard)
			}
			body, err := json.Marshal(out)
			if err != nil || !c.event(flush, "SubscribeToShardEvent", body) || p.drained {
				return
			}
			continue
		}
		select {
		case <-c.ctx.Done():
			return
		case <-c.gone:
			return
		case <-end.C:
			return
		case <-poll.C:
		}
	}
}

func (c *call) event(flush *http.ResponseController, kind string, body []byte) bool {
	_, err := c.w.Write(appendEvent(nil, kind, body))
	return err == nil && flush.Flush() == nil
}

// appendEvent frames one event as application/vnd.amazon.eventstream: lengths and their checksum, headers, payload,
// checksum of all.
func appendEvent(dst []byte, kind string, payload []byte) []byte {
	var headers []byte
	for _, h := range [][2]string{{":event-type", kind}, {":content-type", typeJSON}, {":message-type", "event"}} {
		const typeString = 7
		headers = append(append(append(headers, byte(len(h[0]))), h[0]...), typeString)
		headers = append(binary.BigEndian.AppendUint16(headers, uint16(len(h[1]))), h[1]...)
	}
	const overhead = 16 // two lengths and two checksums
	from := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, uint32(overhead+len(headers)+len(payload)))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(headers)))
	dst = binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[from:]))
	dst = append(append(dst, headers...), payload...)
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[from:]))
}
