package faulttest

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// rssMost is what no input may make the program use.
const rssMost = 256 << 20

// export is a native export in a folder, to be spoilt.
type export struct {
	t    *testing.T
	root string
	dir  string // …/AWSDynamoDB/<id>
}

func zipped(data []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(data)
	_ = w.Close()
	return out.Bytes()
}

// newExport writes an export of three files as our own export does.
func newExport(t *testing.T, root string) *export {
	t.Helper()
	from := filepath.Join(root, "from")
	for i, name := range []string{"a.json", "b.json", "c.json"} {
		write(t, filepath.Join(from, name), lines(40, shifted(uint64(i)*100)))
	}
	must(t, "convert", from, filepath.Join(root, "made"), "--format", "dynamodb-json", "--from-format", "dynamodb-json", "--key", "pk", "--task-size", "1B")
	e := &export{t: t, root: filepath.Join(root, "made")}
	// Without our own history beside it, it is any native export.
	if err := os.RemoveAll(filepath.Join(e.root, "_dynaferry")); err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(e.root, "AWSDynamoDB", "*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%q %v", found, err)
	}
	e.dir = found[0]
	return e
}

func (e *export) data(n int) string {
	found, _ := filepath.Glob(filepath.Join(e.dir, "data", "*"))
	return found[n]
}

// edit changes a file.
func (e *export) edit(name string, change func([]byte) []byte) {
	write(e.t, name, change(read(e.t, name)))
}

// relist changes manifest-files.json and makes its checksum right again.
func (e *export) relist(change func([]string) []string) {
	list := filepath.Join(e.dir, "manifest-files.json")
	e.edit(list, func(data []byte) []byte {
		return []byte(strings.Join(change(strings.Split(strings.TrimSpace(string(data)), "\n")), "\n") + "\n")
	})
	e.sum("manifest-files")
}

func (e *export) sum(stem string) {
	sum := md5.Sum(read(e.t, filepath.Join(e.dir, stem+".json")))
	write(e.t, filepath.Join(e.dir, stem+".md5"), []byte(base64.StdEncoding.EncodeToString(sum[:])))
}

// replaceFirst is strings.Replace on one line of the list.
func replaceFirst(old string, with func(value string) string) func([]string) []string {
	return func(lines []string) []string {
		at := strings.Index(lines[0], `"`+old+`":`) + len(old) + 3
		end := at + strings.IndexAny(lines[0][at:], ",}")
		lines[0] = lines[0][:at] + with(lines[0][at:end]) + lines[0][end:]
		return lines
	}
}

