package inflate

// codes decodes a compressed block until it ends, the output is full or the input fails.
func (z *Reader) codes() error {
	for z.w < z.limit {
		outcome := ended
		if z.end-z.pos > fastIn {
			outcome = z.fast()
			if outcome == going {
				continue
			}
		} else {
			var err error
			if outcome, err = z.careful(); err != nil {
				return err
			}
		}
		switch outcome {
		case ended:
			z.stage = atBlock
			return nil
		case badCode:
			return z.damaged("invalid code")
		case badDistance:
			return z.damaged("distance reaches before the start")
		}
	}
	return nil
}

// careful decodes one symbol (a literal, a match or the end of the block) and asks for input byte by byte: near the
// end of the buffered input a load of a whole word would see bytes that do not exist.
func (z *Reader) careful() (outcome, error) {
	const within = "a block"
	e, err := z.symbol(z.lit[:], litMask)
	if err != nil {
		return going, z.ended(err, within)
	}
	switch {
	case e&entryLiteral != 0:
		z.out[z.w] = byte(e >> 16)
		z.w++
		return going, nil
	case e&entryEnd != 0:
		return ended, nil
	case e&entryBad != 0:
		return badCode, nil
	}
	length, err := z.value(e)
	if err != nil {
		return going, z.ended(err, within)
	}
	e, err = z.symbol(z.dist[:], distMask)
	if err != nil {
		return going, z.ended(err, within)
	}
	if e&entryBad != 0 {
		return badCode, nil
	}
	distance, err := z.value(e)
	if err != nil {
		return going, z.ended(err, within)
	}
	if distance > z.w-z.start {
		return badDistance, nil
	}
	for range length {
		z.out[z.w] = z.out[z.w-distance]
		z.w++
	}
	return going, nil
}

// symbol decodes one code, without its extra bits, and removes it from the input.
func (z *Reader) symbol(table []entry, rootMask uint64) (entry, error) {
	for {
		e := table[z.bits&rootMask]
		n := uint(e >> 8 & 15)
		if e&entrySub != 0 {
			root := uint(e & 63)
			i := uint64(e>>16) + z.bits>>root&(1<<n-1)
			e = table[i]
			n = root + uint(e>>8&15)
		}
		// Bits that are not there yet read as zeros: the entry is the right one when its code needs none of them.
		if n <= z.nbits {
			z.take(n)
			return e, nil
		}
		if err := z.need(z.nbits + 1); err != nil {
			return 0, err
		}
	}
}

// value adds the extra bits of a length or distance to its base.
func (z *Reader) value(e entry) (int, error) {
	extra := uint(e&63) - uint(e>>8&15)
	if err := z.need(extra); err != nil {
		return 0, err
	}
	return int(e>>16) + int(z.take(extra)), nil
}
