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
	write func(context.Context, []keyed) error
	group *errgroup.Group
	ctx   context.Context
	items []keyed
	seen  map[string]int
	bytes int
	spare item.Batch
}

// keyed is an item with its key.
type keyed struct {
	key store.Key
	raw []byte
}

func newBulk(ctx context.Context, write func(context.Context, []keyed) error) *bulk {
	b := &bulk{write: write, seen: map[string]int{}}
	b.group, b.ctx = errgroup.WithContext(ctx)
	b.group.SetLimit(bulkFlight)
	return b
}

// bulk puts items into a table of the store.
func (db *DB) bulk(ctx context.Context, into store.TableID) *bulk {
	return newBulk(ctx, func(ctx context.Context, items []keyed) error {
		writes := make([]store.Write, len(items))
		for i, it := range items {
			writes[i] = store.Write{Table: into, Key: it.key, Blind: true,
				Decide: func([]byte) (store.Op, []byte, error) { return store.OpPut, it.raw, nil }}
		}
		results, err := db.store.UpdateMany(ctx, writes, false)
		for _, r := range results {
			err = errors.Join(err, r.Err)
		}
		return err
	})
}

// filler puts items into a table that is being filled, wherever it is.
func (db *DB) filler(ctx context.Context, t *table) (*bulk, error) {
	if db.relay != nil {
		return db.fillUpstream(ctx, t)
	}
	return db.bulk(ctx, t.id), nil
}

// put takes an item over; raw may not be changed afterwards. Of two items with one key the later one stays.
func (b *bulk) put(key store.Key, raw []byte) error {
	name := string(key.Hash) + "\x00" + string(key.Range)
	if at, twice := b.seen[name]; twice {
		b.items[at].raw = raw
		return nil
	}
	b.seen[name] = len(b.items)
	b.items = append(b.items, keyed{key, raw})
	if b.bytes += len(raw); b.bytes >= bulkBytes || len(b.items) == bulkItems {
		b.send()
	}
	return b.ctx.Err()
}

// send hands the gathered writes on.
func (b *bulk) send() {
	items := b.items
	b.items, b.bytes = nil, 0
	clear(b.seen)
	b.group.Go(func() error { return b.write(b.ctx, items) })
}

// end waits until everything is durable.
func (b *bulk) end() error {
	if len(b.items) > 0 {
		b.send()
	}
	return b.group.Wait()
}

// fill copies what items yields, the items of a table with from's keys, into another table, and closes items. It may be
// done again for the same table.
func (db *DB) fill(b *bulk, from *table, items *store.Iterator) (store.Counts, error) {
	defer items.Close()
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
