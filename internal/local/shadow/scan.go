package shadow

import (
	"context"

	"dynaferry/internal/local/store"
)

// scan takes a page of the upstream's table into the copy: what no record has told of yet. The page is asked for after the
// records that were put, so what it shows of a key that has no mark is no older than any of them.
func (c *shadow) scan(ctx context.Context) error {
	if c.trouble != nil || len(c.stream.Shards()) == 0 {
		return nil // the stream comes first
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	items, next, err := c.keeper.opts.Client.Scan(ctx, c.state.Source.Table, c.state.ScanAfter)
	if err != nil {
		c.fails(err)
		return nil
	}
	after := c.state
	after.Scanned += int64(len(items))
	if after.ScanAfter = next; next == nil {
		after.ScanEndMs = c.keeper.opts.Wall().UnixMilli()
	}
	writes := make([]store.Write, 0, writesMax)
	for _, raw := range items {
		key, value, err := c.form(raw, false)
		if err != nil {
			c.end("an item of the upstream's table: " + err.Error())
			return nil
		}
		if _, marked, err := c.keeper.store.Get(c.state.Marks, key); err != nil {
			return err
		} else if marked {
			continue
		}
		if writes = append(writes, store.Write{Table: c.id, Key: key, Blind: true,
			Decide: func([]byte) (store.Op, []byte, error) { return store.OpPut, value, nil }}); len(writes) == writesMax-1 {
			if err := commit(c.keeper.store, writes); err != nil {
				return err
			}
			writes = writes[:0]
		}
	}
	marks := after.Marks
	if next == nil {
		after.Marks = 0
	}
	position, err := c.keeper.book.write(c.id, entryState, &after)
	if err != nil {
		return err
	}
	if err := commit(c.keeper.store, append(writes, position)); err != nil {
		return err
	}
	c.state, c.progress = after, true
	if next == nil {
		return c.keeper.store.DropTable(marks) // if this fails, Resumed does it
	}
	return nil
}
