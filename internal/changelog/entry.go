package changelog

import (
	"encoding/json"
	"fmt"
	"strconv"

	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// Kind is what an entry is for.
type Kind string

// The kinds of entries.
const (
	Segment   Kind = "segment"   // records of shards, or marks about them alone
	Fence     Kind = "fence"     // another writer takes the chain over
	Release   Kind = "release"   // shards go to another group
	Gap       Kind = "gap"       // records that the stream no longer had when it was read
	Compacted Kind = "compacted" // what an export knows of a gap: final states, in no order
)

// wholeEvery is how often an entry tells the whole state: a reader of the tail never reads more than this many.
const wholeEvery = 16

// Entry is what the footer of an entry says. Times are µs since 1970.
type Entry struct {
	N     uint64    `json:"-"`
	Group uint32    `json:"-"`
	ID    commit.ID `json:"-"` // the write id
	Size  int64     `json:"-"` // bytes of the entry; 0 of one that was read from an index

	Kind   Kind   `json:"kind"`
	Stream string `json:"stream"` // ARN
	Writer string `json:"writer"` // the random id of the process that wrote it
	At     int64  `json:"at"`     // when, by the service's clock
	// Listed is up to when all shards of the stream were known: those of them that are the group's have begun, or wait for a
	// parent that it has; µs since 1970, by the service's clock.
	Listed int64 `json:"listed,omitempty"`
	// Seen are the last entries of all chains of a log of several, as they were known before the group last asked for a list.
	Seen []uint64 `json:"seen,omitempty"`
	// Whole tells that Shards is the state of the whole group, not only of the shards that this entry touches.
	Whole  bool    `json:"whole,omitempty"`
	Shards []Shard `json:"shards,omitempty"`
	Blocks []Block `json:"blocks,omitempty"`
	// Through is, in a log that holds a part of another, the entry of that one up to which all is in this one, this entry included.
	Through uint64 `json:"through,omitempty"`

	Fence     *FenceNote     `json:"fence,omitempty"`
	Release   *ReleaseNote   `json:"release,omitempty"`
	Gap       *GapNote       `json:"gap,omitempty"`
	Compacted *CompactedNote `json:"compacted,omitempty"`
}

// Shard is where a shard of the stream stands once its entry is in the log.
type Shard struct {
	ID      string   `json:"id"`
	Parents []string `json:"parents,omitempty"`
	// The entry holds exactly the records in (After, End].
	After    feed.Position `json:"after,omitzero"`
	End      feed.Position `json:"end,omitzero"`
	Closed   bool          `json:"closed,omitempty"`   // all of its records are in the log
	Children []string      `json:"children,omitempty"` // of this group, once they were seen
	Time     int64         `json:"time,omitempty"`     // the running maximum of the records' times along the lineage
	// Tip is when the shard was seen at its open end: every record of before is in the log, by observation. 0: never.
	Tip int64 `json:"tip,omitempty"`
	// Begun is from when on its records are in the log, or told as missing: what is older may have been gone before.
	Begun   int64  `json:"begun,omitempty"`
	Records uint64 `json:"records,omitempty"` // in this entry
	Total   uint64 `json:"total,omitempty"`   // in all entries so far
	// Taken is the entry of another group that released the shard; this one goes on where that one ended.
	Taken *Taken `json:"taken,omitempty"`
}

// Taken names an entry of another group.
type Taken struct {
	Group uint32 `json:"group"`
	N     uint64 `json:"n"`
}

// Block is one zstd frame of records, a line each, of one shard.
type Block struct {
	Shard   int           `json:"shard"` // index in the entry's Shards; -1 in a compacted entry
	Offset  int64         `json:"offset"`
	Length  int64         `json:"length"`
	Bytes   int64         `json:"bytes"` // uncompressed
	Records int           `json:"records"`
	First   feed.Position `json:"first,omitzero"` // of the first record
	Last    feed.Position `json:"last,omitzero"`
	From    int64         `json:"from"` // time of the first record: the running maximum; of a compacted entry the least
	To      int64         `json:"to"`
	Sum     Checksum      `json:"crc32c"` // of the frame
	Keys    Filter        `json:"keys,omitempty"`
}

// FenceNote says whom a fence shuts out.
type FenceNote struct {
	Writer string `json:"writer,omitempty"` // of the entry before; "" when there is none
}

// ReleaseNote says which shards leave, and where to.
type ReleaseNote struct {
	Shards []string `json:"shards"`
	Group  uint32   `json:"group"`
}

// GapNote says what is missing: of each shard that the entry touches the records in (After, End]; where these are equal,
// it is not known how many of those that come next are missing.
type GapNote struct {
	Reason string `json:"reason"`
	From   int64  `json:"from,omitempty"`   // no missing record is older; 0: unknown
	To     int64  `json:"to,omitempty"`     // nor newer
	Stream string `json:"stream,omitempty"` // the stream before, when another took its place: all of its shards end here
	// Gone are those of the shards that the service no longer keeps: closed here, and finished whatever their children are.
	Gone []string `json:"gone,omitempty"`
}

// CompactedNote says which gap an entry heals, and from what.
type CompactedNote struct {
	Gap    uint64 `json:"gap"`  // the entry of kind gap
	From   int64  `json:"from"` // the window whose final states these are: [From, To)
	To     int64  `json:"to"`
	Source string `json:"source"` // for instance an export's ARN
	// More tells that other entries with final states of the same gap follow: the one without it heals the gap.
	More bool `json:"more,omitempty"`
}

// Meets tells whether states of the window may be of a time in (from, to].
func (c *CompactedNote) Meets(from, to int64) bool { return c.From <= to && c.To > from }

// Heals tells whether an entry is the last of those that stand for a gap.
func (e *Entry) Heals(gap uint64) bool {
	return e.Compacted != nil && !e.Compacted.More && e.Compacted.Gap == gap
}

// Checksum is a CRC-32C; as text 8 hex digits.
type Checksum uint32

// String is the checksum in hex.
func (c Checksum) String() string { return fmt.Sprintf("%08x", uint32(c)) }

// MarshalText is String.
func (c Checksum) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what String wrote.
func (c *Checksum) UnmarshalText(text []byte) error {
	sum, err := strconv.ParseUint(string(text), 16, 32)
	if err != nil || len(text) != 8 {
		return fault.New(fault.Corrupt, "%.20q is no checksum", text)
	}
	*c = Checksum(sum)
	return nil
}

// Span is the least and the greatest time of the entry's records; from > to when it has none.
func (e *Entry) Span() (from, to int64) {
	from, to = noTimes.From, noTimes.To
	for i := range e.Blocks {
		from, to = min(from, e.Blocks[i].From), max(to, e.Blocks[i].To)
	}
	return from, to
}

// Records is how many the entry holds.
func (e *Entry) Records() (n uint64) {
	for i := range e.Blocks {
		n += uint64(e.Blocks[i].Records)
	}
	return n
}

// Shard finds what the entry says about a shard, nil when it says nothing.
func (e *Entry) Shard(id string) *Shard {
	for i := range e.Shards {
		if e.Shards[i].ID == id {
			return &e.Shards[i]
		}
	}
	return nil
}

// wholeDue tells which entries must tell the whole state.
func wholeDue(n uint64, kind Kind) bool { return n == 1 || n%wholeEvery == 0 || kind == Fence }

// Bounds of one entry; a reader refuses what is beyond, before it allocates.
const (
	// EntryBytesMax bounds an entry, and so what a put holds in memory.
	EntryBytesMax = commit.SizeMax
	// recordBytesMax is above any record: 10 MiB of Kinesis as base64, two images of 400 KB with every byte escaped.
	recordBytesMax = 16 << 20
	// blockBytesMax bounds a block: it is full after the record that reaches its size.
	blockBytesMax = 2 * recordBytesMax
	// payloadBytesMax is room for 50,000 shards.
	payloadBytesMax = 32 << 20
	// payloadRatioMax stops what is only made to be large; ids and positions differ.
	payloadRatioMax = 500
)

// appendEntry appends the entry's footer to its blocks.
func (z *zipper) appendEntry(body []byte, e *Entry) ([]byte, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("footer of entry %d: %w", e.N, err)
	}
	payload := z.enc.EncodeAll(text, nil)
	if size := len(body) + len(payload) + frameHead + trailerBytes; len(text) > payloadBytesMax || size > EntryBytesMax {
		return nil, fault.New(fault.Limit, "entry %d has %d bytes, its footer %d; at most %d and %d", e.N, size, len(text),
			EntryBytesMax, payloadBytesMax)
	}
	return appendFooter(body, payload, entryMagic, trailer{n: e.N, group: e.Group, before: uint64(len(body)), id: e.ID}), nil
}

// parseEntry reads a footer that is complete in frame, and checks that all that it says is possible.
func (z *zipper) parseEntry(frame []byte, t trailer) (*Entry, error) {
	payload, err := t.payloadOf(frame)
	if err != nil {
		return nil, err
	}
	text, err := z.unpackPayload(payload)
	if err != nil {
		return nil, err
	}
	e := &Entry{N: t.n, Group: t.group, ID: t.id}
	if err := json.Unmarshal(text, e); err != nil {
		return nil, fault.New(fault.Corrupt, "the footer is no JSON of an entry: %w", err)
	}
	if err := e.check(int64(t.before)); err != nil {
		return nil, err
	}
	return e, nil
}
