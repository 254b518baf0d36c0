package job

import (
	"context"
	"fmt"
	"time"

	"github.com/zeebo/xxh3"

	"dynaferry/internal/changelog"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/source"
)

// A gap of a table without continuous backups is healed by a look at the table: each item that is not what the log tells, and each
// that the log has and the table has not, is a final state, stamped with the beginning of the scan, so that every record of
// the time of the scan and behind it beats it (see beginning). What happened in the gap nobody knows any more; where it ended is known.
//
// What the log tells is held by hashes, of compareKeys keys at a time: a log of more is gone through, and the table scanned, once for
// each part of that many by the hash of their keys.

// toldBytes is what one key takes in memory, with its place in the map.
const toldBytes = 96

// told is what the log says of a key.
type told struct {
	micros int64
	item   [2]uint64 // of its canonical form; zero of one that is gone
	seen   bool      // in the table
}

// comparing is one part of a comparison.
type comparing struct {
	*states
	parts, part uint64
	known       map[[2]uint64]*told // by the hash of the canonical key
	start       time.Time
}

// compare holds the table against the log.
func (h *heal) compare(ctx context.Context, s *states) error {
	if !h.log.View.HasNew() {
		return fault.Hint(fault.New(fault.User, "the log's records of %s do not tell what items became: there is nothing to compare the table with", h.log.View),
			"turn on continuous backups before the next gap: they heal it")
	}
	records, err := h.recorded(ctx)
	if err != nil {
		return err
	}
	table, err := source.Open(ctx, h.env.World, source.Spec{Address: h.wish.Source, Consistent: true})
	if err != nil {
		return err
	}
	c := &comparing{states: s, parts: records*toldBytes/uint64(h.env.memory()/2) + 1}
	if c.start, err = h.beginning(ctx, s.gap); err != nil {
		return err
	}
	s.note = changelog.CompactedNote{From: c.start.UnixMicro(), Source: "scan of " + h.table.String()}
	if c.parts > 1 {
		h.env.say("the log has up to %d keys: the table is read %d times", records, c.parts)
	}
	var gov governed
	for ; c.part < c.parts; c.part++ {
		c.known = map[[2]uint64]*told{}
		if err := c.records(ctx, c.learn); err != nil {
			return err
		}
		if err := c.scan(ctx, table, &gov); err != nil {
			return err
		}
		if err := c.records(ctx, func(b *item.Changes, i int) error { return c.bury(ctx, b, i) }); err != nil {
			return err
		}
	}
	end, err := h.now(ctx)
	if err != nil {
		return err
	}
	s.note.To = end.UnixMicro()
	s.note.Source += fmt.Sprintf(" from %s to %s", timeText(c.start), timeText(time.UnixMicro(s.note.To)))
	return nil
}

// beginning waits until a look at the table can be told from the gap, and is the time of its states: by the service's clock, as records are
// stamped, whatever ours says, and earlier by as much as stamps may be off. So every change that the scan may have missed beats what it
// saw, and it beats every change of before the gap.
func (h *heal) beginning(ctx context.Context, g *openGap) (time.Time, error) {
	const settle = changelog.SettleMicros * time.Microsecond
	for {
		now, err := h.now(ctx)
		if err != nil {
			return now, err
		}
		start := now.Add(-settle)
		wait := g.to.Add(settle).Sub(start)
		if wait <= 0 {
			return start, nil
		}
		h.env.progress("the table is read in %v, when the gap is over for certain", wait)
		if err := pauseFor(ctx, min(wait, time.Second)); err != nil {
			return now, err
		}
	}
}

// now is the service's clock, to the second before.
func (h *heal) now(ctx context.Context) (time.Time, error) {
	client, err := h.env.World.Client(ctx, h.table)
	if err != nil {
		return time.Time{}, err
	}
	page, err := client.Scan(ctx, &dynamo.ScanRequest{Table: h.table.Host, Limit: 1}, new(item.Batch))
	if err != nil {
		return time.Time{}, fmt.Errorf("ask %s for the time: %w", h.table, err)
	}
	return page.Received.UTC().Truncate(time.Second), nil
}

