package local

import (
	"slices"

	"dynaferry/internal/expression"
	"dynaferry/internal/item"
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
	metrics   bool     // ReturnItemCollectionMetrics
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
	if err := c.main.parse(&c.batch, raw); err != nil {
		return s, err
	}
	return s, v.err()
}

func (c *call) readWriteSettings(s *settings, v *constraints) error {
	metrics, _, err := c.args.text("ReturnItemCollectionMetrics")
	if err != nil {
		return err
	}
	v.oneOf(metrics, "returnItemCollectionMetrics", "SIZE", "NONE")
	s.metrics = metrics == "SIZE"
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

func (c *call) consumed(how consumption, t *table, u units) {
	if how == consumedNone {
		return
	}
	c.member("ConsumedCapacity")
	c.out = appendConsumed(c.out, t, u, how, "")
}

// replyDeed writes what ReturnValues asked for, and the capacity.
func (c *call) replyDeed(d *deed) error {
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
	c.consumed(d.settings.consumed, d.table, d.units)
	if d.metrics {
		if err := c.collectionOf(d.table, d.subject.Item); err != nil {
			return err
		}
	}
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

// verb is a kind of write of one item. An operation of its own and a member of a transaction share it.
type verb struct {
	name    string // the member of a transaction's action
	subject string // the parameter that holds the item or key
	wording *wording
	returns []returned // what ReturnValues takes beside NONE; nil: all
}

var (
	verbPut    = verb{"Put", "Item", &wordingPut, []returned{returnAllOld}}
	verbDelete = verb{"Delete", "Key", &wordingPut, []returned{returnAllOld}}
	verbUpdate = verb{"Update", "Key", &wordingUpdate, nil}
	verbCheck  = verb{"ConditionCheck", "Key", &wordingCheck, nil}
)

func (c *call) putItem() error    { return c.writeItem(&verbPut) }
func (c *call) deleteItem() error { return c.writeItem(&verbDelete) }
func (c *call) updateItem() error { return c.writeItem(&verbUpdate) }

// writeItem is PutItem, UpdateItem or DeleteItem, judged in the service's order.
func (c *call) writeItem(v *verb) error {
	s, err := c.readSettings(v.subject, true)
	if err != nil {
		return err
	}
	r, err := c.expressions(c.args, v.wording)
	if err != nil {
		return err
	}
	if c.main.err != nil {
		return c.main.err
	}
	if s.values != returnNone && v.returns != nil && !slices.Contains(v.returns, s.values) {
		return invalid("ReturnValues can only be ALL_OLD or NONE")
	}
	if v == &verbPut && c.main.size > item.ItemBytesMax {
		return invalid(saysTooLarge)
	}
	d := &deed{verb: v, settings: s, subject: &c.main, legacy: c.legacy}
	if d.compiled, err = compile(r); err != nil {
		return err
	}
	if d.table, err = c.table(s.table); err != nil {
		return err
	}
	if err := d.prepare(); err != nil {
		return err
	}
	if err := c.do(d); err != nil {
		return err
	}
	return c.replyDeed(d)
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
	if err := c.mayRead(t, nil); err != nil {
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
	u := units{base: item.ReadUnits(size, consistent != nil && *consistent)}
	c.didRead(t, u)
	c.consumed(s.consumed, t, u)
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
