package item

import (
	"bytes"
	"slices"
)

// AppendCanonical appends the item's canonical DynamoDB JSON: an attribute map with names sorted by their UTF-8 bytes,
// sets sorted (S and B by bytes, N by value), numbers in normal form, no white space, the fewest escapes and padded
// standard base64. Two items are equal exactly when these bytes are.
func AppendCanonical(dst []byte, it Item) []byte { return it.appendCanonicalMap(dst, 0) }

// AppendCanonicalValue appends the canonical form of the value at index i with its type: {"N":"1"}.
func AppendCanonicalValue(dst []byte, it Item, i int) []byte {
	token := &it.Tape[i]
	dst = append(dst, '{', '"')
	dst = append(dst, typeNames[token.Type]...)
	dst = append(dst, '"', ':')
	switch token.Type {
	case S, N, B:
		dst = it.appendCanonicalScalar(dst, i)
	case M:
		dst = it.appendCanonicalMap(dst, i)
	case L:
		dst = append(dst, '[')
		for at, end := i+1, i+int(token.Skip); at < end; at += int(it.Tape[at].Skip) {
			if at > i+1 {
				dst = append(dst, ',')
			}
			dst = AppendCanonicalValue(dst, it, at)
		}
		dst = append(dst, ']')
	case SS, NS, BS:
		dst = it.appendCanonicalSet(dst, i)
	default: // BOOL and NULL: the literal
		dst = append(dst, it.Src[token.Off:token.End]...)
	}
	return append(dst, '}')
}

func (it Item) appendCanonicalScalar(dst []byte, i int) []byte {
	switch it.Tape[i].Type {
	case N:
		dst = it.AppendNumber(append(dst, '"'), i)
		return append(dst, '"')
	case B:
		return appendBinary(dst, it.Bytes(i, nil))
	}
	return AppendString(dst, it.Text(i))
}

// sorted pairs what a member is sorted by with its place on the tape.
type sorted struct {
	text  []byte
	value Decimal
	at    int
}

func (it Item) appendCanonicalMap(dst []byte, i int) []byte {
	var space [32]sorted
	names := space[:0]
	for at, end := i+1, i+int(it.Tape[i].Skip); at < end; at += 1 + int(it.Tape[at+1].Skip) {
		names = append(names, sorted{text: it.Text(at), at: at})
	}
	slices.SortFunc(names, func(a, b sorted) int { return bytes.Compare(a.text, b.text) })
	dst = append(dst, '{')
	for n, name := range names {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, name.text)
		dst = append(dst, ':')
		dst = AppendCanonicalValue(dst, it, name.at+1)
	}
	return append(dst, '}')
}

func (it Item) appendCanonicalSet(dst []byte, i int) []byte {
	dst = append(dst, '[')
	for n, member := range it.sortedSet(i) {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = it.appendCanonicalScalar(dst, member.at)
	}
	return append(dst, ']')
}

// sortedSet returns the members of the set at index i in canonical order.
func (it Item) sortedSet(i int) []sorted {
	var members []sorted
	t := it.Tape[i].Type
	for at, end := i+1, i+int(it.Tape[i].Skip); at < end; at++ {
		member := sorted{at: at}
		switch t {
		case NS:
			member.value = it.Decimal(at)
		case BS:
			member.text = it.Bytes(at, nil)
		default:
			member.text = it.Text(at)
		}
		members = append(members, member)
	}
	slices.SortFunc(members, compareMembers)
	return members
}

func compareMembers(a, b sorted) int {
	if c := bytes.Compare(a.text, b.text); c != 0 {
		return c
	}
	return a.value.Compare(b.value)
}
