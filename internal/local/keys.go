package local

import (
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/local/store"
)

const saysSchema = "The provided key element does not match the schema"

// words is the bare message of an error of package item, without the place it prints in front.
func words(err error) string {
	for {
		e, ok := err.(*fault.Error) // not errors.As: text that wraps an inner fault is part of the message
		if !ok {
			return err.Error()
		}
		err = e.Err
	}
}

const saysTooLarge = "Item size has exceeded the maximum allowed size"

// tooLarge tells whether err of item.Validate is about the size of the whole item.
func tooLarge(err error) bool { return words(err) == saysTooLarge }

// itemKey builds the store's key of an item that is to be put, with the service's complaints about items.
func (t *table) itemKey(it item.Item) (store.Key, error) {
	var key storeKey
	for n, attr := range t.keys.Attrs() {
		i, ok := it.Get(attr.Name)
		if !ok {
			return key.Key, invalidValue("Missing the key %s in the item", attr.Name)
		}
		if got := it.Tape[i].Type; got != attr.Type {
			return key.Key, invalidValue("Type mismatch for key %s expected: %s actual: %s", attr.Name, attr.Type, got)
		}
		if err := key.set(n, it, i, attr.Name); err != nil {
			return key.Key, err
		}
	}
	return key.Key, nil
}

// exactKey builds the store's key of a map that must hold the key attributes and nothing else.
func (t *table) exactKey(it item.Item) (store.Key, error) {
	var key storeKey
	attrs := t.keys.Attrs()
	if it.Count(0) != len(attrs) {
		return key.Key, invalid(saysSchema)
	}
	for n, attr := range attrs {
		i, ok := it.Get(attr.Name)
		if !ok || it.Tape[i].Type != attr.Type {
			return key.Key, invalid(saysSchema)
		}
		if err := key.set(n, it, i, attr.Name); err != nil {
			return key.Key, err
		}
	}
	return key.Key, nil
}

// storeKey is a key under construction.
type storeKey struct{ store.Key }

// set encodes the value at index i as the n-th part of the key.
func (k *storeKey) set(n int, it item.Item, i int, name string) error {
	size := item.SizeOf(it, i)
	switch t := it.Tape[i].Type; {
	case size == 0 && t == item.S:
		return invalid("One or more parameter values are not valid. "+
			"The AttributeValue for a key attribute cannot contain an empty string value. Key: %s", name)
	case size == 0:
		return invalid("One or more parameter values are not valid. "+
			"The AttributeValue for a key attribute cannot contain an empty binary value. Key: %s", name)
	case n == 0 && size > item.HashKeyBytesMax:
		return invalidValue("Size of hashkey has exceeded the maximum size limit of%d bytes", item.HashKeyBytesMax)
	case n == 1 && size > item.RangeKeyBytesMax:
		return invalidValue("Aggregated size of all range keys has exceeded the size limit of %d bytes",
			item.RangeKeyBytesMax)
	}
	encoded, err := encode(it, i)
	if err != nil {
		return internalError(err)
	}
	if n == 0 {
		k.Hash = encoded
	} else {
		k.Range = encoded
	}
	return nil
}

// encode gives the value at index i in the store's order-preserving form.
func encode(it item.Item, i int) ([]byte, error) {
	switch it.Tape[i].Type {
	case item.N:
		return store.EncodeNumber(nil, it.Text(i))
	case item.B:
		return store.EncodeBinary(nil, it.Bytes(i, nil)), nil
	}
	text := it.Text(i)
	return store.EncodeString(make([]byte, 0, 1+len(text)), text), nil
}

// encodeValue is encode for a decoded value.
func encodeValue(v item.Value) ([]byte, error) {
	switch v.Type {
	case item.N:
		return store.EncodeNumber(nil, []byte(v.Str))
	case item.B:
		return store.EncodeBinary(nil, v.Bin), nil
	}
	return store.EncodeString(nil, []byte(v.Str)), nil
}