// TestDamagedExport spoils a native export in each way that the fault table names.
func TestDamagedExport(t *testing.T) {
	key := func(text string) func(*export) {
		return func(e *export) {
			e.relist(replaceFirst("dataFileS3Key", func(string) string { return fmt.Sprintf("%q", text) }))
		}
	}
	cases := []struct {
		name  string
		spoil func(*export)
		says  string
		code  int
	}{
		{"untouched", func(*export) {}, "", 0},
		{"gzip header", func(e *export) { e.edit(e.data(1), func(b []byte) []byte { b[1] ^= 0xff; return b }) }, "data/", 1},
		{"gzip method", func(e *export) { e.edit(e.data(1), func(b []byte) []byte { b[2] = 7; return b }) }, "data/", 1},
		{"gzip checksum", func(e *export) { e.edit(e.data(1), func(b []byte) []byte { b[len(b)-8] ^= 1; return b }) }, "data/", 1},
		{"gzip length", func(e *export) { e.edit(e.data(1), func(b []byte) []byte { b[len(b)-1] ^= 1; return b }) }, "data/", 1},
		{"gzip body", func(e *export) { e.edit(e.data(1), func(b []byte) []byte { b[len(b)/2] ^= 4; return b }) }, "data/", 1},
		{"gzip truncated", func(e *export) { e.edit(e.data(1), func(b []byte) []byte { return b[:len(b)-20] }) }, "data/", 1},
		{"gzip empty", func(e *export) { e.edit(e.data(1), func([]byte) []byte { return nil }) }, "data/", 1},
		{"gzip trailing garbage", func(e *export) { e.edit(e.data(1), func(b []byte) []byte { return append(b, "garbage"...) }) }, "data/", 1},
		{"other contents", func(e *export) { e.edit(e.data(1), func([]byte) []byte { return zipped(lines(40, shifted(5000))) }) }, "MD5", 1},
		{"wrong MD5 in the list", func(e *export) {
			e.relist(replaceFirst("md5Checksum", func(string) string { return `"AAAAAAAAAAAAAAAAAAAAAA=="` }))
		}, "MD5", 1},
		{"wrong count in the list", func(e *export) { e.relist(replaceFirst("itemCount", func(string) string { return "41" })) }, "items", 1},
		{"wrong total", func(e *export) {
			e.edit(filepath.Join(e.dir, "manifest-summary.json"), func(b []byte) []byte {
				return bytes.Replace(b, []byte(`"itemCount":120`), []byte(`"itemCount":121`), 1)
			})
			e.sum("manifest-summary")
		}, "121", 1},
		{"missing object", func(e *export) { _ = os.Remove(e.data(2)) }, "missing", 1},
		{"extra object", func(e *export) { write(e.t, filepath.Join(e.dir, "data", "extra.json.gz"), zipped(lines(1, whole))) }, "extra.json.gz", 1},
		{"missing and extra", func(e *export) { _ = os.Rename(e.data(0), filepath.Join(e.dir, "data", "zz.json.gz")) }, "zz.json.gz", 1},
		{"line twice", func(e *export) { e.relist(func(l []string) []string { return append(l, l[0]) }) }, "again", 1},
		{"line is no JSON", func(e *export) { e.relist(func(l []string) []string { return append(l, "{") }) }, "line 4", 1},
		{"negative count", func(e *export) { e.relist(replaceFirst("itemCount", func(string) string { return "-40" })) }, "itemCount", 1},
		{"no summary", func(e *export) { _ = os.Remove(filepath.Join(e.dir, "manifest-summary.json")) }, "not finished", 1},
		{"no list", func(e *export) { _ = os.Remove(filepath.Join(e.dir, "manifest-files.json")) }, "missing", 1},
		{"list changed", func(e *export) {
			e.edit(filepath.Join(e.dir, "manifest-files.json"), func(b []byte) []byte { return append(b, '\n') })
		}, "MD5", 1},
		{"summary is no JSON", func(e *export) {
			write(e.t, filepath.Join(e.dir, "manifest-summary.json"), []byte("{"))
			e.sum("manifest-summary")
		}, "summary", 1},
		{"traversal", key("../../../../../etc/passwd"), "", 1},
		{"traversal within", key("AWSDynamoDB/x/data/../../../../../etc/passwd"), "", 1},
		{"absolute", key("/etc/passwd"), "", 1},
		{"other bucket", key("s3://other-bucket/AWSDynamoDB/x/data/y.json.gz"), "", 1},
		{"NUL", key("AWSDynamoDB/x/data/a\x00.json.gz"), "", 1},
		{"backslash", key(`AWSDynamoDB\x\data\..\..\y.json.gz`), "", 1},
		{"empty key", key(""), "", 1},
		{"symbolic link", func(e *export) {
			name := e.data(0)
			outside := write(e.t, filepath.Join(filepath.Dir(e.root), "outside.json.gz"), read(e.t, name))
			_ = os.Remove(name)
			_ = os.Symlink(outside, name)
		}, "", 1},
	}
	base := scratch(t)
	for i, c := range cases {
		e := newExport(t, filepath.Join(base, fmt.Sprint(i)))
		c.spoil(e)
		dest := filepath.Join(base, fmt.Sprint(i), "dest")
		o := inside(nil, "convert", e.root, dest)
		if o.code != c.code && !(c.code == 1 && o.code == 2 && c.name == "symbolic link") || !strings.Contains(o.stderr, c.says) {
			t.Errorf("%s: want exit %d and %q: %s", c.name, c.code, c.says, o)
		}
		if c.code != 0 {
			wantNothing(t, c.name, dest)
			wantPlace(t, c.name, o)
		}
	}
	t.Logf("input: an export spoilt in %d ways", len(cases)-1)
}

// wantNothing fails when a reader of the destination would see anything.
func wantNothing(t *testing.T, name, dest string) {
	t.Helper()
	_ = filepath.WalkDir(dest, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && entry.Name() == "_dynaferry" {
			return filepath.SkipDir
		}
		if err == nil && !entry.IsDir() {
			t.Errorf("%s: %s is visible", name, path)
		}
		return nil
	})
	for _, suffix := range []string{".parquet", ".json.gz"} {
		if sight, err := look(dest, suffix, "pk"); err != nil || len(sight.files) > 0 {
			t.Errorf("%s: a pattern sees %q, %v", name, sight.files, err)
		}
	}
}

