package changelog

import (
	"encoding/binary"
	"hash/crc32"

	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
)

// formatVersion is of entries and index objects; a reader refuses others by name.
const formatVersion = 1

const (
	frameMagic   = 0x184D2A5E // a skippable frame of zstd, whose content decoders pass over (RFC 8878, 3.1.2)
	frameHead    = 8
	trailerBytes = 64
)

// The last bytes of an object say what it is.
const (
	entryMagic = "DYNFCHG\n"
	indexMagic = "DYNFIDX\n"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(data []byte) Checksum { return Checksum(crc32.Checksum(data, castagnoli)) }

// trailer ends an entry and an index object: it says where the payload before it begins, and what both are of.
type trailer struct {
	payload uint32 // bytes
	sum     Checksum
	n       uint64
	group   uint32
	before  uint64 // bytes before the skippable frame of payload and trailer
	id      commit.ID
}

// appendFooter appends the skippable frame of payload and trailer; its length and checksum are the payload's.
func appendFooter(dst, payload []byte, magic string, t trailer) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, frameMagic)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)+trailerBytes))
	dst = append(dst, payload...)
	start := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(checksum(payload)))
	dst = binary.LittleEndian.AppendUint64(dst, t.n)
	dst = binary.LittleEndian.AppendUint32(dst, t.group)
	dst = binary.LittleEndian.AppendUint32(dst, formatVersion)
	dst = binary.LittleEndian.AppendUint64(dst, t.before)
	dst = append(dst, t.id[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(checksum(dst[start:])))
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	return append(dst, magic...)
}

// parseTrailer reads the trailer at the end of tail.
func parseTrailer(tail []byte, magic string) (t trailer, err error) {
	if len(tail) < trailerBytes {
		return t, fault.New(fault.Corrupt, "%d bytes are too few", len(tail))
	}
	b := tail[len(tail)-trailerBytes:]
	if string(b[56:]) != magic {
		return t, fault.New(fault.Corrupt, "it ends in %q instead of %q", b[56:], magic)
	}
	if sum, want := checksum(b[:48]), Checksum(binary.LittleEndian.Uint32(b[48:])); sum != want {
		return t, fault.New(fault.Corrupt, "the trailer's checksum is %v, it says %v", sum, want)
	}
	if version := binary.LittleEndian.Uint32(b[20:]); version != formatVersion {
		return t, fault.Hint(fault.New(fault.Unsupported, "it has version %d of the format; this program reads %d", version,
			formatVersion), "use the release of dynaferry that wrote it, or a later one")
	}
	if zero := binary.LittleEndian.Uint32(b[52:]); zero != 0 {
		return t, fault.New(fault.Corrupt, "bytes of the trailer that must be 0 are %#x", zero)
	}
	t = trailer{payload: binary.LittleEndian.Uint32(b), sum: Checksum(binary.LittleEndian.Uint32(b[4:])),
		n: binary.LittleEndian.Uint64(b[8:]), group: binary.LittleEndian.Uint32(b[16:]), before: binary.LittleEndian.Uint64(b[24:])}
	copy(t.id[:], b[32:48])
	return t, nil
}

// footer is how many bytes the skippable frame has.
func (t trailer) footer() int64 { return frameHead + int64(t.payload) + trailerBytes }

// payloadOf returns the payload from the whole skippable frame, checked.
func (t trailer) payloadOf(frame []byte) ([]byte, error) {
	if magic := binary.LittleEndian.Uint32(frame); magic != frameMagic {
		return nil, fault.New(fault.Corrupt, "the footer begins with %#x instead of %#x", magic, frameMagic)
	}
	if length := int64(binary.LittleEndian.Uint32(frame[4:])); length != t.footer()-frameHead {
		return nil, fault.New(fault.Corrupt, "the footer is said to have %d bytes and has %d", length, t.footer()-frameHead)
	}
	payload := frame[frameHead : frameHead+int(t.payload)]
	if sum := checksum(payload); sum != t.sum {
		return nil, fault.New(fault.Corrupt, "the footer's checksum is %v, it says %v", sum, t.sum)
	}
	return payload, nil
}
