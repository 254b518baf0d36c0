package local

import (
	"fmt"
	"maps"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/expression"
	"dynaferry/internal/item"
	"dynaferry/internal/local/store"
)

// returned is a value of ReturnValues.
type returned string

const (
	returnNone       returned = "NONE"
	returnAllOld     returned = "ALL_OLD"
	returnAllNew     returned = "ALL_NEW"
	returnUpdatedOld returned = "UPDATED_OLD"
	returnUpdatedNew returned = "UPDATED_NEW"
)

// settings are the parameters that operations on one item share.
type settings struct {
	table     string
	consumed  consumption
	values    returned
	onFailure returned // ReturnValuesOnConditionCheckFailure
}

var consumedSet = []string{"INDEXES", "TOTAL", "NONE"}

// readSettings reads and checks them; subject is the parameter that holds the item or key.
func (c *call) readSettings(subject string, write bool) (s settings, err error) {
	if s.table, err = c.tableName(); err != nil {
		return s, err
	}
	v := &constraints{}
	consumed, _, err := c.args.text("ReturnConsumedCapacity")
	if err != nil {
		return s, err
	}
	v.oneOf(consumed, "returnConsumedCapacity", consumedSet...)
	s.consumed = consumptions[consumed]
	if write {
		if err := c.readWriteSettings(&s, v); err != nil {
			return s, err
		}
	}
	raw := c.args.get(subject)
	if raw == nil {
		v.notNull(map[string]string{"Item": "item", "Key": "key"}[subject])
		return s, v.err()
	}
	if err := c.main.parse(raw); err != nil {
		return s, err
	}
	return s, v.err()
}

func (c *call) readWriteSettings(s *settings, v *constraints) error {
	metrics, _, err := c.args.text("ReturnItemCollectionMetrics")
	if err != nil {
		return err
	}
	v.oneOf(metrics, "returnItemCollectionMetrics", "SIZE", "NONE") // tables without local indexes have no collections
	values, _, err := c.args.text("ReturnValues")
	if err != nil {
		return err
	}
	v.oneOf(values, "returnValues", "ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW")
	onFailure, _, err := c.args.text("ReturnValuesOnConditionCheckFailure")
	if err != nil {
		return err
	}
	v.oneOf(onFailure, "returnValuesOnConditionCheckFailure", "ALL_OLD", "NONE")
	s.values, s.onFailure = returned(values), returned(onFailure)
	if values == "" {
		s.values = returnNone
	}
	return nil
}

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
	settings
	compiled *expression.Compiled
	key      store.Key
	put      []byte // the new item; nil for updates and deletes
	putSize  int
	remove   bool

	old     []byte // copy of the item before, where somebody asked for it
	newRaw  []byte
	newSize int
	was     map[string]item.Value // of updates
	is      map[string]item.Value
}

