package inflate

import (
	"io"

	"dynaferry/internal/fault"
)

// emptyReadsMax is how often in a row the reader below may return nothing at all.
const emptyReadsMax = 100

// fill reads more input when all of it is in the bit buffer or used up. It returns io.EOF at the input's end; other
// errors are those of the reader below, with the offset.
func (z *Reader) fill() error {
	z.before += int64(z.end)
	z.pos, z.end = 0, 0
	for range emptyReadsMax {
		if z.readErr != nil {
			break
		}
		z.end, z.readErr = z.r.Read(z.in[:inBytes])
		if z.end > 0 {
			return nil
		}
	}
	switch z.readErr {
	case nil:
		z.readErr = io.ErrNoProgress
	case io.EOF:
		return io.EOF
	}
	return fault.At(fault.New(kindOf(z.readErr), "read compressed byte %d: %w", z.before, z.readErr),
		fault.Place{Offset: z.decoded()})
}

// kindOf keeps a kind the reader below gave and takes other failures for those of a transport.
func kindOf(err error) fault.Kind {
	if kind := fault.KindOf(err); kind != fault.Bug {
		return kind
	}
	return fault.Unavailable
}

// need makes the bit buffer hold at least n <= 56 bits. io.EOF means that the input ends before.
func (z *Reader) need(n uint) error {
	for z.nbits < n {
		if z.pos == z.end {
			if err := z.fill(); err != nil {
				return err
			}
		}
		z.bits |= uint64(z.in[z.pos]) << z.nbits
		z.pos++
		z.nbits += 8
	}
	return nil
}

// take removes and returns n bits that need has made sure of.
func (z *Reader) take(n uint) uint32 {
	v := uint32(z.bits & (1<<n - 1))
	z.bits >>= n
	z.nbits -= n
	return v
}

// byteAligned drops the rest of the byte that is partly used.
func (z *Reader) byteAligned() { z.take(z.nbits & 7) }

// uintLE reads n <= 4 bytes, little end first. The input must be aligned.
func (z *Reader) uintLE(n uint) (uint32, error) {
	if err := z.need(8 * n); err != nil {
		return 0, err
	}
	return z.take(8 * n), nil
}
