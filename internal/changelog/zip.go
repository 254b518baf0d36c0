package changelog

import (
	"bytes"
	"slices"

	"github.com/klauspost/compress/zstd"

	"dynaferry/internal/fault"
)

// zipper packs and unpacks the zstd frames of a log. It may be used concurrently.
type zipper struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newEncoder(workers int, more ...zstd.EOption) (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, append(more, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(workers),
		zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))...)
}

func newZipper() (*zipper, error) {
	enc, err := newEncoder(1, zstd.WithSingleSegment(true)) // frames that always tell their size
	if err != nil {
		return nil, err
	}
	// Nothing unpacks to more than the room that was made for it, whatever it claims.
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxWindow(blockBytesMax))
	if err != nil {
		return nil, err
	}
	return &zipper{enc, dec}, nil
}

// unpackPayload unpacks one frame that tells its own size.
func (z *zipper) unpackPayload(payload []byte) ([]byte, error) {
	var head zstd.Header
	if err := head.Decode(payload); err != nil || head.Skippable || !head.HasFCS {
		return nil, fault.New(fault.Corrupt, "the footer is no zstd frame that tells its size")
	}
	size := head.FrameContentSize
	if size > payloadBytesMax || size > payloadRatioMax*uint64(len(payload)) {
		return nil, fault.New(fault.Corrupt, "the footer's %d bytes claim to hold %d", len(payload), size)
	}
	text, err := z.dec.DecodeAll(payload, make([]byte, 0, size))
	if err != nil || uint64(len(text)) != size {
		return nil, fault.New(fault.Corrupt, "unpack the footer to %d bytes, got %d: %w", size, len(text), noError(err))
	}
	return text, nil
}

// unpackBlock unpacks a block's frame, whose checksum holds, into the room behind dst.
func (z *zipper) unpackBlock(dst, frame []byte, b *Block) ([]byte, error) {
	dst = slices.Grow(dst, int(b.Bytes))
	start := len(dst)
	out, err := z.dec.DecodeAll(frame, dst[:start:start+int(b.Bytes)])
	if err != nil || int64(len(out)-start) != b.Bytes {
		return dst, fault.New(fault.Corrupt, "unpack the block at byte %d to %d bytes, got %d: %w", b.Offset, b.Bytes, len(out)-start,
			noError(err))
	}
	records := out[start:]
	if n := bytes.Count(records, lineFeed); n != b.Records || records[len(records)-1] != '\n' {
		return dst, fault.New(fault.Corrupt, "the block at byte %d has %d lines, the footer says %d records", b.Offset, n, b.Records)
	}
	return dst[:len(out)], nil // with the room that dst has behind it
}

var lineFeed = []byte{'\n'}

// noError stands where a text wants a cause and there is none but the numbers.
func noError(err error) error {
	if err == nil {
		return errSize
	}
	return err
}

var errSize = fault.New(fault.Corrupt, "the size differs")