// decide is the write's part under the key's lock.
func (c *call) decide(d *deed, old []byte) (store.Op, []byte, error) {
	var it item.Item
	if old != nil && (d.compiled.Condition != nil || d.update()) {
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
	switch {
	case d.remove:
		return store.OpDelete, nil, nil
	case d.put != nil:
		return store.OpPut, d.put, nil
	}
	if old != nil {
		d.was = it.Map()
	}
	if err := c.applyUpdate(d); err != nil {
		return store.OpNone, nil, err
	}
	return store.OpPut, d.newRaw, nil
}

func (d *deed) update() bool { return !d.remove && d.put == nil }

func holds(condition *expression.Condition, old []byte, it item.Item) bool {
	if old == nil {
		return condition.Holds(nil)
	}
	return condition.Match(it)
}

// applyUpdate makes the updated item in d.
func (c *call) applyUpdate(d *deed) error {
	d.is = maps.Clone(d.was)
	if d.compiled.Update != nil {
		var err error
		if d.is, err = d.compiled.Update.Apply(d.was); err != nil {
			return invalid("%s", words(err))
		}
	}
	if d.is == nil {
		d.is = map[string]item.Value{}
	}
	if d.was == nil {
		maps.Copy(d.is, c.main.Map()) // a new item has at least its key
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
	return nil
}

// do runs the deed and charges for it. Nothing that the write does not need is read.
func (c *call) do(t *table, d *deed) (units float64, err error) {
	if err := c.mayWrite(t); err != nil {
		return 0, err
	}
	blind := d.compiled.Condition == nil && d.values == returnNone && !d.update()
	write := store.Write{Table: t.id, Key: d.key, Blind: blind, Decide: func(old []byte) (store.Op, []byte, error) {
		return c.decide(d, old)
	}}
	results, err := c.db.store.UpdateMany(c.ctx, []store.Write{write}, false)
	if err != nil {
		return 0, err
	}
	r := results[0]
	units = item.WriteUnits(max(r.Commit.OldSize, d.newSize))
	c.didWrite(t, units)
	return units, r.Err
}

// members appends members of the reply, each behind the comma or brace it needs.
func (c *call) member(name string) {
	if len(c.out) == 0 {
		c.out = append(c.out, '{')
	} else {
		c.out = append(c.out, ',')
	}
	c.out = append(c.out, '"')
	c.out = append(c.out, name...)
	c.out = append(c.out, '"', ':')
}

func (c *call) finish() error {
	if len(c.out) == 0 {
		c.out = append(c.out, '{')
	}
	c.out = append(c.out, '}')
	return nil
}

func (c *call) consumed(how consumption, table string, units float64) {
	if how == consumedNone {
		return
	}
	c.member("ConsumedCapacity")
	c.out = appendConsumed(c.out, table, units, how == consumedIndexes)
}

// replyDeed writes what ReturnValues asked for, and the capacity.
func (c *call) replyDeed(t *table, d *deed, units float64) error {
	var attributes []byte
	switch d.values {
	case returnAllOld:
		attributes = d.old
		if d.was != nil {
			attributes = item.AppendMap(nil, d.was)
		}
	case returnAllNew:
		attributes = d.newRaw
	case returnUpdatedOld:
		attributes = touched(d, d.was)
	case returnUpdatedNew:
		attributes = touched(d, d.is)
	}
	if attributes != nil {
		c.member("Attributes")
		c.out = append(c.out, attributes...)
	}
	c.consumed(d.consumed, t.def.Name, units)
	return c.finish()
}

// touched is the part of an item that the update names, nil when there is none.
func touched(d *deed, of map[string]item.Value) []byte {
	if of == nil || d.compiled.Update == nil {
		return nil
	}
	part := d.compiled.Update.Touched().Value(of)
	if len(part) == 0 {
		return nil
	}
	return item.AppendMap(nil, part)
}

func (c *call) putItem() error {
	s, err := c.readSettings("Item", true)
	if err != nil {
		return err
	}
	r, err := c.expressions(c.args, &wordingPut)
	if err != nil {
		return err
	}
	if c.main.err != nil {
		return c.main.err
	}
	if s.values != returnNone && s.values != returnAllOld {
		return invalid("ReturnValues can only be ALL_OLD or NONE")
	}
	size := item.Size(c.main.Item)
	if size > item.ItemBytesMax {
		return invalid(saysTooLarge)
	}
	compiled, err := compile(r)
	if err != nil {
		return err
	}
	t, err := c.table(s.table)
	if err != nil {
		return err
	}
	d := &deed{settings: s, compiled: compiled, newSize: size}
	if d.key, err = t.itemKey(c.main.Item); err != nil {
		return err
	}
	// A copy: until the write is durable other requests may look at it.
	d.put = appendNormal(make([]byte, 0, len(c.main.Raw())+16), c.main.Item)
	units, err := c.do(t, d)
	if err != nil {
		return err
	}
	return c.replyDeed(t, d, units)
}

func (c *call) deleteItem() error {
	s, err := c.readSettings("Key", true)
	if err != nil {
		return err
	}
	r, err := c.expressions(c.args, &wordingPut)
	if err != nil {
		return err
	}
	if c.main.err != nil {
		return c.main.err
	}
	if s.values != returnNone && s.values != returnAllOld {
		return invalid("ReturnValues can only be ALL_OLD or NONE")
	}
	compiled, err := compile(r)
	if err != nil {
		return err
	}
	t, err := c.table(s.table)
	if err != nil {
		return err
	}
	d := &deed{settings: s, compiled: compiled, remove: true}
	if d.key, err = t.exactKey(c.main.Item); err != nil {
		return err
	}
	units, err := c.do(t, d)
	if err != nil {
		return err
	}
	return c.replyDeed(t, d, units)
}

func (c *call) updateItem() error {
	s, err := c.readSettings("Key", true)
	if err != nil {
		return err
	}
	r, err := c.expressions(c.args, &wordingUpdate)
	if err != nil {
		return err
	}
	if c.main.err != nil {
		return c.main.err
	}
	compiled, err := compile(r)
	if err != nil {
		return err
	}
	t, err := c.table(s.table)
	if err != nil {
		return err
	}
	d := &deed{settings: s, compiled: compiled}
	if d.key, err = t.exactKey(c.main.Item); err != nil {
		return err
	}
	if compiled.Update != nil {
		if err := compiled.Update.CheckKeys(t.keys); err != nil {
			return invalid("%s", words(err))
		}
	}
	units, err := c.do(t, d)
	if err != nil {
		return err
	}
	return c.replyDeed(t, d, units)
}

func (c *call) getItem() error {
	s, err := c.readSettings("Key", false)
	if err != nil {
		return err
	}
	consistent, err := c.args.flag("ConsistentRead")
	if err != nil {
		return err
	}
	r, err := c.expressions(c.args, &wordingGet)
	if err != nil {
		return err
	}
	if c.main.err != nil {
		return c.main.err
	}
	compiled, err := compile(r)
	if err != nil {
		return err
	}
	t, err := c.table(s.table)
	if err != nil {
		return err
	}
	key, err := t.exactKey(c.main.Item)
	if err != nil {
		return err
	}
	if err := c.mayRead(t); err != nil {
		return err
	}
	raw, found, err := c.db.store.Get(t.id, key)
	if err != nil {
		return err
	}
	size := 0
	if found {
		c.member("Item")
		if size, err = c.appendItem(raw, compiled.Projection); err != nil {
			return err
		}
	}
	units := item.ReadUnits(size, consistent != nil && *consistent)
	c.didRead(t, units)
	c.consumed(s.consumed, t.def.Name, units)
	return c.finish()
}

// appendItem appends a stored item, projected when asked, and tells its whole size.
func (c *call) appendItem(raw []byte, p *expression.Projection) (size int, err error) {
	if p == nil {
		c.out = append(c.out, raw...)
		if size, ok := sizeOf(raw); ok {
			return size, nil
		}
	}
	it, err := tokens(&c.spare, raw)
	if err != nil {
		return 0, err
	}
	if p != nil {
		c.out = c.appendProjected(c.out, it, p)
	}
	return item.Size(it), nil
}

func (c *call) appendProjected(dst []byte, it item.Item, p *expression.Projection) []byte {
	c.cut.Reset()
	p.Write(it, 0, item.NewBuilder(&c.cut))
	return append(dst, c.cut.Item(0).Raw()...)
}
