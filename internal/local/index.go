package local

import (
	"cmp"
	"encoding/json"
	"slices"
	"sync"

	"dynaferry/internal/item"
	"dynaferry/internal/local/store"
)

// index is a secondary index, part of its table's definition.
type index struct {
	Name       string           `json:"name"`
	ID         store.IndexID    `json:"id"`
	Local      bool             `json:"local,omitempty"`
	Keys       indexKeys        `json:"keys"`
	Projection string           `json:"projection"` // ALL, KEYS_ONLY or INCLUDE
	NonKey     []string         `json:"nonKey,omitempty"`
	ReadUnits  int64            `json:"readUnits,omitempty"`
	WriteUnits int64            `json:"writeUnits,omitempty"`
	Changes    throughputTimes  `json:"changes,omitzero"`
	OnDemand   *onDemandCeiling `json:"onDemand,omitempty"`
	Filling    bool             `json:"filling,omitempty"` // items from before it are being added; nobody may read it
}

const (
	projectAll     = "ALL"
	projectKeys    = "KEYS_ONLY"
	projectInclude = "INCLUDE"
)

// servedIndex is an index with what serving it needs.
type servedIndex struct {
	index
	keep  map[string]bool // the attributes it projects; nil: all
	limit *limiter        // of a global index; a local one takes from its table
	count *indexCount
}

func serve(def *definition, before *table) []servedIndex {
	list := make([]servedIndex, len(def.Indexes))
	for i, ix := range def.Indexes {
		s := servedIndex{index: ix, limit: new(limiter), count: new(indexCount)}
		if before != nil {
			if was := before.index(ix.Name); was != nil && was.ID == ix.ID {
				s.limit, s.count = was.limit, was.count
			}
		}
		if ix.Projection != projectAll {
			s.keep = map[string]bool{}
			for _, name := range slices.Concat(keyNames(def.Keys.Attrs()), keyNames(ix.Keys.attrs()), ix.NonKey) {
				s.keep[name] = true
			}
		}
		list[i] = s
	}
	return list
}

// keyNames are the attributes of a key.
func keyNames(attrs []item.KeyAttr) []string {
	var list []string
	for _, attr := range attrs {
		list = append(list, attr.Name)
	}
	return list
}

func (t *table) index(name string) *servedIndex {
	for i := range t.indexes {
		if t.indexes[i].Name == name {
			return &t.indexes[i]
		}
	}
	return nil
}

// collects tells whether the table has local indexes, which make its items of one partition key a collection.
func (t *table) collects() bool {
	return slices.ContainsFunc(t.indexes, func(ix servedIndex) bool { return ix.Local })
}

// checkIndexKeys refuses an item that has an attribute of an index's key with a value that a key cannot have. An item
// without the attribute is not in the index.
func (t *table) checkIndexKeys(it item.Item, update bool) error {
	for i := range t.indexes {
		ix := &t.indexes[i].index
		if m := ix.Keys.misfit(it); m.fault != keyFits {
			return indexKeyError(ix, m, update)
		}
	}
	return nil
}

// indexKeyError words what is wrong; of updates the service does not say which index it is.
func indexKeyError(ix *index, m misfit, update bool) error {
	kind := map[item.Type]string{item.S: "string", item.B: "binary"}[m.attr.Type]
	switch {
	case m.fault == keyType:
		return invalidValue("Type mismatch for Index Key %s Expected: %s Actual: %s IndexName: %s", m.attr.Name, m.attr.Type, m.got, ix.Name)
	case m.fault == keyEmpty && update:
		return invalid("One or more parameter values are not valid. The update expression attempted to update a secondary index key "+
			"to a value that is not supported. The AttributeValue for a key attribute cannot contain an empty %s value.", kind)
	case m.fault == keyEmpty:
		return invalid("One or more parameter values are not valid. A value specified for a secondary index key is not supported. "+
			"The AttributeValue for a key attribute cannot contain an empty %s value. IndexName: %s, IndexKey: %s",
			kind, ix.Name, m.attr.Name)
	case update:
		return invalidValue("The update expression attempted to update the secondary index key beyond allowed size limits")
	case m.part == 0:
		return invalidValue("Size of hashkey has exceeded the maximum size limit of%d bytes", item.HashKeyBytesMax)
	}
	return invalidValue("Aggregated size of all range keys has exceeded the size limit of %d bytes", item.RangeKeyBytesMax)
}

// project appends the part of a stored item that the index holds, its members by name, so that equal parts are equal bytes.
func (ix *servedIndex) project(dst, raw []byte) []byte {
	if ix.keep == nil {
		return append(dst, raw...)
	}
	members, _ := split(nil, raw) // it is ours: split takes it
	members = slices.DeleteFunc(members, func(m member) bool { return !ix.keep[string(m.name)] })
	slices.SortFunc(members, func(a, b member) int { return cmp.Compare(string(a.name), string(b.name)) })
	dst = append(dst, '{')
	for i, m := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(item.AppendString(dst, m.name), ':'), m.raw...)
	}
	return append(dst, '}')
}

// parsedMax is how many definitions are kept parsed. There is one for each table, and one more for each change of one.
const parsedMax = 256

// parsed keeps the indexes of definitions that entries has seen, by the address of their bytes, which the store never
// changes; holding the bytes keeps the address from being another's.
var parsed struct {
	sync.RWMutex
	by map[*byte]parsedDefinition
}

type parsedDefinition struct {
	text    []byte
	indexes []index
	ttl     *timeToLive
}

func indexesOf(text []byte) (p parsedDefinition) {
	if len(text) == 0 {
		return p
	}
	parsed.RLock()
	p, ok := parsed.by[&text[0]]
	parsed.RUnlock()
	if ok && len(p.text) == len(text) {
		return p
	}
	var def struct {
		Indexes []index     `json:"indexes"`
		TTL     *timeToLive `json:"ttl"`
	}
	_ = json.Unmarshal(text, &def) // what is not ours has no indexes; Open judges definitions
	parsed.Lock()
	defer parsed.Unlock()
	if parsed.by == nil || len(parsed.by) >= parsedMax {
		parsed.by = map[*byte]parsedDefinition{}
	}
	p = parsedDefinition{text, def.Indexes, def.TTL}
	parsed.by[&text[0]] = p
	return p
}

var entryBatches = sync.Pool{New: func() any { return new(item.Batch) }}

// entries tells the store where an item stands in the indexes of its table.
func entries(dst []store.Entry, definition, raw []byte) []store.Entry {
	p := indexesOf(definition)
	if len(p.indexes) == 0 && !p.ttl.on() {
		return dst
	}
	b := entryBatches.Get().(*item.Batch)
	defer entryBatches.Put(b)
	it, err := tokens(b, raw)
	if err != nil {
		return dst
	}
	for i := range p.indexes {
		if key, ok := p.indexes[i].key(it); ok {
			dst = append(dst, store.Entry{Index: p.indexes[i].ID, Key: key})
		}
	}
	return p.ttl.entry(dst, it)
}
