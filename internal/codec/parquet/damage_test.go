package parquet

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// drain reads a file to its end or first error and sums its items up.
func drain(file []byte, o ReadOptions) (sum item.Fingerprint, err error) {
	r, err := Open(bytes.NewReader(file), int64(len(file)), o)
	if err != nil {
		return sum, err
	}
	var b item.Batch
	var h item.Hasher
	for {
		switch err := r.Read(&b); err {
		case nil:
			for i := range b.Len() {
				sum.Add(h.Item(b.Item(i)))
			}
		case io.EOF:
			return sum, nil
		default:
			return sum, err
		}
	}
}

func ownFile(t testing.TB, o Options) []byte {
	s := modelSchema()
	data, m := writeData(t, o, slabs(s, modelRows(3, 400), 100)...)
	return finishFile(t, data, m, s)
}

// TestDamageIsFound flips a bit of every byte of a file's data part in turn: what comes back is an error of the right
// kind or, where the bit was one that nobody needs, the very same items. Never other items.
func TestDamageIsFound(t *testing.T) {
	s := modelSchema()
	data, m := writeData(t, Options{RowGroupRows: 40, Compression: Snappy}, slabs(s, modelRows(3, 40), 40)...)
	file := finishFile(t, data, m, s)
	want, err := drain(file, ReadOptions{})
	if err != nil || want.Count != 40 {
		t.Fatal(want, err)
	}
	silent := 0
	for i := 4; i < len(data); i++ {
		file[i] ^= 0x40
		got, err := drain(file, ReadOptions{})
		if kind := fault.KindOf(err); err != nil && kind != fault.Corrupt && kind != fault.Unsupported &&
			kind != fault.Limit {
			t.Fatalf("byte %d: error of kind %s: %v", i, kind, err)
		}
		if err == nil {
			silent++
			if got != want {
				t.Fatalf("byte %d flipped: other items came back without an error", i)
			}
		}
		file[i] ^= 0x40
	}
	if silent > len(data)/20 {
		t.Errorf("%d of %d flipped bytes went unnoticed", silent, len(data))
	}
}

func TestTruncationIsFound(t *testing.T) {
	file := ownFile(t, Options{})
	for n := 0; n < len(file); n += 1 + n/50 {
		if _, err := drain(file[:n], ReadOptions{}); fault.KindOf(err) != fault.Corrupt || err == nil {
			t.Fatalf("%d of %d bytes: %v", n, len(file), err)
		}
	}
	if _, err := drain([]byte("PAR1 and then something else PARE"),
		ReadOptions{}); fault.KindOf(err) != fault.Unsupported {
		t.Errorf("encrypted footer: %v", err)
	}
}

// TestLiesStayCheap: pages and dictionaries that promise gigabytes, and counts that are not true, end in an error
// without the memory they ask for.
func TestLiesStayCheap(t *testing.T) {
	leaf := &node{element: &elementsOf(modelSchema())[1], maxDef: 1, path: "pk", leaves: 1}
	huge := make([]byte, 0, 100)
	for name, p := range map[string][]byte{
		"raw size": appendPage(huge, pageHead{encoding: 0, values: 1, raw: 1<<31 - 1}, []byte("abc")),
		"values": appendPage(huge, pageHead{encoding: 0, values: 1<<31 - 1, raw: 9}, appendLevels(nil,
			[]byte{0xFE, 0xFF, 0xFF, 0xFF, 0x0F, 1})),
		"dictionary": appendPage(huge, pageHead{dictionary: true, values: 1<<31 - 1, raw: 4}, []byte{0, 0, 0, 0}),
		"length": appendPage(huge, pageHead{encoding: 0, values: 1, raw: 10}, append(appendLevels(nil, []byte{2,
			1}), 0xFF, 0xFF, 0xFF, 0x7F)),
		"delta count": appendPage(huge, pageHead{encoding: 6, values: 1, raw: 20}, append(appendLevels(nil, []byte{2,
			1}), 128, 1, 4, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0, 0, 0, 0, 0, 0)),
		"no such page": appendPage(huge, pageHead{encoding: 77, values: 1, raw: 6}, appendLevels(nil, []byte{2, 1})),
		"endless index": appendPage(huge, pageHead{encoding: 8, values: 1, raw: 7}, append(appendLevels(nil, []byte{2,
			1}), 33)),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			o := ReadOptions{}.filled()
			g := newGroupReader(bytes.NewReader(p), &o, &expander{}, []*node{leaf})
			g.left = 1
			g.cursors[0].begin(&chunkOf(1).MetaData, 0, int64(len(p)))
			_, _, err := g.next()
			runtime.ReadMemStats(&after)
			if kind := fault.KindOf(err); kind != fault.Corrupt {
				t.Errorf("error of kind %s: %v", kind, err)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
				t.Errorf("%d bytes were allocated", used)
			}
		})
	}
}

