package store

import (
	"sync"
)

// op is one accepted change on its way: decided under the key's stripe, waiting for its frame.
type op struct {
	kind  kind
	table TableID
	key   Key
	index []byte // index key; for control records what stands for the hash key
	value []byte
	size  uint32
	crc   uint32

	before *op     // the write of this key that is still on its way, if any: what it becomes is our prior
	prior  pointer // else the index's pointer, when existed
	exists bool

	stream  StreamID // the change is of this stream, 0: of none
	shard   uint32   // of the stream, found when the frame is laid out; for control records see record
	service bool
	entries []byte // see entries.go
	tellOld bool   // the record says what was before
	inline  []byte // which is too old to be pointed at

	at      pointer // set when the frame is laid out
	written int64   // and when that was, in Unix ms: of a move not the time of what it moves
	place   place   // of the record, for the stream
	group   *group
}

// bound is the most the operation's record takes.
func (o *op) bound() int {
	return recordMax + len(o.index) + len(o.key.Range) + len(o.value) + len(o.entries) + len(o.inline)
}

// group is the operations of one frame; done is closed when they are durable and in the index, or err is set.
type group struct {
	ops   []*op
	bytes int
	alone bool // control records: nothing else comes in
	done  chan struct{}
	err   error
}

func (g *group) wait() error {
	<-g.done
	return g.err
}

// queueBytesMax bounds the memory of operations that wait; writers wait when it is reached.
const queueBytesMax = 32 << 20

// queue hands groups from writers to the batcher in the order of their enqueueing.
type queue struct {
	mu      sync.Mutex
	ready   sync.Cond // a group is there, or the end
	room    sync.Cond // bytes fell below the bound, or the end
	groups  []*group
	bytes   int
	closed  bool
	failure error
	ended   chan struct{} // closed with the failure
}

func (q *queue) init() {
	q.ready.L, q.room.L = &q.mu, &q.mu
	q.ended = make(chan struct{})
}

// put adds operations that must share a frame. The overlay shows them before put returns, so the caller may unlock
// their stripes.
func (q *queue) put(overlay *overlay, ops ...*op) (*group, error) {
	bytes := 0
	for _, o := range ops {
		bytes += o.bound()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.failure == nil && q.bytes > queueBytesMax {
		q.room.Wait()
	}
	if q.failure != nil {
		return nil, q.failure
	}
	var g *group
	if n := len(q.groups); n > 0 {
		g = q.groups[n-1]
	}
	alone := len(ops) > 0 && ops[0].kind.control()
	if g == nil || g.alone || alone || len(g.ops)+len(ops) > frameRecords || g.bytes+bytes > framePayload {
		g = &group{alone: alone, done: make(chan struct{})}
		q.groups = append(q.groups, g)
		q.ready.Signal()
	}
	for _, o := range ops {
		o.group = g
		overlay.set(o)
	}
	g.ops = append(g.ops, ops...)
	g.bytes += bytes
	q.bytes += bytes
	return g, nil
}

// take waits for the next group; nil when the queue is closed and empty, or has failed.
func (q *queue) take() *group {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.groups) == 0 && !q.closed && q.failure == nil {
		q.ready.Wait()
	}
	if len(q.groups) == 0 || q.failure != nil {
		return nil
	}
	g := q.groups[0]
	q.groups = q.groups[1:]
	return g
}

// finished gives the group's room back.
func (q *queue) finished(g *group) {
	q.mu.Lock()
	q.bytes -= g.bytes
	q.mu.Unlock()
	q.room.Broadcast()
}

// close lets take return nil once all groups are taken. New operations are the caller's to prevent.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.ready.Broadcast()
}

// fail ends the queue: what waits gets err now, what comes later too. Only the first failure counts.
func (q *queue) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.failure != nil {
		return
	}
	q.failure = err
	close(q.ended)
	for _, g := range q.groups {
		g.err = err
		close(g.done)
	}
	q.groups = nil
	q.ready.Broadcast()
	q.room.Broadcast()
}

func (q *queue) failed() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.failure
}

// overlay shows the last accepted operation of each key until it is in the index, so that the next writer of a hot key
// need not wait for the commit of the one before. Readers do not see it: they get what is durable.
type overlay struct {
	shards [256]struct {
		mu sync.Mutex
		m  map[string]*op
	}
}

func (v *overlay) shard(key []byte) int {
	if len(key) < 13 {
		return 0
	}
	return int(key[12]) // the last byte of the key's hash
}

func (v *overlay) get(key []byte) *op {
	s := &v.shards[v.shard(key)]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[string(key)]
}

func (v *overlay) set(o *op) {
	if o.kind >= kindTableCreate {
		return
	}
	s := &v.shards[v.shard(o.index)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = map[string]*op{}
	}
	s.m[string(o.index)] = o
}

// done removes an operation unless a later one took its place.
func (v *overlay) done(o *op) {
	s := &v.shards[v.shard(o.index)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m[string(o.index)] == o {
		delete(s.m, string(o.index))
	}
}
