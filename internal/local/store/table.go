package store

import (
	"bytes"
	"cmp"
	"slices"

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
	s.lastTable++ // an id whose creation fails is not used again either
	t := &Table{ID: s.lastTable, Name: name, Definition: bytes.Clone(definition), Settings: settings}
	g, err := s.log1(kindTableCreate, t)
	s.gate.RUnlock()
	if err == nil {
		err = g.wait()
	}
	if err != nil {
		return 0, err
	}
	s.publish(t)
	return t.ID, nil
}

// UpdateTable replaces a table's definition and its settings, for all writes that begin after it returns.
func (s *Store) UpdateTable(id TableID, definition []byte, settings Settings) error {
	s.ddl.Lock()
	defer s.ddl.Unlock()
	s.gate.RLock()
	old, ok := s.tables[id]
	if !ok {
		s.gate.RUnlock()
		return noTable(id)
	}
	t := &Table{ID: id, Name: old.Name, Definition: bytes.Clone(definition), Settings: settings}
	g, err := s.log1(kindTableUpdate, t)
	s.gate.RUnlock()
	if err == nil {
		err = g.wait()
	}
	if err != nil {
		return err
	}
	s.publish(t)
	return nil
}

// DropTable removes a table and all its items at once; their room in the log is won back in the background. Its id is
// never used again.
func (s *Store) DropTable(id TableID) error {
	s.ddl.Lock()
	defer s.ddl.Unlock()
	s.gate.Lock() // no write can be between its look at the table and the queue
	t, ok := s.tables[id]
	if !ok {
		s.gate.Unlock()
		return noTable(id)
	}
	g, err := s.log1(kindTableDrop, t)
	if err == nil {
		delete(s.tables, id)
	}
	s.gate.Unlock()
	if err != nil {
		return err
	}
	if err := g.wait(); err != nil {
		return err
	}
	s.wakeCompactor()
	return nil
}

// Tables lists the tables by name. The definitions are shared: do not change them.
func (s *Store) Tables() []Table {
	s.gate.RLock()
	defer s.gate.RUnlock()
	list := make([]Table, 0, len(s.tables))
	for _, t := range s.tables {
		list = append(list, *t)
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

// log1 enqueues one change of the set of tables; the gate is held.
func (s *Store) log1(k kind, t *Table) (*group, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	o := &op{kind: k, table: t.ID, index: []byte(t.Name)}
	if k != kindTableDrop {
		o.value = t.Definition
		if o.value == nil {
			o.value = []byte{}
		}
		o.crc = checksum(o.value)
	}
	return s.queue.put(&s.overlay, o)
}

// publish shows a table whose record is durable.
func (s *Store) publish(t *Table) {
	s.gate.Lock()
	defer s.gate.Unlock()
	s.tables[t.ID] = t
}
