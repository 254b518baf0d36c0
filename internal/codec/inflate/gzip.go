package inflate

import (
	"hash/crc32"
	"io"
)

// Flags of a member's header (RFC 1952, 2.3.1). FTEXT, bit 0, is a hint that nobody needs.
const (
	flagHeaderCRC = 1 << 1
	flagExtra     = 1 << 2
	flagName      = 1 << 3
	flagComment   = 1 << 4
	flagsReserved = 7 << 5
)

const headerBytes = 10 // the fixed part: magic, method, flags, time, extra flags, system

// header reads a member's header, or finds the end of the stream behind a member.
func (z *Reader) header() error {
	sum := uint32(0) // of all bytes of the header, for FHCRC
	var fixed [headerBytes]byte
	for i := range fixed {
		b, err := z.headerByte(&sum)
		if err == io.EOF && i == 0 && z.members > 0 {
			return io.EOF
		}
		if err != nil {
			return z.ended(err, "the header")
		}
		fixed[i] = b
		if i == 1 && (fixed[0] != 0x1f || b != 0x8b) || i == 0 && b != 0x1f && z.members > 0 {
			return z.noMagic()
		}
	}
	if fixed[2] != 8 {
		return z.damaged("unknown compression method")
	}
	flags := fixed[3]
	if flags&flagsReserved != 0 {
		return z.damaged("reserved header flags")
	}
	if err := z.headerFields(flags, &sum); err != nil {
		return z.ended(err, "the header")
	}
	if flags&flagHeaderCRC != 0 {
		want := uint16(sum)
		got, err := z.uintLE(2)
		if err != nil {
			return z.ended(err, "the header")
		}
		if uint16(got) != want {
			return z.damaged("wrong header checksum")
		}
	}
	z.stage, z.start, z.summed, z.crc, z.size = atBlock, z.w, z.w, 0, 0
	z.last = false
	return nil
}

func (z *Reader) noMagic() error {
	if z.members > 0 {
		return z.damaged("data behind the last member that is no other member")
	}
	return z.damaged("not a gzip stream")
}

// headerFields skips the optional fields, which may be of any length and are never held in memory.
func (z *Reader) headerFields(flags byte, sum *uint32) error {
	if flags&flagExtra != 0 {
		low, err := z.headerByte(sum)
		if err != nil {
			return err
		}
		high, err := z.headerByte(sum)
		if err != nil {
			return err
		}
		for range int(high)<<8 | int(low) {
			if _, err := z.headerByte(sum); err != nil {
				return err
			}
		}
	}
	for _, flag := range [...]byte{flagName, flagComment} {
		for more := flags&flag != 0; more; {
			b, err := z.headerByte(sum)
			if err != nil {
				return err
			}
			more = b != 0
		}
	}
	return nil
}

func (z *Reader) headerByte(sum *uint32) (byte, error) {
	v, err := z.uintLE(1)
	if err != nil {
		return 0, err
	}
	z.one[0] = byte(v)
	*sum = crc32.Update(*sum, crc32.IEEETable, z.one[:])
	return byte(v), nil
}

// trailer checks a member's checksum and length.
func (z *Reader) trailer() error {
	z.byteAligned()
	z.sum()
	crc, err := z.uintLE(4)
	if err != nil {
		return z.ended(err, "the checksum")
	}
	size, err := z.uintLE(4)
	if err != nil {
		return z.ended(err, "the length")
	}
	if crc != z.crc {
		return z.damaged("wrong checksum")
	}
	if size != z.size {
		return z.damaged("wrong length")
	}
	z.members++
	z.stage = atHeader
	return nil
}

// sum brings checksum and length up to what is decoded.
func (z *Reader) sum() {
	fresh := z.out[z.summed:z.w]
	z.crc = crc32.Update(z.crc, crc32.IEEETable, fresh)
	z.size += uint32(len(fresh))
	z.summed = z.w
}

// ended turns the input's end into truncation and leaves other errors as they are.
func (z *Reader) ended(err error, within string) error {
	if err == io.EOF {
		return z.truncated(within)
	}
	return err
}