// mutate damages a file in some places; footers are hit as often as pages.
func mutate(r *rand.Rand, file []byte) []byte {
	file = bytes.Clone(file)
	for range 1 + r.IntN(4) {
		i := r.IntN(len(file))
		if r.IntN(2) == 0 {
			i = len(file) - 1 - r.IntN(min(len(file), 4000))
		}
		switch r.IntN(4) {
		case 0:
			file[i] ^= 1 << r.IntN(8)
		case 1:
			file[i] = byte(r.IntN(256))
		case 2:
			file[i] = 0xFF
		default:
			copy(file[i:], file[r.IntN(len(file)):][:0])
			file[i] = 0
		}
	}
	return file
}

// TestDamagedFilesNeverPanic reads some thousand damaged files, ours and foreign ones.
func TestDamagedFilesNeverPanic(t *testing.T) {
	rounds := 60
	if os.Getenv("DYNAFERRY_LONG") != "" {
		rounds = 2000
	}
	for name, file := range seeds(t) {
		r := rand.New(rand.NewPCG(1, uint64(len(file))))
		for range rounds {
			if _, err := drain(mutate(r, file), ReadOptions{PageBytesMax: 1 << 20}); err != nil &&
				fault.KindOf(err) == fault.Bug {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

func seeds(t testing.TB) map[string][]byte {
	all := map[string][]byte{"own zstd": ownFile(t, Options{PageBytes: 500}), "own none": ownFile(t,
		Options{Compression: None})}
	paths, _ := filepath.Glob("testdata/*.parquet")
	for _, path := range paths {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(path)] = file
	}
	return all
}

// FuzzReader: whatever the bytes, reading ends without panic, with a classified error, in bounded memory.
func FuzzReader(f *testing.F) {
	for _, file := range seeds(f) {
		f.Add(file, uint64(0))
	}
	f.Fuzz(func(t *testing.T, file []byte, seed uint64) {
		if seed != 0 && len(file) > 0 {
			file = mutate(rand.New(rand.NewPCG(seed, 7)), file)
		}
		if _, err := drain(file, ReadOptions{PageBytesMax: 1 << 20, BatchRows: 100}); err != nil &&
			fault.KindOf(err) == fault.Bug {
			t.Fatal(err)
		}
	})
}

// FuzzFileMeta: the durable form of metadata is read without panic, and what reads writes the same fields again.
func FuzzFileMeta(f *testing.F) {
	_, m := writeData(f, Options{RowGroupRows: 100, Bloom: []string{"pk"}}, slabs(modelSchema(), modelRows(3, 250), 50)...)
	raw, err := m.AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := new(FileMeta)
		if err := m.UnmarshalBinary(raw); err != nil {
			if kind := fault.KindOf(err); kind != fault.Corrupt && kind != fault.Unsupported {
				t.Fatalf("error of kind %s: %v", kind, err)
			}
			return
		}
		if _, err := m.AppendBinary(nil); err != nil {
			t.Fatal(err)
		}
	})
}

func chunkOf(values int64) *format.ColumnChunk {
	return &format.ColumnChunk{MetaData: format.ColumnMetaData{NumValues: values}}
}
