package parquet

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/fault"
)

var codecNumbers = map[Compression]format.CompressionCodec{
	Zstd: format.Zstd, Snappy: format.Snappy, Gzip: format.Gzip, None: format.Uncompressed,
}

// compressor compresses pages with one codec; it is not for concurrent use.
type compressor struct {
	codec format.CompressionCodec
	zstd  *zstd.Encoder
	gzip  *gzip.Writer
	level int
}

func newCompressor(c Compression, level int) (*compressor, error) {
	p := &compressor{codec: codecNumbers[c], level: level}
	var err error
	switch c {
	case Zstd:
		// Every page already carries a CRC-32 in its header, so the frame needs none.
		p.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevel(max(level, 1))),
			zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true),
			zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(zstdWindow))
	case Gzip:
		p.gzip, err = gzip.NewWriterLevel(io.Discard, max(level, 1))
	}
	if err != nil {
		return nil, fault.New(fault.Bug, "prepare %s: %w", c, err)
	}
	return p, nil
}

// zstdWindow covers a page of the default size twice over; a larger window would only cost memory.
const zstdWindow = 512 << 10

// append compresses src behind dst. With raw set, a codec that can store bytes as they are does so: the caller has seen
// that the column does not compress.
func (p *compressor) append(dst, src []byte, raw bool) ([]byte, error) {
	switch p.codec {
	case format.Zstd:
		if raw {
			return appendRawZstd(dst, src), nil
		}
		return p.zstd.EncodeAll(src, dst), nil
	case format.Snappy:
		n := snappy.MaxEncodedLen(len(src))
		if n < 0 {
			return nil, fault.New(fault.Limit, "a page of %d bytes is too large for snappy", len(src))
		}
		at := len(dst)
		dst = append(dst, make([]byte, n)...)
		return dst[:at+len(snappy.Encode(dst[at:], src))], nil
	case format.Gzip:
		buf := bytes.NewBuffer(dst)
		p.gzip.Reset(buf)
		if _, err := p.gzip.Write(src); err != nil {
			return nil, err
		}
		if err := p.gzip.Close(); err != nil {
			return nil, err
		}
		return buf.Bytes(), nil
	default:
		return append(dst, src...), nil
	}
}

// appendRawZstd writes one zstd frame of raw blocks (RFC 8878, 3.1.1): magic, a descriptor with single segment and an
// 8-byte content size, then blocks of at most 128 KB.
func appendRawZstd(dst, src []byte) []byte {
	const blockMax = 128 << 10
	dst = append(dst, 0x28, 0xB5, 0x2F, 0xFD, 0xE0)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(src)))
	for {
		n := min(len(src), blockMax)
		header := uint32(n) << 3 // type raw is 0
		if n == len(src) {
			header |= 1
		}
		dst = append(dst, byte(header), byte(header>>8), byte(header>>16))
		dst = append(dst, src[:n]...)
		src = src[n:]
		if len(src) == 0 {
			return dst
		}
	}
}

// expander decompresses pages of any codec; it is not for concurrent use.
type expander struct {
	zstd *zstd.Decoder
	gzip *gzip.Reader
}

// expand decompresses src, whose header promises size bytes. A page that holds another number of bytes is an error:
// the memory used is bounded by the promise, which the caller has checked.
func (x *expander) expand(dst []byte, codec format.CompressionCodec, src []byte, size int) (out []byte, err error) {
	switch codec {
	case format.Uncompressed:
		out = src
	case format.Zstd:
		if x.zstd == nil {
			if x.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1),
				zstd.WithDecodeAllCapLimit(true)); err != nil {
				return nil, fault.New(fault.Bug, "prepare zstd: %w", err)
			}
		}
		out, err = x.zstd.DecodeAll(src, grown(dst, size))
	case format.Snappy:
		var n int
		if n, err = snappy.DecodedLen(src); err == nil && n == size {
			out, err = snappy.Decode(grown(dst, size)[:size], src)
		} else if err == nil {
			return nil, fault.New(fault.Corrupt, "page promises %d bytes, its snappy frame %d", size, n)
		}
	case format.Gzip:
		if out, err = x.gunzip(src); err == nil {
			out, err = readExactly(x.gzip, grown(dst, size)[:size])
		}
	case format.Brotli:
		out, err = readExactly(brotli.NewReader(bytes.NewReader(src)), grown(dst, size)[:size])
	case format.Lz4Raw:
		out, err = expandLZ4(grown(dst, size), src, size)
	case format.Lz4:
		out, err = expandHadoopLZ4(grown(dst, size)[:0], src, size)
	default:
		return nil, fault.New(fault.Unsupported, "page compression %s is not read", codec)
	}
	if err != nil {
		return nil, fault.As(fault.Corrupt, err)
	}
	if len(out) != size {
		return nil, fault.New(fault.Corrupt, "page promises %d bytes and holds %d", size, len(out))
	}
	return out, nil
}

