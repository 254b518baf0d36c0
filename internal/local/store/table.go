package store

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"dynaferry/internal/fault"
)

// CreateTable adds a table and returns its id once that is durable. Names are unique: Conflict. The definition is the
// caller's JSON and comes back from Tables as it is.
func (s *Store) CreateTable(definition []byte, name string, settings Settings) (TableID, error) {
	s.ddl.Lock()
	defer s.ddl.Unlock()
	s.gate.RLock()
	for _, t := range s.tables {
		if t.Name == name {
			s.gate.RUnlock()
			return 0, fault.New(fault.Conflict, "table %s exists", name)
		}
	}
	t := newTable(s.lastTable+1, name, definition, settings)
	err := s.checkSettings(t, Settings{})
	var g *group
	var ops []*op
	if err == nil {
		s.lastTable++ // an id whose creation fails is not used again either
		ops = append([]*op{t.op(kindTableCreate)}, s.shardOps(t, 0)...)
		g, err = s.control(ops...)
	}
	s.gate.RUnlock()
	if err == nil {
		err = g.wait()
	}
	if err != nil {
		return 0, err
	}
	s.gate.Lock()
	defer s.gate.Unlock()
	t.since = ops[0].at.time
	s.tables[t.ID] = t
	return t.ID, nil
}

func newTable(id TableID, name string, definition []byte, settings Settings) *table {
	settings.Indexes = slices.Clone(settings.Indexes)
	return &table{Table: Table{ID: id, Name: name, Definition: bytes.Clone(definition), Settings: settings}, since: never}
}

// UpdateTable replaces a table's definition and its settings, for all writes that begin after it returns. An index
// that is no longer in the settings loses its entries, a stream that is not ends, history that is turned off is gone.
func (s *Store) UpdateTable(id TableID, definition []byte, settings Settings) error {
	s.ddl.Lock()
	defer s.ddl.Unlock()
	s.gate.Lock() // no write is between its look at the settings and the queue: each is before or behind the change
	old, ok := s.tables[id]
	if !ok {
		s.gate.Unlock()
		return noTable(id)
	}
	t := newTable(id, old.Name, definition, settings)
	if old.Settings.History > 0 {
		t.since = old.since
	}
	if err := s.checkSettings(t, old.Settings); err != nil {
		s.gate.Unlock()
		return err
	}
	ops := append([]*op{t.op(kindTableUpdate)}, s.shardOps(t, old.Settings.Stream)...)
	for _, index := range old.Settings.Indexes {
		if !slices.Contains(settings.Indexes, index) {
			ops = append(ops, &op{kind: kindIndexDrop, table: id, index: []byte{}, shard: uint32(index)})
		}
	}
	g, err := s.control(ops...)
	if err == nil {
		s.tables[id] = t
	}
	s.gate.Unlock()
	if err == nil {
		err = g.wait()
	}
	if err != nil {
		return err
	}
	if t.since == never {
		s.gate.Lock()
		t.since = ops[0].at.time
		s.gate.Unlock()
	}
	s.wakeCompactor()
	return nil
}

// DropIndex takes an index out of the table's settings and removes its entries.
func (s *Store) DropIndex(id TableID, index IndexID) error {
	s.gate.RLock()
	t, ok := s.tables[id]
	s.gate.RUnlock()
	if !ok {
		return noTable(id)
	}
	settings := t.Settings
	settings.Indexes = slices.DeleteFunc(slices.Clone(settings.Indexes), func(i IndexID) bool { return i == index })
	if len(settings.Indexes) == len(t.Settings.Indexes) {
		return noIndex(id, index)
	}
	return s.UpdateTable(id, t.Definition, settings)
}

// shardsMax bounds what a stream begins with, so that all its shards fit one frame.
const shardsMax = 256

// historyMax keeps the arithmetic of times far from its end.
const historyMax = 100 * 366 * 24 * time.Hour

// checkSettings refuses what cannot be; the gate is held.
func (s *Store) checkSettings(t *table, old Settings) error {
	n := &t.Settings
	if n.History < 0 || n.History > historyMax || n.Shards < 0 || n.Shards > shardsMax {
		return fault.New(fault.User, "history of %v, %d shards", n.History, n.Shards)
	}
	if n.Stream != 0 && n.Stream != old.Stream && s.streams.known(n.Stream) {
		return fault.New(fault.User, "stream %d is another one", n.Stream)
	}
	return nil
}

// DropTable removes a table and all its items at once; their room in the log is won back in the background. Its id is
// never used again. Its streams can be read for StreamKeep, its last History as long.
func (s *Store) DropTable(id TableID) error {
	s.ddl.Lock()
	defer s.ddl.Unlock()
	s.gate.Lock() // no write can be between its look at the table and the queue
	t, ok := s.tables[id]
	if !ok {
		s.gate.Unlock()
		return noTable(id)
	}
	o := t.op(kindTableDrop)
	g, err := s.control(o)
	gone := *t // others may still look at t
	if err == nil {
		delete(s.tables, id)
		if gone.dropped = never; t.Settings.History > 0 {
			s.dropped[id] = &gone
		}
	}
	s.gate.Unlock()
	if err != nil {
		return err
	}
	if err := g.wait(); err != nil {
		return err
	}
	s.gate.Lock()
	gone.dropped = o.at.time
	s.gate.Unlock()
	s.wakeCompactor()
	return nil
}

// Tables lists the tables by name. The definitions and settings are shared: do not change them.
func (s *Store) Tables() []Table {
	s.gate.RLock()
	defer s.gate.RUnlock()
	list := make([]Table, 0, len(s.tables))
	for _, t := range s.tables {
		list = append(list, t.Table)
	}
	slices.SortFunc(list, func(a, b Table) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Counts returns a table's exact item count and size, as of the last durable write.
func (s *Store) Counts(id TableID) (Counts, error) {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if _, ok := s.tables[id]; !ok {
		return Counts{}, noTable(id)
	}
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	return s.ledger.counts[id], nil
}

// op is the operation that makes the table what t says.
func (t *table) op(k kind) *op {
	o := &op{kind: k, table: t.ID, index: []byte(t.Name), key: Key{Range: t.appendSettings(nil)}}
	if k != kindTableDrop {
		o.value = t.Definition
		if o.value == nil {
			o.value = []byte{}
		}
		o.crc = checksum(o.value)
	}
	return o
}

// control enqueues changes of tables, indexes and shards, which share a frame of their own; the gate is held.
func (s *Store) control(ops ...*op) (*group, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	return s.queue.put(&s.overlay, ops...)
}
