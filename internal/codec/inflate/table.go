package inflate

import "math/bits"

// Code sizes of RFC 1951.
const (
	maxCodeBits = 15  // longest code of any alphabet
	litSymbols  = 288 // literals, end of block and lengths; 286 and 287 may not be used
	litUsable   = 286
	distSymbols = 32 // 30 and 31 may not be used
	distUsable  = 30
	preSymbols  = 19 // the code length code
	endOfBlock  = 256
)

// Root sizes: a code of up to so many bits is found by one lookup. The arrays behind them hold the subtables of the
// worst complete code (2,342, 594 and 128 entries), rounded up to powers of two so that masks replace bounds checks.
const (
	litBits   = 11
	litSize   = 4096
	distBits  = 9
	distSize  = 1024
	preBits   = 7
	preSize   = 128
	litMask   = 1<<litBits - 1
	distMask  = 1<<distBits - 1
	preMask   = 1<<preBits - 1
	fixedDist = 5
)

// An entry tells everything about the code at the front of the bit buffer:
//
//	 0-7   bits to drop: the code's and those of its extra bits
//	 8-11  bits of the code alone (in a subtable: those beyond the root)
//	 12    subtable: 16-30 is its first index, 8-11 its index bits, 0-7 the root's bits
//	 13    end of block
//	 14    no such code, or a symbol that may not be used
//	 15    exceptional: one of 12, 13, 14
//	16-30  literal, base of the length, or base of the distance
//	 31    literal
type entry = uint32

const (
	entrySub         entry = 1 << 12
	entryEnd         entry = 1 << 13
	entryBad         entry = 1 << 14
	entryExceptional entry = 1 << 15
	entryLiteral     entry = 1 << 31
)

// Meanings of the symbols without their code bits, filled once and never changed.
var (
	litMeaning  = literalMeanings()
	distMeaning = distanceMeanings()
	preMeaning  = codeLengthMeanings()
)

func literalMeanings() (m [litSymbols]entry) {
	for i := range endOfBlock {
		m[i] = entryLiteral | entry(i)<<16
	}
	m[endOfBlock] = entryExceptional | entryEnd
	base := 3
	for i := 257; i < litUsable-1; i++ {
		extra := max(0, (i-261)/4)
		m[i] = entry(base)<<16 | entry(extra)
		base += 1 << extra
	}
	m[litUsable-1] = 258 << 16 // 285: the longest length has a code of its own without extra bits
	m[286], m[287] = entryExceptional|entryBad, entryExceptional|entryBad
	return m
}

func distanceMeanings() (m [distSymbols]entry) {
	base := 1
	for i := range distUsable {
		extra := max(0, i/2-1)
		m[i] = entry(base)<<16 | entry(extra)
		base += 1 << extra
	}
	m[30], m[31] = entryExceptional|entryBad, entryExceptional|entryBad
	return m
}

func codeLengthMeanings() (m [preSymbols]entry) {
	for i := range m {
		m[i] = entry(i) << 16
	}
	return m
}

// build fills table, whose root has rootBits index bits, from the code lengths of its symbols. It returns false for
// lengths that are no prefix code: over-subscribed, or incomplete unless empty or a single code of one bit (which
// some encoders write when there is one distance only). Codes that no symbol has become bad entries.
func build(table []entry, rootBits int, lengths []uint8, meaning []entry) bool {
	var count [maxCodeBits + 1]int
	for _, n := range lengths {
		count[n]++
	}
	used := len(lengths) - count[0]
	space := 1 // codes left at this length
	longest := 0
	var first [maxCodeBits + 2]int // index in sorted of the first symbol with the length
	for n := 1; n <= maxCodeBits; n++ {
		space = space<<1 - count[n]
		if space < 0 {
			return false
		}
		if count[n] > 0 {
			longest = n
		}
		first[n+1] = first[n] + count[n]
	}
	if space != 0 && (used > 1 || used == 1 && longest != 1) {
		return false
	}
	if used <= 1 {
		return buildSparse(table[:1<<rootBits], lengths, meaning)
	}
	var sorted [litSymbols]uint16
	for symbol, n := range lengths {
		if n != 0 {
			sorted[first[n]] = uint16(symbol)
			first[n]++
		}
	}
	rest := buildRoot(table, rootBits, sorted[:used], &count, meaning)
	buildSubtables(table, rootBits, rest, &count, meaning)
	return true
}

