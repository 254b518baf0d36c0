package local

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"dynaferry/internal/expression"
	"dynaferry/internal/item"
	"dynaferry/internal/local/store"
)

// useIndex finds the index that a Query or Scan names.
func (p *paging) useIndex(t *table) error {
	if p.index == "" {
		return nil
	}
	p.ix = t.index(p.index)
	switch {
	case p.ix == nil:
		return invalid("The table does not have the specified index: %s", p.index)
	case p.ix.Filling:
		return invalid("Cannot read from backfilling global secondary index: %s", p.index)
	}
	return nil
}

// checkConsistent refuses consistent reads of global indexes: of a Query after its expressions, of a Scan before them.
func (p *paging) checkConsistent() error {
	if p.consistent && p.ix != nil && !p.ix.Local {
		return invalid("Consistent reads are not supported on global secondary indexes")
	}
	return nil
}

// checkFiltered refuses filters that look at more than the index projects: for those no index fetches from its table.
func (p *paging) checkFiltered(filter *expression.Condition) error {
	if p.ix == nil || p.ix.keep == nil || filter == nil {
		return nil
	}
	if missing := p.ix.unprojected(filter.Paths()); len(missing) > 0 {
		return invalidValue("Secondary index %s does not project one or more filter attributes: [%s]",
			p.ix.Name, strings.Join(missing, ", "))
	}
	return nil
}

// checkProjected holds what is asked for against what the index projects. A local index fetches the rest from the table;
// a global one cannot.
func (p *paging) checkProjected(choice string, compiled *expression.Compiled) error {
	if p.ix == nil || p.ix.keep == nil {
		return nil
	}
	if choice == "ALL_ATTRIBUTES" {
		if !p.ix.Local {
			return invalidValue("Select type ALL_ATTRIBUTES is not supported for global secondary index %s "+
				"because its projection type is not ALL", p.ix.Name)
		}
		p.fetch = true
	}
	if compiled.Projection != nil {
		missing := p.ix.unprojected(compiled.Projection.Paths())
		if len(missing) > 0 && !p.ix.Local {
			return invalidValue("Global secondary index %s does not project [%s]", p.ix.Name, strings.Join(missing, ", "))
		}
		p.fetch = p.fetch || len(missing) > 0
	}
	return nil
}

// unprojected are the attributes of paths that the index does not project, in the order of the text.
func (ix *servedIndex) unprojected(paths []expression.Path) []string {
	var missing []string
	for _, path := range paths {
		if name := path[0].Name; !ix.keep[name] && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
	}
	return missing
}

// view is what the walked index, or table, holds of a stored item; it may lie in c.part.
func (c *call) view(p *paging, raw []byte) []byte {
	if p.ix == nil || p.ix.keep == nil {
		return raw
	}
	c.part = p.ix.project(c.part[:0], raw)
	return c.part
}

// cost is what a page of so many bytes costs, of which fetched units are the table's.
func (p *paging) cost(t *table, bytes int, fetched float64) units {
	read := item.ReadUnits(bytes, p.consistent)
	if p.ix == nil {
		return units{base: read}
	}
	u := units{base: fetched, indexes: make([]float64, len(t.indexes))}
	for i := range t.indexes {
		if t.indexes[i].ID == p.ix.ID {
			u.indexes[i] = read
		}
	}
	return u
}

// keyAttrs are the attributes that tell a place in what is walked: the table's key, and the index's.
func (t *table) keyAttrs(ix *servedIndex) []item.KeyAttr {
	attrs := t.keys.Attrs()
	if ix == nil {
		return attrs
	}
	for _, attr := range ix.Keys.attrs() {
		if !slices.ContainsFunc(attrs, func(a item.KeyAttr) bool { return a.Name == attr.Name }) {
			attrs = append(attrs, attr)
		}
	}
	return attrs
}

// startAt is a place to start behind: of an item, and of its entry when an index is walked.
type startAt struct{ base, entry store.Key }

// startKey reads ExclusiveStartKey for the table, or for an index of it.
func (c *call) startKey(t *table, ix *servedIndex) (s startAt, err error) {
	if ix == nil {
		if s.base, err = t.exactKey(c.main.Item); err != nil {
			return s, invalid(saysStart+": %s", plain(err))
		}
		return s, nil
	}
	attrs := t.keyAttrs(ix)
	if c.main.Count(0) != len(attrs) {
		return s, invalid(saysStart)
	}
	for _, attr := range attrs {
		if i, ok := c.main.Get(attr.Name); !ok || c.main.Tape[i].Type != attr.Type {
			return s, invalid(saysStart)
		}
	}
	var key storeKey
	for n, attr := range t.keys.Attrs() {
		i, _ := c.main.Get(attr.Name)
		if err := key.set(n, c.main.Item, i, attr.Name); err != nil {
			return s, invalid(saysStart+": %s", plain(err))
		}
	}
	var ok bool
	s.base = key.Key
	if s.entry, ok = ix.key(c.main.Item); !ok {
		return s, invalid(saysStart)
	}
	if s.entry.Range == nil {
		s.entry.Range = []byte{}
	}
	return s, nil
}

// lastKey is LastEvaluatedKey for a page that ends with a stored item.
func (t *table) lastKey(b *item.Batch, raw []byte, ix *servedIndex) ([]byte, error) {
	it, err := tokens(b, raw)
	if err != nil {
		return nil, err
	}
	last := []byte{'{'}
	for n, attr := range t.keyAttrs(ix) {
		i, ok := it.Get(attr.Name)
		if !ok {
			return nil, fmt.Errorf("a stored item lacks its key attribute %s", attr.Name)
		}
		if n > 0 {
			last = append(last, ',')
		}
		last = it.AppendValue(append(item.AppendString(last, []byte(attr.Name)), ':'), i)
	}
	return append(last, '}'), nil
}

// indexCount knows how many items an index holds and their size in it. They are counted when somebody asks, and no more
// often than so that counting a large table takes a tenth of the time.
type indexCount struct {
	mu     sync.Mutex
	seq    uint64 // of the store, when they were counted
	counts store.Counts
	at     time.Time
	took   time.Duration
	known  bool
}

const (
	countFree  = 10_000 // tables of fewer items are always counted
	countShare = 10
)

// counted returns an index's items and bytes. The real service tells those of the last six hours.
func (db *DB) counted(t *table, ix *servedIndex) (store.Counts, error) {
	table, err := db.store.Counts(t.id)
	if err != nil || ix.Filling {
		return store.Counts{}, err
	}
	n, seq := ix.count, db.store.LastSeq()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known && (n.seq == seq || table.Items > countFree && time.Since(n.at) < countShare*n.took) {
		return n.counts, nil
	}
	begun, counts, part := time.Now(), store.Counts{}, []byte(nil)
	it := db.store.ScanIndex(t.id, ix.ID, store.ScanOptions{})
	for it.Next() {
		part = ix.project(part[:0], it.Raw())
		counts.Items++
		counts.Bytes += int64(size(part))
	}
	if err := it.Close(); err != nil {
		return counts, err
	}
	n.seq, n.counts, n.known, n.at, n.took = seq, counts, true, time.Now(), time.Since(begun)
	return counts, nil
}
