package inflate

// decode works until the output is full, the stream ends (io.EOF) or an error stands in the way.
func (z *Reader) decode() error {
	var err error
	for err == nil && z.w < z.limit {
		switch z.stage {
		case atHeader:
			err = z.header()
		case atBlock:
			err = z.block()
		case inStored:
			err = z.storedBlock()
		case inCodes:
			err = z.codes()
		case atTrailer:
			err = z.trailer()
		}
	}
	if z.stage != atHeader {
		z.sum()
	}
	return err
}

// block reads a block's header and, for a dynamic block, its codes.
func (z *Reader) block() error {
	if z.last {
		z.stage = atTrailer
		return nil
	}
	if err := z.need(3); err != nil {
		return z.ended(err, "a block header")
	}
	z.last = z.take(1) == 1
	switch z.take(2) {
	case 0:
		return z.storedHeader()
	case 1:
		z.fixedCodes()
	case 2:
		if err := z.dynamicCodes(); err != nil {
			return err
		}
	default:
		return z.damaged("unknown block type")
	}
	z.stage = inCodes
	return nil
}

func (z *Reader) storedHeader() error {
	z.byteAligned()
	size, err := z.uintLE(2)
	if err != nil {
		return z.ended(err, "a stored block's length")
	}
	check, err := z.uintLE(2)
	if err != nil {
		return z.ended(err, "a stored block's length")
	}
	if size != ^check&0xffff {
		return z.damaged("wrong length of a stored block")
	}
	z.stored, z.stage = int(size), inStored
	return nil
}

// storedBlock copies: first what is in the bit buffer, then from the input.
func (z *Reader) storedBlock() error {
	for z.stored > 0 && z.w < z.limit {
		if z.nbits > 0 {
			z.out[z.w] = byte(z.take(8))
			z.w++
			z.stored--
			continue
		}
		if z.pos == z.end {
			if err := z.fill(); err != nil {
				return z.ended(err, "a stored block")
			}
		}
		n := copy(z.out[z.w:z.limit], z.in[z.pos:min(z.end, z.pos+z.stored)])
		z.pos += n
		z.w += n
		z.stored -= n
	}
	if z.stored == 0 {
		z.stage = atBlock
	}
	return nil
}

// fixedCodes makes the tables of RFC 1951, 3.2.6.
func (z *Reader) fixedCodes() {
	if z.fixed {
		return
	}
	lit := z.lengths[:litSymbols]
	for i := range lit {
		switch {
		case i < 144:
			lit[i] = 8
		case i < 256:
			lit[i] = 9
		case i < 280:
			lit[i] = 7
		default:
			lit[i] = 8
		}
	}
	build(z.lit[:], litBits, lit, litMeaning[:])
	dist := z.lengths[:distSymbols]
	for i := range dist {
		dist[i] = fixedDist
	}
	build(z.dist[:], distBits, dist, distMeaning[:])
	z.fixed = true
}

// preOrder is the order in which the code lengths of the code length code are sent (RFC 1951, 3.2.7).
var preOrder = [preSymbols]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamicCodes reads the codes of a dynamic block (RFC 1951, 3.2.7).
func (z *Reader) dynamicCodes() error {
	const within = "a block's codes"
	if err := z.need(14); err != nil {
		return z.ended(err, within)
	}
	nLit, nDist, nPre := int(z.take(5))+257, int(z.take(5))+1, int(z.take(4))+4
	if nLit > litUsable || nDist > distUsable {
		return z.damaged("too many codes in a block")
	}
	var pre [preSymbols]uint8
	for _, symbol := range preOrder[:nPre] {
		if err := z.need(3); err != nil {
			return z.ended(err, within)
		}
		pre[symbol] = uint8(z.take(3))
	}
	z.fixed = false
	if !build(z.pre[:], preBits, pre[:], preMeaning[:]) {
		return z.damaged("invalid code of code lengths")
	}
	if err := z.codeLengths(nLit + nDist); err != nil {
		return z.ended(err, within)
	}
	if !build(z.lit[:], litBits, z.lengths[:nLit], litMeaning[:]) {
		return z.damaged("invalid literal and length code")
	}
	if !build(z.dist[:], distBits, z.lengths[nLit:nLit+nDist], distMeaning[:]) {
		return z.damaged("invalid distance code")
	}
	return nil
}

// codeLengths reads n code lengths, which are run-length encoded across both alphabets.
func (z *Reader) codeLengths(n int) error {
	for i := 0; i < n; {
		e, err := z.symbol(z.pre[:], preMask)
		if err != nil {
			return err
		}
		if e&entryExceptional != 0 {
			return z.damaged("invalid code length")
		}
		length := uint8(e >> 16)
		if length < 16 {
			z.lengths[i] = length
			i++
			continue
		}
		run, extra := 3, uint(2)
		switch length {
		case 16:
			if i == 0 {
				return z.damaged("repetition of no code length")
			}
			length = z.lengths[i-1]
		case 17:
			length, extra = 0, 3
		case 18:
			length, run, extra = 0, 11, 7
		}
		if err := z.need(extra); err != nil {
			return err
		}
		run += int(z.take(extra))
		if i+run > n {
			return z.damaged("too many code lengths")
		}
		for ; run > 0; run-- {
			z.lengths[i] = length
			i++
		}
	}
	return nil
}
