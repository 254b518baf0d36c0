package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/item"
	"dynaferry/internal/local/store"
)

// The measures of bulk writes: one call of the store is one commit or few, and some at a time keep the device busy.
const (
	bulkItems  = 256
	bulkBytes  = 2 << 20
	bulkFlight = 4
)

// bulk puts items into a table, many at a time, in no promised order but that of items with one key. It belongs to one
// goroutine.
type bulk struct {
	db     *DB
	into   store.TableID
	group  *errgroup.Group
	ctx    context.Context
	writes []store.Write
	seen   map[string]int
	bytes  int
	spare  item.Batch
}

func (db *DB) bulk(ctx context.Context, into store.TableID) *bulk {
	b := &bulk{db: db, into: into, seen: map[string]int{}}
	b.group, b.ctx = errgroup.WithContext(ctx)
	b.group.SetLimit(bulkFlight)
	return b
}

// put takes an item over; raw may not be changed afterwards. Of two items with one key the later one stays.
func (b *bulk) put(key store.Key, raw []byte) error {
	name := string(key.Hash) + "\x00" + string(key.Range)
	write := store.Write{Table: b.into, Key: key, Blind: true,
		Decide: func([]byte) (store.Op, []byte, error) { return store.OpPut, raw, nil }}
	if at, twice := b.seen[name]; twice {
		b.writes[at] = write
		return nil
	}
	b.seen[name] = len(b.writes)
	b.writes = append(b.writes, write)
	if b.bytes += len(raw); b.bytes >= bulkBytes || len(b.writes) == bulkItems {
		b.send()
	}
	return b.ctx.Err()
}

// send hands the gathered writes on.
func (b *bulk) send() {
	writes := b.writes
	b.writes, b.bytes = nil, 0
	clear(b.seen)
	b.group.Go(func() error {
		results, err := b.db.store.UpdateMany(b.ctx, writes, false)
		for _, r := range results {
			err = errors.Join(err, r.Err)
		}
		return err
	})
}

// end waits until everything is durable.
func (b *bulk) end() error {
	if len(b.writes) > 0 {
		b.send()
	}
	return b.group.Wait()
}

// fill copies what items yields, the items of a table with from's keys, into another table of the store, and closes items.
// It may be called again for the same table.
func (db *DB) fill(ctx context.Context, into store.TableID, from *table, items *store.Iterator) (store.Counts, error) {
	defer items.Close()
	b := db.bulk(ctx, into)
	var counts store.Counts
	var err error
	for err == nil && items.Next() {
		raw := bytes.Clone(items.Raw())
		counts.Items++
		counts.Bytes += int64(size(raw))
		var key store.Key
		if key, err = b.key(from, raw); err == nil {
			err = b.put(key, raw)
		}
	}
	err = errors.Join(err, items.Close(), b.end())
	if err != nil {
		return counts, fmt.Errorf("copy the items of %s: %w", from.def.Name, err)
	}
	return counts, nil
}

// key is the key of a stored item.
func (b *bulk) key(t *table, raw []byte) (store.Key, error) {
	b.spare.Reset()
	b.spare.Src = item.GrowSlack(append(b.spare.Src[:0], raw...))
	if err := ddbjson.Parse(&b.spare, 0); err != nil {
		return store.Key{}, fmt.Errorf("stored item: %w", err)
	}
	return t.itemKey(b.spare.Item(0))
}
