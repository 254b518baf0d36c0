package local

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"dynaferry/internal/fault"
	"dynaferry/internal/local/store"
)

// notesName is the hidden table of what streams need beside the store's own records of them.
const notesName = hiddenPrefix + "streams"

// notesVersion is in each note; a note of another version is refused.
const notesVersion = 1

// notes are durable records of one kind under a text each, all of them in memory too. A record is never changed in place.
type notes[T any] struct {
	db   *DB
	kind string
	mu   sync.RWMutex
	all  map[string]*T
}

type note[T any] struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	Note    *T     `json:"note"`
}

// open reads the notes of a kind; the table is made by the first write.
func (n *notes[T]) open(db *DB, kind string) error {
	n.db, n.kind, n.all = db, kind, map[string]*T{}
	id, ok := notesTable(db.store)
	if !ok {
		return nil
	}
	it := db.store.Query(id, store.EncodeString(nil, []byte(kind)), store.QueryOptions{})
	for it.Next() {
		var entry note[T]
		if err := json.Unmarshal(it.Raw(), &entry); err != nil || entry.Note == nil || entry.Version != notesVersion {
			_ = it.Close()
			return fault.New(fault.Corrupt, "note %s of streams, version %d: %v", kind, entry.Version, err)
		}
		n.all[entry.ID] = entry.Note
	}
	return it.Close()
}

func notesTable(s *store.Store) (store.TableID, bool) {
	for _, t := range s.Tables() {
		if t.Name == notesName {
			return t.ID, true
		}
	}
	return 0, false
}

// put makes the record durable, then visible.
func (n *notes[T]) put(id string, record *T) error {
	text, err := json.Marshal(note[T]{notesVersion, id, record})
	if err != nil {
		return fmt.Errorf("write a note of streams: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.write(id, store.OpPut, text); err != nil {
		return err
	}
	n.all[id] = record
	return nil
}

func (n *notes[T]) drop(id string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.write(id, store.OpDelete, nil); err != nil {
		return err
	}
	delete(n.all, id)
	return nil
}

func (n *notes[T]) write(id string, op store.Op, text []byte) error {
	table, ok := notesTable(n.db.store)
	if !ok {
		var err error
		if table, err = n.db.makeNotes(); err != nil {
			return fmt.Errorf("make the table of notes: %w", err)
		}
	}
	key := store.Key{Hash: store.EncodeString(nil, []byte(n.kind)), Range: store.EncodeString(nil, []byte(id))}
	_, err := n.db.store.Update(context.Background(), table, key, func([]byte) (store.Op, []byte, error) { return op, text, nil })
	if err != nil {
		return fmt.Errorf("write a note of streams: %w", err)
	}
	return nil
}

// makeNotes makes the hidden table, once.
func (db *DB) makeNotes() (store.TableID, error) {
	db.streams.making.Lock()
	defer db.streams.making.Unlock()
	if id, ok := notesTable(db.store); ok {
		return id, nil
	}
	return db.store.CreateTable([]byte(`{"hidden":"streams"}`), notesName, store.Settings{})
}

func (n *notes[T]) get(id string) *T {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.all[id]
}

// list returns the records, in no order.
func (n *notes[T]) list() map[string]*T {
	n.mu.RLock()
	defer n.mu.RUnlock()
	all := make(map[string]*T, len(n.all))
	for id, record := range n.all {
		all[id] = record
	}
	return all
}
