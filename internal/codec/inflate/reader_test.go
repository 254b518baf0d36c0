package inflate

import (
	"bytes"
	"compress/flate"
	stdgzip "compress/gzip"
	"errors"
	"io"
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"

	"dynaferry/internal/fault"
)

func packed(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := stdgzip.NewWriter(&b)
	w.Write(plain)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestDamageIsNamed is the table of what an operator reads for each way a file can be broken.
func TestDamageIsNamed(t *testing.T) {
	good := packed(t, []byte("hello, hello, hello"))
	change := func(i int, b byte) []byte {
		c := bytes.Clone(good)
		if i < 0 {
			i += len(c)
		}
		c[i] = b
		return c
	}
	deflate := func(b ...byte) []byte { return append([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}, b...) }
	for _, c := range []struct {
		name, want string
		in         []byte
	}{
		{"empty", "gzip: input ends within the header at compressed byte 0, plain byte 0", nil},
		{"text", "gzip: not a gzip stream at compressed byte 2, plain byte 0", []byte(`{"Item":{}}`)},
		{"method", "gzip: unknown compression method at compressed byte 10, plain byte 0", change(2, 7)},
		{"reserved flag", "gzip: reserved header flags at compressed byte 10, plain byte 0", change(3, 0x80)},
		{"header checksum", "gzip: wrong header checksum at compressed byte 12, plain byte 0", change(3, flagHeaderCRC)},
		{"checksum", "at byte 19: gzip: wrong checksum at compressed byte 33, plain byte 19", change(-6, 0)},
		{"length", "at byte 19: gzip: wrong length at compressed byte 33, plain byte 19", change(-4, 1)},
		{"cut in the header", "gzip: input ends within the header at compressed byte 5, plain byte 0", good[:5]},
		{"cut in the trailer", "at byte 19: gzip: input ends within the length at compressed byte 32, plain byte 19", good[:len(good)-1]},
		{"garbage behind", "at byte 19: gzip: data behind the last member that is no other member at compressed byte 34, plain byte 19",
			append(bytes.Clone(good), "xyz"...)},
		{"zeros behind", "at byte 19: gzip: data behind the last member that is no other member at compressed byte 34, plain byte 19",
			append(bytes.Clone(good), 0, 0)},
		{"second member cut", "at byte 19: gzip: input ends within the header at compressed byte 36, plain byte 19",
			append(bytes.Clone(good), good[:3]...)},
		{"block type", "gzip: unknown block type at compressed byte 11, plain byte 0", deflate(7, 0, 0)},
		{"too many literals", "gzip: too many codes in a block at compressed byte 13, plain byte 0", deflate(0xfd, 0, 0, 0)},
		{"too many distances", "gzip: too many codes in a block at compressed byte 13, plain byte 0", deflate(0x05, 0x1f, 0, 0)},
		{"stored length", "gzip: wrong length of a stored block at compressed byte 15, plain byte 0", deflate(1, 5, 0, 5, 0)},
		{"stored cut", "at byte 1: gzip: input ends within a stored block at compressed byte 16, plain byte 1", deflate(1, 5, 0, 0xfa, 0xff, 'x')},
		{"distance before the start", "gzip: distance reaches before the start at compressed byte 12, plain byte 0", deflate(0x03, 0x02, 0x00, 0, 0, 0)},
	} {
		_, err := io.ReadAll(NewReader(bytes.NewReader(c.in)))
		if err == nil || err.Error() != c.want {
			t.Errorf("%s:\n got %v\nwant %s", c.name, err, c.want)
		}
		if fault.KindOf(err) != fault.Corrupt {
			t.Errorf("%s: kind %v", c.name, fault.KindOf(err))
		}
	}
}

// TestWindowEndsAtTheMember: a match may not reach into the member before, though its bytes are still at hand.
func TestWindowEndsAtTheMember(t *testing.T) {
	first := packed(t, bytes.Repeat([]byte("x"), 100))
	second := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 0x03, 0x02, 0x00}
	out, err := io.ReadAll(NewReader(bytes.NewReader(append(first, append(second, make([]byte, 100)...)...))))
	var damage *Damage
	if !errors.As(err, &damage) || damage.What != "distance reaches before the start" || len(out) != 100 {
		t.Fatal(len(out), err)
	}
}

// TestWindowEndsAtTheMemberLater is the same some chunks into the second member: it was packed with the first one's text as a
// dictionary, so its last match reaches back to where the first one ends.
func TestWindowEndsAtTheMemberLater(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	noise := make([]byte, 42_000) // more than a window and a chunk, so that the window slides in between
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	before, own := noise[:12_000], noise[12_000:]
	var second bytes.Buffer
	second.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255})
	w, err := flate.NewWriterDict(&second, 9, before)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(own)
	w.Write(before[11_000:])
	w.Close()
	second.Write(make([]byte, 8))
	out, err := io.ReadAll(NewReaderSize(bytes.NewReader(append(packed(t, before), second.Bytes()...)), 1))
	var damage *Damage
	if !errors.As(err, &damage) || damage.What != "distance reaches before the start" || len(out) < len(noise) {
		t.Fatal(len(out), err)
	}
}

