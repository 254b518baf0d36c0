package ion

import (
	"bytes"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dynaferry/internal/codec"
	"dynaferry/internal/codec/codectest"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
)

// written encodes items given as DynamoDB JSON.
func written(t testing.TB, binary bool, items ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out, WriterOptions{Binary: binary})
	for _, raw := range items {
		var b item.Batch
		if err := item.NewBuilder(&b).Item(0, codectest.Parse(raw)); err != nil {
			t.Fatal(err)
		}
		if err := w.Write(&b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// book is the item of the Developer Guide's examples of exports and imports.
func book(id string) string {
	return `{"Authors":{"SS":["Author1","Author2"]},"Dimensions":{"S":"8.5 x 11.0 x 1.5"},"ISBN":{"S":"333-3333333333"},"Id":{"N":"` +
		id + `"},"InPublication":{"BOOL":false},"PageCount":{"N":"600"},"Price":{"N":"2000"},"ProductCategory":{"S":"Book"},` +
		`"Title":{"S":"Book ` + id + ` Title"}}`
}

// TestDocumented reads the examples of the Developer Guide, one item a line, over several lines, and a list of items, and
// writes the first as the guide shows it but for white space.
func TestDocumented(t *testing.T) {
	for name, ids := range map[string][]string{"export.ion": {"103"}, "lines.ion": {"103", "104"}, "import.ion": {"103", "104", "105"}} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := readAll(string(data))
		if err != nil || len(got) != len(ids) {
			t.Fatalf("%s: %q, %v", name, got, err)
		}
		for i, id := range ids {
			if want := codectest.Canonical(codectest.Parse(book(id))); got[i] != want {
				t.Errorf("%s: got %s, want %s", name, got[i], want)
			}
		}
	}
	want, err := os.ReadFile(filepath.Join("testdata", "lines.ion"))
	if err != nil {
		t.Fatal(err)
	}
	if got := written(t, false, book("103"), book("104")); got != string(want) {
		t.Errorf("wrote\n%s\nwant\n%s", got, want)
	}
}

// TestWritten is docs/formats/ion.md, "Written", one row a thought.
func TestWritten(t *testing.T) {
	for in, want := range map[string]string{
		`{"N":"0"}`: `0.`, `{"N":"-0.5"}`: `-0.5`, `{"N":"100"}`: `1d2`, `{"N":"-600"}`: `-6d2`, `{"N":"12.25"}`: `12.25`,
		`{"N":"0.000001"}`: `0.000001`, `{"N":"0.0000012"}`: `0.0000012`, `{"N":"0.0000001"}`: `1d-7`, `{"N":"-1E-130"}`: `-1d-130`,
		`{"N":"1E125"}`: `1d125`, `{"N":"12345678901234567890123456789012345678"}`: `12345678901234567890123456789012345678.`,
		`{"S":"say \"hi\" 'a' \\ \n\r\t\u0000\u0001\u007f\u001b é😀"}`: `"say \"hi\" 'a' \\ \n\r\t\0\x01` + "\x7f" + `\x1b é😀"`,
		`{"S":""}`: `""`, `{"B":""}`: `{{}}`, `{"B":"AQID"}`: `{{AQID}}`, `{"NULL":true}`: `null`, `{"BOOL":true}`: `true`,
		`{"L":[{"L":[]},{"M":{}}]}`: `[[],{}]`, `{"NS":["1","20"]}`: `$dynamodb_NS::[1.,2d1]`, `{"BS":["AA=="]}`: `$dynamodb_BS::[{{AA==}}]`,
		`{"M":{"a b":{"N":"1"}}}`: `{'a b':1.}`, `{"M":{"":{"N":"1"}}}`: `{'':1.}`, `{"M":{"null":{"N":"1"}}}`: `{'null':1.}`,
		`{"M":{"$12":{"N":"1"}}}`: `{'$12':1.}`, `{"M":{"$x1":{"N":"1"}}}`: `{$x1:1.}`, `{"M":{"9a":{"N":"1"}}}`: `{'9a':1.}`,
		`{"M":{"it's \"x\"":{"N":"1"}}}`: `{'it\'s "x"':1.}`, `{"M":{"é":{"N":"1"}}}`: `{'é':1.}`, `{"M":{"nan":{"N":"1"}}}`: `{'nan':1.}`,
	} {
		if got := written(t, false, `{"x":`+in+`}`); got != inOne(want) {
			t.Errorf("%s: wrote %s want %s", in, got, inOne(want))
		}
	}
	// The bytes of docs/formats/ion.md: the second item needs no symbol that the first had not.
	got := written(t, true, `{"s":{"SS":["é"]},"x":{"N":"-0.75"}}`, `{"x":{"N":"300"}}`)
	want := "e00100ea eeb7 8183 deb3 87beb0 84'Item' 8c'$dynamodb_SS' 8c'$dynamodb_NS' 8c'$dynamodb_BS' 81's' 81'x'" +
		"de8e 8a dc 8e e6 81 8b b3 82 c3a9 8f 52 c2 cb" + "d6 8a d4 8f 52 82 03"
	if got != hexed(want) {
		t.Errorf("wrote %x want %x", got, hexed(want))
	}
}

// TestRead is docs/formats/ion.md, "Read": what a value may look like in text.
func TestRead(t *testing.T) {
	for in, want := range map[string]string{
		"103.": `{"N":"103"}`, "6d2": `{"N":"600"}`, "-2d-3": `{"N":"-0.002"}`, "2D+3": `{"N":"2000"}`, "0": `{"N":"0"}`, "-0": `{"N":"0"}`,
		"-0.": `{"N":"0"}`, "-0.0": `{"N":"0"}`, "-0d5": `{"N":"0"}`, "0d999999": `{"N":"0"}`, "1.50": `{"N":"1.5"}`, "0.5": `{"N":"0.5"}`, "1_000.000_1": `{"N":"1000.0001"}`,
		"0xFF": `{"N":"255"}`, "-0x1_0": `{"N":"-16"}`, "0b10_1": `{"N":"5"}`, "0x0000": `{"N":"0"}`, "0xFFFFFFFFFFFFFFFFFF": `{"N":"4722366482869645213695"}`,
		"12345678901234567890123456789012345678": `{"N":"12345678901234567890123456789012345678"}`, "1." + strings.Repeat("0", 500): `{"N":"1"}`,
		"9.9999999999999999999999999999999999999d125": `{"N":"9.9999999999999999999999999999999999999E125"}`,
		"null": `{"NULL":true}`, "null.null": `{"NULL":true}`, "null.string": `{"NULL":true}`, "null.list": `{"NULL":true}`, "null.timestamp": `{"NULL":true}`,
		"true": `{"BOOL":true}`, "false": `{"BOOL":false}`, "'true'": `{"S":"true"}`, "sym": `{"S":"sym"}`, "$4": `{"S":"name"}`, "''": `{"S":""}`, "nulls": `{"S":"nulls"}`,
		`"\0\a\b\t\n\v\f\r\"\'\/\?\\"`: `{"S":"\u0000\u0007\b\t\n\u000b\f\r\"'/?\\"}`, `"\x41\xe9\u0041\U0001F600\ud83d\ude00"`: `{"S":"AéA😀😀"}`,
		"\"a\\\nb\\\r\nc\\\rd\"": `{"S":"abcd"}`, "\"tab\tvt\vff\f\"": `{"S":"tab\tvt\u000bff\f"}`, "'''a''' /* x */ '''b''' // y\n'''c'''": `{"S":"abc"}`,
		"'''a\r\nb\rc\nd'''": `{"S":"a\nb\nc\nd"}`, "'''it's \"q\" ''x'''": `{"S":"it's \"q\" ''x"}`, "'''\\\n\\r\\n'''": `{"S":"\r\n"}`, "''''''": `{"S":""}`,
		"{{ A Q\tI\nD }}": `{"B":"AQID"}`, "{{}}": `{"B":""}`, "{{AQ==}}": `{"B":"AQ=="}`, "[1,[],{},]": `{"L":[{"N":"1"},{"L":[]},{"M":{}}]}`,
		"{a:1, 'b c' : 2 , \"d\":3,'''e''' '''f''':4,}": `{"M":{"a":{"N":"1"},"b c":{"N":"2"},"d":{"N":"3"},"ef":{"N":"4"}}}`,
		"$dynamodb_SS::[\"b\",'''a''']":                 `{"SS":["a","b"]}`, "'$dynamodb_NS' :: [1.,2]": `{"NS":["1","2"]}`, "\n$dynamodb_BS // c\n:: /**/ [{{AA==}}]": `{"BS":["AA=="]}`,
		"[{t:$dynamodb_SS::[\"x\"]}]": `{"L":[{"M":{"t":{"SS":["x"]}}}]}`, "\t/* 1 */\v1 /**/ // 2\r\f": `{"N":"1"}`, "null.int ": `{"NULL":true}`, "{bool:1,int:2}": `{"M":{"bool":{"N":"1"},"int":{"N":"2"}}}`,
	} {
		want := codectest.Canonical(codectest.Parse(`{"x":` + want + `}`))
		if got, err := readAll(inOne(in)); err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%q: %q, %v, want %s", in, got, err, want)
		}
	}
}

