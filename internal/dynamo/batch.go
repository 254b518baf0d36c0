package dynamo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// BatchWriteItem's limits (API BatchWriteItem).
const (
	BatchMembersMax = 25
	BatchBytesMax   = 16 << 20
	// memberOverhead is what a member's request costs around its item: {"PutRequest":{"Item":}},
	memberOverhead = 32
)

// memberRetryForDefault is how long one member may stay unprocessed while others progress.
const memberRetryForDefault = time.Minute

// BatchWriterOptions set up a BatchWriter.
type BatchWriterOptions struct {
	Table string
	// Keys are the table's. They are used to check that the members of one Write are distinct, which the service does
	// not forgive within a batch and retries would otherwise reorder.
	Keys item.KeySchema
	// RetryFor bounds how long one member is retried; 0 is a minute.
	RetryFor time.Duration
	// DeadLetter receives members that cannot be written. Returning an error stops the Write with it. nil makes every
	// such member an error.
	DeadLetter func(DeadLetter) error
	// BeforeSend, when set, runs before every request with its context; an error stops the Write with it. Import looks
	// there whether its task was finished elsewhere.
	BeforeSend func(context.Context) error
}

// DeadLetter is a member that was put aside, with the reason: the service's message, or how long it stayed unprocessed.
type DeadLetter struct {
	Item   item.Item // valid during the call
	Delete bool
	Index  int // into puts or deletes of the Write
	Err    error
}

// BatchWriter puts and deletes without condition through a governor. It is for one goroutine; any number of writers may
// share a governor.
type BatchWriter struct {
	client Client
	g      *Governor
	lane   *Lane
	o      BatchWriterOptions

	queue []member
	key   []byte
	req   BatchWriteRequest
	batch []int
}

// member is one put or delete on its way.
type member struct {
	it      item.Item
	delete  bool
	index   int
	size    int // bytes in the request
	units   float64
	tries   int
	first   time.Time // when it was first left over
	next    time.Time // not before
	settled bool
}

// NewBatchWriter makes a writer.
func NewBatchWriter(client Client, g *Governor, o BatchWriterOptions) *BatchWriter {
	if o.RetryFor == 0 {
		o.RetryFor = memberRetryForDefault
	}
	return &BatchWriter{client: client, g: g, lane: g.Lane(), o: o}
}

// Written counts what one Write did.
type Written struct {
	Puts, Deletes int
	DeadLetters   int
	Requests      int
	Unprocessed   int // members that came back at least once
	Units         float64
}

// Write writes all members, any number of them, in batches; puts are whole items, deletes are keys. Members must have
// distinct keys. It returns when every member is written or was handed to DeadLetter. After an error any of them may
// have been written.
func (w *BatchWriter) Write(ctx context.Context, puts, deletes []item.Item) (Written, error) {
	var done Written
	if err := w.enqueue(puts, deletes); err != nil {
		return done, err
	}
	for {
		wait, left := w.pick(time.Now())
		switch {
		case left == 0:
			return done, nil
		case len(w.batch) == 0:
			if err := sleep(ctx, wait); err != nil {
				return done, err
			}
			continue
		}
		if err := w.send(ctx, w.batch, &done); err != nil {
			return done, err
		}
	}
}

// enqueue makes members of the items and checks that their keys are distinct.
func (w *BatchWriter) enqueue(puts, deletes []item.Item) error {
	w.queue = w.queue[:0]
	seen := make(map[string]bool, len(puts)+len(deletes))
	add := func(it item.Item, index int, del bool) error {
		size := len(it.Raw()) + memberOverhead
		units := item.WriteUnits(item.Size(it))
		w.queue = append(w.queue, member{it: it, delete: del, index: index, size: size, units: units})
		if w.o.Keys.Empty() {
			return nil
		}
		key, err := w.o.Keys.AppendKey(w.key[:0], it)
		if err != nil {
			return nil // the service refuses it alone, in its own words
		}
		w.key = key
		if seen[string(key)] {
			text, _ := w.o.Keys.AppendKeyJSON(nil, it)
			return fault.New(fault.Bug, "two members of one batch have the key %s", text)
		}
		seen[string(key)] = true
		return nil
	}
	for i, it := range puts {
		if err := add(it, i, false); err != nil {
			return err
		}
	}
	for i, it := range deletes {
		if err := add(it, i, true); err != nil {
			return err
		}
	}
	return nil
}

// pick fills w.batch with members that may be sent now. Else it returns the wait until one may, and how many are left.
func (w *BatchWriter) pick(now time.Time) (wait time.Duration, left int) {
	w.batch = w.batch[:0]
	size := 0
	kept := w.queue[:0]
	for _, m := range w.queue {
		if !m.settled {
			kept = append(kept, m)
		}
	}
	w.queue = kept
	for i := range w.queue {
		m := &w.queue[i]
		if until := m.next.Sub(now); until > 0 {
			if wait == 0 || until < wait {
				wait = until
			}
			continue
		}
		if len(w.batch) == BatchMembersMax || len(w.batch) > 0 && size+m.size > BatchBytesMax {
			break
		}
		w.batch = append(w.batch, i)
		size += m.size
	}
	return wait, len(w.queue)
}

