package compress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"dynaferry/internal/codec"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

var _ codec.Chunks = (*Reader)(nil)

// lines makes n bytes of export lines.
func lines(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, `{"Item":{"Id":{"N":"%d"},"Name":{"S":"name %x"}}}`+"\n", i, i*2654435761)
	}
	return b.Bytes()[:n]
}

func pack(t testing.TB, c Codec, level int, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b, c, level)
	for len(plain) > 0 {
		n := min(len(plain), 5000)
		if _, err := w.Write(plain[:n]); err != nil {
			t.Fatal(err)
		}
		plain = plain[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal("second close:", err)
	}
	return b.Bytes()
}

// unpack reads by Read and by Next and wants the same answer.
func unpack(t testing.TB, packed []byte, c Codec, l Limits) ([]byte, error) {
	t.Helper()
	r := NewReader(iotest.HalfReader(bytes.NewReader(packed)), c, l)
	defer r.Close()
	byRead, err := io.ReadAll(r)
	var byNext []byte
	n := NewReader(bytes.NewReader(packed), c, l)
	defer n.Close()
	keep := 0
	for {
		chunk, nextErr := n.Next(keep)
		if nextErr != nil {
			if nextErr == io.EOF {
				nextErr = nil
			}
			if len(chunk) != keep {
				t.Fatalf("%d bytes beside the error, %d were kept", len(chunk), keep)
			}
			if again, twice := n.Next(keep); len(again) != keep || fmt.Sprint(twice) != fmt.Sprint(nextErr) && twice != io.EOF {
				t.Fatalf("after %v: %d bytes, %v", nextErr, len(again), twice)
			}
			if (nextErr == nil) != (err == nil) || fault.KindOf(nextErr) != fault.KindOf(err) {
				t.Fatalf("Next says %v, Read says %v", nextErr, err)
			}
			break
		}
		if cap(chunk)-len(chunk) < item.Slack {
			t.Fatal("no slack")
		}
		byNext = append(byNext, chunk[keep:]...)
		keep = len(chunk) * (len(byNext) % 3) / 3
	}
	if !bytes.Equal(byRead, byNext) && err == nil {
		t.Fatalf("Next gives %d bytes, Read %d", len(byNext), len(byRead))
	}
	return byRead, err
}

