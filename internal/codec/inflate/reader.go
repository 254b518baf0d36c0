package inflate

import (
	"io"
)

const (
	// Window is how far back a match may reach (RFC 1951, 2.).
	Window = 32 << 10

	// ChunkBytes is the default size of the chunks that Next lends. Large enough that moving the window costs little,
	// small enough that a chunk is still in the second-level cache when its reader scans it.
	ChunkBytes = 256 << 10

	// Slack is how many bytes behind a chunk's end belong to its buffer (cap - len is at least that). The borrower
	// may read and write them, for a sentinel or for word-wise loads.
	Slack = 64

	inBytes  = 64 << 10
	inSlack  = 16  // the fast loop loads 8 bytes at positions below the end
	outSlack = 512 // one turn of the fast loop: two literals, 258 bytes and 64 of overshoot; and Slack behind that
)

// stage is where the decoder stands between two calls.
type stage uint8

const (
	atHeader  stage = iota // of the first or a following member
	atBlock                // before a block's three header bits
	inStored               // within a stored block
	inCodes                // within a compressed block
	atTrailer              // behind the last block
)

// Reader decodes one gzip stream of any number of members. It is not for concurrent use. The zero value is not
// usable; NewReader makes one, Reset makes an old one new.
type Reader struct {
	r       io.Reader
	readErr error // what r said, kept until its bytes are used up
	err     error // sticky

	// Input: in[pos:end] is not yet in the bit buffer, whose low nbits bits are valid. Outside of the fast loop bits
	// above nbits are zero.
	in       []byte
	pos, end int
	before   int64 // bytes read before in[0]
	bits     uint64
	nbits    uint

	// Output: out[:w] is decoded, out[given:w] not yet handed to the caller, out[:given] is history.
	out    []byte
	w      int
	given  int
	limit  int   // decoding stops soon after w reaches it; outSlack bytes follow
	start  int   // index of the member's first byte, as far as it is still in out: matches may not reach before it
	summed int   // out[summed:w] is not yet in crc
	past   int64 // bytes of the whole stream that came before out[0]

	stage   stage
	last    bool // the current block is the member's last
	members int
	stored  int // bytes left of the stored block
	crc     uint32
	size    uint32 // bytes of the member so far, modulo 2^32
	chunk   int    // bytes a chunk should have

	fixed   bool // tables hold the fixed codes
	lit     [litSize]entry
	dist    [distSize]entry
	pre     [preSize]entry
	lengths [litSymbols + distSymbols]uint8
	one     [1]byte // scratch that does not escape
}

// NewReader returns a Reader over r. The header is read by the first Next or Read, so errors appear there.
func NewReader(r io.Reader) *Reader { return NewReaderSize(r, ChunkBytes) }

// NewReaderSize is NewReader with another chunk size in bytes; sizes below 4 KiB count as 4 KiB.
func NewReaderSize(r io.Reader, chunk int) *Reader {
	chunk = max(chunk, 4<<10)
	z := &Reader{in: make([]byte, inBytes+inSlack), out: make([]byte, Window+chunk+outSlack), chunk: chunk}
	z.Reset(r)
	return z
}

// Reset makes z read a new stream from r and keeps its memory.
func (z *Reader) Reset(r io.Reader) {
	z.r, z.readErr, z.err = r, nil, nil
	z.pos, z.end, z.before, z.bits, z.nbits = 0, 0, 0, 0, 0
	z.w, z.given, z.limit, z.start, z.summed, z.past = 0, 0, 0, 0, 0, 0
	z.stage, z.last, z.members, z.stored, z.crc, z.size = atHeader, false, 0, 0, 0, 0
}

// InOffset is the number of compressed bytes used up so far.
func (z *Reader) InOffset() int64 { return z.before + int64(z.pos) - int64(z.nbits/8) }

// OutOffset is the number of plain bytes handed out so far.
func (z *Reader) OutOffset() int64 { return z.past + int64(z.given) }

// decoded is the plain offset the decoder has reached.
func (z *Reader) decoded() int64 { return z.past + int64(z.w) }

// Next lends the next chunk: the last keep bytes of what was handed out before, then at least one new byte. It is
// valid until the next call, must not be changed, and has Slack bytes of capacity behind its length that may be. keep
// must not exceed the length of the previous chunk. At the end of the stream it returns the kept bytes alone with
// io.EOF, and on damage with that error. Decoded bytes are always returned before the error that follows them.
func (z *Reader) Next(keep int) ([]byte, error) { return z.next(z.out, keep) }

// NextInto is Next for callers who hand the chunk's memory on: the chunk will lie in buf when it is large enough (a
// buffer that Buffer returned earlier is), else in new memory. The previous chunk must not have been changed before
// the call, and belongs to the caller after it.
func (z *Reader) NextInto(buf []byte, keep int) ([]byte, error) { return z.next(buf[:cap(buf)], keep) }

// Buffer returns the whole memory in which the present chunk lies, to be given to a later NextInto.
func (z *Reader) Buffer() []byte { return z.out }

func (z *Reader) next(buf []byte, keep int) ([]byte, error) {
	if keep < 0 || keep > z.given {
		panic("inflate: keep exceeds the chunk before") // the caller's mistake, whatever the input is
	}
	if err := z.more(buf, keep); err != nil {
		return z.out[z.w-keep : z.w], err
	}
	chunk := z.out[z.given-keep : z.w]
	z.given = z.w
	return chunk, nil
}

// more sees to it that there is a byte to give, or tells why there is none.
func (z *Reader) more(buf []byte, keep int) error {
	if z.given < z.w {
		return nil
	}
	if z.err == nil {
		z.slide(buf, keep)
		z.err = z.decode()
	}
	if z.given < z.w {
		return nil
	}
	return z.err
}

// slide moves the history (the window, or keep bytes when those are more) to the front of buf and makes buf the output.
func (z *Reader) slide(buf []byte, keep int) {
	history := min(max(Window, keep), z.w)
	if room := len(buf) - history - outSlack; room < z.chunk/2 {
		buf = make([]byte, max(Window, 2*keep)+z.chunk+outSlack)
	}
	moved := z.w - history
	copy(buf, z.out[moved:z.w])
	z.past += int64(moved)
	z.out, z.w, z.given, z.summed = buf, history, history, history
	z.start = max(0, z.start-moved)
	z.limit = len(buf) - outSlack
}

// Read implements io.Reader.
func (z *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := z.more(z.out, 0); err != nil {
		return 0, err
	}
	n := copy(p, z.out[z.given:z.w])
	z.given += n
	return n, nil
}

// WriteTo implements io.WriterTo.
func (z *Reader) WriteTo(w io.Writer) (int64, error) {
	total := int64(0)
	for {
		chunk, err := z.Next(0)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(chunk)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
}
