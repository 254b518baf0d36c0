package shadow

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"dynaferry/internal/fault"
	"dynaferry/internal/local/store"
	"dynaferry/internal/local/upstream"
)

// The hidden table that tells where everything that is followed stands (docs/formats/local-upstream.md).
const (
	bookName    = "/follow"
	bookVersion = 1
)

// Source is the upstream's table that a copy is of. Another one of its name is not it.
type Source struct {
	Table     string `json:"table"`
	Stream    string `json:"stream"` // its ARN
	CreatedMs int64  `json:"createdMs"`
	TableID   string `json:"tableId,omitempty"` // where the upstream has such ids
	ARN       string `json:"arn"`
}

// state is where one copy stands, beside the positions of its shards.
type state struct {
	Source    Source          `json:"source"`
	ScanAfter json.RawMessage `json:"scanAfter,omitempty"` // key of the upstream's that the scan goes on behind
	Scanned   int64           `json:"scanned,omitempty"`   // items
	ScanEndMs int64           `json:"scanEndMs,omitempty"` // Unix ms when it was over, 0: it is not
	SinceMs   int64           `json:"sinceMs,omitempty"`   // the state before this time is the first that is exact; 0: not known yet
	PassedMs  int64           `json:"passedMs,omitempty"`  // what every shard had passed, as of the last note of it
	Gap       string          `json:"gap,omitempty"`
}

// book keeps states and positions: a hidden table of the store.
type book struct {
	store *store.Store
	table store.TableID
}

func openBook(s *store.Store) (*book, error) {
	b := &book{store: s}
	for _, t := range s.Tables() {
		if t.Name == bookName {
			b.table = t.ID
			return b, readable(t.Definition)
		}
	}
	var err error
	b.table, err = s.CreateTable(fmt.Appendf(nil, `{"hidden":"follow","version":%d}`, bookVersion), bookName, store.Settings{})
	return b, err
}

// readable refuses a book of a version that this program does not know.
func readable(definition []byte) error {
	var of struct{ Version int }
	if err := json.Unmarshal(definition, &of); err != nil || of.Version < 1 {
		return fault.New(fault.Corrupt, "definition of the table %s: %.60q", bookName, definition)
	}
	if of.Version > bookVersion {
		err := fault.New(fault.Unsupported, "what is known of the upstream's tables has version %d, this program knows %d", of.Version, bookVersion)
		return fault.Hint(err, "open the folder with a newer dynaferry")
	}
	return nil
}

func hashOf(id store.TableID) []byte {
	return store.EncodeString(nil, []byte(strconv.FormatUint(uint64(id), 10)))
}

// The kinds of entries, in front of their names.
const (
	entryState = "state"
	entryShard = "shard/"
)

// write is the entry's part of a commit; nil removes it.
func (b *book) write(id store.TableID, entry string, value any) (store.Write, error) {
	op := store.OpDelete
	var text []byte
	if value != nil {
		var err error
		if text, err = json.Marshal(value); err != nil {
			return store.Write{}, fault.New(fault.Bug, "write where a table's copy stands: %w", err)
		}
		op = store.OpPut
	}
	key := store.Key{Hash: hashOf(id), Range: store.EncodeString(nil, []byte(entry))}
	return store.Write{Table: b.table, Key: key, Blind: true, Decide: func([]byte) (store.Op, []byte, error) { return op, text, nil }}, nil
}

// put writes one entry by itself.
func (b *book) put(id store.TableID, entry string, value any) error {
	w, err := b.write(id, entry, value)
	if err != nil {
		return err
	}
	return commit(b.store, []store.Write{w})
}

// commit makes writes in one frame, or none of them.
func commit(s *store.Store, writes []store.Write) error {
	// What was begun is ended: the position in memory must be that of the store.
	results, err := s.UpdateMany(context.Background(), writes, true)
	for _, r := range results {
		if err == nil && r.Err != nil {
			err = r.Err
		}
	}
	if err != nil {
		return fmt.Errorf("write a copy of an upstream's table: %w", err)
	}
	return nil
}

// load reads what is kept of a copy; ok is false when there is nothing.
func (b *book) load(id store.TableID) (st state, positions []upstream.Position, ok bool, err error) {
	it := b.store.Query(b.table, hashOf(id), store.QueryOptions{})
	defer it.Close()
	for it.Next() && err == nil {
		var entry struct {
			Shard string `json:"shard"`
		}
		if err = json.Unmarshal(it.Raw(), &entry); err == nil && entry.Shard == "" {
			ok, err = true, json.Unmarshal(it.Raw(), &st)
		} else if err == nil {
			var p upstream.Position
			err = json.Unmarshal(it.Raw(), &p)
			positions = append(positions, p)
		}
	}
	if err != nil {
		return st, nil, false, fault.New(fault.Corrupt, "where the copy of table %d stands: %w", id, err)
	}
	return st, positions, ok, it.Close()
}

// drop removes all entries of a copy.
func (b *book) drop(id store.TableID) error {
	_, positions, _, err := b.load(id)
	if err != nil {
		return err
	}
	for _, p := range positions {
		if err := b.put(id, entryShard+p.Shard, nil); err != nil {
			return err
		}
	}
	return b.put(id, entryState, nil)
}
