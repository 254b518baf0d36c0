package ion

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"dynaferry/internal/codec"
	"dynaferry/internal/codec/codectest"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

func suite(binary bool, samples []codectest.Sample) codectest.Codec {
	return codectest.Codec{
		Writer: func(w io.Writer, _ []item.Item) codec.Writer { return NewWriter(w, WriterOptions{Binary: binary}) },
		Reader: func(r io.Reader, rejects codec.Rejects) codec.Reader {
			return NewReader(r, ReaderOptions{Rejects: rejects, BatchBytes: 10_000})
		},
		Samples: samples,
	}
}

func TestText(t *testing.T)   { codectest.Run(t, suite(false, textSamples)) }
func TestBinary(t *testing.T) { codectest.Run(t, suite(true, binarySamples)) }

const one, two = `{"a":{"N":"1"}}`, `{"b":{"N":"2"}}`

const oneLine, twoLine = "$ion_1_0 {Item:{a:1.}}\n", "$ion_1_0 {Item:{b:2.}}\n"

// inOne wraps a value into a record.
func inOne(value string) string { return "$ion_1_0 {Item:{x:" + value + "}}\n" }

// refused is a sample of a value in the middle that becomes no attribute; at is the offset of its flaw.
func refused(name, value string, at int64, path string) codectest.Sample {
	return codectest.Sample{Name: name, Input: oneLine + inOne(value) + twoLine, Items: []string{one, two},
		Rejects: []fault.Place{{Line: 2, Offset: at + int64(len(oneLine)+len("$ion_1_0 {Item:{x:")), Path: path}}}
}

