package local

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"dynaferry/internal/expression"
	"dynaferry/internal/item"
	"dynaferry/internal/local/store"
)

// The bounds of batches (API reference).
const (
	batchWritesMax    = 25
	batchKeysMax      = 100
	batchReadBytesMax = 16 << 20
)

const (
	saysDuplicates = "Provided list of item keys contains duplicates"
	classTableMap  = "java.util.Map<java.lang.String, java.util.List<com.amazonaws.dynamodb.v20120810.WriteRequest>>"
)

// tableBatch is one table's part of a batch.
type tableBatch struct {
	named   string // as the request names it, by name or ARN
	name    string
	table   *table
	raws    [][]byte // the members of the request as they came
	records []record
	keys    []store.Key
	deeds   []deed // of writes

	// of reads
	projection *expression.Projection
	consistent bool

	units   units
	refused []int // members not done
}

// batches reads RequestItems; part reads one table's part. compact, when there is one, is tried first.
func (c *call) batches(
	operation string, v *constraints, compact func(raw []byte) ([]tableBatch, bool), part func(raw []byte, b *tableBatch) error,
) ([]tableBatch, consumption, error) {
	consumed, _, err := c.args.text("ReturnConsumedCapacity")
	if err != nil {
		return nil, 0, err
	}
	v.oneOf(consumed, "returnConsumedCapacity", consumedSet...)
	if raw := c.args.get("RequestItems"); compact != nil && raw != nil && v.err() == nil {
		if list, ok := compact(raw); ok {
			return list, consumptions[consumed], name(list)
		}
	}
	members, present, err := c.args.object("RequestItems", classTableMap)
	if err != nil {
		return nil, 0, err
	}
	if !present {
		v.notNull("requestItems")
	}
	if err := v.err(); err != nil {
		return nil, 0, err
	}
	if len(members) == 0 {
		return nil, 0, invalid("The requestItems parameter is required for %s", operation)
	}
	list := make([]tableBatch, len(members))
	for i, m := range members {
		b := &list[i]
		b.named = string(m.name)
		if err := name(list[i : i+1]); err != nil {
			return nil, 0, err
		}
		if err := part(m.raw, b); err != nil {
			return nil, 0, err
		}
	}
	return list, consumptions[consumed], nil
}

// name checks how the request names the tables.
func name(list []tableBatch) (err error) {
	for i := range list {
		if list[i].name, err = checkName(list[i].named); err != nil {
			return err
		}
	}
	return nil
}

// resolve finds the tables.
func (c *call) resolve(list []tableBatch) (err error) {
	for i := range list {
		if list[i].table, err = c.table(list[i].name); err != nil {
			return err
		}
	}
	return nil
}

// distinct refuses a key that stands in one table's part twice.
func (b *tableBatch) distinct() error {
	for i, key := range b.keys {
		if slices.ContainsFunc(b.keys[:i], func(before store.Key) bool { return sameKey(before, key) }) {
			return invalid(saysDuplicates)
		}
	}
	return nil
}

// consumedList writes ConsumedCapacity of a batch.
func (c *call) consumedList(how consumption, list []tableBatch) {
	if how == consumedNone {
		return
	}
	c.member("ConsumedCapacity")
	c.out = append(c.out, '[')
	for i := range list {
		if i > 0 {
			c.out = append(c.out, ',')
		}
		c.out = appendConsumed(c.out, list[i].table, list[i].units, how, "")
	}
	c.out = append(c.out, ']')
}

// writePart reads [{"PutRequest":{"Item":{...}}},{"DeleteRequest":{"Key":{...}}}].
func (c *call) writePart(raw []byte, b *tableBatch) error {
	var err error
	if b.raws, _, err = (args{{[]byte("R"), raw}}).list("R"); err != nil {
		return err
	}
	if n := len(b.raws); n == 0 || n > batchWritesMax {
		shown := strings.TrimSuffix(strings.Repeat("com.amazonaws.dynamodb.v20120810.WriteRequest, ", n), ", ")
		v := constraints{}
		v.add(fmt.Sprintf("'{%s=[%s]}'", b.name, shown), "requestItems", fmt.Sprintf("Map value must satisfy constraint: "+
			"[Member must have length less than or equal to %d, Member must have length greater than or equal to 1]",
			batchWritesMax))
		return v.err()
	}
	c.room(b, len(b.raws))
	for i, raw := range b.raws {
		members, err := object(raw, classStructure)
		if err != nil {
			return err
		}
		put, isPut, err := members.object("PutRequest", classStructure)
		if err != nil {
			return err
		}
		remove, isDelete, err := members.object("DeleteRequest", classStructure)
		if err != nil {
			return err
		}
		switch {
		case isPut && isDelete:
			return invalid(saysMany)
		case !isPut && !isDelete:
			return invalid(saysEmpty)
		}
		from, verb := put, &verbPut
		if isDelete {
			from, verb = remove, &verbDelete
		}
		value := from.get(verb.subject)
		if value == nil {
			v := constraints{}
			v.notNull(fmt.Sprintf("requestItems.%s.member.%d.member.%sRequest.%s", b.name, i+1,
				strings.ToLower(verb.name), strings.ToLower(verb.subject)))
			return v.err()
		}
		if err := b.records[i].parse(&c.batch, value); err != nil {
			return err
		}
		b.deeds[i].verb = verb
	}
	return nil
}

