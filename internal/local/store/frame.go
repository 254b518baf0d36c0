package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// A frame is the records of one group commit behind a header of 16 bytes: crc32c of the segment's salt and all that
// follows, length of the payload, the salt's low half as a marker, number of records. A frame without records seals
// its segment. All integers of the log are little endian.
const (
	frameHeaderLen = 16
	framePayload   = 4 << 20 // a group is closed at this size; one batch may exceed it
	frameRecords   = 800
)

// sealFrame fills the 16 bytes in front of a payload that lies behind them in b.
func sealFrame(b []byte, salt uint64, records int) {
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-frameHeaderLen))
	binary.LittleEndian.PutUint32(b[8:], uint32(salt))
	binary.LittleEndian.PutUint32(b[12:], uint32(records))
	binary.LittleEndian.PutUint32(b, frameChecksum(b, salt))
}

func frameChecksum(b []byte, salt uint64) uint32 {
	var s [8]byte
	binary.LittleEndian.PutUint64(s[:], salt)
	return crc32.Update(crc32.Checksum(s[:], castagnoli), castagnoli, b[4:])
}

// frame is one frame as read back; payload is valid until the next read.
type frame struct {
	offset, end int64
	records     int
	payload     []byte
}

// errNoFrame says that no valid frame begins at an offset: the log's end, a torn write or corruption; the caller knows.
var errNoFrame = errors.New("no valid frame")

// frameReader reads a segment's frames one behind the other through a buffer that grows with the largest frame.
type frameReader struct {
	r    io.ReaderAt
	salt uint64
	at   int64 // offset of the next frame
	buf  []byte
	from int64 // offset of buf[0]
	have int   // bytes in buf
}

const readChunk = 1 << 20

// window returns n bytes at offset at, or fewer at the end of the file.
func (f *frameReader) window(at int64, n int) ([]byte, error) {
	if at >= f.from && at+int64(n) <= f.from+int64(f.have) {
		return f.buf[at-f.from:][:n], nil
	}
	want := max(n, readChunk)
	if cap(f.buf) < want {
		f.buf = make([]byte, want)
	}
	f.buf = f.buf[:cap(f.buf)]
	got, err := f.r.ReadAt(f.buf[:want], at)
	if err != nil && err != io.EOF {
		return nil, err
	}
	f.from, f.have = at, got
	return f.buf[:min(n, got)], nil
}

// next reads the frame at f.at and moves behind it.
func (f *frameReader) next() (frame, error) {
	h, err := f.window(f.at, frameHeaderLen)
	if err != nil {
		return frame{}, err
	}
	if len(h) < frameHeaderLen || binary.LittleEndian.Uint32(h[8:]) != uint32(f.salt) {
		return frame{}, errNoFrame
	}
	length, records := binary.LittleEndian.Uint32(h[4:]), binary.LittleEndian.Uint32(h[12:])
	if length > segmentMax {
		return frame{}, errNoFrame
	}
	b, err := f.window(f.at, frameHeaderLen+int(length))
	if err != nil {
		return frame{}, err
	}
	if len(b) < frameHeaderLen+int(length) || frameChecksum(b, f.salt) != binary.LittleEndian.Uint32(b) {
		return frame{}, errNoFrame
	}
	fr := frame{offset: f.at, end: f.at + int64(len(b)), records: int(records), payload: b[frameHeaderLen:]}
	f.at = fr.end
	return fr, nil
}

// search looks for a valid frame anywhere at or behind from. One there while none is where it should be means that
// the log was not cut by a crash but damaged: frames are written one after the other, each synced before the next.
func (f *frameReader) search(from int64) (at int64, found bool, err error) {
	var marker [4]byte
	binary.LittleEndian.PutUint32(marker[:], uint32(f.salt))
	chunk := make([]byte, readChunk)
	for base := from; ; {
		n, err := f.r.ReadAt(chunk, base)
		if err != nil && err != io.EOF {
			return 0, false, err
		}
		for i := 0; ; {
			hit := bytes.Index(chunk[i:n], marker[:])
			if hit < 0 {
				break
			}
			i += hit
			if at := base + int64(i) - 8; at >= from {
				f.at = at
				if _, err := f.next(); err == nil {
					return at, true, nil
				} else if err != errNoFrame {
					return 0, false, err
				}
			}
			i++
		}
		if n < len(chunk) {
			return 0, false, nil
		}
		base += int64(n - len(marker) + 1) // a marker may straddle two chunks
	}
}
