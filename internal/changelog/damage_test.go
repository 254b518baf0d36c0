package changelog

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

var update = flag.Bool("update", false, "write the golden entry anew; the old one stays readable and is kept under another name")

// smallEntry is the golden entry: two shards, three blocks, all kinds of marks.
func smallEntry(t testing.TB, z *zipper) []byte {
	t.Helper()
	b := newTestBuilder(t, newState(3), BuilderOptions{BlockBytes: 100})
	must(t, b.Begin(Shard{ID: "shardId-1", Parents: []string{"shardId-0"}}))
	add(t, b, "shardId-1", record(1, 100, "x"), record(2, 90, "y"))
	must(t, b.Close("shardId-1", "shardId-2"))
	must(t, b.Begin(Shard{ID: "shardId-2", Parents: []string{"shardId-1"}}))
	r := record(3, 120, "x")
	r.Sub = 7
	add(t, b, "shardId-2", r)
	must(t, b.Tip("shardId-2", 500))
	d := b.Cut()
	e := &Entry{N: 1, Group: 3, ID: commit.ID([]byte("0123456789abcdef")), Kind: Segment, Stream: "arn:stream/1", Writer: "w1", At: 600, Whole: true,
		Shards: d.Shards, Blocks: d.Blocks}
	must(t, e.check(int64(len(d.body))))
	data, err := z.appendEntry(d.body, e)
	must(t, err)
	return data
}