var textSamples = []codectest.Sample{
	refused("float", "1e0", 0, "x"),
	refused("float in a list", "[1,{y:2.5E1}]", 6, "x[1].y"),
	refused("infinity", "-inf", 0, "x"),
	refused("nan", "nan", 0, "x"),
	refused("timestamp", "2007-02-23T12:14:33.079-08:00", 0, "x"),
	refused("year", "2007T", 0, "x"),
	refused("clob", `{{"text"}}`, 0, "x"),
	refused("long clob", "{{ '''a''' '''b''' }}", 0, "x"),
	refused("sexp", "(a+-b . [1] {c:2})", 0, "x"),
	refused("annotation", "degrees::1", 0, "x"),
	refused("quoted annotation", "'d e'::1", 0, "x"),
	refused("two annotations", "$dynamodb_SS::b::[\"x\"]", 0, "x"),
	refused("set that is a struct", "$dynamodb_SS::{}", 0, "x"),
	refused("set that is null", "$dynamodb_SS::null.list", 0, "x"),
	refused("number among strings", `$dynamodb_SS::["a",1]`, 19, "x"),
	refused("null in a set", `$dynamodb_BS::[null.blob]`, 15, "x"),
	refused("set in a set", `$dynamodb_NS::[$dynamodb_NS::[1]]`, 15, "x"),
	refused("duplicate name", `{a:1,b:2,a:3}`, 9, "x.a"),
	refused("duplicate name by quotes", `{a:1,'\x61':3}`, 5, "x.a"),
	refused("39 digits", "123456789012345678901234567890123456789", 0, "x"),
	refused("overflow", "1d126", 0, "x"),
	refused("underflow", "1d-131", 0, "x"),
	refused("hex overflow", "0x"+strings.Repeat("f", 1000), 0, "x"),
	refused("symbol zero", "$0", 0, "x"),
	refused("symbol of no table", "$10", 0, "x"),
	refused("33 levels", strings.Repeat("[", 33)+strings.Repeat("]", 33), 32, "x"+strings.Repeat("[0]", 31)),
	refused("leading zero", "01.5", 0, "x"),
	refused("leading plus", "+1", 0, "x"),
	refused("trailing underscore", "1_", 1, "x"),
	refused("two underscores", "1__0", 1, "x"),
	refused("underscore at the point", "1_.0", 1, "x"),
	refused("hex without digits", "0x", 2, "x"),
	refused("hex with an underscore", "0x_1", 2, "x"),
	refused("no exponent", "1d", 2, "x"),
	refused("letters behind a number", "12ab", 2, "x"),
	refused("invalid UTF-8", "\"a\xff\"", 2, "x"),
	refused("lone surrogate", `"\ud83dx"`, 1, "x"),
	refused("low surrogate", `"\ude00"`, 1, "x"),
	refused("surrogate of 8 digits", `"\U0000d83d"`, 1, "x"),
	refused("beyond Unicode", `"\U00110000"`, 1, "x"),
	refused("escape", `"\e"`, 1, "x"),
	refused("octal escape", `"\101"`, 1, "x"),
	refused("short escape", `"\x4"`, 1, "x"),
	refused("control character", "\"\x01\"", 1, "x"),
	refused("line feed", "\"a\nb\"", 2, "x"),
	refused("base64 without padding", "{{AAA}}", 7, "x"),
	refused("base64 with too much", "{{AAA==}}", 9, "x"),
	refused("base64 with a comment", "{{AA//*x*/==}}", 6, "x"),
	refused("no such null", "null.strings", 4, "x"),
	refused("keyword as annotation", "null::1", 4, ""),
	refused("missing value", "", 0, "x"),
	refused("missing element", "[1,,2]", 3, "x"),
	refused("two commas", "{a:1,,}", 5, "x"),
	refused("keyword as name", "{true:1}", 1, "x.true"),
	refused("number as name", "{1:1}", 1, "x"),
	refused("wrong bracket", "[1}", 2, "x"),
	{Name: "cut line", Input: oneLine + "$ion_1_0 {Item:{x:\"y\n" + twoLine, Items: []string{one, two}, Rejects: []fault.Place{{Line: 2, Path: "x"}}},
	{Name: "cut line without a marker", Input: "{Item:{a:1}}\n{Item:{x:[1,\n{Item:{b:2}}\n", Items: []string{one, two}, Rejects: []fault.Place{{Line: 2, Path: "x"}}},
	{Name: "last line cut", Input: oneLine + "$ion_1_0 {Item:{x:", Items: []string{one}, Rejects: []fault.Place{{Line: 2, Path: "x"}}},
	{Name: "comment without end", Input: oneLine + "$ion_1_0 {Item:{x:1. /* \n" + twoLine, Items: []string{one, two}, Rejects: []fault.Place{{Line: 2}}},
	{Name: "long string without end", Input: oneLine + "$ion_1_0 {Item:{x:'''a\n" + twoLine, Items: []string{one, two}, Rejects: []fault.Place{{Line: 2, Path: "x"}}},
	{Name: "no record", Input: "hello world\n" + oneLine + "\"x\"\n7\n" + twoLine, Items: []string{one, two}, Rejects: []fault.Place{{Line: 1}, {Line: 3}}},
	{Name: "bare item", Input: "{a:1.}\n" + oneLine, Items: []string{one}, Rejects: []fault.Place{{Line: 1, Offset: 1}}},
	{Name: "empty record", Input: "{}\n" + oneLine, Items: []string{one}, Rejects: []fault.Place{{Line: 1}}},
	{Name: "two items", Input: "{Item:{a:1.},Item:{b:2.}}\n" + oneLine, Items: []string{one}, Rejects: []fault.Place{{Line: 1, Offset: 13, Path: ""}}},
	{Name: "item that is none", Input: "{Item:null.struct}\n{Item:[1]}\nx::{Item:{}}\n{Item:x::{}}\n" + oneLine, Items: []string{one},
		Rejects: []fault.Place{{Line: 1}, {Line: 2}, {Line: 3}, {Line: 4}}},
	{Name: "change", Input: "$ion_1_0 {Record:{Keys:{PK:\"a\"},Metadata:{WriteTimestampMicros:1684374845117899.}}}\n" + oneLine, Items: []string{one}, Rejects: []fault.Place{{Line: 1}}},
	{Name: "two on a line", Input: "{Item:{x:1e0}} {Item:{a:1}}\n" + twoLine, Items: []string{one, two}, Rejects: []fault.Place{{Line: 1, Path: "x"}}},
	{Name: "shared symbols", Input: "$ion_1_0 $ion_symbol_table::{imports:[{name:\"$ion\"},{name:\"com.example\",version:1,max_id:3}],symbols:[\"a\"]}\n{Item:{$13:1}}\n" + oneLine,
		Items: []string{one}, Rejects: []fault.Place{{Line: 1}, {Line: 2, Path: "$13"}}},
	{Name: "symbols twice", Input: "$ion_symbol_table::{symbols:[\"a\"],symbols:[\"b\"]}\n{Item:{$10:1}}\n" + oneLine, Items: []string{one}, Rejects: []fault.Place{{Line: 1}, {Line: 2, Path: "$10"}}},
	{Name: "list", Input: "$ion_1_0\n[\n {Item:{a:1}},\n {Item:{x:2e0}},\n 7,\n {Item:{b:2}},\n]\n" + oneLine, Items: []string{one, two, one}, Rejects: []fault.Place{{Line: 4, Path: "x"}, {Line: 5}}},
	{Name: "UTF-16", Input: "\xff\xfe{\x00I\x00", Ends: "the file is UTF-16"},
	{Name: "list, broken", Input: "[{Item:{a:1}},\n{Item:{x:[}},{Item:{b:2}}]\n", Items: []string{one}, Ends: "2 at byte 25"},
	{Name: "list, cut", Input: "[{Item:{a:1}},", Items: []string{one}, Ends: "the input ends within a list"},
	{Name: "list, no comma", Input: "[{Item:{a:1}} {Item:{b:2}}]", Items: []string{one}, Ends: "no comma"},
	{Name: "list, two commas", Input: "[{Item:{a:1}},,{Item:{b:2}}]", Items: []string{one}, Ends: "missing"},
}

