package column

import (
	"slices"
	"strings"
)

// override is one entry of a row's Extra: a value that is laid over the columns at a path.
type override struct {
	segments []string
	value    []byte
	used     bool
}

// overrides are the entries of one row, sorted by path so that those below one container stand together.
type overrides []override

// parse reads a row's Extra. The memory of o is used again.
func (o overrides) parse(text []byte) (overrides, error) {
	o = o[:0]
	t := textReader{src: text}
	if err := t.expect('{'); err != nil {
		return o, err
	}
	for first := true; !t.take('}'); first = false {
		if !first {
			if err := t.expect(','); err != nil {
				return o, err
			}
		}
		pointer, err := t.str()
		if err != nil {
			return o, err
		}
		if len(o) < cap(o) {
			o = o[:len(o)+1]
		} else {
			o = append(o, override{})
		}
		e := &o[len(o)-1]
		var ok bool
		if e.segments, ok = splitPointer(e.segments[:0], string(pointer)); !ok {
			return o, t.corrupt("a member's name is no path")
		}
		if err := t.expect(':'); err != nil {
			return o, err
		}
		from := t.at
		if err := t.skip(); err != nil {
			return o, err
		}
		e.value, e.used = text[from:t.at], false
	}
	if err := t.end(); err != nil {
		return o, err
	}
	slices.SortFunc(o, func(a, b override) int { return slices.Compare(a.segments, b.segments) })
	for i := 1; i < len(o); i++ {
		if n := len(o[i-1].segments); len(o[i].segments) >= n && slices.Equal(o[i-1].segments, o[i].segments[:n]) {
			return o, t.corrupt("one path lies in another")
		}
	}
	return o, nil
}

// below returns the entries whose segment at depth is the given one.
func (o overrides) below(depth int, segment string) overrides {
	from, found := slices.BinarySearchFunc(o, segment, func(e override, segment string) int {
		return strings.Compare(e.segments[depth], segment)
	})
	if !found {
		return nil
	}
	to := from + 1
	for to < len(o) && o[to].segments[depth] == segment {
		to++
	}
	return o[from:to]
}

// whole tells whether the entries are one that replaces the value at depth itself.
func (o overrides) whole(depth int) bool { return len(o) == 1 && len(o[0].segments) == depth+1 }