// recorded is how many records the log has: at least as many as it has keys.
func (h *heal) recorded(ctx context.Context) (n uint64, err error) {
	for group := range h.log.Groups {
		tail, err := h.log.Tail(ctx, group)
		if err != nil {
			return 0, err
		}
		for b, err := range h.log.Entries(ctx, group, 1, tail) {
			if err != nil {
				return 0, err
			}
			n += b.Records()
		}
	}
	return n, nil
}

// mine tells whether a key is of this part, by its hash.
func (c *comparing) mine(hash [2]uint64) bool { return hash[1]%c.parts == c.part }

// image is the hash of an item.
func (c *comparing) image(it item.Item) [2]uint64 {
	c.line = item.AppendCanonical(c.line[:0], it)
	h := xxh3.Hash128(c.line)
	return [2]uint64{h.Hi, h.Lo | 1} // never that of one that is gone
}

// records gives every change that the log has, final states of other gaps too.
func (c *comparing) records(ctx context.Context, take func(b *item.Changes, i int) error) error {
	src, err := source.Open(ctx, c.env.World, source.Spec{Address: c.at.String(), Log: &source.LogSpec{AcceptCompacted: true}})
	if err != nil {
		return err
	}
	for _, u := range src.(source.Changer).ChangeUnits() {
		in, err := src.(source.Changer).Changes(ctx, u, source.ReadOptions{})
		if err != nil {
			return err
		}
		err = eachChange(in, take)
		in.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// learn takes over what a change made of its key.
func (c *comparing) learn(b *item.Changes, i int) error {
	key, err := c.hash(b.Key(i))
	if err != nil || !c.mine(key) {
		return err
	}
	t := c.known[key]
	if t == nil {
		t = &told{}
		c.known[key] = t
	}
	if at := b.List[i].Micros; at >= t.micros {
		t.micros, t.item = at, [2]uint64{}
		if it, ok := b.New(i); ok {
			t.item = c.image(it)
		}
	}
	return nil
}

// scan adds the items that are not what the log tells.
func (c *comparing) scan(ctx context.Context, table source.Source, gov *governed) error {
	units, err := table.Units(ctx, taskBytesTable, segmentsLeast)
	if err != nil {
		return err
	}
	var o source.ReadOptions
	if err := gov.read(ctx, c.env, table, c.wish.ReadUnits, &o, nil); err != nil {
		return err
	}
	var keys item.Batch
	build := item.NewBuilder(&keys)
	for _, u := range units {
		err := readUnit(ctx, table, u, o, func(b *item.Batch) error {
			for i := range b.Rows {
				keys.Reset()
				if err := copyKey(build, c.log.Keys, b.Item(i)); err != nil {
					return err
				}
				if err := c.found(ctx, state{micros: c.start.UnixMicro(), key: keys.Item(0), new: b.Item(i)}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// found adds an item of the table that is not what the log tells.
func (c *comparing) found(ctx context.Context, st state) error {
	if err := c.redact(&st); err != nil {
		return err
	}
	key, err := c.hash(st.key)
	if err != nil || !c.mine(key) {
		return err
	}
	t := c.known[key]
	if t != nil {
		t.seen = true
	}
	if t != nil && t.item == c.image(st.new) {
		return nil
	}
	return c.add(ctx, st)
}

// bury adds the keys that the log has and the table has not.
func (c *comparing) bury(ctx context.Context, b *item.Changes, i int) error {
	key, err := c.hash(b.Key(i))
	if err != nil || !c.mine(key) {
		return err
	}
	t := c.known[key]
	if t == nil || t.seen || t.item == [2]uint64{} {
		return nil
	}
	t.seen = true
	return c.add(ctx, state{micros: c.start.UnixMicro(), key: b.Key(i)})
}