// hexed is bytes from hexadecimal digits, blanks anywhere, text between single quotes.
func hexed(text string) string {
	var out []byte
	digits, half, quoted := 0, 0, false
	for _, c := range []byte(text) {
		n, ok := hexDigit(c)
		switch {
		case c == '\'':
			quoted = !quoted
		case quoted:
			out = append(out, c)
		case ok:
			if half = half<<4 | n; digits%2 == 1 {
				out = append(out, byte(half))
			}
			digits++
		}
	}
	return string(out)
}

// head begins a binary stream whose symbols 10 to 14 are Item, a, b, x and $dynamodb_SS.
const head = "e00100ea ee9f 8183 de9b 87be98 84'Item' 81'a' 81'b' 81'x' 8c'$dynamodb_SS' "

const oneBinary, twoBinary = "d58a d38b 2101 ", "d58a d38c 2102 "

// between is a sample of a record between two good ones.
func between(name, record string, place fault.Place) codectest.Sample {
	start := hexed(head + oneBinary)
	place.Line, place.Offset = 2, place.Offset+int64(len(start))
	return codectest.Sample{Name: name, Input: start + hexed(record+" "+twoBinary), Items: []string{one, two}, Rejects: []fault.Place{place}}
}

// refusedBinary is a sample of a value that becomes no attribute; at is the offset of its flaw.
func refusedBinary(name, value string, at int64) codectest.Sample {
	n := len(hexed(value))
	record := fmt.Sprintf("de%02x 8a de%02x 8d %s", 0x80+n+4, 0x80+n+1, value)
	return between(name, record, fault.Place{Offset: 6 + at, Path: "x"})
}

