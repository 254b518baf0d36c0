package local

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"

	"dynaferry/internal/item"
	"dynaferry/internal/local/store"
)

// streamTargets are the operations of DynamoDBStreams_20120810.
var streamTargets = map[string]func(*call) error{
	"DescribeStream":   (*call).describeStream,
	"GetRecords":       (*call).getStreamRecords,
	"GetShardIterator": (*call).getShardIterator,
	"ListStreams":      (*call).listStreams,
}

// changeDigest is what is random about a change and yet the same whenever it is told.
func changeDigest(stream store.StreamID, seq uint64) [sha256.Size]byte {
	b := binary.BigEndian.AppendUint32([]byte("change"), uint32(stream))
	return sha256.Sum256(binary.BigEndian.AppendUint64(b, seq))
}

// told is a change taken apart for a record.
type told struct {
	name     string // INSERT, MODIFY or REMOVE
	keys     []byte
	old, new []byte
	size     int
}

// tell takes a change apart and keeps what the view shows. ok is false for a write that changed nothing, of which
// streams do not tell.
func (c *call) tell(n *streamNote, view string, ch *store.Change) (t told, ok bool, err error) {
	t.name = "MODIFY"
	switch {
	case ch.Old == nil:
		t.name = "INSERT"
	case ch.New == nil:
		t.name = "REMOVE"
	}
	raw := ch.New
	if raw == nil {
		raw = ch.Old
	}
	it, err := tokens(&c.spare, raw)
	if err != nil {
		return t, false, err
	}
	if t.name == "MODIFY" {
		old, err := tokens(&c.cut, ch.Old)
		if err != nil || item.Equal(old, it) {
			return t, false, err
		}
	}
	t.keys = append(t.keys, '{')
	for i, attr := range n.Keys.Attrs() {
		at, found := it.Get(attr.Name)
		if !found {
			return t, false, fmt.Errorf("a change of stream %s without the key %s", n.Label, attr.Name)
		}
		if i > 0 {
			t.keys = append(t.keys, ',')
		}
		t.keys = append(item.AppendString(t.keys, []byte(attr.Name)), ':')
		t.keys = it.AppendValue(t.keys, at)
	}
	t.keys = append(t.keys, '}')
	if view == imageOld || view == imageBoth {
		t.old = ch.Old
	}
	if view == imageNew || view == imageBoth {
		t.new = ch.New
	}
	for _, part := range [][]byte{t.keys, t.old, t.new} {
		if part != nil {
			t.size += size(part)
		}
	}
	return t, true, nil
}

// approximateTime is the second that a record tells: that of the change, or of up to a second before, so that it may
// step back from one record to the next, as the service's may.
func approximateTime(ms int64, digest [sha256.Size]byte) int64 {
	return (ms - int64(binary.BigEndian.Uint16(digest[24:])%1000)) / 1000
}

// appendChange appends a record of GetRecords; told is false when there is nothing to tell.
func (c *call) appendChange(n *streamNote, ch *store.Change) (told bool, err error) {
	t, ok, err := c.tell(n, n.View, ch)
	if err != nil || !ok {
		return false, err
	}
	digest := changeDigest(n.ID, ch.Seq)
	dst := append(c.out, `{"eventID":"`...)
	dst = hex.AppendEncode(dst, digest[:16])
	dst = append(append(append(dst, `","eventName":"`...), t.name...), `","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"`...)
	dst = append(append(dst, c.region...), `","dynamodb":{"ApproximateCreationDateTime":`...)
	dst = strconv.AppendInt(dst, approximateTime(ch.Time.UnixMilli(), digest), 10)
	dst = append(append(dst, `,"Keys":`...), t.keys...)
	if t.new != nil {
		dst = append(append(dst, `,"NewImage":`...), t.new...)
	}
	if t.old != nil {
		dst = append(append(dst, `,"OldImage":`...), t.old...)
	}
	dst = append(append(dst, `,"SequenceNumber":"`...), sequenceNumber(ch.Seq)...)
	dst = strconv.AppendInt(append(dst, `","SizeBytes":`...), int64(t.size), 10)
	dst = append(append(append(dst, `,"StreamViewType":"`...), n.View...), `"}`...)
	if ch.Service {
		dst = append(dst, `,"userIdentity":{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"}`...)
	}
	c.out = append(dst, '}')
	return true, nil
}
