package inflate

import "unsafe"

// outcome is how a run of symbols ended.
type outcome uint8

const (
	going       outcome = iota // out of input or room
	ended                      // the block is over
	badCode                    // a code that no symbol has
	badDistance                // a match that begins before the member
)

// fastIn is what must be left of the buffered input at the start of a turn of the fast loop: a turn refills up to
// three times and moves on by at most seven bytes each time, then the word that it loads must still be there.
const fastIn = 32

// fast decodes symbols while fastIn bytes of input are left and the output is below its limit.
//
// Why it looks as it does: the bit buffer is refilled from an unaligned 64-bit load without a branch, and again
// before a distance, so that no symbol ever asks whether enough bits are there (a length takes 20 at most, a distance
// 28, three literals of the root 33). The low six bits of nbits count; the others are garbage because whole entries
// are subtracted. The next entry is looked up before the match is copied, so that its load overlaps the copy.
//
// Memory: in stays below inEnd+fastIn, which is inside the input; out starts a turn below outEnd and a turn writes at
// most two literals, 258 bytes of match and 31 of overshoot, less than outSlack; a match is read from oldest on.
func (z *Reader) fast() outcome {
	in := unsafe.Pointer(&z.in[z.pos])
	inEnd := uintptr(unsafe.Pointer(&z.in[0])) + uintptr(z.end-fastIn)
	outBase := unsafe.Pointer(&z.out[0])
	out := unsafe.Add(outBase, z.w)
	outEnd := uintptr(outBase) + uintptr(z.limit)
	oldest := uintptr(outBase) + uintptr(z.start)
	lit, dist := &z.lit, &z.dist
	bits, nbits := z.bits, uint64(z.nbits)
	result := going

	bits |= load64(in) << (nbits & 63)
	in = unsafe.Add(in, (63-nbits)>>3&7)
	nbits |= 56
	e := lit[bits&litMask]
	for uintptr(in) < inEnd && uintptr(out) < outEnd {
		if e&entryLiteral != 0 {
			bits >>= e & 63
			nbits -= uint64(e)
			*(*byte)(out) = byte(e >> 16)
			out = unsafe.Add(out, 1)
			e = lit[bits&litMask]
			if e&entryLiteral != 0 {
				bits >>= e & 63
				nbits -= uint64(e)
				*(*byte)(out) = byte(e >> 16)
				out = unsafe.Add(out, 1)
				e = lit[bits&litMask]
				if e&entryLiteral != 0 {
					bits >>= e & 63
					nbits -= uint64(e)
					*(*byte)(out) = byte(e >> 16)
					out = unsafe.Add(out, 1)
					bits |= load64(in) << (nbits & 63)
					in = unsafe.Add(in, (63-nbits)>>3&7)
					nbits |= 56
					e = lit[bits&litMask]
					continue
				}
			}
		}
		saved := bits
		bits >>= e & 63
		nbits -= uint64(e)
		if e&entryExceptional != 0 {
			if e&entrySub != 0 {
				e = lit[(uint64(e>>16)+bits&(1<<(e>>8&15)-1))&(litSize-1)]
				saved = bits
				bits >>= e & 63
				nbits -= uint64(e)
				if e&entryLiteral != 0 {
					*(*byte)(out) = byte(e >> 16)
					out = unsafe.Add(out, 1)
					bits |= load64(in) << (nbits & 63)
					in = unsafe.Add(in, (63-nbits)>>3&7)
					nbits |= 56
					e = lit[bits&litMask]
					continue
				}
			}
			if e&entryExceptional != 0 {
				result = badCode
				if e&entryEnd != 0 {
					result = ended
				}
				break
			}
		}
		length := uintptr(e>>16) + uintptr(saved&(1<<(e&63)-1)>>(e>>8&15))

		bits |= load64(in) << (nbits & 63)
		in = unsafe.Add(in, (63-nbits)>>3&7)
		nbits |= 56
		e = dist[bits&distMask]
		if e&entryExceptional != 0 {
			if e&entrySub != 0 {
				bits >>= e & 63
				nbits -= uint64(e)
				e = dist[(uint64(e>>16)+bits&(1<<(e>>8&15)-1))&(distSize-1)]
			}
			if e&entryExceptional != 0 {
				result = badCode
				break
			}
		}
		saved = bits
		bits >>= e & 63
		nbits -= uint64(e)
		distance := uintptr(e>>16) + uintptr(saved&(1<<(e&63)-1)>>(e>>8&15))
		if distance > uintptr(out)-oldest {
			result = badDistance
			break
		}

		bits |= load64(in) << (nbits & 63)
		in = unsafe.Add(in, (63-nbits)>>3&7)
		nbits |= 56
		e = lit[bits&litMask]

		if distance >= 16 {
			from := unsafe.Add(out, -int(distance))
			copy16(out, from)
			copy16(unsafe.Add(out, 16), unsafe.Add(from, 16))
			for i := uintptr(32); i < length; i += 16 {
				copy16(unsafe.Add(out, i), unsafe.Add(from, i))
			}
		} else {
			repeat(out, distance, length)
		}
		out = unsafe.Add(out, length)
	}

	z.nbits = uint(nbits & 63)
	z.bits = bits & (1<<z.nbits - 1)
	z.pos = int(uintptr(in) - uintptr(unsafe.Pointer(&z.in[0])))
	z.w = int(uintptr(out) - uintptr(outBase))
	return result
}

func load64(p unsafe.Pointer) uint64 {
	b := (*[8]byte)(p)
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

func copy16(to, from unsafe.Pointer) { *(*[16]byte)(to) = *(*[16]byte)(from) }

func copy8(to, from unsafe.Pointer) { *(*[8]byte)(to) = *(*[8]byte)(from) }

// repeat copies a match that overlaps itself within 16 bytes. It may write 15 bytes too many.
func repeat(out unsafe.Pointer, distance, length uintptr) {
	from := unsafe.Add(out, -int(distance))
	// Below 8 bytes of distance a word would read bytes that are not written yet: write the first ones one by one,
	// which repeats the pattern, then reach back by the largest multiple of the pattern that makes words safe.
	step := distance
	i := uintptr(0)
	for step < 8 {
		for j := uintptr(0); j < distance; j++ {
			*(*byte)(unsafe.Add(out, i)) = *(*byte)(unsafe.Add(from, i))
			i++
		}
		step += distance
	}
	for ; i < length; i += 8 {
		copy8(unsafe.Add(out, i), unsafe.Add(out, int(i)-int(step)))
	}
}
