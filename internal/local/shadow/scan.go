package shadow

import (
	"context"

	"dynaferry/internal/local/store"
)

// scan takes a page of the upstream's table into the copy. The page is asked for after the records before it were put, and
// is consistent, so what it shows is no older than any of them; all later ones come after it. So any record of a key beats
// the scan, and none has to be looked for.
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
		if writes = append(writes, store.Write{Table: c.id, Key: key, Blind: true,
			Decide: func([]byte) (store.Op, []byte, error) { return store.OpPut, value, nil }}); len(writes) == writesMax-1 {
			if err := commit(c.keeper.store, writes); err != nil {
				return err
			}
			writes = writes[:0]
		}
	}
	position, err := c.keeper.book.write(c.id, entryState, &after)
	if err != nil {
		return err
	}
	if err := commit(c.keeper.store, append(writes, position)); err != nil {
		return err
	}
	c.state, c.progress = after, true
	return nil
}