// TestNamesTwice: whatever order names had in the records before, a record with one twice is refused and no other.
func TestNamesTwice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		names := rapid.SampledFrom([]string{"a", "b", "c", "'d e'", "a_name_of_more_than_16", "\"f\""})
		if rapid.Bool().Draw(rt, "many") {
			names = rapid.StringMatching(`k[0-9]{1,3}`)
		}
		var input strings.Builder
		var want []bool
		for range rapid.IntRange(1, 8).Draw(rt, "records") {
			seen, twice := map[string]bool{}, false
			input.WriteString("{Item:{l:[{")
			for range rapid.IntRange(0, 100).Draw(rt, "names") {
				name := names.Draw(rt, "name")
				if seen[name] && rapid.IntRange(0, 9).Draw(rt, "again") > 0 {
					continue
				}
				twice = twice || seen[name]
				seen[name] = true
				fmt.Fprintf(&input, "%s:{x:1},", name)
			}
			input.WriteString("}]}}\n")
			want = append(want, twice)
		}
		got := make([]bool, len(want))
		r := NewReader(strings.NewReader(input.String()), ReaderOptions{Rejects: func(reject codec.Reject) error {
			got[reject.Place.Line-1] = strings.Contains(reject.Err.Error(), "duplicate attribute name")
			return nil
		}})
		for b := (&item.Batch{}); r.Read(b) == nil; {
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("%v, want %v of\n%s", got, want, input.String())
		}
	})
}