func TestRoundTrip(t *testing.T) {
	for _, c := range Codecs() {
		for level := range 23 {
			if CheckLevel(c, level) != nil {
				continue
			}
			for _, n := range []int{0, 1, 3, 5000, 700_000} {
				if n > 5000 && level > 3 {
					continue
				}
				plain := lines(n)
				packed := pack(t, c, level, plain)
				for _, named := range []Codec{c, ""} {
					if got, err := unpack(t, packed, named, Limits{}); err != nil || !bytes.Equal(got, plain) {
						t.Fatalf("%s -%d, %d bytes, read as %q: %d bytes, %v", c, level, n, named, len(got), err)
					}
				}
				if again := pack(t, c, level, plain); !bytes.Equal(again, packed) {
					t.Fatalf("%s -%d: other bytes the second time", c, level)
				}
			}
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]struct {
		c    Codec
		base string
	}{"a.json.gz": {Gzip, "a.json"}, "A.CSV.GZ": {Gzip, "A.CSV"}, "x.zst": {Zstd, "x"}, "x.parquet": {None, "x.parquet"},
		"gz": {None, "gz"}, ".gz": {Gzip, ""}, "a.zstd": {Zstd, "a"}, "": {None, ""}} {
		if c, base := BySuffix(name); c != want.c || base != want.base {
			t.Errorf("%q: %q %q", name, c, base)
		}
	}
	for _, c := range Codecs() {
		if got, _ := BySuffix("x" + c.Suffix()); got != c {
			t.Errorf("suffix of %s is read as %s", c, got)
		}
		if got, err := Parse(string(c)); got != c || err != nil {
			t.Error(got, err)
		}
	}
	if _, err := Parse("lz4"); fault.KindOf(err) != fault.User || fault.HintOf(err) == "" {
		t.Error(err)
	}
	for _, bad := range []struct {
		c     Codec
		level int
	}{{Gzip, 10}, {Gzip, -1}, {Zstd, 23}, {None, 1}, {"lz4", 0}} {
		if _, err := NewWriter(io.Discard, bad.c, bad.level).Write([]byte("x")); fault.KindOf(err) != fault.User {
			t.Errorf("%v: %v", bad, err)
		}
	}
	for head, want := range map[string]Codec{"": None, "\x1f": None, "\x1f\x8b\x08\x00": Gzip, "PAR1": None, "\x28\xb5\x2f\xfd": Zstd,
		"\x52\x2a\x4d\x18": Zstd, `{"It`: None, "\xef\xbb\xbfI": None} {
		if got := Detect([]byte(head)); got != want {
			t.Errorf("%q: %s", head, got)
		}
	}
}

// TestDamage: whatever is done to a packed stream, the answer is Corrupt with both offsets, or the very same bytes.
func TestDamage(t *testing.T) {
	plain := lines(3000)
	for _, c := range []Codec{Gzip, Zstd} {
		packed := pack(t, c, 0, plain)
		refuse := func(what string, b []byte) {
			t.Helper()
			got, err := unpack(t, b, c, Limits{})
			if err == nil && !bytes.Equal(got, plain) {
				t.Fatalf("%s %s: other bytes without an error", c, what)
			}
			if err == nil && !strings.HasPrefix(what, "flip") {
				t.Fatalf("%s %s: accepted", c, what)
			}
			if err != nil && (fault.KindOf(err) != fault.Corrupt && fault.KindOf(err) != fault.Limit ||
				!strings.Contains(err.Error(), "compressed byte")) {
				t.Fatalf("%s %s: %v", c, what, err)
			}
		}
		for n := range packed {
			refuse(fmt.Sprint("cut at ", n), packed[:n])
		}
		r := rand.New(rand.NewPCG(1, 2))
		for range 500 {
			b := bytes.Clone(packed)
			i, bit := r.IntN(len(b)), r.IntN(8)
			b[i] ^= 1 << bit
			refuse(fmt.Sprintf("flip %d.%d", i, bit), b)
		}
		refuse("garbage", append(bytes.Clone(packed), "garbage"...))
		refuse("text", plain)
		two, err := unpack(t, append(bytes.Clone(packed), packed...), "", Limits{})
		if err != nil || !bytes.Equal(two, append(bytes.Clone(plain), plain...)) {
			t.Fatalf("%s: two streams in a row: %v", c, err)
		}
	}
}

// bomb is a stream that unpacks to n zeros.
func bomb(t testing.TB, c Codec, n int) []byte {
	var b bytes.Buffer
	w := NewWriter(&b, c, 1)
	for zeros := make([]byte, 1<<20); n > 0; n -= len(zeros) {
		w.Write(zeros)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestBombs(t *testing.T) {
	var before, after runtime.MemStats
	for _, c := range []Codec{Gzip, Zstd} {
		packed := bomb(t, c, 200<<20)
		runtime.ReadMemStats(&before)
		r := NewReader(bytes.NewReader(packed), "", Limits{})
		n, err := io.Copy(io.Discard, r)
		runtime.ReadMemStats(&after)
		if fault.KindOf(err) != fault.Limit || fault.HintOf(err) == "" || !strings.Contains(err.Error(), "more than 500:1") {
			t.Errorf("%s: %v", c, err)
		}
		if n < RatioAfter || n > RatioAfter+(1<<20) {
			t.Errorf("%s: stopped after %d bytes", c, n)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
			t.Errorf("%s: %d bytes of memory", c, used)
		}
		r.Close()
		if n, err := io.Copy(io.Discard, NewReader(bytes.NewReader(packed), "", Limits{RatioMax: -1})); n != 200<<20 || err != nil {
			t.Errorf("%s without limit: %d, %v", c, n, err)
		}
	}
	for _, c := range Codecs() {
		plain := lines(300_000)
		for _, limit := range []int64{299_999, 300_000} {
			got, err := unpack(t, pack(t, c, 0, plain), c, Limits{BytesMax: limit})
			if (err != nil) != (limit < 300_000) || err != nil && (fault.KindOf(err) != fault.Limit || int64(len(got)) > limit+256<<10) {
				t.Errorf("%s limit %d: %d bytes, %v", c, limit, len(got), err)
			}
		}
	}
}

func TestZstdWindow(t *testing.T) {
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithWindowSize(8<<20), zstd.WithSingleSegment(false))
	if err != nil {
		t.Fatal(err)
	}
	w.Write(lines(100_000))
	w.Flush()
	w.Write(lines(100_000))
	w.Close()
	_, err = unpack(t, b.Bytes(), "", Limits{WindowMax: 4 << 20})
	if fault.KindOf(err) != fault.Limit {
		t.Error(err)
	}
	if got, err := unpack(t, b.Bytes(), "", Limits{}); len(got) != 200_000 || err != nil {
		t.Error(len(got), err)
	}
}

// TestErrorsFromBelow: a broken connection is not damage.
func TestErrorsFromBelow(t *testing.T) {
	reset := fault.New(fault.Unavailable, "connection reset")
	for _, c := range Codecs() {
		for _, n := range []int{0, 2, 4, 100} {
			packed := pack(t, c, 0, lines(3000))
			r := NewReader(io.MultiReader(bytes.NewReader(packed[:n]), iotest.ErrReader(reset)), c, Limits{})
			if _, err := io.ReadAll(r); fault.KindOf(err) != fault.Unavailable || !errors.Is(err, reset) {
				t.Errorf("%s after %d: %v", c, n, err)
			}
			r.Close()
			if _, err := r.Read(make([]byte, 1)); fault.KindOf(err) != fault.Bug {
				t.Errorf("read after close: %v", err)
			}
		}
		w := NewWriter(failingWriter{reset}, c, 0)
		_, err := w.Write(lines(3 << 20))
		if err == nil {
			err = w.Close()
		}
		if !errors.Is(err, reset) {
			t.Errorf("%s: %v", c, err)
		}
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func FuzzReader(f *testing.F) {
	for _, c := range Codecs() {
		f.Add(pack(f, c, 0, lines(200)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		unpack(t, b, "", Limits{BytesMax: 1 << 20, WindowMax: 1 << 20})
	})
}

func BenchmarkReader(b *testing.B) {
	plain := lines(16 << 20)
	for _, c := range Codecs() {
		packed := pack(b, c, 0, plain)
		b.Run(string(c), func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				r := NewReader(bytes.NewReader(packed), "", Limits{})
				for {
					if _, err := r.Next(0); err != nil {
						break
					}
				}
				r.Close()
			}
		})
	}
}

func BenchmarkWriter(b *testing.B) {
	plain := lines(16 << 20)
	for _, c := range Codecs() {
		b.Run(string(c), func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				w := NewWriter(io.Discard, c, 0)
				w.Write(plain)
				w.Close()
			}
		})
	}
}