// buildSparse makes the table of an empty code, or of one symbol whose code is the bit 0.
func buildSparse(root []entry, lengths []uint8, meaning []entry) bool {
	for i := range root {
		root[i] = entryExceptional | entryBad
	}
	for symbol, n := range lengths {
		if n == 0 {
			continue
		}
		for i := 0; i < len(root); i += 2 {
			root[i] = withCode(meaning[symbol], 1)
		}
	}
	return true
}

// withCode adds a code's bits to a symbol's meaning.
func withCode(meaning entry, n int) entry { return meaning + entry(n) + entry(n)<<8 }

// span is what is left of the sorted symbols once the root is full: those with codes longer than the root.
type span struct {
	symbols []uint16
	length  int // bits of the first one's code
	code    uint32
}

// buildRoot enters the codes of up to rootBits bits. Deflate packs codes from their first bit on, so a table is
// indexed by the reversed code; a table for n bits becomes the one for n+1 bits by doubling it.
func buildRoot(table []entry, rootBits int, sorted []uint16, count *[maxCodeBits + 1]int, meaning []entry) span {
	code := uint32(0) // reversed
	size := 1
	table[0] = entryExceptional | entryBad
	for n := 1; n <= rootBits; n++ {
		copy(table[size:2*size], table[:size])
		size *= 2
		for range count[n] {
			table[code] = withCode(meaning[sorted[0]], n)
			sorted = sorted[1:]
			code = following(code, n)
		}
	}
	return span{symbols: sorted, length: rootBits + 1, code: code}
}

// following returns the reversed code after a reversed code of n bits: the highest zero bit becomes one and the ones
// above it zeros. After the last code of a complete set it returns 0.
func following(code uint32, n int) uint32 {
	zeros := ^code & (1<<n - 1)
	if zeros == 0 {
		return 0
	}
	bit := uint32(1) << (bits.Len32(zeros) - 1)
	return code&(bit-1) | bit
}

// buildSubtables enters the codes longer than the root. Codes with the same first rootBits bits share a subtable behind
// the root, as large as the longest of them needs.
func buildSubtables(table []entry, rootBits int, rest span, count *[maxCodeBits + 1]int, meaning []entry) {
	if len(rest.symbols) == 0 {
		return
	}
	rootMask := uint32(1)<<rootBits - 1
	next := 1 << rootBits
	prefix, start, subBits := uint32(1<<31), 0, 0
	code, n, left := rest.code, rest.length, count[rest.length]
	for _, symbol := range rest.symbols {
		for left == 0 {
			n++
			left = count[n]
		}
		if code&rootMask != prefix {
			prefix, start = code&rootMask, next
			subBits = subtableBits(n-rootBits, n, left, count)
			next += 1 << subBits
			table[prefix] = entryExceptional | entrySub | entry(start)<<16 | entry(subBits)<<8 | entry(rootBits)
		}
		e := withCode(meaning[symbol], n-rootBits)
		for i := code >> rootBits; i < 1<<subBits; i += 1 << (n - rootBits) {
			table[start+int(i)] = e
		}
		code = following(code, n)
		left--
	}
}

// subtableBits returns the index bits of the subtable that begins at a code of n bits, when left codes of that length
// are still to come: it grows until the codes in hand fill it. The code is complete, so they will.
func subtableBits(subBits, n, left int, count *[maxCodeBits + 1]int) int {
	filled := left
	for filled < 1<<subBits && n < maxCodeBits {
		n++
		subBits++
		filled = filled<<1 + count[n]
	}
	return subBits
}
