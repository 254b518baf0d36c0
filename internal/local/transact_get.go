package local

import (
	"fmt"

	"dynaferry/internal/expression"
	"dynaferry/internal/item"
	"dynaferry/internal/local/store"
)

// look is one Get of a TransactGetItems.
type look struct {
	name       string
	table      *table
	key        store.Key
	record     record
	request    expression.Request
	projection *expression.Projection
	raw        []byte // the item, nil when there is none
}

func (c *call) transactGetItems() error {
	v := &constraints{}
	consumed, err := c.readConsumed(v)
	if err != nil {
		return err
	}
	members, err := c.transactItems(classTransaction+"GetItem", v)
	if err != nil {
		return err
	}
	looks := make([]look, len(members))
	for i, m := range members {
		if err := c.readLook(&looks[i], fmt.Sprintf("transactItems.%d.member.get", i+1), m, v); err != nil {
			return err
		}
	}
	if err := v.err(); err != nil {
		return err
	}
	reasons, err := c.prepareLooks(looks)
	if err != nil {
		return err
	}
	if failed(reasons) {
		return cancelled(reasons)
	}
	if err := c.lookAll(looks); err != nil {
		return err
	}
	return c.replyLooks(looks, consumed)
}

func (c *call) readLook(l *look, at string, m args, v *constraints) error {
	get, given, err := m.object("Get", classStructure)
	if err != nil {
		return err
	}
	if !given {
		v.notNull(at)
		return nil
	}
	if l.name, err = memberTable(get, at+".", v); err != nil {
		return err
	}
	raw := get.get("Key")
	if raw == nil {
		v.notNull(at + ".key")
		return nil
	}
	if err := l.record.parse(&c.batch, raw); err != nil {
		return err
	}
	l.request, err = c.expressions(get, &wording{projection: true})
	return err
}

// prepareLooks judges keys and projections. A key that does not fit its table is a reason to cancel.
func (c *call) prepareLooks(looks []look) (reasons []error, err error) {
	for i := range looks {
		l := &looks[i]
		if l.record.err != nil {
			return nil, l.record.err
		}
		compiled, err := compile(l.request)
		if err != nil {
			return nil, err
		}
		l.projection = compiled.Projection
	}
	reasons, targets := make([]error, len(looks)), make([]target, len(looks))
	for i := range looks {
		l := &looks[i]
		if l.table, err = c.table(l.name); err != nil {
			return nil, err
		}
		if l.key, err = l.table.exactKey(l.record.Item); err != nil {
			if !ofMember(err) {
				return nil, err
			}
			reasons[i] = err
		}
		targets[i] = target{l.table.id, l.key}
	}
	return reasons, distinctTargets(targets)
}

// lookAll reads the items as they are at one moment: under all their locks, as a transaction that writes nothing.
func (c *call) lookAll(looks []look) error {
	reasons, writes := make([]error, len(looks)), make([]store.Write, len(looks))
	for i := range looks {
		l := &looks[i]
		reasons[i] = c.mayRead(l.table, nil)
		writes[i] = store.Write{Table: l.table.id, Key: l.key, Decide: func(old []byte) (store.Op, []byte, error) {
			if old != nil {
				l.raw = append([]byte(nil), old...)
			}
			return store.OpNone, nil, nil
		}}
	}
	if failed(reasons) {
		return cancelled(reasons)
	}
	results, err := c.db.store.UpdateMany(c.ctx, writes, true)
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

func (c *call) replyLooks(looks []look, consumed consumption) error {
	c.member("Responses")
	c.out = append(c.out, '[')
	b, total := &bill{kind: "Read"}, 0
	for i := range looks {
		l := &looks[i]
		size := 0
		if l.raw == nil {
			c.out = append(c.out, "{},"...)
		} else {
			var err error
			c.out = append(c.out, `{"Item":`...)
			if size, err = c.appendItem(l.raw, l.projection); err != nil {
				return err
			}
			c.out = append(c.out, "},"...)
		}
		total += size
		b.add(l.table, units{base: transactFactor * item.ReadUnits(size, true)})
	}
	if total > transactBytesMax {
		c.out = c.out[:0]
		return invalid(saysPayload, total)
	}
	for i, t := range b.tables {
		c.didRead(t, b.units[i])
	}
	c.out = append(trimComma(c.out), ']')
	c.bill(consumed, b)
	return c.finish()
}
