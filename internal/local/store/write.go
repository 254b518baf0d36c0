package store

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/zeebo/xxh3"

	"dynaferry/internal/fault"
)

const (
	stripeCount  = 1 << 12 // a stripe is held while a write reads and decides, not while it waits for the device
	writesMax    = 256     // of UpdateMany at a time, so that a call holds few stripes
	valueMax     = 16 << 20
	keyPartBytes = 4 << 10
)

func stripeOf(index []byte) int { return int(xxh3.Hash(index) % stripeCount) }

// Update reads the item under key, lets decide say what to do and makes it so. It returns when the change is on the
// device and readers see it. ctx ends the wait for the turn, not that for the device: a nil error is a durable write,
// and an error of decide comes back as it is, also when the item it saw had to become durable first. A fault.Unknown
// is a write whose outcome the store cannot tell; after it all writes fail. Fault kinds: NotFound for a table that
// does not exist, Unavailable when the store is closed or has stopped.
func (s *Store) Update(ctx context.Context, table TableID, key Key, decide Decide) (Commit, error) {
	r, err := s.UpdateMany(ctx, []Write{{Table: table, Key: key, Decide: decide}}, false)
	if err != nil {
		return Commit{}, err
	}
	return r[0].Commit, r[0].Err
}

// UpdateMany makes several writes that share group commits. Keys must be distinct. Result i belongs to write i, and
// each write succeeds or fails for itself, unless atomic is set: then all are decided on one state, go into one frame,
// and if any Decide fails none is done (the others' results then have no Err and Seq 0). The error is for the call as
// a whole: nothing was written.
func (s *Store) UpdateMany(ctx context.Context, writes []Write, atomic bool) ([]Result, error) {
	if atomic && len(writes) > writesMax {
		return nil, fault.New(fault.Limit, "%d writes in one transaction, at most %d are possible", len(writes), writesMax)
	}
	results := make([]Result, len(writes))
	for from := 0; from < len(writes); from += writesMax {
		to := min(from+writesMax, len(writes))
		err := ctx.Err()
		if err == nil {
			err = s.updateSome(writes[from:to], results[from:to], atomic)
		}
		if err != nil && from == 0 {
			return nil, err
		}
		for i := from; err != nil && i < len(writes); i++ {
			results[i].Err = err
		}
		if err != nil {
			break
		}
	}
	return results, nil
}

// turn is one write of a call: where it stands, and what it waits for.
type turn struct {
	i      int // in writes
	index  []byte
	before *op    // the write of the key that is on its way
	op     *op    // nil: nothing to write
	after  *group // the commit that made what decide saw
}

func (s *Store) updateSome(writes []Write, results []Result, atomic bool) error {
	turns := make([]turn, len(writes))
	for i := range writes {
		w := &writes[i]
		if len(w.Key.Hash) == 0 || len(w.Key.Hash) > keyPartBytes || len(w.Key.Range) > keyPartBytes {
			return fault.New(fault.User, "key with a hash of %d and a range of %d bytes", len(w.Key.Hash), len(w.Key.Range))
		}
		turns[i] = turn{i: i, index: itemKey(nil, w.Table, w.Key)}
	}
	if err := s.decideAll(writes, results, turns, atomic); err != nil {
		return err
	}
	for i := range turns {
		t, r := &turns[i], &results[turns[i].i]
		switch {
		case t.op != nil:
			if err := t.op.group.wait(); err != nil {
				r.Err = err
			}
			r.Commit.Seq, r.Commit.Time = t.op.at.seq, t.op.at.time
		case t.after != nil:
			// What decide saw must be durable before anybody hears about it.
			if err := t.after.wait(); err != nil {
				r.Err = err
			}
		}
	}
	return nil
}

