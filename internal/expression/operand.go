package expression

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"dynaferry/internal/item"
)

// operand is what an expression computes with: nothing (the zero operand, an absent attribute), a scalar as a view, or
// a container that is decoded only when somebody looks inside.
type operand struct {
	kind    item.Type
	text    []byte // content of S, decimal text of N, bytes of B; read-only
	truth   bool
	decimal *item.Decimal // of an N, when it was read before
	tree    *item.Value   // of a container, when decoded
	it      *item.Item    // else the tape
	at      int
}

func (o operand) exists() bool { return o.kind != 0 }

// ofValue views a decoded value. Constants of an expression pass here once, so their numbers are read ahead.
func ofValue(v item.Value) operand {
	o := operand{kind: v.Type}
	switch v.Type {
	case item.S:
		o.text = []byte(v.Str)
	case item.N:
		o.text = []byte(v.Str)
		if d, err := item.ParseDecimal(o.text); err == nil {
			o.decimal = &d
		}
	case item.B:
		o.text = v.Bin
	case item.BOOL:
		o.truth = v.Bool
	default:
		o.tree = &v
	}
	return o
}

// ofTape views the value at index i of a tape. Only binaries, and strings with escapes, cost memory.
func ofTape(it *item.Item, i int) operand {
	o := operand{kind: it.Tape[i].Type, it: it, at: i}
	switch o.kind {
	case item.S, item.N:
		o.text = it.Text(i)
	case item.B:
		o.text = it.Bytes(i, nil)
	case item.BOOL:
		o.truth = it.Bool(i)
	}
	return o
}

func ofInt(n int) operand {
	d := item.Decimal{}
	if n != 0 {
		for d.Lo = uint64(n); d.Lo%10 == 0; d.Lo /= 10 {
			d.Exp++
		}
		for rest := d.Lo; rest > 0; rest /= 10 {
			d.Digits++
		}
	}
	return operand{kind: item.N, decimal: &d}
}

// value returns the decoded value.
func (o operand) value() item.Value {
	switch {
	case o.kind == item.N && o.text == nil && o.decimal != nil:
		return item.Value{Type: item.N, Str: string(o.decimal.Append(nil))}
	case o.tree != nil:
		return *o.tree
	case o.it != nil:
		return o.it.Value(o.at)
	}
	return item.Value{Type: o.kind, Str: string(o.text), Bin: o.text, Bool: o.truth}
}

func (o operand) number() (item.Decimal, bool) {
	if o.decimal != nil {
		return *o.decimal, true
	}
	d, err := item.ParseDecimal(o.text)
	return d, err == nil
}

// compare orders two scalars of one type: strings by the bytes of their UTF-8, numbers by value, binaries by unsigned
// bytes. ok is false where there is no order.
func (o operand) compare(q operand) (order int, ok bool) {
	if o.kind != q.kind {
		return 0, false
	}
	switch o.kind {
	case item.S, item.B:
		return bytes.Compare(o.text, q.text), true
	case item.N:
		a, okA := o.number()
		b, okB := q.number()
		return a.Compare(b), okA && okB
	}
	return 0, false
}

// equal tells whether two operands are the same type and value; an absent one equals nothing.
func (o operand) equal(q operand) bool {
	if !o.exists() || o.kind != q.kind {
		return false
	}
	switch o.kind {
	case item.S, item.N, item.B:
		order, ok := o.compare(q)
		return ok && order == 0
	case item.BOOL:
		return o.truth == q.truth
	case item.NULL:
		return true
	}
	return o.value().Equal(q.value())
}

// size is what the function size returns: UTF-16 units of a string, bytes of a binary, members of a container. Other
// types have no size and give an absent operand.
func (o operand) size() operand {
	switch o.kind {
	case item.S:
		return ofInt(utf16Length(o.text))
	case item.B:
		return ofInt(len(o.text))
	case item.L, item.M, item.SS, item.NS, item.BS:
		if o.tree == nil {
			return ofInt(o.it.Count(o.at))
		}
		return ofInt(len(o.tree.List) + len(o.tree.Map))
	}
	return operand{}
}

// utf16Length counts as the service does, which keeps strings in UTF-16: characters beyond U+FFFF count two.
func utf16Length(text []byte) int {
	n := 0
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		text = text[size:]
		if n++; r > 0xFFFF {
			n++
		}
	}
	return n
}

// contains tells whether o, a string or binary, has q as a part, or o, a set or list, has q as a member.
func (o operand) contains(q operand) bool {
	switch {
	case !o.exists() || !q.exists():
		return false
	case o.kind == item.S || o.kind == item.B:
		return q.kind == o.kind && bytes.Contains(o.text, q.text)
	case o.kind == item.L || o.kind.IsSet() && q.kind == o.kind.Member():
		return slices.ContainsFunc(o.members(), q.equal)
	}
	return false
}

// members views the elements of a list or set.
func (o operand) members() []operand {
	var members []operand
	if o.tree != nil {
		for _, v := range o.tree.List {
			if o.kind.IsSet() {
				v.Type = o.kind.Member()
			}
			members = append(members, ofValue(v))
		}
		return members
	}
	for at, end := o.at+1, o.at+int(o.it.Tape[o.at].Skip); at < end; at += int(o.it.Tape[at].Skip) {
		members = append(members, ofTape(o.it, at))
	}
	return members
}

func (o operand) beginsWith(q operand) bool {
	return (o.kind == item.S || o.kind == item.B) && q.kind == o.kind && bytes.HasPrefix(o.text, q.text)
}