// unconditional are the expressions of a request without any.
var unconditional expression.Compiled

func (c *call) batchWriteItem() error {
	metrics, _, err := c.args.text("ReturnItemCollectionMetrics")
	if err != nil {
		return err
	}
	v := &constraints{}
	v.oneOf(metrics, "returnItemCollectionMetrics", "SIZE", "NONE")
	list, consumed, err := c.batches("BatchWriteItem", v, c.compactWrites, c.writePart)
	if err != nil {
		return err
	}
	total := 0
	for i := range list {
		total += len(list[i].records)
		for j := range list[i].deeds {
			d := &list[i].deeds[j]
			if d.subject.err != nil {
				return d.subject.err
			}
			if d.verb == &verbPut && d.subject.size > item.ItemBytesMax {
				return invalid(saysTooLarge)
			}
		}
	}
	if total > batchWritesMax {
		return invalid("Too many items requested for the BatchWriteItem call")
	}
	if err := c.resolve(list); err != nil {
		return err
	}
	for i := range list {
		b := &list[i]
		b.keys = make([]store.Key, len(b.deeds))
		for j := range b.deeds {
			d := &b.deeds[j]
			d.table, d.settings.consumed = b.table, consumed
			if err := d.prepare(); err != nil {
				return err
			}
			b.keys[j] = d.key
		}
		if err := b.distinct(); err != nil {
			return err
		}
	}
	if err := c.writeAll(list); err != nil {
		return err
	}
	return c.replyWrites(list, consumed, metrics == "SIZE")
}

// writeAll does what throttling lets pass in one go. The tables' items are independent of each other.
func (c *call) writeAll(list []tableBatch) error {
	type member struct {
		b *tableBatch
		j int
	}
	var writes []store.Write
	var members []member
	var first error
	done := 0
	for i := range list {
		b := &list[i]
		for j := range b.deeds {
			d := &b.deeds[j]
			if err := c.mayWrite(b.table); err != nil {
				b.refused = append(b.refused, j)
				if first == nil {
					first = err
				}
				continue
			}
			// What the item before it makes dearer is not known yet and charged below.
			c.didWrite(b.table, units{base: item.WriteUnits(d.newSize)})
			writes, members = append(writes, c.write(d)), append(members, member{b, j})
		}
	}
	if len(writes) == 0 {
		return first // everything was throttled
	}
	results, err := c.db.store.UpdateMany(c.ctx, writes, false)
	if err != nil {
		return err
	}
	for n, r := range results {
		b, j := members[n].b, members[n].j
		d := &b.deeds[j]
		before := units{base: -item.WriteUnits(d.newSize)}
		switch {
		case d.held:
			c.didWrite(d.table, before)
			b.refused = append(b.refused, j)
			first = cmp.Or(first, r.Err)
			continue
		case r.Err != nil:
			return r.Err // those before it are durable: writing them again changes nothing
		}
		done++
		c.charge(d, r.Commit.OldSize, 1)
		c.didWrite(d.table, before)
	}
	if done == 0 {
		return first
	}
	for i := range list {
		slices.Sort(list[i].refused)
	}
	return nil
}

func (c *call) replyWrites(list []tableBatch, consumed consumption, metrics bool) error {
	c.member("UnprocessedItems")
	c.out = append(c.out, '{')
	comma := false
	for i := range list {
		b := &list[i]
		if len(b.refused) == 0 {
			continue
		}
		c.listOf(b, comma, "[")
		comma = true
		c.out = append(c.out, ']')
	}
	c.out = append(c.out, '}')
	var changed collections
	for i := range list {
		b := &list[i]
		for j := range b.deeds {
			if slices.Contains(b.refused, j) {
				continue
			}
			b.units.add(b.deeds[j].units)
			if metrics {
				if err := changed.add(b.table, b.deeds[j].subject.Item); err != nil {
					return err
				}
			}
		}
	}
	if err := c.collectionMap(&changed); err != nil {
		return err
	}
	c.consumedList(consumed, list)
	return c.finish()
}

// listOf writes "table": and the refused members as they came, opened by open.
func (c *call) listOf(b *tableBatch, comma bool, open string) {
	if comma {
		c.out = append(c.out, ',')
	}
	c.out = item.AppendString(c.out, []byte(b.named))
	c.out = append(append(c.out, ':'), open...)
	for n, j := range b.refused {
		if n > 0 {
			c.out = append(c.out, ',')
		}
		c.out = append(c.out, b.raws[j]...)
	}
}

