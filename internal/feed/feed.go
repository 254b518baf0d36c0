package feed

import (
	"context"
	"errors"
	"time"

	"dynaferry/internal/item"
)

// The answers that a caller decides by. Everything else is an error with a fault.Kind.
var (
	// ErrExpired: the iterator is too old (15 minutes; Kinesis 5). Another one from the last position goes on.
	ErrExpired = errors.New("shard iterator expired")
	// ErrTrimmed: what follows the position is no longer kept. Reading on from the oldest that is kept leaves a gap. Of Kinesis it
	// means that the record at the position is gone, which of a shard that rested for long is no gap: who has seen its tip
	// since, within the time that records are kept, goes on from the oldest.
	ErrTrimmed = errors.New("records are trimmed")
)

// View is which images a stream's records carry (API StreamViewType).
type View string

// The four views.
const (
	KeysOnly   View = "KEYS_ONLY"
	NewImage   View = "NEW_IMAGE"
	OldImage   View = "OLD_IMAGE"
	BothImages View = "NEW_AND_OLD_IMAGES"
)

// HasNew tells whether the state of an item follows from its records.
func (v View) HasNew() bool { return v == NewImage || v == BothImages }

// HasOld tells whether records carry what was before.
func (v View) HasOld() bool { return v == OldImage || v == BothImages }

// Stream is what can be followed.
type Stream struct {
	ARN     string // of the stream; enabling a table's stream again makes another one
	Kinesis bool   // a Kinesis stream: no sequence numbers of DynamoDB, duplicates and disorder are possible
	Table   string // name; "" where a Kinesis stream does not tell before its records do
	View    View
	Keys    item.KeySchema // names alone, of type 0, of DynamoDB Streams: the table's description tells the types; nothing of Kinesis
	Open    bool           // records still come; a disabled stream is readable for its 24 hours
	Date    time.Time      // the service's clock when it told this; zero where that is not known
}

// Shard is a part of a stream. A reader drains its parents first, or those that are still listed: parents may be trimmed.
type Shard struct {
	ID      string
	Parents []string // none, one, or the two that Kinesis merged
	Closed  bool     // no record will be added; a listing may say so late
}

// Position is a place in a shard, behind a record. The zero Position is before the oldest record that is kept.
type Position struct {
	Seq Number // of the record
	Sub uint64 // of one of several records that a Kinesis producer aggregated into one: 1 for the first
}

// Compare orders positions of one shard.
func (p Position) Compare(q Position) int {
	if c := p.Seq.Compare(q.Seq); c != 0 {
		return c
	}
	switch {
	case p.Sub < q.Sub:
		return -1
	case p.Sub > q.Sub:
		return 1
	}
	return 0
}

// Event is what happened to the item (API OperationType).
type Event uint8

// The events.
const (
	Insert Event = iota + 1
	Modify
	Remove
)

// Record is one change. Its slices, and the digits of its sequence number, point into the page that it was read with: who
// keeps them longer clones them.
type Record struct {
	// Raw is the record as JSON without line breaks: of DynamoDB Streams as GetRecords shows it, of Kinesis the payload
	// that DynamoDB put in. Of a payload that is none of DynamoDB's, Event is 0 and Keys and images are empty.
	Raw []byte
	Position
	Event   Event
	Service bool  // by DynamoDB itself, as TTL deletes are: userIdentity type Service, principal dynamodb.amazonaws.com
	Micros  int64 // approximate creation in µs since 1970, as precise as the service tells: whole seconds in DynamoDB Streams
	// Keys, New and Old are rows of Page.Items; item.NoImage for an image that the record does not carry.
	Keys, New, Old int32
	EventID        []byte
	Table          []byte // tableName, of Kinesis alone
	PartitionKey   []byte // of Kinesis alone
	Arrived        int64  // when Kinesis took it, in µs since 1970; of Kinesis alone
}

// Page is one reply. Reading another into it resets it; its memory is used again.
type Page struct {
	// Keep, of whoever reads: the images that become rows of Items. The others are checked, and are not there. "" keeps all.
	Keep View

	Records  []Record
	Items    item.Batch // keys and images, as views over the reply
	Next     string     // the next iterator; "" when the shard is closed and drained
	Children []Shard    // Kinesis tells them with a shard's last page
	Date     time.Time  // the service's clock: the reply's Date header
	// Behind is how far this page is from the tip, of Kinesis (MillisBehindLatest); -1 where the service does not tell.
	Behind time.Duration
	Bytes  int // of the reply
}

// Reset empties the page and keeps its memory, and what to Keep.
func (p *Page) Reset() {
	p.Records, p.Children = p.Records[:0], nil
	p.Items.Reset()
	p.Next, p.Date, p.Behind, p.Bytes = "", time.Time{}, -1, 0
}

// KeepsNew tells whether a page keeps what items became.
func (p *Page) KeepsNew() bool { return p.Keep == "" || p.Keep.HasNew() }

// KeepsOld tells whether a page keeps what was before.
func (p *Page) KeepsOld() bool { return p.Keep == "" || p.Keep.HasOld() }

// Client reads the streams of one account, Region and endpoint. Methods may be called concurrently.
type Client interface {
	// Describe returns a stream by its ARN, of Kinesis also by its name. NotFound.
	Describe(ctx context.Context, stream string) (*Stream, error)

	// Shards lists all shards that are kept, parents before children, or with of != "" the children of that shard alone
	// (ShardFilter CHILD_SHARDS). It pages as it goes. Lists are eventually consistent: a closed shard may lack its
	// children for a while, a parent may be gone. NotFound when the stream is gone.
	Shards(ctx context.Context, stream, of string) ([]Shard, error)

	// Iterator returns an iterator that begins behind after; with the zero Position at the oldest record that is kept.
	// ErrTrimmed, NotFound when the shard is gone.
	Iterator(ctx context.Context, stream, shard string, after Position) (string, error)

	// Read reads at most limit records into p. A page may be empty in mid-shard. Of records that a producer aggregated
	// the iterator can only name the whole: those at or before the position asked for come again and are the caller's to
	// pass over. ErrExpired, ErrTrimmed.
	Read(ctx context.Context, iterator string, limit int, p *Page) error
}