// send sends one batch, in halves when the service refuses a member of it.
func (w *BatchWriter) send(ctx context.Context, batch []int, done *Written) error {
	reply, err := w.request(ctx, batch, done)
	switch {
	case err == nil:
		return w.account(batch, reply, done)
	case ctx.Err() != nil:
		return err
	case fault.KindOf(err) == fault.User && len(batch) > 1:
		half := len(batch) / 2
		if err := w.send(ctx, batch[:half], done); err != nil {
			return err
		}
		return w.send(ctx, batch[half:], done)
	case fault.KindOf(err) == fault.User:
		return w.bury(&w.queue[batch[0]], err, done)
	}
	return w.starved(batch, err, done)
}

// request makes and sends the request.
func (w *BatchWriter) request(ctx context.Context, batch []int, done *Written) (*BatchWriteReply, error) {
	w.req = BatchWriteRequest{Table: w.o.Table, Puts: w.req.Puts[:0], Deletes: w.req.Deletes[:0]}
	need := 0.0
	retried, fresh := false, false
	for _, i := range batch {
		m := &w.queue[i]
		need += m.units
		retried, fresh = retried || m.tries > 0, fresh || m.tries == 0
		if m.delete {
			w.req.Deletes = append(w.req.Deletes, m.it)
		} else {
			w.req.Puts = append(w.req.Puts, m.it)
		}
	}
	var reply *BatchWriteReply
	attempt := func(ctx context.Context) (float64, error) {
		if w.o.BeforeSend != nil {
			if err := w.o.BeforeSend(ctx); err != nil {
				return 0, err
			}
		}
		done.Requests++
		var err error
		if reply, err = w.client.BatchWrite(ctx, &w.req); err != nil {
			return 0, err
		}
		done.Units += reply.Units
		return reply.Units, nil
	}
	if !retried {
		return reply, w.lane.Do(ctx, need, attempt)
	}
	// Members that were left over before get one try here and their own back-off, so that one hot key holds up nobody.
	_, err := w.lane.once(ctx, need, true, attempt)
	var throttle *ThrottleError
	if errors.As(err, &throttle) {
		if limit := throttle.Limit(); fresh || limit == Account || limit == MaxOnDemand {
			w.lane.react(err, w.queue[batch[0]].tries)
		}
		return allUnprocessed(&w.req), nil
	}
	if fault.Retryable(err) {
		return reply, w.lane.Do(ctx, need, attempt)
	}
	return reply, err
}

func allUnprocessed(req *BatchWriteRequest) *BatchWriteReply {
	reply := &BatchWriteReply{}
	for i := range req.Puts {
		reply.UnprocessedPuts = append(reply.UnprocessedPuts, i)
	}
	for i := range req.Deletes {
		reply.UnprocessedDeletes = append(reply.UnprocessedDeletes, i)
	}
	return reply
}

// account settles what was written and gives the rest its back-off.
func (w *BatchWriter) account(batch []int, reply *BatchWriteReply, done *Written) error {
	puts, deletes := map[int]bool{}, map[int]bool{}
	for _, i := range reply.UnprocessedPuts {
		puts[i] = true
	}
	for _, i := range reply.UnprocessedDeletes {
		deletes[i] = true
	}
	put, del, fresh := 0, 0, 0
	now := time.Now()
	for _, i := range batch {
		m := &w.queue[i]
		var left bool
		if m.delete {
			left = deletes[del]
			del++
		} else {
			left = puts[put]
			put++
		}
		if left {
			if m.tries == 0 {
				fresh++
			}
			if err := w.postpone(m, now, done); err != nil {
				return err
			}
			continue
		}
		m.settled = true
		if m.delete {
			done.Deletes++
		} else {
			done.Puts++
		}
	}
	if 2*fresh > len(batch) {
		w.g.slow() // more than a hot key: the table cannot keep up
	}
	return nil
}

// postpone gives an unprocessed member its back-off, or puts it aside when its time is over.
func (w *BatchWriter) postpone(m *member, now time.Time, done *Written) error {
	if m.first.IsZero() {
		m.first = now
		done.Unprocessed++
	}
	m.tries++
	if now.Sub(m.first) >= w.o.RetryFor {
		err := fault.New(fault.Throttled, "left unprocessed by the service %d times in %s", m.tries,
			now.Sub(m.first).Round(time.Second))
		return w.bury(m, fault.Hint(err, "its key is hot: import the dead letters later"), done)
	}
	w.g.mu.Lock()
	m.next = now.Add(w.g.jitter(m.tries, backoffMax))
	w.g.mu.Unlock()
	return nil
}

// bury hands a member to the dead letters.
func (w *BatchWriter) bury(m *member, err error, done *Written) error {
	m.settled = true
	if w.o.DeadLetter == nil {
		return fmt.Errorf("write member %d of table %s: %w", m.index, w.o.Table, err)
	}
	done.DeadLetters++
	return w.o.DeadLetter(DeadLetter{Item: m.it, Delete: m.delete, Index: m.index, Err: err})
}

// starved handles a batch that the governor gave up. A hot key range is its members' trouble; anything else is the
// table's, and the caller's to decide.
func (w *BatchWriter) starved(batch []int, err error, done *Written) error {
	var throttle *ThrottleError
	if !errors.As(err, &throttle) || throttle.Limit() != KeyRange {
		return err
	}
	for _, i := range batch {
		if err := w.bury(&w.queue[i], err, done); err != nil {
			return err
		}
	}
	return nil
}
