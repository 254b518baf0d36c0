package item

import "bytes"

// Size is the number of bytes that DynamoDB counts for the item (Developer Guide, "Capacity unit consumption"):
// names and strings by their UTF-8 bytes, a number by one byte for two significant digits and one more, another
// when negative, binary by its decoded bytes, BOOL and NULL one, lists and maps 3 and one more for each element.
// The 100 bytes that billing of storage adds are not in it.
func Size(it Item) int { return it.sizeOf(0) - containerBytes - it.Count(0) }

const containerBytes = 3

// SizeOf is the size of the value at index i, without its name.
func SizeOf(it Item, i int) int { return it.sizeOf(i) }

func (it Item) sizeOf(i int) int {
	token := &it.Tape[i]
	switch token.Type {
	case S, Name:
		return it.textBytes(token)
	case N:
		return it.numberBytes(i)
	case B:
		return it.binaryBytes(token)
	case BOOL, NULL:
		return 1
	}
	size := 0
	if token.Type == L || token.Type == M {
		size = containerBytes
	}
	for at, end := i+1, i+int(token.Skip); at < end; at += int(it.Tape[at].Skip) {
		size += it.sizeOf(at)
		switch token.Type {
		case M:
			at++
			size += it.sizeOf(at) + 1
		case L:
			size++
		}
	}
	return size
}

func (it Item) textBytes(token *Token) int {
	if token.Flags&Escaped == 0 {
		return int(token.End - token.Off)
	}
	return len(AppendUnescaped(nil, it.Src[token.Off:token.End]))
}

func (it Item) numberBytes(i int) int {
	d, _ := takeApart(it.Text(i)) // checked by the tokenizer
	size := (d.count+1)/2 + 1
	if d.neg {
		size++
	}
	return size
}

func (it Item) binaryBytes(token *Token) int {
	content := it.Src[token.Off:token.End]
	if token.Flags&Escaped != 0 {
		content = AppendUnescaped(nil, content)
	}
	return len(content)/4*3 - bytes.Count(content[max(0, len(content)-2):], []byte("="))
}

// The sizes that one unit covers (Developer Guide, "Read and write operations").
const (
	readUnitBytes  = 4096
	writeUnitBytes = 1024
)

// ReadUnits are the units that reading size bytes takes: one for each 4 KB begun when strongly consistent, half of that
// when not, at least one such step.
func ReadUnits(size int, consistent bool) float64 {
	units := float64(max(1, (size+readUnitBytes-1)/readUnitBytes))
	if consistent {
		return units
	}
	return units / 2
}

// WriteUnits are the units that writing an item of size bytes takes: one for each 1 KB begun, at least one.
func WriteUnits(size int) float64 {
	return float64(max(1, (size+writeUnitBytes-1)/writeUnitBytes))
}
