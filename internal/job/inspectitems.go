package job

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"dynaferry/internal/codec"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/column"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/source"
)

// CountRecord is what reading everything came to.
type CountRecord struct {
	Type        string  `json:"type"` // "count"
	Items       int64   `json:"items"`
	Rejects     int64   `json:"rejects"` // records that are no items
	FirstReject string  `json:"firstReject,omitempty"`
	Bytes       int64   `json:"bytes"` // as DynamoDB counts them
	Largest     int     `json:"largest"`
	ReadUnits   float64 `json:"readUnits"`          // of reading each item by itself, strongly consistent
	WriteUnits  float64 `json:"writeUnits"`         // of putting each
	Consumed    float64 `json:"consumed,omitempty"` // read units that this count used of a table
	Attributes  int     `json:"attributes"`         // distinct names
	Fingerprint string  `json:"fingerprint"`
}

// AttributeRecord tells how often an attribute has which type.
type AttributeRecord struct {
	Type      string            `json:"type"` // "attribute"
	Attribute string            `json:"attribute"`
	Types     map[string]uint64 `json:"types"`
}

// items answers the questions that are about items alone.
func (i *inspection) items() error {
	src, err := source.Open(i.ctx, i.env.World, i.spec)
	if err != nil {
		return err
	}
	switch {
	case i.o.Schema:
		return i.schema(src)
	case len(i.o.Key) > 0:
		return i.byKey(src)
	}
	left := i.o.Item
	found := false
	err = i.walkFrom(src, &left, func(r ItemRecord, _ item.Item) (bool, error) {
		left--
		if left > 0 {
			return true, nil
		}
		found = true
		return false, i.emit(r)
	})
	if err == nil && !found {
		err = fault.New(fault.NotFound, "%s has %d items, not %d", i.at, i.o.Item-left, i.o.Item)
	}
	return err
}

// schema writes the data set's own schema, the file's, or the one that reading every item infers.
func (i *inspection) schema(src source.Source) error {
	if raw := src.Info().Schema; len(raw) > 0 {
		s, err := column.ParseSchema(raw)
		if err != nil {
			return unreadable("schema of "+i.at.String(), err)
		}
		return i.emit(SchemaRecord{"schema", s})
	}
	if s, err := i.fileSchema(src); err != nil || s != nil {
		if err != nil {
			return err
		}
		return i.emit(SchemaRecord{"schema", s})
	}
	sum, err := i.tally(src)
	if err != nil {
		return err
	}
	o := column.SchemaOptions{}
	if keys := src.Info().Keys; keys != nil {
		o.Keys = (&Copy{Keys: keys}).keySet()
	}
	return i.emit(SchemaRecord{"schema", sum.stats.Schema(o)})
}

// byKey finds the items with a key: a table is asked for it, anything else is read.
func (i *inspection) byKey(src source.Source) error {
	var key item.Batch
	key.Src = item.WithSlack(i.o.Key)
	if err := ddbjson.Parse(&key, 0); err != nil {
		return fault.Hint(fault.New(fault.User, "--key: %w", err),
			`give it as DynamoDB JSON: {"pk":{"S":"a"},"sk":{"N":"1"}}`)
	}
	if src.Info().Kind == source.KindTable {
		return i.tableKey(src, key.Item(0))
	}
	found := false
	err := i.walk(src, func(r ItemRecord, it item.Item) (bool, error) {
		if !holds(it, key.Item(0)) {
			return true, nil
		}
		found = true
		return !src.Info().Unique, i.emit(r)
	})
	if err == nil && !found {
		err = fault.New(fault.NotFound, "%s has no item with the key %s", i.at, item.AppendCanonical(nil, key.Item(0)))
	}
	return err
}

func (i *inspection) tableKey(src source.Source, key item.Item) error {
	keys := src.Info().Keys
	canonical, err := keys.AppendKeyJSON(nil, key)
	if err != nil {
		return fault.Hint(fault.New(fault.User, "--key: %w", err), "the keys of %s are %s", src.Info().Table.Name,
			keysText(*keys))
	}
	client, err := i.env.World.Client(i.ctx, src.Address())
	if err != nil {
		return err
	}
	var exact, b item.Batch
	exact.Src = item.WithSlack(canonical)
	if err := ddbjson.Parse(&exact, 0); err != nil {
		return fault.New(fault.Bug, "key %s: %w", canonical, err)
	}
	if _, err := client.Get(i.ctx, src.Address().Host, []item.Item{exact.Item(0)}, &b); err != nil {
		return fmt.Errorf("read %s of %s: %w", canonical, i.at, err)
	}
	if b.Len() == 0 {
		return fault.New(fault.NotFound, "%s has no item with the key %s", i.at, canonical)
	}
	return i.emit(itemRecord(b.Item(0), keys))
}

// holds tells whether an item has every attribute of key with an equal value.
func holds(it, key item.Item) bool {
	for at := 1; at < len(key.Tape); at += 1 + int(key.Tape[at+1].Skip) {
		have, ok := it.Get(string(key.Text(at)))
		if !ok {
			return false
		}
		if string(item.AppendCanonicalValue(nil, it, have)) != string(item.AppendCanonicalValue(nil, key, at+1)) {
			return false
		}
	}
	return true
}

