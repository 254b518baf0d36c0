package store

import (
	"dynaferry/internal/fault"
)

// change is one record as the index sees it: made from an operation when it is written and from the log on replay.
type change struct {
	kind  kind
	table TableID
	key   []byte // index key of the item; of control records what stands for the hash key
	at    pointer
	prior prior
	value []byte // definition

	settings []byte // of a table
	entries  []byte
	shard    uint32
	place    place // of the record, for the stream
}

// apply adds a change to the batch and to what is kept in memory beside the index.
func (s *Store) apply(c *change) error {
	b := s.batch
	switch c.kind {
	case kindPut, kindMove, kindDelete:
		return s.applyItem(c)
	case kindEntries:
		return s.applyEntries(c)
	case kindTableCreate, kindTableUpdate:
		return s.applyTable(c)
	case kindTableDrop:
		return s.applyDrop(c)
	case kindIndexDrop:
		prefix := entryPrefix(nil, c.table, IndexID(c.shard))
		return b.DeleteRange(prefix, successor(prefix), nil)
	case kindShardOpen:
		return s.streams.openShard(b, c)
	case kindTablePurge:
		return s.applyPurge(c.table)
	}
	return fault.New(fault.Bug, "record of kind %d", c.kind)
}

func (s *Store) applyItem(c *change) error {
	s.ledger.item(c)
	if c.shard != 0 && c.kind != kindMove {
		var v [changeLen]byte
		value := (&located{c.place, c.at.time}).append(v[:0])
		if err := s.batch.Set(changeKey(c.shard, c.at.seq), value, nil); err != nil {
			return err
		}
	}
	if err := s.applyEntries(c); err != nil {
		return err
	}
	if c.kind == kindDelete {
		return s.batch.Delete(c.key, nil)
	}
	var v [pointerLen]byte
	return s.batch.Set(c.key, c.at.append(v[:0]), nil)
}

// applyEntries sets and removes the index entries of an item.
func (s *Store) applyEntries(c *change) error {
	var v [pointerLen]byte
	var key []byte
	pointer := c.at.append(v[:0])
	for rest := c.entries; len(rest) > 0; {
		e, goes, behind, ok := nextEntry(rest)
		if !ok {
			return fault.New(fault.Unsupported, "index entries of a record that this program cannot read")
		}
		key, rest = entryKey(key[:0], c.table, &e, baseOf(c.key)), behind
		var err error
		if goes {
			err = s.batch.Delete(key, nil)
		} else {
			err = s.batch.Set(key, pointer, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) applyTable(c *change) error {
	t := table{Table: Table{ID: c.table}}
	if !t.parseSettings(c.settings) {
		return fault.New(fault.Unsupported, "settings of a table that this program cannot read")
	}
	if t.since == 0 {
		t.since = c.at.time
	}
	if err := s.batch.Set(tableKey(spaceTable, c.table), appendTable(nil, string(c.key), c.value), nil); err != nil {
		return err
	}
	if err := s.batch.Set(tableKey(spaceSettings, c.table), t.appendSettings(nil), nil); err != nil {
		return err
	}
	if err := s.streams.endOthers(s.batch, c, t.Settings.Stream); err != nil {
		return err
	}
	return s.streams.begin(s.batch, c, t.Settings.Stream)
}

// applyDrop takes a table away. Items whose history is kept stay, unreachable but for StateAt, until they are purged.
func (s *Store) applyDrop(c *change) error {
	t := table{Table: Table{ID: c.table}}
	if !t.parseSettings(c.settings) {
		return fault.New(fault.Unsupported, "settings of a table that this program cannot read")
	}
	if err := s.streams.endOthers(s.batch, c, 0); err != nil {
		return err
	}
	entries := tableKey(spaceEntry, c.table)
	if err := s.batch.DeleteRange(entries, successor(entries), nil); err != nil {
		return err
	}
	if err := s.batch.Delete(tableKey(spaceTable, c.table), nil); err != nil {
		return err
	}
	if t.Settings.History == 0 {
		return s.applyPurge(c.table)
	}
	t.dropped = c.at.time
	return s.batch.Set(tableKey(spaceSettings, c.table), t.appendSettings(nil), nil)
}

func (s *Store) applyPurge(id TableID) error {
	s.ledger.drop(id)
	items := tablePrefix(nil, id)
	if err := s.batch.DeleteRange(items, successor(items), nil); err != nil {
		return err
	}
	return s.batch.Delete(tableKey(spaceSettings, id), nil)
}