// TestDecimals: the digits of binary decimals are those of the text.
func TestDecimals(t *testing.T) {
	for _, coefficient := range []string{"0", "1", "10", "120", "7", "1000000000000000000", "18446744073709551615", "9223372036854775807"} {
		for exponent := -25; exponent <= 25; exponent++ {
			for _, sign := range []string{"", "-"} {
				in := fmt.Sprintf("%s%sE%d", sign, coefficient, exponent)
				n, _ := new(big.Int).SetString(coefficient, 10)
				rep := appendVarInt(nil, exponent)
				magnitude := append([]byte{0}, n.Bytes()...)
				if sign == "-" {
					magnitude[0] = 0x80
				}
				v := &value{}
				if err := (&binaryCursor{}).decimal(v, append(rep, magnitude...)); err != nil {
					t.Fatal(err)
				}
				want, err := item.ParseNumber([]byte(in))
				got, err2 := item.ParseNumber(v.number)
				if err != nil || err2 != nil || got != want || v.normal && string(v.number) != string(want) {
					t.Errorf("%s: %s (normal %t), want %s", in, v.number, v.normal, want)
				}
			}
		}
	}
}

// TestStreams: what may stand around the records.
func TestStreams(t *testing.T) {
	for _, input := range []string{
		"{Item:{a:1}}{Item:{b:2}}", " $ion_1_0 {Item:{a:1}}\n $ion_1_0 {Item:{b:2}}\n\n\n", "\ufeff{\"Item\":{\"a\":1}}\r\n{'Item':{'b':2}}",
		"$ion_1_0\n[\n {Item:{a:1}}, // one\n {Item:{b:2}},\n]", "$ion_1_0 [] [{Item:{a:1}}] [{Item:{b:2}}]", "/* c */ {\n Item:\n{a:\n1}\n}\n// d\n{Item:{b:2}} //",
		"$ion_symbol_table::{symbols:[\"a\",\"Item\"]} {$11:{$10:1}}\n$ion_symbol_table::{imports:$ion_symbol_table,symbols:['''b''']}\n{$11:{$12:2}}",
		"$ion_1_0 '$ion_1_0' $2 $ion_symbol_table::{imports:[{name:\"$ion\",version:1},7,{}],symbols:[null,\"a\",{x:[1]},\"b\"],other:(a+b)} {Item:{$11:1}}{Item:{$13:2}}",
		"$ion_symbol_table::null.struct {Item:{a:1}} {Item:{b:2}}",
		hexed(head + oneBinary + twoBinary), hexed(head + "bd 00" + oneBinary + twoBinary), hexed(head + "00 01ff" + oneBinary + "0e8101 ff"[:6] + twoBinary),
		hexed(head + "d1 86 8a d1 83 8b 2101" + "de86 8a de83 8c 2102"), hexed(head + oneBinary + head + twoBinary), hexed(head + "da 80 02 ffff 8a d4 8b 52 80 01" + "d8 8a d6 8c 54 c1 000014"),
	} {
		got, err := readAll(input)
		if err != nil || len(got) != 2 || got[0] != one || got[1] != two {
			t.Errorf("%q: %q, %v", input, got, err)
		}
	}
	for _, input := range []string{"", "$ion_1_0", "// c", "/* */ [] ", "\ufeff", "\xe0\x01\x00\xea", "\xe0\x01\x00\xea\x00\x0e\x83abc", "\xe0\x01\x00\xea\xb0"} {
		if got, err := readAll(input); err != nil || len(got) != 0 {
			t.Errorf("%q: %q, %v", input, got, err)
		}
	}
	for _, input := range []string{oneLine + "$ion_1_1 {Item:{b:2}}\n", hexed(head + oneBinary + "e00101ea")} {
		if got, err := readAll(input); len(got) != 1 || fault.KindOf(err) != fault.Unsupported || !strings.Contains(err.Error(), "version") {
			t.Errorf("%q: %q, %v", input, got, err)
		}
	}
}

