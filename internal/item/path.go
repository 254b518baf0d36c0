package item

import "strconv"

// Path names the value at index i as a person would: orders[3].price. Names are printed as they are, a member of a set
// by its position. The item itself is "".
func (it Item) Path(i int) string { return string(AppendPath(nil, it.Src, it.Tape, i)) }

// AppendPath appends the path of the token at index i on a tape that starts with the item's M token. Containers that
// are still open, as during parsing, have Skip 0 and reach to the tape's end.
func AppendPath(dst, src []byte, tape []Token, i int) []byte {
	at := 0
	for at < i {
		child, element, ok := step(tape, at, i)
		if !ok {
			return dst
		}
		if tape[at].Type == M {
			if at > 0 {
				dst = append(dst, '.')
			}
			dst = append(dst, Item{Src: src, Tape: tape[child : child+1]}.Text(0)...)
			child++
			if child >= i || child >= len(tape) {
				return dst
			}
		} else {
			dst = append(dst, '[')
			dst = strconv.AppendInt(dst, int64(element), 10)
			dst = append(dst, ']')
		}
		at = child
	}
	return dst
}

// step finds the child of the container at index at that holds index i: for a map the index of its name.
func step(tape []Token, at, i int) (child, element int, ok bool) {
	isMap := tape[at].Type == M
	for child = at + 1; child < len(tape); element++ {
		value := child
		if isMap {
			value++
		}
		if value >= len(tape) || tape[value].Skip == 0 || i < value+int(tape[value].Skip) {
			return child, element, child <= i
		}
		child = value + int(tape[value].Skip)
	}
	return 0, 0, false
}
