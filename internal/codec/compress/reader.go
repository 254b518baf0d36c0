package compress

import (
	"bufio"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"

	"dynaferry/internal/codec"
	"dynaferry/internal/codec/inflate"
	"dynaferry/internal/fault"
)

// Decoders cost some hundred KiB each and files are many. The pools hold nothing but idle ones.
var (
	gzipReaders sync.Pool // *inflate.Reader
	zstdReaders sync.Pool // *zstdReader
)

const zstdInputBytes = 64 << 10

// zstdReader is a decoder with the window limit it was made for, since that cannot be changed later, and a buffer
// before it, since it reads a few bytes at a time.
type zstdReader struct {
	*zstd.Decoder
	input     *bufio.Reader
	windowMax int64
}

// Reader unpacks one stream. It is an io.ReadCloser and has codec.Chunks: use either Read or Next. Not for concurrent
// use.
type Reader struct {
	src    source
	codec  Codec
	limits Limits
	err    error // sticky, set once nothing more may be handed out

	gzip *inflate.Reader
	zstd *zstdReader
	out  int64        // bytes handed out
	lent codec.Chunks // over plain, for the codecs without a buffer of their own
	kept []byte       // what the last Next kept beside an error
}

// NewReader returns a reader of r's plain bytes. The codec "" is detected from the first bytes when reading begins.
// Errors of the stream's beginning appear there too.
func NewReader(r io.Reader, c Codec, l Limits) *Reader {
	z := &Reader{src: source{r: r}, codec: c, limits: l.withDefaults()}
	z.lent = codec.NewChunks(readFunc(z.plain))
	return z
}

// Codec returns the codec in use: after the first byte read never "".
func (r *Reader) Codec() Codec { return r.codec }

// Offsets returns how many compressed bytes were taken and how many plain ones handed out. With zstd the former runs
// ahead by up to a block.
func (r *Reader) Offsets() (in, out int64) {
	if r.gzip != nil {
		return r.gzip.InOffset(), r.out
	}
	return r.src.n, r.out
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if err := r.begun(); err != nil {
		return 0, err
	}
	var n int
	var err error
	if r.gzip != nil {
		n, err = r.gzip.Read(p)
	} else {
		n, err = r.plain(p)
	}
	if n > 0 {
		err = nil // said again by the next call
	}
	return n, r.handOut(n, err)
}

// Next implements codec.Chunks.
func (r *Reader) Next(keep int) (chunk []byte, err error) {
	if err := r.begun(); err != nil {
		return r.lastKept(keep), err
	}
	if r.gzip != nil {
		chunk, err = r.gzip.Next(keep)
	} else {
		chunk, err = r.lent.Next(keep)
	}
	if err = r.handOut(len(chunk)-keep, err); err != nil {
		chunk = chunk[:keep]
		r.kept = chunk
	}
	return chunk, err
}

// lastKept serves the calls after an error, which is sticky.
func (r *Reader) lastKept(keep int) []byte {
	if keep > len(r.kept) {
		return nil
	}
	return r.kept[len(r.kept)-keep:]
}

// handOut counts n bytes and makes errors final.
func (r *Reader) handOut(n int, err error) error {
	r.out += int64(n)
	if err == nil && n > 0 {
		in, out := r.Offsets()
		err = r.limits.check(r.codec, in, out)
	}
	r.err = err
	return err
}

// Close gives the decoder back. It does not close the reader below. Reading after it is an error of kind Bug.
func (r *Reader) Close() error {
	r.err = fault.New(fault.Bug, "compress: read after close")
	if r.gzip != nil {
		r.gzip.Reset(nil)
		gzipReaders.Put(r.gzip)
		r.gzip = nil
	}
	if r.zstd != nil {
		r.zstd.input.Reset(nil)
		if r.zstd.Reset(nil) == nil {
			zstdReaders.Put(r.zstd)
		}
		r.zstd = nil
	}
	return nil
}

// begun sets the decoder up at the first call.
func (r *Reader) begun() error {
	if r.err != nil || r.src.begun {
		return r.err
	}
	r.src.begun = true
	r.err = r.begin()
	return r.err
}

func (r *Reader) begin() error {
	head, err := r.src.peek()
	if err != nil {
		return err
	}
	if r.codec == "" {
		r.codec = Detect(head)
	}
	switch r.codec {
	case None:
		return nil
	case Gzip:
		r.gzip, _ = gzipReaders.Get().(*inflate.Reader)
		if r.gzip == nil {
			r.gzip = inflate.NewReader(nil)
		}
		r.gzip.Reset(&r.src)
		return nil
	case Zstd:
		if len(head) == 0 {
			return r.zstdError(io.ErrUnexpectedEOF)
		}
		return r.beginZstd()
	}
	_, err = Parse(string(r.codec))
	return err
}

func (r *Reader) beginZstd() error {
	r.zstd, _ = zstdReaders.Get().(*zstdReader)
	if r.zstd == nil || r.zstd.windowMax != r.limits.WindowMax {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(uint64(r.limits.WindowMax)))
		if err != nil {
			return fault.New(fault.User, "zstd window limit %d: %w", r.limits.WindowMax, err)
		}
		r.zstd = &zstdReader{d, bufio.NewReaderSize(nil, zstdInputBytes), r.limits.WindowMax}
	}
	// The buffer stands below the source, which then counts what the decoder has really taken.
	r.zstd.input.Reset(r.src.r)
	r.src.r = r.zstd.input
	if err := r.zstd.Reset(&r.src); err != nil {
		return r.zstdError(err)
	}
	return nil
}

// readFunc is a function that is an io.Reader.
type readFunc func([]byte) (int, error)

// Read implements io.Reader.
func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// plain reads the stream of None and Zstd.
func (r *Reader) plain(p []byte) (int, error) {
	if r.zstd == nil {
		return r.src.Read(p)
	}
	n, err := r.zstd.Read(p)
	if err != nil && err != io.EOF {
		err = r.zstdError(err)
	}
	return n, err
}

// zstdError sorts a decoder's error: the reader below, a limit, or damage.
func (r *Reader) zstdError(err error) error {
	place := fault.Place{Offset: r.out}
	switch {
	case r.src.err != nil && r.src.err != io.EOF:
		return fault.At(r.src.err, place)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		err = fault.New(fault.Limit, "zstd: window above %d bytes at compressed byte %d: %w",
			r.limits.WindowMax, r.src.n, err)
		err = fault.Hint(err, "raise the zstd window limit when the file is trusted, or pack it again with a lower level")
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fault.New(fault.Corrupt, "zstd: input ends within a frame at compressed byte %d, plain byte %d: %w",
			r.src.n, r.out, err)
	default:
		err = fault.New(fault.Corrupt, "zstd: damage before compressed byte %d, plain byte %d: %w", r.src.n, r.out, err)
	}
	return fault.At(err, place)
}
