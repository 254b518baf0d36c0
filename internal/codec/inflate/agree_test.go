package inflate

import (
	"bytes"
	stdflate "compress/flate"
	stdgzip "compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	kflate "github.com/klauspost/compress/flate"
	kgzip "github.com/klauspost/compress/gzip"

	"dynaferry/internal/fault"
)

// long multiplies the counts of the random tests when DYNAFERRY_LONG is set.
func long(n int) int {
	if os.Getenv("DYNAFERRY_LONG") != "" {
		return n * 25
	}
	return n
}

// random makes n bytes of one of several natures: noise, few symbols, long runs, text, far repeats.
func random(r *rand.Rand, n int) []byte {
	b := make([]byte, 0, n)
	nature := r.IntN(6)
	alphabet := 1 + r.IntN(40)
	for len(b) < n {
		switch nature {
		case 0:
			b = append(b, byte(r.Uint32()))
		case 1:
			b = append(b, byte('a'+r.IntN(alphabet)))
		case 2:
			b = append(b, bytes.Repeat([]byte{byte(r.IntN(3))}, 1+r.IntN(600))...)
		case 3:
			b = append(b, fmt.Sprintf(`{"Id":{"N":"%d"},"Name":{"S":"%x"}}`, r.IntN(1000), r.IntN(70000))...)
		case 4: // repeats at every small distance, and at the largest
			d := 1 + r.IntN(20)
			if r.IntN(4) == 0 {
				d = 32768 - r.IntN(3)
			}
			if d > len(b) {
				b = append(b, byte(r.Uint32()))
				continue
			}
			for range 3 + r.IntN(300) {
				b = append(b, b[len(b)-d])
			}
		case 5: // skewed: long codes
			v := 0
			for v < 200 && r.IntN(3) > 0 {
				v++
			}
			b = append(b, byte(v*7))
		}
	}
	return b[:n]
}

