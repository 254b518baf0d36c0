package compress

import (
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"dynaferry/internal/fault"
)

// gzipLevelDefault is what gzip(1) and DynamoDB's exports use.
const gzipLevelDefault = 6

// The pools hold idle encoders by level, as the levels differ in tables.
var (
	gzipWriters [gzip.BestCompression + 1]sync.Pool      // *gzip.Writer
	zstdWriters [zstd.SpeedBestCompression + 1]sync.Pool // *zstd.Encoder
)

// encoder is what both libraries' writers have in common.
type encoder interface {
	io.WriteCloser
	Reset(io.Writer)
}

// Writer packs one stream.
type Writer struct {
	w    io.Writer
	enc  encoder // nil for None
	pool *sync.Pool
	err  error
}

// NewWriter returns a writer that packs into w with a level that CheckLevel accepts, 0 for the codec's default; a
// wrong codec or level is the error of the first Write. Close ends the stream and does not close w. A writer that is
// dropped without Close leaves a cut stream behind, and nothing else.
func NewWriter(w io.Writer, c Codec, level int) *Writer {
	z := &Writer{w: w}
	if z.err = CheckLevel(c, level); z.err != nil {
		return z
	}
	switch c {
	case Gzip:
		if level == 0 {
			level = gzipLevelDefault
		}
		z.pool = &gzipWriters[level]
		if z.enc, _ = z.pool.Get().(encoder); z.enc == nil {
			enc, err := gzip.NewWriterLevel(nil, level)
			z.enc, z.err = enc, fault.As(fault.Bug, err)
		}
	case Zstd:
		speed := zstd.EncoderLevelFromZstd(max(level, 1))
		z.pool = &zstdWriters[speed]
		if z.enc, _ = z.pool.Get().(encoder); z.enc == nil {
			enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(speed),
				zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true), zstd.WithZeroFrames(true))
			z.enc, z.err = enc, fault.As(fault.Bug, err)
		}
	}
	if z.enc != nil && z.err == nil {
		z.enc.Reset(w)
	}
	return z
}

// zstdWindow keeps an encoder at a few MiB; lines repeat within far less.
const zstdWindow = 2 << 20

// Write implements io.Writer.
func (z *Writer) Write(p []byte) (int, error) {
	if z.err != nil {
		return 0, z.err
	}
	var n int
	if z.enc == nil {
		n, z.err = z.w.Write(p)
	} else {
		n, z.err = z.enc.Write(p)
	}
	return n, z.err
}

// Close writes what is kept back and the end of the stream. A second call does nothing.
func (z *Writer) Close() error {
	if z.err != nil {
		if z.err == errClosed {
			return nil
		}
		return z.err
	}
	z.err = errClosed
	if z.enc == nil {
		return nil
	}
	if err := z.enc.Close(); err != nil {
		z.err = err
		return err
	}
	z.enc.Reset(nil)
	z.pool.Put(z.enc)
	z.enc = nil
	return nil
}

var errClosed = fault.New(fault.Bug, "compress: write after close")