type failing struct {
	r   io.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err == io.EOF {
		err = f.err
	}
	return n, err
}

// TestErrorsFromBelow: what is no damage of the data is not called so.
func TestErrorsFromBelow(t *testing.T) {
	good := packed(t, orders(10_000))
	reset := errors.New("connection reset")
	for _, c := range []struct {
		err  error
		kind fault.Kind
	}{{reset, fault.Unavailable}, {fault.New(fault.Permission, "denied: %w", reset), fault.Permission}} {
		_, err := io.ReadAll(NewReader(&failing{bytes.NewReader(good[:500]), c.err}))
		if !errors.Is(err, reset) || fault.KindOf(err) != c.kind || !strings.Contains(err.Error(), "read compressed byte 500") {
			t.Errorf("%v of kind %v", err, fault.KindOf(err))
		}
	}
	stuck := &failing{strings.NewReader(""), nil}
	if _, err := io.ReadAll(NewReader(stuck)); !errors.Is(err, io.ErrNoProgress) {
		t.Error(err)
	}
}

// TestMemory: a stream of any length and ratio is read in the memory of the Reader.
func TestMemory(t *testing.T) {
	zeros := packed(t, make([]byte, 64<<20))
	z := NewReader(bytes.NewReader(zeros))
	allocs := testing.AllocsPerRun(2, func() {
		z.Reset(bytes.NewReader(zeros))
		for {
			if _, err := z.Next(0); err != nil {
				if err != io.EOF {
					t.Fatal(err)
				}
				return
			}
		}
	})
	if allocs > 2 {
		t.Errorf("%v allocations a stream", allocs)
	}
}

// TestLongLine: keep may grow without bound; then, and only then, does the buffer.
func TestLongLine(t *testing.T) {
	plain := orders(3 << 20)
	z := NewReader(bytes.NewReader(packed(t, plain)))
	keep := 0
	for {
		chunk, err := z.Next(keep)
		if !bytes.Equal(chunk, plain[:len(chunk)]) {
			t.Fatal("other bytes")
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		keep = len(chunk)
	}
	if keep != len(plain) {
		t.Fatal(keep)
	}
	if got := len(z.Buffer()); got > 4*len(plain) {
		t.Errorf("buffer of %d for a line of %d", got, len(plain))
	}
}

// TestReuseAfterDamage: Reset makes a Reader as new, whatever state damage left it in.
func TestReuseAfterDamage(t *testing.T) {
	z := NewReader(nil)
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 14))
		b, plain := stream(t, r, 2000)
		z.Reset(bytes.NewReader(b[:r.IntN(len(b))]))
		io.Copy(io.Discard, z)
		z.Reset(bytes.NewReader(b))
		if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, plain) {
			t.Fatal(seed, err)
		}
	}
}

// randomCode makes the lengths of a random complete code by splitting leaves, preferring deep ones.
func randomCode(r *rand.Rand, symbols int) []uint8 {
	leaves := []uint8{0}
	for len(leaves) < symbols {
		i := r.IntN(len(leaves))
		if r.IntN(3) > 0 {
			i = len(leaves) - 1
		}
		if leaves[i] == maxCodeBits {
			i = r.IntN(len(leaves))
			if leaves[i] == maxCodeBits {
				continue
			}
		}
		leaves[i]++
		leaves = append(leaves, leaves[i])
	}
	r.Shuffle(len(leaves), func(i, j int) { leaves[i], leaves[j] = leaves[j], leaves[i] })
	return leaves
}

// TestTables looks every code of random complete codes up, in the largest alphabets, and so bounds the tables' sizes.
func TestTables(t *testing.T) {
	check := func(r *rand.Rand, table []entry, rootBits int, symbols int) {
		lengths := randomCode(r, symbols)
		meaning := make([]entry, symbols)
		for i := range meaning {
			meaning[i] = entry(i) << 16
		}
		if !build(table, rootBits, lengths, meaning) {
			t.Fatal("complete code refused")
		}
		z := &Reader{}
		code := uint32(0)
		for n := 1; n <= maxCodeBits; n++ {
			for symbol, length := range lengths {
				if int(length) != n {
					continue
				}
				z.bits = uint64(bits.Reverse32(code) >> (32 - n))
				z.nbits = uint(n)
				e, err := z.symbol(table, 1<<rootBits-1)
				if err != nil || int(e>>16) != symbol || z.nbits != 0 {
					t.Fatalf("symbol %d of %d bits: %x, %v", symbol, n, e, err)
				}
				code++
			}
			code <<= 1
		}
	}
	z := NewReader(nil)
	for seed := range uint64(long(400)) {
		r := rand.New(rand.NewPCG(seed, 15))
		check(r, z.lit[:], litBits, 2+r.IntN(litUsable-1))
		check(r, z.lit[:], litBits, litUsable)
		check(r, z.dist[:], distBits, 2+r.IntN(distUsable-1))
		check(r, z.dist[:], distBits, distUsable)
	}
}