// TestGolden: the bytes of an entry are those of docs/formats/changelog.md. A file that was written once is read forever; when
// the compressor makes other bytes of the same, a further golden file is added.
func TestGolden(t *testing.T) {
	z, err := newZipper()
	must(t, err)
	path := filepath.Join("testdata", "entry-1.zst")
	got := smallEntry(t, z)
	if *update {
		must(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("the entry has %d bytes that differ from the %d of %s", len(got), len(want), path)
	}
	// Byte by byte, by the page alone.
	tail := want[len(want)-64:]
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	payload, before := u32(tail), u64(tail[24:])
	if u64(tail[8:]) != 1 || u32(tail[16:]) != 3 || u32(tail[20:]) != 1 || string(tail[32:48]) != "0123456789abcdef" || u32(tail[52:]) != 0 ||
		string(tail[56:]) != "DYNFCHG\n" || u32(want[before:]) != 0x184D2A5E || u32(want[before+4:]) != payload+64 ||
		before+8+uint64(payload)+64 != uint64(len(want)) {
		t.Errorf("the trailer is %x", tail)
	}
	m := newMemory()
	m.objects[entryName("", 3, 1)] = want
	l := makeLog(t, m, 4)
	lines, entries, err := readAll(t.Context(), l, Range{Group: 3})
	if err != nil || len(lines["shardId-1"]) != 2 || len(lines["shardId-2"]) != 1 {
		t.Fatalf("%v, %v", lines, err)
	}
	text, err := json.MarshalIndent(entries[0], "", " ")
	must(t, err)
	footer := filepath.Join("testdata", "entry-1.footer")
	if *update {
		must(t, os.WriteFile(footer, text, 0o644))
	}
	if want, err := os.ReadFile(footer); err != nil || !bytes.Equal(text, want) {
		t.Errorf("the footer says %s, %v", text, err)
	}
}

// TestDamage: with any byte of any entry changed, or the end of it missing, what is read is right as far as it goes, and
// the error names the object.
func TestDamage(t *testing.T) {
	m := newMemory()
	l := makeLog(t, m, 1)
	c := openChain(t, l, "w1")
	b := newTestBuilder(t, c.State(), BuilderOptions{BlockBytes: 300})
	must(t, b.Begin(Shard{ID: "a"}))
	for n := range 3 {
		for i := range 5 {
			add(t, b, "a", record(1+5*n+i, int64(i), fmt.Sprint(i)))
		}
		appendDraft(t, c, b.Cut())
	}
	want, _, err := readAll(t.Context(), l, Range{})
	must(t, err)
	read := func(what string, name string, full bool) {
		t.Helper()
		got, entries, err := readAll(t.Context(), l, Range{})
		if err == nil || !strings.HasSuffix(fault.PlaceOf(err).File, name) {
			t.Fatalf("%s: %d entries and the error %v", what, len(entries), err)
		}
		if k := fault.KindOf(err); k != fault.Corrupt || full && fault.HintOf(err) == "" {
			t.Fatalf("%s: kind %v: %v", what, k, err)
		}
		for i, line := range got["a"] {
			if line != want["a"][i] {
				t.Fatalf("%s: wrong data %s", what, line)
			}
		}
	}
	for n := uint64(1); n <= 3; n++ {
		name := entryName("", 0, n)
		whole := m.objects[name]
		for i := range whole {
			data := bytes.Clone(whole)
			data[i] ^= 1 << (i % 8)
			m.objects[name] = data
			read(fmt.Sprintf("entry %d, byte %d", n, i), name, true)
			if n < 3 || i%7 == 0 {
				m.objects[name] = whole[:i]
				read(fmt.Sprintf("entry %d, cut to %d bytes", n, i), name, true)
			}
		}
		m.objects[name] = whole
	}
	// Entries that changed places are as wrong as changed ones.
	first, second := entryName("", 0, 1), entryName("", 0, 2)
	m.objects[first], m.objects[second] = m.objects[second], m.objects[first]
	read("changed places", first, true)
}

// TestDamagedOnItsWay: what arrives damaged once is read again.
func TestDamagedOnItsWay(t *testing.T) {
	m := newMemory()
	l := makeLog(t, m, 1)
	c := openChain(t, l, "w1")
	b := newTestBuilder(t, c.State(), BuilderOptions{})
	must(t, b.Begin(Shard{ID: "a"}))
	add(t, b, "a", record(1, 1, "k"))
	e := appendDraft(t, c, b.Cut())
	for _, at := range []int64{3, e.Size - 3, e.Size - 100} {
		faulted, _ := faultedLog(t, m, fmt.Sprintf("get(chain*)#2: flip %d", at))
		if lines, _, err := readAll(t.Context(), faulted, Range{}); err != nil || len(lines["a"]) != 1 {
			t.Errorf("byte %d: %v, %v", at, lines, err)
		}
		faulted, _ = faultedLog(t, m, fmt.Sprintf("get(chain*)#1: flip %d", at))
		if lines, _, err := readAll(t.Context(), faulted, Range{Last: 1}); err != nil || len(lines["a"]) != 1 {
			t.Errorf("byte %d: %v, %v", at, lines, err)
		}
	}
}

// TestFromTheFuture: what a later release writes is refused by name, not read wrong.
func TestFromTheFuture(t *testing.T) {
	z, err := newZipper()
	must(t, err)
	footer := func(payload string, version uint32) []byte {
		data := appendFooter(nil, z.enc.EncodeAll([]byte(payload), nil), entryMagic, trailer{n: 1})
		tail := data[len(data)-trailerBytes:]
		binary.LittleEndian.PutUint32(tail[20:], version)
		binary.LittleEndian.PutUint32(tail[48:], uint32(checksum(tail[:48])))
		return data
	}
	for name, data := range map[string][]byte{
		"version": footer(`{"kind":"segment","stream":"s","writer":"w","whole":true}`, 2),
		"kind":    footer(`{"kind":"merger","stream":"s","writer":"w","whole":true}`, 1),
	} {
		m := newMemory()
		m.objects[entryName("", 0, 1)] = data
		_, _, err := readAll(t.Context(), makeLog(t, m, 1), Range{})
		if fault.KindOf(err) != fault.Unsupported || fault.HintOf(err) == "" || fault.PlaceOf(err).File == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := newMemory()
	m.objects[entryName("", 0, 1)] = footer(`{"kind":"segment","stream":"s","writer":"w","whole":true,"later":1}`, 1)
	if _, entries, err := readAll(t.Context(), makeLog(t, m, 1), Range{}); err != nil || len(entries) != 1 {
		t.Errorf("a member of later: %v", err)
	}
}

// TestClaims: an entry that claims to hold more than there is does not make room for it.
func TestClaims(t *testing.T) {
	z, err := newZipper()
	must(t, err)
	// A frame of one segment that claims 32 MiB, and has one block of 8 bytes of one value.
	claim := []byte{0x28, 0xB5, 0x2F, 0xFD, 0xA0, 0, 0, 0, 2, 0x43, 0, 0, 'x'}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if text, err := z.unpackPayload(claim); fault.KindOf(err) != fault.Corrupt {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("a claim took %d bytes", took)
	}
}

// FuzzEntry: whatever an object holds, reading it ends with an error or with an entry whose records can be read.
func FuzzEntry(f *testing.F) {
	z, err := newZipper()
	must(f, err)
	f.Add(smallEntry(f, z))
	m := newMemory()
	l := makeLog(f, m, 4)
	f.Fuzz(func(t *testing.T, data []byte) {
		tryEntry(t, l, m, data)
		if len(data) < 2 {
			return
		}
		// The same behind good checksums: the front is blocks, the rest the footer's text.
		cut := 1 + int(data[0])%(len(data)-1)
		text := z.enc.EncodeAll(data[cut:], nil)
		tryEntry(t, l, m, appendFooter(bytes.Clone(data[1:cut]), text, entryMagic, trailer{n: 1, group: 3, before: uint64(cut - 1)}))
	})
}

// FuzzFooter: whatever a footer says, an entry that is taken keeps what it promises.
func FuzzFooter(f *testing.F) {
	z, err := newZipper()
	must(f, err)
	data := smallEntry(f, z)
	t, err := parseTrailer(data, entryMagic)
	must(f, err)
	payload, err := t.payloadOf(data[t.before:])
	must(f, err)
	text, err := z.unpackPayload(payload)
	must(f, err)
	f.Add(data[:t.before], string(text))
	f.Add([]byte{}, `{"kind":"fence","fence":{},"whole":true}`)
	f.Add([]byte{}, `{"kind":"segment","whole":true,"shards":[{"id":"a","end":"1"}]}`)
	m := newMemory()
	l := makeLog(f, m, 4)
	f.Fuzz(func(t *testing.T, body []byte, text string) {
		tryEntry(t, l, m, appendFooter(bytes.Clone(body), z.enc.EncodeAll([]byte(text), nil), entryMagic, trailer{n: 1, group: 3, before: uint64(len(body))}))
	})
}

// tryEntry reads an object as Read does, in one goroutine.
func tryEntry(t *testing.T, l *Log, m *memory, data []byte) {
	m.objects[entryName("", 3, 1)] = data
	f, err := l.fetch(t.Context(), 3, 1)
	var load *loading
	if err == nil {
		load, err = l.loadBlocks(t.Context(), new(Range).want(step{f, begin(f.entry)}))
	}
	if err != nil {
		if k := fault.KindOf(err); k != fault.Corrupt && k != fault.Unsupported {
			t.Fatalf("kind %v: %v", k, err)
		}
		return
	}
	for i := range load.batch.Parts {
		p := &load.batch.Parts[i]
		records, err := p.Records(nil)
		if err != nil {
			if fault.KindOf(err) != fault.Corrupt {
				t.Fatal(err)
			}
			continue
		}
		n := 0
		for range Lines(records) {
			n++
		}
		if n != p.Block.Records || int64(len(records)) != p.Bytes {
			t.Fatalf("%d lines of %d bytes in %+v", n, len(records), p.Block)
		}
	}
}

// TestPositions: both forms of records tell where they stand.
func TestPositions(t *testing.T) {
	for line, want := range map[string]string{
		`{"eventID":"x","dynamodb":{"NewImage":{"SequenceNumber":{"S":"9"}},"SequenceNumber":"00012"}}`:      "12",
		`{"kinesis":{"sequenceNumber":"49","subSequenceNumber":3,"partitionKey":"p"},"data":{}}`:             "49.3",
		`{"kinesis":{"sequenceNumber":"49"},"data":{"dynamodb":{"SequenceNumber":"1"}},"base64":"SGVsbG8="}`: "49",
	} {
		if p, err := PositionOf([]byte(line)); err != nil || p.String() != want {
			t.Errorf("%s: %v, %v", line, p, err)
		}
		if p, err := feed.ParsePosition(want); err != nil || p.String() != want {
			t.Errorf("%s: %v, %v", want, p, err)
		}
	}
	for _, line := range []string{`{}`, `[`, `{"dynamodb":{}}`, `{"dynamodb":{"SequenceNumber":"x"}}`} {
		if p, err := PositionOf([]byte(line)); fault.KindOf(err) != fault.Corrupt {
			t.Errorf("%s: %v, %v", line, p, err)
		}
	}
}
