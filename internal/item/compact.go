package item

// AppendCompact appends the item as DynamoDB JSON without white space, names, order and the content of strings as they
// came.
func AppendCompact(dst []byte, it Item) []byte { return it.appendCompact(dst, 0) }

// IsCompact tells whether Raw is what AppendCompact would write: no white space, descriptors without escapes.
func IsCompact(it Item) bool {
	size, _ := it.compactBytes(0)
	return size == int(it.Tape[0].End-it.Tape[0].Off)
}

// wrapperBytes are the bytes of {"T": and } around a value of each type, quotes of strings included.
var wrapperBytes = [...]int{S: 8, N: 8, B: 8, BOOL: 9, NULL: 9, L: 6, M: 6, SS: 7, NS: 7, BS: 7}

// compactBytes returns the length of the inner JSON value of the container at index i without white space, and the
// index behind it.
func (it Item) compactBytes(i int) (size, next int) {
	token := &it.Tape[i]
	end := i + int(token.Skip)
	if end == i+1 {
		return 2, end
	}
	size = 1 // the brackets, and a comma for all but one
	for i++; i < end; {
		child := &it.Tape[i]
		size++
		switch {
		case token.Type == M:
			size += int(child.End-child.Off) + 3
			i++
			child = &it.Tape[i]
			size += wrapperBytes[child.Type]
		case token.Type == L:
			size += wrapperBytes[child.Type]
		default:
			size += 2
		}
		if child.Type < L {
			size += int(child.End - child.Off)
			i++
			continue
		}
		var inner int
		inner, i = it.compactBytes(i)
		size += inner
	}
	return size, end
}

// appendCompact appends the inner JSON value of the container at index i.
func (it Item) appendCompact(dst []byte, i int) []byte {
	token := &it.Tape[i]
	open, shut := byte('['), byte(']')
	if token.Type == M {
		open, shut = '{', '}'
	}
	dst = append(dst, open)
	for at, end := i+1, i+int(token.Skip); at < end; at += int(it.Tape[at].Skip) {
		if at > i+1 {
			dst = append(dst, ',')
		}
		switch {
		case token.Type == M:
			dst = append(it.AppendName(dst, at), ':')
			at++
			fallthrough
		case token.Type == L:
			dst = it.appendCompactValue(dst, at)
		default:
			dst = it.AppendName(dst, at) // a quoted string like any other
		}
	}
	return append(dst, shut)
}

func (it Item) appendCompactValue(dst []byte, i int) []byte {
	token := &it.Tape[i]
	if token.Type < L {
		return it.AppendValue(dst, i)
	}
	dst = append(dst, wrappers[token.Type]...)
	dst = it.appendCompact(dst, i)
	return append(dst, '}')
}
