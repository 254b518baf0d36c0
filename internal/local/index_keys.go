package local

import (
	"encoding/json"
	"fmt"
	"slices"

	"dynaferry/internal/expression"
	"dynaferry/internal/item"
	"dynaferry/internal/local/store"
)

// indexKeys are the key attributes of an index: of a global one up to four in each part.
type indexKeys expression.Keys

// keyPartMax is how many attributes a part of a global index's key may have (Developer Guide, multi-attribute keys).
const keyPartMax = 4

// part is 0 for the partition key and 1 for the sort key.
func (k indexKeys) parts() [2][]item.KeyAttr { return [2][]item.KeyAttr{k.Hash, k.Range} }

func (k indexKeys) attrs() []item.KeyAttr { return slices.Concat(k.Hash, k.Range) }

// tableKeys are a table's keys as those of an index.
func tableKeys(k item.KeySchema) indexKeys { return indexKeys(expression.TableKeys(k)) }

// indexKeysJSON is what a definition holds: one attribute of a part as an object, as an item.KeySchema's, more as a list.
type indexKeysJSON struct {
	Hash  keyPartJSON `json:"hash"`
	Range keyPartJSON `json:"range,omitempty"`
}

type keyPartJSON []item.KeyAttr

// MarshalJSON writes one attribute as an object, several as a list.
func (p keyPartJSON) MarshalJSON() ([]byte, error) {
	if len(p) == 1 {
		return json.Marshal(p[0])
	}
	return json.Marshal([]item.KeyAttr(p))
}

// UnmarshalJSON reads either form.
func (p *keyPartJSON) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '[' {
		return json.Unmarshal(text, (*[]item.KeyAttr)(p))
	}
	*p = make(keyPartJSON, 1)
	return json.Unmarshal(text, &(*p)[0])
}

// MarshalJSON writes the form of definitions.
func (k indexKeys) MarshalJSON() ([]byte, error) { return json.Marshal(indexKeysJSON{k.Hash, k.Range}) }

// UnmarshalJSON reads the form of definitions.
func (k *indexKeys) UnmarshalJSON(text []byte) error {
	var form indexKeysJSON
	if err := json.Unmarshal(text, &form); err != nil {
		return err
	}
	if len(form.Hash) == 0 || form.Hash[0].Name == "" {
		return fmt.Errorf("an index without a partition key")
	}
	k.Hash, k.Range = form.Hash, form.Range
	return nil
}

// The end of an attribute in a part of several: behind its escaped bytes, so that the order of the whole is the order of
// the attributes one after the other. attributeEnd+1 stands behind all that begins with the attribute.
const (
	escape       = 0x00
	escapedZero  = 0xFF
	attributeEnd = 0x01
)

// appendPart appends an encoded attribute of a part that has several, without its end.
func appendPart(dst, encoded []byte) []byte {
	for _, c := range encoded {
		dst = append(dst, c)
		if c == escape {
			dst = append(dst, escapedZero)
		}
	}
	return dst
}

func endPart(dst []byte, end byte) []byte { return append(dst, escape, end) }

// key is where an item stands in the index; ok is false when it does not: an attribute is missing, or it came before the
// index and is of another type or too long.
func (ix *index) key(it item.Item) (key store.Key, ok bool) {
	if misfit := ix.Keys.misfit(it); misfit.fault != keyFits {
		return key, false
	}
	for n, part := range ix.Keys.parts() {
		var bytes []byte
		for _, attr := range part {
			i, found := it.Get(attr.Name)
			if !found {
				return key, false
			}
			encoded, err := encode(it, i)
			if err != nil {
				return key, false
			}
			if len(part) == 1 {
				bytes = encoded
			} else {
				bytes = endPart(appendPart(bytes, encoded), attributeEnd)
			}
		}
		*[]*[]byte{&key.Hash, &key.Range}[n] = bytes
	}
	return key, true
}

// keyFault is what keeps a value from being a key attribute of an index.
type keyFault uint8

const (
	keyFits keyFault = iota
	keyType
	keyEmpty
	keyLong
)

// misfit is what keeps an item out of an index that has a value for a key attribute.
type misfit struct {
	fault keyFault
	attr  item.KeyAttr
	got   item.Type
	part  int
}

// misfit finds the first attribute that cannot be in the key. An item that lacks one does not matter.
func (k indexKeys) misfit(it item.Item) misfit {
	for n, part := range k.parts() {
		total := 0
		for _, attr := range part {
			i, found := it.Get(attr.Name)
			if !found {
				continue
			}
			m := misfit{attr: attr, got: it.Tape[i].Type, part: n}
			size := item.SizeOf(it, i)
			total += size
			switch {
			case m.got != attr.Type:
				m.fault = keyType
			case size == 0:
				m.fault = keyEmpty
			case total > [2]int{item.HashKeyBytesMax, item.RangeKeyBytesMax}[n]:
				m.fault = keyLong
			default:
				continue
			}
			return m
		}
	}
	return misfit{}
}

// queryOptions turns a key condition on keys into the store's bounds.
func queryOptions(k *expression.KeyCondition, keys indexKeys) (hash []byte, o store.QueryOptions, err error) {
	if hash, err = encodeValues(k.Hash, len(keys.Hash) > 1); err != nil {
		return nil, o, err
	}
	if len(keys.Range) > 1 {
		return hash, o, compositeBounds(k, &o)
	}
	if k.Prefix {
		o.Prefix, err = encodeValue(*k.Low)
		return hash, o, err
	}
	if k.Low != nil {
		if o.Lower, err = encodeValue(*k.Low); err != nil {
			return nil, o, err
		}
	}
	if k.High != nil {
		o.Upper, err = encodeValue(*k.High)
	}
	o.LowerExclusive, o.UpperExclusive = k.LowOpen, k.HighOpen
	return hash, o, err
}

// encodeValues encodes the values of a key's part; several says that the part has more attributes than one.
func encodeValues(values []item.Value, several bool) (part []byte, err error) {
	for _, v := range values {
		encoded, err := encodeValue(v)
		if err != nil {
			return nil, err
		}
		if !several {
			return encoded, nil
		}
		part = endPart(appendPart(part, encoded), attributeEnd)
	}
	return part, nil
}

// compositeBounds sets the bounds within a sort key of several attributes: below those that are given a value, and by the
// range of the next one.
func compositeBounds(k *expression.KeyCondition, o *store.QueryOptions) error {
	base, err := encodeValues(k.Equal, true)
	if err != nil {
		return err
	}
	bound := func(v *item.Value, end byte) ([]byte, error) {
		encoded, err := encodeValue(*v)
		if err != nil {
			return nil, err
		}
		return endPart(appendPart(slices.Clone(base), encoded), end), nil
	}
	if len(base) > 0 {
		o.Lower, o.Upper, o.UpperExclusive = base, slices.Clone(base), true
		o.Upper[len(base)-1]++
	}
	switch {
	case k.Prefix:
		encoded, err := encodeValue(*k.Low)
		o.Lower, o.Upper, o.UpperExclusive = nil, nil, false
		o.Prefix = appendPart(base, encoded)
		return err
	case k.Low != nil:
		if o.Lower, err = bound(k.Low, attributeEnd+byte(btoi(k.LowOpen))); err != nil {
			return err
		}
	}
	if k.High != nil {
		o.UpperExclusive = true
		o.Upper, err = bound(k.High, attributeEnd+byte(btoi(!k.HighOpen)))
	}
	return err
}
