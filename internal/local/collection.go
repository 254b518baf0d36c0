package local

import (
	"fmt"
	"slices"

	"dynaferry/internal/item"
	"dynaferry/internal/local/store"
)

// collections are the item collections that a request changed: of tables with local indexes, the items of one partition key.
type collections struct{ list []collection }

type collection struct {
	table *table
	key   []byte // the partition key as a JSON object
	hash  []byte // and as the store's
}

// add adds the collection of an item or key.
func (m *collections) add(t *table, it item.Item) error {
	if !t.collects() {
		return nil
	}
	hash := item.KeySchema{Hash: t.keys.Hash}
	key, err := hash.AppendKeyJSON(nil, it)
	if err != nil {
		return fmt.Errorf("key of a collection: %w", err)
	}
	i, _ := it.Get(t.keys.Hash.Name)
	encoded, err := encode(it, i)
	if err != nil {
		return fmt.Errorf("key of a collection: %w", err)
	}
	same := func(c collection) bool { return c.table.id == t.id && string(c.hash) == string(encoded) }
	if !slices.ContainsFunc(m.list, same) {
		m.list = append(m.list, collection{t, key, encoded})
	}
	return nil
}

// gigabyte is the step of the size estimate.
const gigabyte = 1 << 30

// appendCollection appends {"ItemCollectionKey":...,"SizeEstimateRangeGB":[0.0,1.0]}. The collection is walked only when
// the whole table might be too large for the first step.
func (c *call) appendCollection(m *collection) error {
	counts, err := c.db.store.Counts(m.table.id)
	if err != nil {
		return err
	}
	copies := int64(1) // of an item: one in the table, at most one in each index
	for _, ix := range m.table.indexes {
		copies += int64(btoi(ix.Local))
	}
	low := counts.Bytes * copies / gigabyte
	if low > 0 {
		it, bytes := c.db.store.Query(m.table.id, m.hash, store.QueryOptions{}), int64(0)
		for it.Next() {
			bytes += int64(size(it.Raw())) * copies
		}
		if err := it.Close(); err != nil {
			return err
		}
		low = bytes / gigabyte
	}
	c.out = append(append(c.out, `{"ItemCollectionKey":`...), m.key...)
	c.out = fmt.Appendf(c.out, `,"SizeEstimateRangeGB":[%d.0,%d.0]}`, low, low+1)
	return nil
}

// collectionOf writes ItemCollectionMetrics of a request about one item.
func (c *call) collectionOf(t *table, it item.Item) error {
	m := collections{}
	if err := m.add(t, it); err != nil || len(m.list) == 0 {
		return err
	}
	c.member("ItemCollectionMetrics")
	return c.appendCollection(&m.list[0])
}

// collectionMap writes ItemCollectionMetrics of a request about many: lists by table.
func (c *call) collectionMap(m *collections) error {
	if len(m.list) == 0 {
		return nil
	}
	c.member("ItemCollectionMetrics")
	c.out = append(c.out, '{')
	for len(m.list) > 0 {
		t := m.list[0].table
		c.out = append(item.AppendString(c.out, []byte(t.def.Name)), ":["...)
		for i := range m.list {
			if m.list[i].table.id != t.id {
				continue
			}
			if err := c.appendCollection(&m.list[i]); err != nil {
				return err
			}
			c.out = append(c.out, ',')
		}
		c.out = append(trimComma(c.out), "],"...)
		m.list = slices.DeleteFunc(m.list, func(c collection) bool { return c.table.id == t.id })
	}
	c.out = append(trimComma(c.out), '}')
	return nil
}
