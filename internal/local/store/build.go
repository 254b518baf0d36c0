package store

import (
	"bytes"
	"context"
	"slices"
)

// buildEvery is after how many items BuildIndex reports, looks at its context, and waits for those before them, so that
// other writes find at most two such lots in front of them.
const buildEvery = 512

// BuildIndex makes the entries of an index for the items that were there before it was in the table's Settings, and
// returns when they are durable. Writes go on meanwhile. It may be called again, for instance after a crash: what is
// there stays. progress, when not nil, hears how many items have been looked at. NotFound when the table or the index
// is not there or goes meanwhile.
func (s *Store) BuildIndex(ctx context.Context, id TableID, index IndexID, progress func(items int64)) error {
	// All writes that were decided without the index are in what the scan sees; later ones have their entries.
	s.gate.RLock()
	_, err := s.indexOf(id, index)
	s.gate.RUnlock()
	if err == nil {
		err = s.barrier()
	}
	if err != nil {
		return err
	}
	it := s.Scan(id, ScanOptions{})
	defer it.Close()
	n := int64(0)
	var last, before *group
	for it.Next() {
		g, err := s.buildEntry(id, index, it.key(), it.pointer().seq, it.Raw())
		if err != nil {
			return err
		}
		if g != nil {
			last = g
		}
		if n++; n%buildEvery != 0 {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if before != nil {
			if err := before.wait(); err != nil {
				return err
			}
		}
		before = last
		if progress != nil {
			progress(n)
		}
	}
	if err := it.Close(); err != nil {
		return err
	}
	if last != nil {
		if err := last.wait(); err != nil {
			return err
		}
	}
	if progress != nil {
		progress(n)
	}
	return nil
}

// indexOf returns a table whose settings name an index; the gate is held.
func (s *Store) indexOf(id TableID, index IndexID) (*table, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	t := s.tables[id]
	if t == nil {
		return nil, noTable(id)
	}
	if !slices.Contains(t.Settings.Indexes, index) {
		return nil, noIndex(id, index)
	}
	return t, nil
}

// buildEntry enqueues the entries of an item in one index, unless a later write has made them already.
func (s *Store) buildEntry(id TableID, index IndexID, key []byte, seq uint64, raw []byte) (*group, error) {
	s.gate.RLock()
	defer s.gate.RUnlock()
	t, err := s.indexOf(id, index)
	if err != nil {
		return nil, err
	}
	var list []byte
	for _, e := range s.entriesOf(t, raw) {
		if e.Index == index {
			list = appendEntry(list, &e, false)
		}
	}
	if list == nil {
		return nil, nil
	}
	stripe := &s.stripes[stripeOf(key)]
	stripe.Lock()
	defer stripe.Unlock()
	if before := s.overlay.get(key); before != nil {
		return before.group, nil
	}
	var p pointer
	if _, ok, err := s.lookup(&p, key, false); !ok || err != nil || p.seq != seq {
		return nil, err
	}
	o := &op{kind: kindEntries, table: id, key: parseBase(baseOf(key)), index: bytes.Clone(key), at: p, entries: list}
	return s.queue.put(&s.overlay, o)
}
