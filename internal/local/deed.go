package local

import (
	"fmt"
	"maps"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/expression"
	"dynaferry/internal/item"
	"dynaferry/internal/local/store"
)

// tokens parses stored bytes into b.
func tokens(b *item.Batch, raw []byte) (item.Item, error) {
	b.Reset()
	b.Src = item.GrowSlack(append(b.Src, raw...))
	if err := ddbjson.Parse(b, 0); err != nil {
		return item.Item{}, fmt.Errorf("read a stored item: %w", err)
	}
	return b.Item(0), nil
}

// deed is one conditional write of one item and what came of it.
type deed struct {
	*verb
	settings
	table    *table
	subject  *record // the item to put, or the key
	compiled *expression.Compiled
	legacy   legacy
	key      store.Key
	put      []byte // the new item of a put

	old     []byte // copy of the item before, where somebody asked for it
	newRaw  []byte
	newSize int
	was     map[string]item.Value // of updates
	is      map[string]item.Value
	units   units

	measured bool // the units of indexes are wanted
	held     bool // an index without capacity kept it from being done
}

// prepare holds the deed against its table's keys; after it only the item as it stands decides.
func (d *deed) prepare() (err error) {
	if d.verb == &verbPut {
		if d.key, err = d.table.itemKey(d.subject.Item); err != nil {
			return err
		}
		// A copy: until the write is durable other requests may look at it.
		d.put = appendNormal(make([]byte, 0, len(d.subject.Raw())+16), d.subject.Item)
		d.newSize = d.subject.size
		return d.table.checkIndexKeys(d.subject.Item, false)
	}
	if d.key, err = d.table.exactKey(d.subject.Item); err != nil {
		return err
	}
	if d.compiled.Update != nil {
		if err := d.compiled.Update.CheckKeys(d.table.keys); err != nil {
			return invalid("%s", words(err))
		}
	}
	return nil
}

// write is the deed for the store. Nothing that it does not need is read.
func (c *call) write(d *deed) store.Write {
	d.measured = c.measures(d.table, d.settings.consumed)
	blind := d.compiled.Condition == nil && d.values == returnNone && d.verb != &verbUpdate && !d.measured
	size := 0
	if d.verb == &verbPut {
		size = d.newSize
	}
	return store.Write{Table: d.table.id, Key: d.key, Blind: blind, Size: size, Decide: func(old []byte) (store.Op, []byte, error) {
		op, raw, err := c.decide(d, old)
		if err == nil && op != store.OpNone && d.measured {
			d.units.indexes = d.table.indexUnits(old, raw)
			if err = c.mayIndex(d.table, d.units.indexes); err != nil {
				d.held = true
				return store.OpNone, nil, err
			}
		}
		return op, raw, err
	}}
}

// decide is the write's part under the key's lock.
func (c *call) decide(d *deed, old []byte) (store.Op, []byte, error) {
	var it item.Item
	if old != nil && (d.compiled.Condition != nil || d.verb == &verbUpdate) {
		var err error
		if it, err = tokens(&c.spare, old); err != nil {
			return store.OpNone, nil, err
		}
	}
	if d.compiled.Condition != nil && !holds(d.compiled.Condition, old, it) {
		if d.onFailure == returnAllOld && old != nil {
			return store.OpNone, nil, conditionFailed(old)
		}
		return store.OpNone, nil, conditionFailed(nil)
	}
	if old != nil && d.values == returnAllOld {
		d.old = append([]byte(nil), old...)
	}
	switch d.verb {
	case &verbCheck:
		return store.OpNone, nil, nil
	case &verbDelete:
		return store.OpDelete, nil, nil
	case &verbPut:
		return store.OpPut, d.put, nil
	}
	if old != nil {
		d.was = it.Map()
	}
	if old == nil && d.legacy.deletes {
		return store.OpNone, nil, nil
	}
	if err := d.update(); err != nil {
		return store.OpNone, nil, err
	}
	return store.OpPut, d.newRaw, nil
}

func holds(condition *expression.Condition, old []byte, it item.Item) bool {
	if old == nil {
		return condition.Holds(nil)
	}
	return condition.Match(it)
}

// update makes the updated item.
func (d *deed) update() error {
	d.is = maps.Clone(d.was)
	if d.compiled.Update != nil {
		var err error
		if d.is, err = d.compiled.Update.Apply(d.was); err != nil {
			return invalid("%s", d.legacy.says(words(err)))
		}
	}
	if d.is == nil {
		d.is = map[string]item.Value{}
	}
	if d.was == nil {
		maps.Copy(d.is, d.subject.Map()) // a new item has at least its key
	}
	it, err := item.FromMap(d.is)
	if err == nil {
		err = item.Validate(it, nil)
	}
	if err != nil {
		if tooLarge(err) {
			return invalid("Item size to update has exceeded the maximum allowed size")
		}
		return invalid("%s", words(err))
	}
	d.newRaw, d.newSize = it.Raw(), item.Size(it)
	return d.table.checkIndexKeys(it, true)
}

// charge books what the deed has cost, whether its condition held or not, times factor. One that was held back costs nothing.
func (c *call) charge(d *deed, oldSize int, factor float64) {
	if d.held {
		d.units = units{}
		return
	}
	d.units.base = item.WriteUnits(max(oldSize, d.newSize))
	if factor != 1 {
		d.units = d.units.times(factor)
	}
	c.didWrite(d.table, d.units)
}

// do runs the deed and charges for it.
func (c *call) do(d *deed) error {
	if err := c.mayWrite(d.table); err != nil {
		return err
	}
	results, err := c.db.store.UpdateMany(c.ctx, []store.Write{c.write(d)}, false)
	if err != nil {
		return err
	}
	c.charge(d, results[0].Commit.OldSize, 1)
	return results[0].Err
}