// decideAll takes the stripes, decides in the order of the keys, and enqueues what is to be written.
func (s *Store) decideAll(writes []Write, results []Result, turns []turn, atomic bool) (err error) {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if err := s.usable(); err != nil {
		return err
	}
	for i := range writes {
		if _, ok := s.tables[writes[i].Table]; !ok {
			return noTable(writes[i].Table)
		}
	}
	slices.SortFunc(turns, func(a, b turn) int { return bytes.Compare(a.index, b.index) })
	for i := range turns[1:] {
		if bytes.Equal(turns[i].index, turns[i+1].index) {
			return fault.New(fault.User, "two writes of one key in one call")
		}
	}
	defer s.stripes.lock(turns)()
	for i := range turns {
		turns[i].before = s.overlay.get(turns[i].index)
	}
	found := s.newFinder() // from here on what is not in the overlay is in the index that it sees
	defer func() { err = cmp.Or(err, found.close()) }()
	made, ops := make([]op, len(turns)), make([]*op, 0, len(turns))
	failed := false
	for i := range turns {
		t, r := &turns[i], &results[turns[i].i]
		r.Commit, r.Err = s.decide(&writes[t.i], t, found, &made[i])
		failed = failed || r.Err != nil
		if t.op != nil {
			ops = append(ops, t.op)
		}
	}
	if failed && atomic {
		for i := range turns {
			turns[i].op = nil
		}
		return nil
	}
	if len(ops) == 0 {
		return nil
	}
	_, err = s.queue.put(&s.overlay, ops...)
	return err
}

// decide asks one write's function under its stripe. What it is to write becomes o.
func (s *Store) decide(w *Write, t *turn, found *finder, o *op) (Commit, error) {
	tab := s.tables[w.Table]
	*o = op{kind: kindPut, table: w.Table, key: w.Key, index: t.index, stream: tab.Settings.Stream, service: w.Service}
	var old []byte
	if before := t.before; before != nil {
		t.after, o.before = before.group, before
		if o.exists = before.kind != kindDelete; o.exists {
			old, o.prior.size = before.value, before.size
		}
	} else {
		var err error
		withValue := !w.Blind || tab.indexed()
		if old, o.exists, err = found.lookup(&o.prior, t.index, withValue); err == errNewSegment {
			old, o.exists, err = s.lookup(&o.prior, t.index, withValue)
		}
		if err != nil {
			return Commit{}, err
		}
	}
	c := Commit{Existed: o.exists, OldSize: int(o.prior.size)}
	shown := old
	if w.Blind {
		shown = nil
	}
	what, value, err := w.Decide(shown)
	switch {
	case err != nil:
		return c, err
	case what == OpNone, what == OpDelete && !o.exists:
		return c, nil
	case what == OpDelete:
		o.kind = kindDelete
	case what == OpPut && len(value) > 0 && len(value) <= valueMax:
		o.value, o.crc, o.size = value, checksum(value), uint32(w.Size)
		if w.Size == 0 {
			o.size = uint32(s.size(value))
		}
	default:
		return c, fault.New(fault.Bug, "operation %d with a value of %d bytes", what, len(value))
	}
	if o.exists && tab.tellsOld() {
		if err := s.tellOld(o, old); err != nil {
			return c, err
		}
	}
	if tab.indexed() {
		o.entries = s.entryList(tab, old, o.value)
	}
	t.op = o
	return c, nil
}

// pointedAge is how old a version may be for a record to point at it. Segments outlive what they hold by a day, so what
// is younger than that when the record is written is there as long as the record; the hour less is for what waits its
// turn, and copyAged for what waits longer.
const pointedAge = 23 * time.Hour

// tellOld makes the operation's record say what was before: a pointer costs no reading. old may be nil when the item
// was not read yet.
func (s *Store) tellOld(o *op, old []byte) error {
	o.tellOld = true
	if o.before != nil || o.prior.time >= s.now()-pointedAge.Milliseconds() {
		return nil
	}
	if old == nil {
		var p pointer
		var err error
		if old, _, err = s.lookup(&p, o.index, true); err != nil {
			return err
		}
	}
	o.inline = old
	return nil
}

// stripeLocks are the locks of keys, by a hash of the whole key.
type stripeLocks [stripeCount]sync.Mutex

// lock takes the stripes of all turns, in their own order, so that two calls never wait for each other.
func (l *stripeLocks) lock(turns []turn) (unlock func()) {
	stripes := make([]int, len(turns))
	for i := range turns {
		stripes[i] = stripeOf(turns[i].index)
	}
	slices.Sort(stripes)
	stripes = slices.Compact(stripes)
	for _, stripe := range stripes {
		l[stripe].Lock()
	}
	return func() {
		for _, stripe := range stripes {
			l[stripe].Unlock()
		}
	}
}
