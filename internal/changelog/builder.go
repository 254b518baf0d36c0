package changelog

import (
	"bytes"
	"cmp"
	"maps"
	"runtime"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// Record is one change on its way into the log.
type Record struct {
	Raw           []byte // one line of JSON, without its line feed
	feed.Position        // above that of the shard's record before
	Micros        int64  // when it happened, as the service says; the log keeps the running maximum
	Key           uint64 // KeyHash of its key; 0 when it has none
	// Running is the running time of a record that is copied from another log, which records that are not copied may have raised;
	// 0 is what those that were added make it.
	Running int64
}

// BuilderOptions are a builder's measures; zero values mean the defaults.
type BuilderOptions struct {
	BlockBytes int // uncompressed size at which a block is full: 1 MiB
	OpenBytes  int // uncompressed bytes in all blocks that are not full: 16 MiB; above, the largest is sealed early
	Workers    int // blocks that are compressed at once: one a processor
}

const (
	blockBytesDefault = 1 << 20
	openBytesDefault  = 16 << 20
	// lineRoom is what an open block begins with, when no buffer is spare: a thousand shards may have one.
	lineRoom = 16 << 10
	// fullBytes is when a draft is to be cut: ten such puts a second carry more than two cores can, and whatever the last
	// record is, and however badly all compress, the entry stays within EntryBytesMax.
	fullBytes = EntryBytesMax - recordBytesMax - payloadRoom
	// payloadRoom is for the footer of a draft that compresses badly.
	payloadRoom = 8 << 20
)

// Builder gathers records into the blocks of a draft. It knows where each shard stands: behind what was added, in the
// log or not. Full blocks are compressed beside the caller; Add waits when all workers are busy. It holds at most
// OpenBytes, a block for each worker and one more, and the compressed blocks of the draft. It is not for concurrent use.
type Builder struct {
	o     BuilderOptions
	enc   *zstd.Encoder
	lanes map[string]*lane
	last  *lane // the one that was added to last

	touched []*lane // in the order in which the draft touched them: an index into its shards
	blocks  []*sealed
	group   *errgroup.Group // compresses blocks of this draft
	open    int             // uncompressed bytes that are not sealed
	bytes   int             // uncompressed bytes of the draft

	lines, frames shelf // buffers for blocks, and for what they are compressed to
}

// shelf keeps some empty buffers for use again.
type shelf chan []byte

func (s shelf) take() []byte {
	select {
	case b := <-s:
		return b
	default:
		return nil
	}
}

func (s shelf) put(b []byte) {
	select {
	case s <- b[:0]:
	default:
	}
}

// lane is one shard's way into the draft.
type lane struct {
	shard   Shard // as it will stand once the draft is in the log
	index   int   // in touched; -1 when the draft does not touch it
	lines   []byte
	block   Block // of lines, so far
	lastSeq []byte
	lastSub uint64
	keys    []uint64
}

// sealed is a block that is or will be compressed.
type sealed struct {
	block Block
	frame []byte
}

// NewBuilder returns a builder that goes on where s ends.
func NewBuilder(s *State, o BuilderOptions) (*Builder, error) {
	o.BlockBytes = cmp.Or(o.BlockBytes, blockBytesDefault)
	o.OpenBytes = cmp.Or(o.OpenBytes, openBytesDefault)
	o.Workers = cmp.Or(o.Workers, runtime.GOMAXPROCS(0))
	if o.BlockBytes > blockBytesMax-recordBytesMax {
		return nil, fault.New(fault.User, "blocks of %d bytes; at most %d", o.BlockBytes, blockBytesMax-recordBytesMax)
	}
	enc, err := newEncoder(o.Workers)
	if err != nil {
		return nil, err
	}
	b := &Builder{o: o, enc: enc, lanes: make(map[string]*lane, len(s.shards)),
		lines: make(shelf, o.OpenBytes/o.BlockBytes+2*o.Workers), frames: make(shelf, fullBytes/o.BlockBytes)}
	for _, shard := range s.Shards() {
		b.enter(*shard)
	}
	b.fresh()
	return b, nil
}

func (b *Builder) fresh() {
	b.touched, b.blocks, b.bytes = nil, nil, 0
	b.group = new(errgroup.Group)
	b.group.SetLimit(b.o.Workers)
}

func (b *Builder) enter(s Shard) *lane {
	l := &lane{shard: s, index: -1, lastSeq: []byte(s.End.Seq), lastSub: s.End.Sub}
	b.lanes[s.ID] = l
	return l
}

// Begin enters a shard that is new to the group: at its oldest record, with s.ID and s.Parents, or where the group that
// released it stopped, with all that s says. Its parents are closed, or not of this group, or finished long ago.
func (b *Builder) Begin(s Shard) error {
	if b.lanes[s.ID] != nil {
		return fault.New(fault.Bug, "shard %s has begun already", s.ID)
	}
	for _, id := range s.Parents {
		if parent := b.lanes[id]; parent != nil {
			if !parent.shard.Closed {
				return fault.New(fault.Bug, "shard %s begins before its parent %s is closed", s.ID, id)
			}
			s.Time = max(s.Time, parent.shard.Time)
		}
	}
	s.After, s.Records = s.End, 0
	b.touch(b.enter(s))
	return nil
}

// lane finds a shard that has begun, and touches it.
func (b *Builder) lane(id string) (*lane, error) {
	if b.last == nil || b.last.shard.ID != id {
		l := b.lanes[id]
		if l == nil {
			return nil, fault.New(fault.Bug, "shard %s has not begun", id)
		}
		b.last = l
	}
	b.touch(b.last)
	return b.last, nil
}

func (b *Builder) touch(l *lane) {
	if l.index < 0 {
		l.index = len(b.touched)
		b.touched = append(b.touched, l)
	}
}

// Add appends a record of a shard that has begun and is not closed. What r points to may be reused. Errors are of kind
// Bug but for a record that is too large (Limit).
func (b *Builder) Add(shard string, r Record) error {
	l, err := b.lane(shard)
	if err != nil {
		return err
	}
	if !l.before(r.Position) || l.shard.Closed {
		return fault.New(fault.Bug, "record %v of shard %s comes behind %s.%d, or behind its end", r.Position, shard, l.lastSeq, l.lastSub)
	}
	running := max(l.shard.Time, r.Micros, r.Running)
	if l.block.Records > 0 && running > max(l.block.To, r.Micros) {
		b.seal(l) // what raised it is not in the block, whose readers count from its first record on
	}
	if err := b.append(l, &r); err != nil {
		return err
	}
	l.lastSeq, l.lastSub = append(l.lastSeq[:0], r.Seq...), r.Sub
	l.shard.Time, l.block.Last = running, feed.Position{}
	if l.block.Records == 1 {
		l.block.First, l.block.From = feed.Position{Seq: feed.Number(strings.Clone(string(r.Seq))), Sub: r.Sub}, l.shard.Time
	}
	l.block.To = l.shard.Time
	l.shard.Records++
	b.room(l)
	return nil
}

// AddLoose appends a record of a compacted entry, which is of no shard.
func (b *Builder) AddLoose(r Record) error {
	l := b.lanes[""]
	if l == nil {
		l = b.enter(Shard{})
	}
	if l.block.Records == 0 {
		l.block.From, l.block.To = r.Micros, r.Micros
	}
	if err := b.append(l, &r); err != nil {
		return err
	}
	l.block.From, l.block.To = min(l.block.From, r.Micros), max(l.block.To, r.Micros)
	b.room(l)
	return nil
}

func (b *Builder) append(l *lane, r *Record) error {
	if len(r.Raw) > recordBytesMax {
		return fault.New(fault.Limit, "record %v of shard %s has %d bytes; at most %d", r.Position, l.shard.ID, len(r.Raw), recordBytesMax)
	}
	if len(r.Raw) == 0 || bytes.IndexByte(r.Raw, '\n') >= 0 {
		return fault.New(fault.Bug, "record %v of shard %s is no line: %.80q", r.Position, l.shard.ID, r.Raw)
	}
	if b.Full() && len(r.Raw) > recordBytesMax-(b.bytes-fullBytes) {
		return fault.New(fault.Bug, "the draft is full with %d bytes and was not cut", b.bytes)
	}
	if l.lines == nil {
		if l.lines = b.lines.take(); l.lines == nil {
			l.lines = make([]byte, 0, max(lineRoom, len(r.Raw)+1))
		}
	}
	l.lines = append(append(l.lines, r.Raw...), '\n')
	b.open += len(r.Raw) + 1
	b.bytes += len(r.Raw) + 1
	l.block.Records++
	if r.Key != 0 {
		l.keys = append(l.keys, r.Key)
	}
	return nil
}

// room seals what is full.
func (b *Builder) room(l *lane) {
	if len(l.lines) >= b.o.BlockBytes {
		b.seal(l)
	}
	for b.open > b.o.OpenBytes {
		largest := l
		for _, other := range b.lanes { // equals are told apart by id, so that a history makes the same bytes each time
			if c := cmp.Compare(len(other.lines), len(largest.lines)); c > 0 || c == 0 && other.shard.ID < largest.shard.ID {
				largest = other
			}
		}
		b.seal(largest)
	}
}

// seal ends the open block of a lane and has it compressed.
func (b *Builder) seal(l *lane) {
	if l.block.Records == 0 {
		return
	}
	l.block.Shard, l.block.Bytes = l.index, int64(len(l.lines))
	if l.shard.ID != "" && l.block.Last.IsZero() {
		l.block.Last = l.position()
	}
	s := &sealed{block: l.block}
	b.blocks = append(b.blocks, s)
	lines, keys := l.lines, slices.Clone(l.keys)
	b.open -= len(lines)
	l.lines, l.block, l.keys = nil, Block{}, l.keys[:0]
	b.group.Go(func() error {
		s.frame = b.enc.EncodeAll(lines, b.frames.take())
		s.block.Length, s.block.Sum, s.block.Keys = int64(len(s.frame)), checksum(s.frame), newFilter(keys)
		b.lines.put(lines)
		return nil
	})
}

// before tells whether the lane's last record comes before p. It compares as feed.Position does, without making one.
func (l *lane) before(p feed.Position) bool {
	if len(l.lastSeq) != len(p.Seq) {
		return len(l.lastSeq) < len(p.Seq)
	}
	if string(l.lastSeq) != string(p.Seq) {
		return string(l.lastSeq) < string(p.Seq)
	}
	return l.lastSub < p.Sub
}

func (l *lane) position() feed.Position {
	return feed.Position{Seq: feed.Number(l.lastSeq), Sub: l.lastSub}
}

// Close tells that all records of a shard were added, and which children of this group were seen. They may be told later,
// by closing the shard again.
func (b *Builder) Close(shard string, children ...string) error {
	l, err := b.lane(shard)
	if err != nil {
		return err
	}
	b.seal(l) // so that the children's blocks stand behind it
	l.shard.Closed = true
	for _, child := range children {
		if !slices.Contains(l.shard.Children, child) {
			l.shard.Children = append(slices.Clone(l.shard.Children), child)
		}
	}
	return nil
}

// Tip tells that a shard was seen at its open end, with every record of before at added.
func (b *Builder) Tip(shard string, at int64) error {
	l, err := b.lane(shard)
	if err == nil {
		l.shard.Tip = max(l.shard.Tip, at)
	}
	return err
}

// Advance tells that a shard stands in another log where s says, when all of it that is copied was added: nothing of it goes back. Total
// and Records of s are of that log, and do not count.
func (b *Builder) Advance(s *Shard) error {
	l := b.lanes[s.ID]
	if l == nil {
		return fault.New(fault.Bug, "shard %s has not begun", s.ID)
	}
	at := l.position()
	moved := s.End.Compare(at)
	if moved < 0 {
		return fault.New(fault.Bug, "shard %s goes back from %v to %v", s.ID, at, s.End)
	}
	if moved == 0 && s.Time <= l.shard.Time && s.Tip <= l.shard.Tip && s.Closed == l.shard.Closed && len(s.Children) == len(l.shard.Children) {
		return nil
	}
	b.touch(l)
	if moved > 0 {
		if l.block.Records > 0 && l.block.Last.IsZero() {
			l.block.Last = at
		}
		l.lastSeq, l.lastSub = []byte(s.End.Seq), s.End.Sub
	}
	l.shard.Time, l.shard.Tip = max(l.shard.Time, s.Time), max(l.shard.Tip, s.Tip)
	if s.Closed {
		return b.Close(s.ID, s.Children...)
	}
	return nil
}

// Full tells that the draft is to be cut before another record is added.
func (b *Builder) Full() bool { return b.bytes >= fullBytes }

// Bytes is how much was added since the last cut, uncompressed.
func (b *Builder) Bytes() int { return b.bytes }

// Touched tells whether a cut would say anything.
func (b *Builder) Touched() bool { return len(b.touched)+len(b.blocks) > 0 || b.bytes > 0 }

// Cut ends the draft of a segment, or of a compacted entry when its records are loose, and begins another. What is in
// it does not depend on how fast blocks were compressed.
func (b *Builder) Cut() *Draft {
	for _, l := range b.touched {
		b.seal(l)
	}
	if loose := b.lanes[""]; loose != nil {
		b.seal(loose)
		delete(b.lanes, "")
	}
	_ = b.group.Wait() // compressing does not fail
	d := &Draft{Kind: Segment, Blocks: make([]Block, len(b.blocks)), Shards: make([]Shard, len(b.touched))}
	var size int64
	for _, s := range b.blocks {
		size += s.block.Length
	}
	d.body = make([]byte, 0, size+size/16+64<<10)
	for i, s := range b.blocks {
		s.block.Offset = int64(len(d.body))
		d.Blocks[i] = s.block
		d.body = append(d.body, s.frame...)
		b.frames.put(s.frame)
	}
	for i, l := range b.touched {
		l.shard.End = l.position()
		l.shard.Total += l.shard.Records
		d.Shards[i] = l.shard
		l.shard.After, l.shard.Records, l.index = l.shard.End, 0, -1
	}
	b.fresh()
	b.last = nil
	prune(b.lanes, func(l *lane) *Shard { return &l.shard })
	return d
}

// Shard tells where a shard stands behind all that was added, and whether the group has it: begun and not finished.
func (b *Builder) Shard(id string) (s Shard, has bool) {
	l := b.lanes[id]
	if l == nil {
		return Shard{}, false
	}
	s = l.shard
	s.End = feed.Position{Seq: feed.Number(l.lastSeq), Sub: l.lastSub}
	return s, true
}

// Gap makes the draft that tells that records are missing: of each shard those up to and including its position, which
// may be where it stands. The builder goes on behind it, without those in note.Gone, and without any where note.Stream
// tells that another stream takes over. Whatever was added before is to be cut first.
func (b *Builder) Gap(note GapNote, to map[string]feed.Position) (*Draft, error) {
	if b.Touched() {
		return nil, fault.New(fault.Bug, "a gap in the middle of a draft")
	}
	for _, id := range slices.Sorted(maps.Keys(to)) {
		l, err := b.lane(id)
		if err != nil {
			return nil, err
		}
		if !l.before(to[id]) && to[id] != l.position() {
			return nil, fault.New(fault.Bug, "a gap of shard %s up to %v, behind %v", id, to[id], l.position())
		}
		l.lastSeq, l.lastSub = []byte(to[id].Seq), to[id].Sub
	}
	for _, id := range note.Gone {
		if err := b.Close(id); err != nil {
			return nil, err
		}
	}
	d := b.Cut()
	d.Kind, d.Gap = Gap, &note
	for _, id := range note.Gone {
		delete(b.lanes, id)
	}
	if note.Stream != "" {
		clear(b.lanes)
	}
	return d, nil
}

// Release makes the draft by which shards leave for another group. Whatever was added before is to be cut first.
func (b *Builder) Release(to uint32, shards ...string) (*Draft, error) {
	if b.Touched() {
		return nil, fault.New(fault.Bug, "a release in the middle of a draft")
	}
	for _, id := range shards {
		if b.lanes[id] == nil {
			return nil, fault.New(fault.Bug, "shard %s is not of the group", id)
		}
		delete(b.lanes, id)
	}
	return &Draft{Kind: Release, Release: &ReleaseNote{Shards: shards, Group: to}}, nil
}

// Draft is an entry that waits for its number.
type Draft struct {
	Kind      Kind
	Stream    string   // ARN; "" means that of the entry before
	At        int64    // the service's clock, µs since 1970
	Listed    int64    // see Entry; 0 means that of the entry before
	Seen      []uint64 // see Entry; nil means that of the entry before
	Shards    []Shard
	Blocks    []Block
	Release   *ReleaseNote
	Gap       *GapNote
	Compacted *CompactedNote
	Through   uint64 // as of Entry
	body      []byte
}