// wantPlace fails when the error does not say where.
func wantPlace(t *testing.T, name string, o *outcome) {
	t.Helper()
	last := strings.Split(strings.TrimSpace(o.stderr), "\n")
	line := last[len(last)-1]
	if !strings.Contains(line, `"type":"error"`) || !strings.Contains(line, "AWSDynamoDB") && !strings.Contains(line, `"file":"/`) {
		t.Errorf("%s: the error names no file: %s", name, line)
	}
}

// TestDamagedFile reads loose files that are damaged, and some that only look so.
func TestDamagedFile(t *testing.T) {
	dir := scratch(t)
	good := lines(50, whole)
	gz := zipped(good)
	half := bytes.IndexByte(good[len(good)/2:], '\n') + len(good)/2 + 1
	type damaged struct {
		name string
		data []byte
		args []string
		code int
		says string
	}
	cases := []damaged{
		{"a.json.gz", append(zipped(good[:half]), zipped(good[half:])...), nil, 0, ""}, // two members are one stream
		{"b.json.gz", append(append([]byte{}, gz...), make([]byte, 512)...), nil, 1, "offset"},
		{"c.json.gz", append(append([]byte{}, gz...), zipped(nil)...), nil, 0, ""},
		{"deep.json", deepItem(100_000), nil, 3, ""},
		{"deep-list.json", deepList(100_000), []string{"--from-format", "json"}, 3, ""},
	}
	for _, n := range []int{1, 9, 10, 11, len(gz) / 2, len(gz) - 9, len(gz) - 8, len(gz) - 1} {
		cases = append(cases, damaged{fmt.Sprintf("cut%d.json.gz", n), gz[:n], nil, 1, "offset"})
	}
	for i, c := range cases {
		from := write(t, filepath.Join(dir, fmt.Sprint(i), c.name), c.data)
		dest := filepath.Join(dir, fmt.Sprint(i), "dest")
		args := append([]string{"convert", from, dest}, c.args...)
		if len(c.args) == 0 {
			args = append(args, "--from-format", "dynamodb-json")
		}
		o := inside(nil, args...)
		if o.code != c.code || !strings.Contains(o.stderr, c.says) {
			t.Errorf("%s: want exit %d: %s", c.name, c.code, o)
		}
		if o.code == 1 {
			wantNothing(t, c.name, dest)
			if !strings.Contains(o.stderr, `"file":"`+from) {
				t.Errorf("%s: the error names no file: %s", c.name, o.stderr)
			}
		}
	}
	t.Logf("input: %d damaged files", len(cases))
}

func deepItem(n int) []byte {
	return []byte(`{"Item":{"pk":{"S":"deep"},"d":` + strings.Repeat(`{"L":[`, n) + `{"N":"1"}` + strings.Repeat(`]}`, n) + "}}\n" + string(lines(1, whole)))
}

func deepList(n int) []byte {
	return []byte(`{"pk":"deep","d":` + strings.Repeat(`[`, n) + `1` + strings.Repeat(`]`, n) + "}\n" + `{"pk":"flat"}` + "\n")
}

// bomb is a gzip stream of 10 GB of one byte in about 10 MB.
func bomb(fill byte, size int64) []byte {
	const chunk = 64 << 20
	plain := bytes.Repeat([]byte{fill}, chunk)
	var packed bytes.Buffer
	w, _ := flate.NewWriter(&packed, flate.BestCompression)
	_, _ = w.Write(plain)
	_ = w.Flush()
	first := packed.Len()
	_, _ = w.Write(plain)
	_ = w.Flush()
	// A block that only repeats the byte before may be repeated itself.
	head, repeat := packed.Bytes()[:first], packed.Bytes()[first:]
	out := append([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}, head...)
	sum := crc32.ChecksumIEEE(plain) // not the right one; nobody gets there
	for n := int64(chunk); n < size; n += chunk {
		out = append(out, repeat...)
	}
	out = append(out, 3, 0)
	out = binary.LittleEndian.AppendUint32(out, sum)
	return binary.LittleEndian.AppendUint32(out, uint32(size))
}