func grown(dst []byte, size int) []byte {
	if cap(dst) < size {
		return make([]byte, 0, size)
	}
	return dst[:0]
}

// gunzip points the reader at src.
func (x *expander) gunzip(src []byte) (out []byte, err error) {
	r := bytes.NewReader(src)
	if x.gzip == nil {
		x.gzip, err = gzip.NewReader(r)
		return nil, err
	}
	return nil, x.gzip.Reset(r)
}

// readExactly fills dst and insists that nothing follows.
func readExactly(r io.Reader, dst []byte) ([]byte, error) {
	if _, err := io.ReadFull(r, dst); err != nil {
		return nil, err
	}
	var one [1]byte
	if n, err := io.ReadFull(r, one[:]); n != 0 || err != io.EOF {
		return nil, fault.New(fault.Corrupt, "page holds more than the %d bytes it promises", len(dst))
	}
	return dst, nil
}

// expandHadoopLZ4 reads the deprecated LZ4 codec: Hadoop's frames (two big-endian lengths before each block), or one
// bare block as early parquet-cpp wrote it.
func expandHadoopLZ4(dst, src []byte, size int) ([]byte, error) {
	whole := src
	for len(src) >= 8 {
		raw, packed := int(binary.BigEndian.Uint32(src)), int(binary.BigEndian.Uint32(src[4:]))
		if packed > len(src)-8 || raw > size-len(dst) {
			break
		}
		at := len(dst)
		out, err := expandLZ4(dst, src[8:8+packed], at+raw)
		if err != nil || len(out) != at+raw {
			break
		}
		dst = out
		src = src[8+packed:]
	}
	if len(src) == 0 && len(dst) == size {
		return dst, nil
	}
	return expandLZ4(dst[:0], whole, size)
}

// expandLZ4 appends one LZ4 block (LZ4_RAW) to dst, up to a length of size. It is our own because it must stop there:
// the library's decoder of this format doubles its buffer for as long as a block is broken.
func expandLZ4(dst, src []byte, size int) ([]byte, error) {
	broken := fault.New(fault.Corrupt, "broken lz4 block")
	start := len(dst)
	for len(src) > 0 {
		token := src[0]
		src = src[1:]
		literals, ok := lz4Length(int(token>>4), &src)
		if !ok || literals > len(src) || literals > size-len(dst) {
			return nil, broken
		}
		dst = append(dst, src[:literals]...)
		src = src[literals:]
		if len(src) == 0 {
			return dst, nil // the last sequence has no match
		}
		if len(src) < 2 {
			return nil, broken
		}
		offset := int(binary.LittleEndian.Uint16(src))
		src = src[2:]
		n, ok := lz4Length(int(token&15), &src)
		n += 4
		if !ok || offset == 0 || offset > len(dst)-start || n > size-len(dst) {
			return nil, broken
		}
		for from := len(dst) - offset; n > 0; n-- {
			dst = append(dst, dst[from])
			from++
		}
	}
	return dst, nil
}

func lz4Length(n int, src *[]byte) (int, bool) {
	if n < 15 {
		return n, true
	}
	for len(*src) > 0 && n < 1<<30 {
		b := (*src)[0]
		*src = (*src)[1:]
		n += int(b)
		if b != 255 {
			return n, true
		}
	}
	return 0, false
}
