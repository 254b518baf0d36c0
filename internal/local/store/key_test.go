package store

import (
	"bytes"
	"cmp"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// genNumber draws any spelling of a DynamoDB number.
func genNumber(t *rapid.T, name string) string {
	digits := rapid.StringMatching(`[0-9]{1,38}`).Draw(t, name)
	text := rapid.SampledFrom([]string{"", "-", "+"}).Draw(t, name+" sign")
	at := rapid.IntRange(0, len(digits)).Draw(t, name+" point")
	text += digits[:at]
	if at < len(digits) {
		text += "." + digits[at:]
	}
	return text + rapid.SampledFrom([]string{"", "e0", "E5", "e-5", "E+80", "e-90", "E2"}).Draw(t, name+" exponent")
}

func rat(t fataler, text string) *big.Rat {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		t.Fatalf("%q is no number", text)
	}
	return r
}

// TestNumberOrder: byte order is numeric order and equal numbers have equal bytes.
func TestNumberOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genNumber(t, "a"), genNumber(t, "b")
		if rapid.Bool().Draw(t, "near") { // numbers that share digits, where a wrong end of the mantissa shows
			b = strings.TrimRight(a, "e0E+-25.89") + rapid.StringMatching(`[0-9]{0,3}`).Draw(t, "tail")
			if _, ok := new(big.Rat).SetString(b); !ok {
				b = "1"
			}
		}
		x, err := EncodeNumber(nil, []byte(a))
		if err != nil {
			t.Fatalf("%q: %v", a, err)
		}
		y, err := EncodeNumber(nil, []byte(b))
		if err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if got, want := bytes.Compare(x, y), rat(t, a).Cmp(rat(t, b)); got != want {
			t.Fatalf("%s and %s: bytes say %d, numbers %d (%x %x)", a, b, got, want, x, y)
		}
	})
}

func TestNumberTable(t *testing.T) {
	ordered := []string{"-9.99e125", "-100", "-12.51", "-12.5", "-12", "-1.0000000000000000000000000000000000001", "-1",
		"-0.5", "-1e-130", "0", "1e-130", "0.001", "0.0011", "0.5", "1", "1.0000000000000000000000000000000000001", "9",
		"10", "12", "12.5", "99", "100", "101", "9.99e125"}
	var last []byte
	for _, text := range ordered {
		b, err := EncodeNumber(nil, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if last != nil && bytes.Compare(last, b) >= 0 {
			t.Errorf("%s is not behind its predecessor", text)
		}
		last = b
	}
	same := [][]string{{"0", "-0", "0.000", "0e10", "+0"}, {"100", "1e2", "100.0", "0.1E3", "+0100"}, {"-1.5", "-15e-1", "-01.50"}}
	for _, group := range same {
		first, _ := EncodeNumber(nil, []byte(group[0]))
		for _, text := range group {
			if b, err := EncodeNumber(nil, []byte(text)); err != nil || !bytes.Equal(b, first) {
				t.Errorf("%s is not %s: %x %x %v", text, group[0], b, first, err)
			}
		}
	}
	for _, text := range []string{"", "-", ".", "1e", "1e+", "abc", "1 ", "0x10", "1.2.3", "1e99999", "NaN", "--1", "1_000"} {
		if b, err := EncodeNumber(nil, []byte(text)); err == nil {
			t.Errorf("%q is taken as %x", text, b)
		}
	}
}

// TestIndexKeyOrder: within a hash key the order is that of the sort keys; no two keys share an index key; the items
// of one hash key lie between its prefix and the prefix's successor and nobody else's do.
func TestIndexKeyOrder(t *testing.T) {
	part := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 0xFE, 0xFF, 'a'}), 0, 5)
	rapid.Check(t, func(t *rapid.T) {
		key := func(name string) Key {
			return Key{EncodeBinary(nil, part.Draw(t, name+" hash")), EncodeBinary(nil, part.Draw(t, name+" range"))}
		}
		a, b := key("a"), key("b")
		if rapid.Bool().Draw(t, "same hash") {
			b.Hash = a.Hash
		}
		x, y := itemKey(nil, 7, a), itemKey(nil, 7, b)
		if bytes.Equal(a.Hash, b.Hash) {
			if got, want := bytes.Compare(x, y), bytes.Compare(a.Range, b.Range); got != want {
				t.Fatalf("order %d, want %d: %x %x", got, want, x, y)
			}
		} else if bytes.Equal(x, y) {
			t.Fatalf("%+v and %+v have one index key", a, b)
		}
		base := hashPrefix(nil, 7, a.Hash)
		inside := bytes.Compare(y, base) >= 0 && bytes.Compare(y, successor(base)) < 0
		if inside != bytes.Equal(a.Hash, b.Hash) {
			t.Fatalf("%x inside %x: %v", y, base, inside)
		}
		if bytes.Compare(x, hashBound(tablePrefix(nil, 7), a.hash64())) < 0 || bytes.Compare(x, successor(tablePrefix(nil, 7))) >= 0 {
			t.Fatalf("%x outside its table or hash", x)
		}
	})
}