// TestBomb gives small inputs that want to be large, in a process of its own each.
func TestBomb(t *testing.T) {
	dir := scratch(t)
	size := int64(10 << 30)
	if testing.Short() {
		size = 2 << 30
	}
	zeros, blank := bomb(0, size), bomb('\n', size)
	inString := append([]byte{}, bomb('a', size)...)
	cases := []struct {
		name, form string
		data       []byte
		codes      []int
	}{
		{"zeros.json.gz", "dynamodb-json", zeros, []int{1, 3}},
		{"blank.json.gz", "dynamodb-json", blank, []int{1}},
		{"zeros-plain.json.gz", "json", zeros, []int{1, 3}},
		{"blank-plain.json.gz", "json", blank, []int{1}},
		{"letters.csv.gz", "csv", inString, []int{1, 3}},
		{"blank.csv.gz", "csv", blank, []int{1}},
		{"deep.json", "dynamodb-json", deepItem(1_000_000), []int{3}},
		{"deep-list.json", "json", deepList(5_000_000), []int{3}},
	}
	var most int64
	for i, c := range cases {
		from := write(t, filepath.Join(dir, fmt.Sprint(i), c.name), c.data)
		dest := filepath.Join(dir, fmt.Sprint(i), "dest")
		begun := time.Now()
		o := measured(t, "convert", from, dest, "--from-format", c.form, "--key", "pk")
		took := time.Since(begun)
		ok := false
		for _, code := range c.codes {
			ok = ok || o.code == code
		}
		if !ok || o.code == 1 && !strings.Contains(o.stderr, from) {
			t.Errorf("%s: want exit %d and the file's name: %s", c.name, c.codes, o)
		}
		if o.rssMax > rssMost {
			t.Errorf("%s: used %d MB", c.name, o.rssMax>>20)
		}
		if took > 20*time.Second {
			t.Errorf("%s: stopped after %v", c.name, took)
		}
		if o.code == 1 {
			wantNothing(t, c.name, dest)
		}
		most = max(most, o.rssMax)
		t.Logf("%s: exit %d, %d MB, %v", c.name, o.code, o.rssMax>>20, took.Round(10*time.Millisecond))
		_ = os.Remove(from)
	}
	t.Logf("bomb: %d small inputs of up to %d GB, %d MB at most", len(cases), size>>30, most>>20)
}

// TestLyingParquet changes bytes of Parquet files: sizes, counts, offsets, types. What is read is right or an error, and never
// takes more memory than a whole file would.
func TestLyingParquet(t *testing.T) {
	dir := scratch(t)
	from := write(t, filepath.Join(dir, "a.json"), lines(200, whole))
	made := filepath.Join(dir, "made")
	must(t, "convert", from, made, "--from-format", "dynamodb-json", "--compression", "snappy")
	found, _ := filepath.Glob(filepath.Join(made, "*.parquet"))
	good := read(t, found[0])
	want := printOf(t, world.New(), source.Spec{Address: found[0]})
	footer := len(good) - 8 - int(binary.LittleEndian.Uint32(good[len(good)-8:]))
	random := rand.New(rand.NewPCG(1, 2))
	refused, right := 0, 0
	var names []string
	for i := range count(40, 400, 5000) {
		data := bytes.Clone(good)
		at := footer + random.IntN(len(good)-footer-8)
		if i%4 == 0 {
			at = 4 + random.IntN(footer-4)
		}
		switch i % 3 {
		case 0:
			data[at] ^= 1 << random.IntN(8)
		case 1: // a size that is far too large, as a varint
			copy(data[at:min(at+5, len(good)-8)], []byte{0xfe, 0xff, 0xff, 0xff, 0x0f})
		case 2:
			data[at] = byte(random.IntN(256))
		}
		names = append(names, write(t, filepath.Join(dir, "lying", fmt.Sprintf("%05d.parquet", i)), data))
	}
	for _, name := range names {
		print, err := fingerprint(world.New(), source.Spec{Address: name})
		switch {
		case err != nil:
			refused++
		case print == want:
			right++
		default:
			// Bytes that stand for a name, a statistic or a value without checksum may differ and be valid: then nothing is wrong
			// but the contents, which the data set's fingerprint tells. That is held below.
			right++
		}
	}
	// As files of a data set with a manifest, none may come back as something else.
	wrong := 0
	for i, name := range names {
		if i >= count(20, 200, 2000) {
			break
		}
		write(t, found[0], read(t, name))
		print, err := fingerprint(world.New(), source.Spec{Address: made})
		if err == nil && print != want {
			wrong++
			t.Errorf("%s: reads as %v, not %v, and no error", name, print, want)
		}
	}
	o := measured(t, "convert", filepath.Join(dir, "lying"), filepath.Join(dir, "dest"), "--from-format", "parquet")
	if o.code == 0 || o.rssMax > rssMost {
		t.Errorf("%d MB: %s", o.rssMax>>20, o)
	}
	wantNothing(t, "lying", filepath.Join(dir, "dest"))
	t.Logf("parquet: %d changed files, %d refused, %d readable, %d read wrong from a data set; %d MB at most", len(names), refused, right, wrong, o.rssMax>>20)
}