var binarySamples = []codectest.Sample{
	refusedBinary("float", "48 3ff0000000000000", 0),
	refusedBinary("float of no bytes", "40", 0),
	refusedBinary("timestamp", "63 c0 0fd7", 0),
	refusedBinary("clob", "91'a'", 0),
	refusedBinary("sexp", "c0", 0),
	refusedBinary("annotation", "e4 81 8b 21 01", 2),
	refusedBinary("two annotations", "e4 82 8e 8b b0", 2),
	refusedBinary("set that is a struct", "e3 81 8e d0", 0),
	refusedBinary("symbol zero", "70", 0),
	refusedBinary("symbol of no table", "71 0f", 0),
	refusedBinary("negative zero int", "31 00", 0),
	refusedBinary("empty negative int", "30", 0),
	refusedBinary("bool of another length", "12", 0),
	refusedBinary("float of 3 bytes", "43 000000", 0),
	refusedBinary("short timestamp", "61 80", 0),
	refusedBinary("reserved type", "f0", 0),
	refusedBinary("marker inside", "e00100ea", 0),
	refusedBinary("null annotations", "ef", 0),
	refusedBinary("invalid UTF-8", "82 61ff", 0),
	refusedBinary("endless exponent", "52 0000", 0),
	refusedBinary("exponent out of range", "55 7f7f7fff 01", 0),
	refusedBinary("39 digits", "5e 91 80 7fffffffffffffffffffffffffffffff", 0),
	refusedBinary("annotation around padding", "e3 81 8e 00", 3),
	refusedBinary("annotation around an annotation", "e6 81 8e e3 81 8e b0", 3),
	refusedBinary("annotations without value", "e3 82 8e 8e", 0),
	refusedBinary("annotations longer than the value", "e4 81 8e b0 b0", 4),
	refusedBinary("ordered and empty", "d1 80", 0),
	between("longer than its container", "d58a d38d 82'a'", fault.Place{Offset: 4, Path: "x"}),
	between("value missing", "d48a de818d", fault.Place{Offset: 5, Path: "x"}),
	between("duplicate name", "d88a d68d 11 8b 10 8d 10", fault.Place{Offset: 7, Path: "x"}),
	between("name without text", "d48a d280 11", fault.Place{Offset: 3}),
	between("symbol unknown", "d48a d290 11", fault.Place{Offset: 3}),
	between("bare item", "d28b 11", fault.Place{Offset: 1}),
	between("string", "81'x'", fault.Place{}),
	{Name: "table with imports", Input: hexed(head+oneBinary+"ee99 8183 de95 86be92 de90 848b'com.example' 8821 03") + hexed(oneBinary),
		Items: []string{one}, Rejects: []fault.Place{{Line: 2}, {Line: 3}}},
	{Name: "cut", Input: hexed(head + oneBinary + "d58a d3"), Items: []string{one}, Ends: "the input ends within a value of 6 bytes"},
	{Name: "cut head", Input: hexed(head + oneBinary + "de"), Items: []string{one}, Ends: "goes beyond"},
	{Name: "reserved type", Input: hexed(head + oneBinary + "f0" + twoBinary), Items: []string{one}, Ends: "invalid type descriptor 0xf0"},
	{Name: "broken marker", Input: hexed(head + oneBinary + "e0010000" + twoBinary), Items: []string{one}, Ends: "broken version marker"},
	{Name: "list, broken", Input: hexed(head + "b7" + oneBinary + "82 'a'"), Items: []string{one}, Ends: "3 bytes where the list has 1 left"},
	{Name: "list, cut", Input: hexed(head + "be8c" + oneBinary), Items: []string{one}, Ends: "the input ends within a list"},
}

// readAll reads Ion to canonical items.
func readAll(input string) ([]string, error) {
	r := NewReader(strings.NewReader(input), ReaderOptions{})
	var all []string
	for b := (&item.Batch{}); ; {
		err := r.Read(b)
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		for i := range b.Rows {
			all = append(all, string(item.AppendCanonical(nil, b.Item(i))))
		}
	}
}