// deflated compresses with one of all the encoders, levels and strategies at hand, flushing here and there, which
// makes empty stored blocks and several blocks of each kind.
func deflated(t testing.TB, r *rand.Rand, plain []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	type flusher interface {
		io.WriteCloser
		Flush() error
	}
	var w flusher
	var err error
	switch k := r.IntN(3); k {
	case 0:
		w, err = stdflate.NewWriter(&out, r.IntN(12)-2) // -2 Huffman only, -1 default, 0 stored
	case 1:
		w, err = kflate.NewWriter(&out, r.IntN(12)-2) // stateless is case 2
	case 2:
		rest := plain
		for len(rest) > 0 {
			n := 1 + r.IntN(len(rest))
			if err := kflate.StatelessDeflate(&out, rest[:n], false, nil); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		err = kflate.StatelessDeflate(&out, nil, true, nil)
		if err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	if err != nil {
		t.Fatal(err)
	}
	for len(plain) > 0 {
		n := 1 + r.IntN(len(plain))
		w.Write(plain[:n])
		plain = plain[n:]
		if r.IntN(3) == 0 {
			w.Flush()
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// member wraps a deflate stream as a gzip member with random header fields.
func member(r *rand.Rand, packed, plain []byte) []byte {
	flags := byte(r.IntN(32))
	if r.IntN(2) == 0 {
		flags = 0
	}
	b := []byte{0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 255}
	if flags&flagExtra != 0 {
		n := r.IntN(600)
		b = binary.LittleEndian.AppendUint16(b, uint16(n))
		b = append(b, random(r, n)...)
	}
	for _, f := range []byte{flagName, flagComment} {
		if flags&f != 0 {
			b = append(b, bytes.Repeat([]byte{'n'}, r.IntN(400))...)
			b = append(b, 0)
		}
	}
	if flags&flagHeaderCRC != 0 {
		b = binary.LittleEndian.AppendUint16(b, uint16(crc32.ChecksumIEEE(b)))
	}
	b = append(b, packed...)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(plain))
	return binary.LittleEndian.AppendUint32(b, uint32(len(plain)))
}

// stream makes a valid gzip stream of one to three members.
func stream(t testing.TB, r *rand.Rand, sizeMax int) (packed, plain []byte) {
	for range 1 + max(0, r.IntN(5)-2) {
		part := random(r, r.IntN(sizeMax))
		packed = append(packed, member(r, deflated(t, r, part), part)...)
		plain = append(plain, part...)
	}
	return packed, plain
}

// delivery is one way of getting input and taking output.
type delivery struct {
	name string
	read func(*rand.Rand, []byte) ([]byte, error)
}

// drip hands out the input in random small pieces.
type drip struct {
	b []byte
	r *rand.Rand
}

func (d *drip) Read(p []byte) (int, error) {
	if len(d.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), d.r.IntN(60))], d.b)
	d.b = d.b[n:]
	return n, nil
}

var deliveries = []delivery{
	{"read all", func(r *rand.Rand, b []byte) ([]byte, error) { return io.ReadAll(NewReader(bytes.NewReader(b))) }},
	{"byte by byte", func(r *rand.Rand, b []byte) ([]byte, error) {
		return io.ReadAll(NewReader(iotest.OneByteReader(bytes.NewReader(b))))
	}},
	{"data with EOF", func(r *rand.Rand, b []byte) ([]byte, error) {
		return io.ReadAll(NewReaderSize(iotest.DataErrReader(bytes.NewReader(b)), 1))
	}},
	{"pieces", func(r *rand.Rand, b []byte) ([]byte, error) {
		var out bytes.Buffer
		_, err := NewReaderSize(&drip{b, r}, 1).WriteTo(&out)
		return out.Bytes(), err
	}},
	{"next with keep", func(r *rand.Rand, b []byte) ([]byte, error) { return readNext(r, b, false) }},
	{"next into other buffers", func(r *rand.Rand, b []byte) ([]byte, error) { return readNext(r, b, true) }},
}

// readNext reads by Next, keeps a random part each time and compares it with what it was; Slack is scribbled on.
func readNext(r *rand.Rand, b []byte, into bool) (out []byte, err error) {
	z := NewReaderSize(&drip{b, r}, 1)
	keep := 0
	var kept []byte
	for {
		var chunk []byte
		if into {
			chunk, err = z.NextInto(make([]byte, r.IntN(200<<10)), keep)
		} else {
			chunk, err = z.Next(keep)
		}
		if !bytes.HasPrefix(chunk, kept) {
			return out, errors.New("the kept bytes are not in front of the chunk")
		}
		if err != nil {
			if len(chunk) != keep {
				return out, fmt.Errorf("%d bytes with %w, kept were %d", len(chunk), err, keep)
			}
			if err == io.EOF {
				err = nil
			}
			return out, err
		}
		if len(chunk) <= keep {
			return out, errors.New("nothing new without an error")
		}
		out = append(out, chunk[keep:]...)
		if z.OutOffset() != int64(len(out)) {
			return out, fmt.Errorf("OutOffset %d after %d bytes", z.OutOffset(), len(out))
		}
		slack := chunk[len(chunk) : len(chunk)+Slack]
		for i := range slack {
			slack[i] = 0xEE
		}
		keep = 0
		if r.IntN(3) > 0 {
			keep = r.IntN(len(chunk) + 1)
		}
		kept = append([]byte(nil), chunk[len(chunk)-keep:]...)
	}
}

func TestValidStreams(t *testing.T) {
	for seed := range uint64(long(600)) {
		r := rand.New(rand.NewPCG(seed, 7))
		size := 3000
		if seed%10 == 0 {
			size = 200_000
		}
		packed, plain := stream(t, r, size)
		d := deliveries[seed%uint64(len(deliveries))]
		got, err := d.read(r, packed)
		if err != nil {
			t.Fatalf("seed %d, %s: %v", seed, d.name, err)
		}
		if !bytes.Equal(got, plain) {
			t.Fatalf("seed %d, %s: other bytes", seed, d.name)
		}
	}
}

// reference reads with the standard library and tells what it accepted.
func reference(b []byte) ([]byte, error) {
	z, err := stdgzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// peer reads with the library that the program would otherwise use.
func peer(b []byte) ([]byte, error) {
	z, err := kgzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// agree checks one input, valid or not, against the standard library.
func agree(t *testing.T, b []byte, d delivery, r *rand.Rand) {
	t.Helper()
	want, wantErr := reference(b)
	got, err := d.read(r, b)
	var damage *Damage
	if errors.As(err, &damage) && damage.What == "reserved header flags" || longName(wantErr, err) {
		return // the two documented differences
	}
	if _, peerErr := peer(b); peerErr == nil != (wantErr == nil) {
		t.Logf("klauspost says %v, compress/gzip says %v", peerErr, wantErr)
	}
	if err == nil != (wantErr == nil) {
		t.Fatalf("%s: we say %v, compress/gzip says %v", d.name, err, wantErr)
	}
	if damage != nil && damage.Truncated && len(got)-len(want) < 16 {
		// compress/gzip waits for as many bits as the end of the block has and so drops the last few literals.
		got = got[:min(len(want), len(got))]
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s: %d bytes where compress/gzip gives %d (%v, %v)", d.name, len(got), len(want), err, wantErr)
	}
	if err == nil {
		return
	}
	if fault.KindOf(err) != fault.Corrupt || damage == nil {
		t.Fatalf("%s: no Corrupt with Damage: %v", d.name, err)
	}
	if damage.In > int64(len(b)) || damage.Out < int64(len(got)) {
		t.Fatalf("%s: %v, but input has %d bytes and %d were delivered", d.name, err, len(b), len(got))
	}
	if damage.Truncated != errors.Is(wantErr, io.ErrUnexpectedEOF) && len(b) > 0 &&
		!strings.HasPrefix(damage.What, "data behind") && damage.What != "not a gzip stream" {
		t.Fatalf("%s: %v, compress/gzip says %v", d.name, err, wantErr)
	}
}

// longName tells a header that the standard library refuses for the length of a name.
func longName(theirs, ours error) bool { return theirs == stdgzip.ErrHeader && ours == nil }

// TestTruncated cuts valid streams everywhere: every byte that is delivered is right, and the error says where the
// input ends.
func TestTruncated(t *testing.T) {
	for seed := range uint64(long(12)) {
		r := rand.New(rand.NewPCG(seed, 13))
		plain := random(r, 1+r.IntN(400))
		packed := member(r, deflated(t, r, plain), plain)
		for n := range packed {
			got, err := deliveries[n%len(deliveries)].read(r, packed[:n])
			var damage *Damage
			if !errors.As(err, &damage) || !damage.Truncated || damage.In != int64(n) || damage.Out != int64(len(got)) {
				t.Fatalf("seed %d cut at %d of %d: %v after %d bytes", seed, n, len(packed), err, len(got))
			}
			if !bytes.HasPrefix(plain, got) {
				t.Fatalf("seed %d cut at %d of %d: wrong bytes", seed, n, len(packed))
			}
		}
	}
}

func TestDamagedStreams(t *testing.T) {
	refused := 0
	for seed := range uint64(long(700)) {
		r := rand.New(rand.NewPCG(seed, 8))
		packed, _ := stream(t, r, 2000)
		switch r.IntN(5) {
		case 0:
			packed = packed[:r.IntN(len(packed))]
		case 1:
			packed = append(packed, random(r, 1+r.IntN(20))...)
		default:
			for range 1 + r.IntN(3) {
				packed[r.IntN(len(packed))] ^= 1 << r.IntN(8)
			}
		}
		if _, err := reference(packed); err != nil {
			refused++
		}
		agree(t, packed, deliveries[seed%uint64(len(deliveries))], r)
	}
	t.Logf("%d refused", refused)
}

// TestDamagedBlocks flips bits of the deflate data alone and mends nothing, with headers too short to hit.
func TestDamagedBlocks(t *testing.T) {
	for seed := range uint64(long(700)) {
		r := rand.New(rand.NewPCG(seed, 9))
		plain := random(r, 1+r.IntN(3000))
		packed := deflated(t, r, plain)
		for range 1 + r.IntN(4) {
			packed[r.IntN(min(len(packed), 200))] ^= byte(r.Uint32())
		}
		b := append([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}, packed...)
		b = append(b, make([]byte, r.IntN(100))...)
		agree(t, b, deliveries[seed%uint64(len(deliveries))], r)
	}
}

// TestRandomCodes feeds dynamic blocks with random code lengths, most of them no code at all.
func TestRandomCodes(t *testing.T) {
	for seed := range uint64(long(1000)) {
		r := rand.New(rand.NewPCG(seed, 10))
		b := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, byte(5 | r.IntN(32)<<3), byte(r.Uint32())}
		b = append(b, random(r, 40+r.IntN(200))...)
		agree(t, b, deliveries[seed%uint64(len(deliveries))], r)
	}
}

func FuzzAgree(f *testing.F) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 11))
		packed, _ := stream(f, r, 300)
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := rand.New(rand.NewPCG(uint64(len(b)), 12))
		for _, d := range deliveries {
			agree(t, b, d, r)
		}
	})
}