// TestSegmentsPartition: any number of segments covers each hash exactly once, in parts that differ by at most one.
func TestSegmentsPartition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.IntRange(1, 9), rapid.IntRange(1, 1_000_000)).Draw(t, "segments")
		if lo, _ := segmentBounds(0, n); lo != 0 {
			t.Fatalf("begins at %d", lo)
		}
		if _, hi := segmentBounds(n-1, n); hi != ^uint64(0) {
			t.Fatalf("ends at %d", hi)
		}
		if n == 1 {
			return
		}
		s := rapid.IntRange(0, n-2).Draw(t, "segment")
		lo, hi := segmentBounds(s, n)
		next, nextHi := segmentBounds(s+1, n)
		if next != hi+1 || hi < lo {
			t.Fatalf("segment %d of %d ends at %d, the next begins at %d", s, n, hi, next)
		}
		if a, b := hi-lo, nextHi-next; max(a, b)-min(a, b) > 1 {
			t.Fatalf("segments of %d and %d hashes", a, b)
		}
	})
}

// TestSegmentsEven: real keys spread evenly, within four standard deviations.
func TestSegmentsEven(t *testing.T) {
	const keys, segments = 100_000, 8
	var count [segments]int
	for i := range keys {
		k := benchKey(i)
		for s := range segments {
			if k.InSegment(s, segments) {
				count[s]++
			}
		}
	}
	sum := 0
	for s, n := range count {
		sum += n
		if d := n - keys/segments; d*d > 16*keys/segments {
			t.Errorf("segment %d has %d of %d keys", s, n, keys)
		}
	}
	if sum != keys {
		t.Errorf("%d keys in segments, want %d", sum, keys)
	}
}

func genRecord(t *rapid.T) record {
	some := rapid.SliceOfN(rapid.Byte(), 1, 20)
	r := record{kind: rapid.SampledFrom([]kind{kindPut, kindDelete, kindMove, kindTableCreate, kindTableDrop,
		kindEntries, kindIndexDrop, kindShardOpen, kindTablePurge}).Draw(t, "kind"),
		table: TableID(rapid.Uint32().Draw(t, "table")), shard: rapid.Uint32().Draw(t, "shard"), seq: rapid.Uint64().Draw(t, "seq"),
		time: rapid.Int64().Draw(t, "time"), key: Key{Hash: some.Draw(t, "hash")},
		old: rapid.SampledFrom([]oldKind{oldNone, oldPointer, oldInline}).Draw(t, "old")}
	if rapid.Bool().Draw(t, "has range") {
		r.key.Range = some.Draw(t, "range")
	}
	r.service = rapid.Bool().Draw(t, "service")
	if rapid.Bool().Draw(t, "has entries") {
		r.entries = some.Draw(t, "entries")
	}
	if rapid.Bool().Draw(t, "has prior") {
		r.prior = prior{true, rapid.Uint32().Draw(t, "ps"), rapid.Uint32().Draw(t, "pl"), rapid.Uint32().Draw(t, "pz")}
	}
	switch r.old {
	case oldPointer:
		r.oldAt = pointer{seq: rapid.Uint64().Draw(t, "oseq"), time: rapid.Int64().Draw(t, "otime"), segment: 3, offset: 4, length: 5, size: 6, crc: 7}
	case oldInline:
		r.oldInline = some.Draw(t, "inline")
	}
	if rapid.Bool().Draw(t, "has value") {
		r.value, r.size, r.crc = some.Draw(t, "value"), rapid.Uint32().Draw(t, "size"), rapid.Uint32().Draw(t, "crc")
	}
	return r
}

// TestRecordRoundTrip: all parts of a record come back, streams' and history's included, and its length is bounded.
func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genRecord(t)
		b, at := want.append([]byte("front"))
		b = append(b, "behind"...)
		bound := recordMax + len(want.key.Hash) + len(want.key.Range) + len(want.oldInline) + len(want.entries) + len(want.value)
		var got record
		gotAt, n, ok := got.parse(b[5:])
		if !ok || n != len(b)-11 || n > bound || want.value != nil && gotAt != at-5 {
			t.Fatalf("ok %v, length %d of %d, value at %d want %d", ok, n, len(b)-11, gotAt, at-5)
		}
		equal := got.kind == want.kind && got.table == want.table && got.shard == want.shard && got.seq == want.seq &&
			got.time == want.time && bytes.Equal(got.key.Hash, want.key.Hash) && bytes.Equal(got.key.Range, want.key.Range) &&
			(got.key.Range == nil) == (want.key.Range == nil) && got.prior == want.prior && got.old == want.old &&
			got.service == want.service && bytes.Equal(got.entries, want.entries) &&
			got.oldAt == want.oldAt && bytes.Equal(got.oldInline, want.oldInline) && bytes.Equal(got.value, want.value) &&
			(got.value == nil) == (want.value == nil) && got.size == want.size && got.crc == want.crc
		if !equal {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
		cut := rapid.IntRange(0, n-1).Draw(t, "cut")
		if _, m, ok := got.parse(b[5 : 5+cut]); ok && cmp.Compare(m, n) >= 0 {
			t.Fatalf("a record cut at %d of %d parses", cut, n)
		}
	})
}

// FuzzRecord: no bytes make the parser panic, and what it takes it writes back the same.
func FuzzRecord(f *testing.F) {
	r := record{kind: kindPut, key: benchKey(1), value: []byte("v"), prior: prior{exists: true, segment: 1}}
	b, _ := r.append(nil)
	f.Add(b)
	f.Add([]byte{1, 0x20, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r record
		_, n, ok := r.parse(b)
		if !ok {
			return
		}
		again, _ := r.append(nil)
		var r2 record
		if _, m, ok := r2.parse(again); !ok || m != len(again) || n < len(again) {
			t.Fatalf("%x becomes %x", b[:n], again)
		}
	})
}