func itemRecord(it item.Item, keys *item.KeySchema) ItemRecord {
	size := item.Size(it)
	r := ItemRecord{Type: "item", Item: item.AppendCanonical(nil, it), Bytes: size,
		ReadUnits: item.ReadUnits(size, true), WriteUnits: item.WriteUnits(size)}
	if err := item.Validate(it, keys); err != nil {
		r.Refused = err.Error()
	}
	return r
}

// walk reads the items one after another in source order until each says to stop.
func (i *inspection) walk(src source.Source, each func(ItemRecord, item.Item) (more bool, err error)) error {
	none := int64(0)
	return i.walkFrom(src, &none, each)
}

// walkFrom is walk that leaves out files as a whole while *skip is more than they are known to hold.
func (i *inspection) walkFrom(src source.Source, skip *int64, each func(ItemRecord, item.Item) (bool, error)) error {
	units, err := src.Units(i.ctx, 1<<62, 1)
	if err != nil {
		return err
	}
	for _, u := range units {
		if u.File != nil && u.File.Items >= 0 && *skip > u.File.Items {
			*skip -= u.File.Items
			continue
		}
		more := true
		o := source.ReadOptions{Rejects: func(codec.Reject) error { return nil }}
		err := i.read(i.ctx, src, u, o, func(b *item.Batch) error {
			for row := range b.Rows {
				it := b.Item(row)
				r := itemRecord(it, src.Info().Keys)
				if r.File = b.File; b.FirstLine > 0 {
					r.Line = b.FirstLine + int64(b.Rows[row].Line)
				}
				var err error
				if more, err = each(r, it); err != nil {
					return err
				}
				if !more {
					return errStop
				}
			}
			return nil
		})
		if errors.Is(err, errStop) {
			err = nil
		}
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// errStop ends a walk that has seen enough.
var errStop = errors.New("enough")

func (i *inspection) read(ctx context.Context, src source.Source, u source.Unit, o source.ReadOptions,
	take func(*item.Batch) error) error {
	if err := i.gov.read(ctx, i.env, src, i.o.ReadUnits, &o, nil); err != nil {
		return err
	}
	return readUnit(ctx, src, u, o, take)
}

// tallied is what reading everything adds up to.
type tallied struct {
	mu    sync.Mutex
	count CountRecord
	print item.Fingerprint
	stats column.Stats
}

// tally reads the whole source, units side by side.
func (i *inspection) tally(src source.Source) (*tallied, error) {
	units, err := src.Units(i.ctx, taskBytesTable, max(segmentsLeast, i.env.workers()))
	if err != nil {
		return nil, err
	}
	sum := &tallied{count: CountRecord{Type: "count"}}
	group, ctx := errgroup.WithContext(i.ctx)
	group.SetLimit(i.env.workers())
	for _, u := range units {
		group.Go(func() error { return i.tallyUnit(ctx, src, u, sum) })
	}
	return sum, group.Wait()
}

func (i *inspection) tallyUnit(ctx context.Context, src source.Source, u source.Unit, sum *tallied) error {
	own := tallied{}
	var hasher item.Hasher
	o := source.ReadOptions{
		Rejects: func(r codec.Reject) error {
			if own.count.Rejects++; own.count.Rejects == 1 {
				own.count.FirstReject = fault.At(r.Err, r.Place).Error()
			}
			return nil
		},
		Pages: func(units float64, _ time.Time) { own.count.Consumed += units },
	}
	err := i.read(ctx, src, u, o, func(b *item.Batch) error {
		for row := range b.Rows {
			it := b.Item(row)
			size := item.Size(it)
			own.count.Items++
			own.count.Bytes += int64(size)
			own.count.Largest = max(own.count.Largest, size)
			own.count.ReadUnits += item.ReadUnits(size, true)
			own.count.WriteUnits += item.WriteUnits(size)
			own.print.Add(hasher.Item(it))
			own.stats.Observe(it)
		}
		i.env.meter().Add(int64(b.Len()), int64(len(b.Src)))
		return nil
	})
	if err != nil {
		return err
	}
	sum.mu.Lock()
	defer sum.mu.Unlock()
	sum.add(&own)
	return nil
}

func (t *tallied) add(o *tallied) {
	c, d := &t.count, &o.count
	c.Items += d.Items
	c.Rejects += d.Rejects
	if c.FirstReject == "" {
		c.FirstReject = d.FirstReject
	}
	c.Bytes += d.Bytes
	c.Largest = max(c.Largest, d.Largest)
	c.ReadUnits += d.ReadUnits
	c.WriteUnits += d.WriteUnits
	c.Consumed += d.Consumed
	t.print.Merge(o.print)
	t.stats.Merge(&o.stats)
}

// attributesShown bounds the attributes that a count lists: a map whose keys are data can have a million.
const attributesShown = 1000

// count reads everything and tells what it came to.
func (i *inspection) count(src source.Source) error {
	sum, err := i.tally(src)
	if err != nil {
		return err
	}
	sum.count.Fingerprint, sum.count.Attributes = sum.print.String(), sum.stats.Names()
	if err := i.emit(sum.count); err != nil {
		return err
	}
	for n, name := range sum.stats.Attributes() {
		if n == attributesShown {
			break
		}
		r := AttributeRecord{Type: "attribute", Attribute: name, Types: map[string]uint64{}}
		for t, count := range sum.stats.Types(name) {
			if count > 0 {
				r.Types[item.Type(t).String()] = count
			}
		}
		if err := i.emit(r); err != nil {
			return err
		}
	}
	return nil
}