// TestLimits: a record that is too long is passed over without being held, whatever is in it.
func TestLimits(t *testing.T) {
	long := strings.Repeat("x", 300_000)
	for name, input := range map[string]string{
		"text": oneLine + "$ion_1_0 {Item:{x:\"" + long + "\"}}\n" + twoLine, "pretty": oneLine + "$ion_1_0 {Item:{\n" + strings.Repeat("a:1,\n", 60_000) + "}}\n  " + twoLine,
		"binary": hexed(head+oneBinary) + "\xde\x12\x27\xe3" + strings.Repeat("\x8a", 300_003) + hexed(twoBinary),
	} {
		rejects := 0
		r := NewReader(strings.NewReader(input), ReaderOptions{RecordBytesMax: 1000, Rejects: func(reject codec.Reject) error {
			if fault.KindOf(reject.Err) != fault.Limit || reject.Place.Line != 2 {
				t.Errorf("%s: %v", name, reject.Err)
			}
			rejects++
			return nil
		}})
		n := 0
		var err error
		for b := (&item.Batch{}); err == nil; n += b.Len() {
			err = r.Read(b)
		}
		if n != 2 || rejects != 1 || err != io.EOF {
			t.Errorf("%s: %d items, %d rejects, %v", name, n, rejects, err)
		}
	}
}

// TestSymbolTables: the writer's table begins anew before it has more than it may, and the reader follows.
func TestSymbolTables(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &binaryEncoder{}
		w.reset()
		out := bytes.Clone(versionMarker)
		var want []string
		for i := range rapid.IntRange(1, 30).Draw(rt, "items") {
			w.bytes += rapid.SampledFrom([]int{0, 0, 0, writtenSymbolBytesMax}).Draw(rt, "symbols")
			it := itemtest.Must(itemtest.Arbitrary(1, uint64(i)))
			out = w.append(out, it)
			want = append(want, string(item.AppendCanonical(nil, it)))
		}
		got, err := readAll(string(out))
		if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
			rt.Fatalf("%v", err)
		}
	})
}

// FuzzReader: whatever the bytes, reading ends without panic, with classified errors, in bounded memory; and what was read
// comes back equal from both forms.
func FuzzReader(f *testing.F) {
	for _, s := range append(textSamples, binarySamples...) {
		f.Add([]byte(s.Input))
	}
	for _, raw := range codectest.Odd() {
		if len(raw) < 10_000 {
			f.Add([]byte(written(f, false, raw)))
			f.Add([]byte(written(f, true, raw)))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		items := fuzzRead(t, data)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20+200*uint64(len(data)) {
			t.Fatalf("%d bytes allocated for %d", grown, len(data))
		}
		for _, binary := range []bool{false, true} {
			var out bytes.Buffer
			w := NewWriter(&out, WriterOptions{Binary: binary})
			for _, it := range items {
				b := item.Batch{Src: it.Src, Tape: it.Tape, Rows: []item.Row{{}}}
				if err := w.Write(&b); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			again := fuzzRead(t, out.Bytes())
			if len(again) != len(items) {
				t.Fatalf("%d items of %d from %q", len(again), len(items), out.Bytes())
			}
			for i := range items {
				if !item.Equal(items[i], again[i]) {
					t.Fatalf("%s became %s", items[i].Raw(), again[i].Raw())
				}
			}
		}
	})
}

func fuzzRead(t *testing.T, data []byte) []item.Item {
	r := NewReader(bytes.NewReader(data), ReaderOptions{Rejects: func(reject codec.Reject) error {
		if fault.KindOf(reject.Err) == fault.Bug || len(reject.Raw) == 0 {
			t.Fatalf("%v", reject.Err)
		}
		return nil
	}})
	var items []item.Item
	for b := (&item.Batch{}); ; {
		err := r.Read(b)
		if err == io.EOF {
			return items
		}
		if err != nil {
			if k := fault.KindOf(err); k != fault.Corrupt && k != fault.Unsupported && k != fault.Limit {
				t.Fatalf("%v of kind %v", err, k)
			}
			return items
		}
		for i := range b.Rows {
			items = append(items, b.Item(i).Clone())
		}
	}
}