// readPart reads {"Keys":[...],"ProjectionExpression":...}.
func (c *call) readPart(raw []byte, b *tableBatch) error {
	members, err := object(raw, classStructure)
	if err != nil {
		return err
	}
	list, present, err := members.list("Keys")
	if err != nil {
		return err
	}
	v := constraints{}
	at := "requestItems." + b.name + ".member.keys"
	switch {
	case !present:
		v.notNull(at)
	case len(list) == 0:
		v.add("'[]'", at, "Member must have length greater than or equal to 1")
	case len(list) > batchKeysMax:
		return invalid("1 validation error detected: Value at 'RequestItems.%s.member.Keys' failed to satisfy constraint: "+
			"Member must have length less than or equal to %d", b.name, batchKeysMax)
	}
	if err := v.err(); err != nil {
		return err
	}
	consistent, err := members.flag("ConsistentRead")
	if err != nil {
		return err
	}
	b.consistent = consistent != nil && *consistent
	b.raws, b.records = list, make([]record, len(list))
	for i, raw := range list {
		if err := b.records[i].parse(&c.batch, raw); err != nil {
			return err
		}
	}
	r, err := c.expressions(members, &wordingGet)
	if err != nil {
		return err
	}
	for i := range b.records {
		if err := b.records[i].err; err != nil {
			return err
		}
	}
	compiled, err := compile(r)
	if err != nil {
		return err
	}
	b.projection = compiled.Projection
	return nil
}

func (c *call) batchGetItem() error {
	list, consumed, err := c.batches("BatchGetItem", &constraints{}, nil, c.readPart)
	if err != nil {
		return err
	}
	total := 0
	for i := range list {
		total += len(list[i].records)
	}
	if total > batchKeysMax {
		return invalid("Too many items requested for the BatchGetItem call")
	}
	if err := c.resolve(list); err != nil {
		return err
	}
	for i := range list {
		b := &list[i]
		b.keys = make([]store.Key, len(b.records))
		for j := range b.records {
			if b.keys[j], err = b.table.exactKey(b.records[j].Item); err != nil {
				return err
			}
		}
		if err := b.distinct(); err != nil {
			return err
		}
	}
	return c.replyReads(list, consumed)
}

func (c *call) replyReads(list []tableBatch, consumed consumption) error {
	c.member("Responses")
	read, done := 0, 0
	var first error
	for i := range list {
		b := &list[i]
		c.out = append(c.out, ",{"[btoi(i == 0)])
		c.out = item.AppendString(c.out, []byte(b.named))
		c.out = append(c.out, ":["...)
		for j, key := range b.keys {
			err := c.mayRead(b.table, nil)
			if err != nil && first == nil {
				first = err
			}
			if err != nil || read >= batchReadBytesMax {
				b.refused = append(b.refused, j)
				continue
			}
			size, err := c.readOne(b, key)
			if err != nil {
				return err
			}
			read += size
			done++
		}
		c.out = append(trimComma(c.out), ']')
	}
	c.out = append(c.out, '}')
	if done == 0 {
		return first
	}
	c.member("UnprocessedKeys")
	c.out = append(c.out, '{')
	comma := false
	for i := range list {
		if len(list[i].refused) > 0 {
			c.unread(&list[i], comma)
			comma = true
		}
	}
	c.out = append(c.out, '}')
	c.consumedList(consumed, list)
	return c.finish()
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// readOne appends one item and a comma, nothing when there is none.
func (c *call) readOne(b *tableBatch, key store.Key) (size int, err error) {
	raw, found, err := c.db.store.Get(b.table.id, key)
	if err != nil {
		return 0, err
	}
	if found {
		if size, err = c.appendItem(raw, b.projection); err != nil {
			return 0, err
		}
		c.out = append(c.out, ',')
	}
	u := units{base: item.ReadUnits(size, b.consistent)}
	b.units.add(u)
	c.didRead(b.table, u)
	return size, nil
}

// unread writes a table's part of UnprocessedKeys: the request's part with only the keys that were not read.
func (c *call) unread(b *tableBatch, comma bool) {
	c.listOf(b, comma, `{"Keys":[`)
	c.out = append(c.out, ']')
	requests, _, _ := c.args.object("RequestItems", classTableMap) // was read before
	part, _ := split(nil, requests.get(b.named))
	for _, m := range part {
		if slices.Contains([]string{"ConsistentRead", "ProjectionExpression", "ExpressionAttributeNames", "AttributesToGet"}, string(m.name)) {
			c.out = append(append(append(c.out, ',', '"'), m.name...), '"', ':')
			c.out = append(c.out, m.raw...)
		}
	}
	c.out = append(c.out, '}')
}
