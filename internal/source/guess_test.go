package source

import (
	"bufio"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"dynaferry/internal/codec"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// What is DynamoDB JSON is read so, and what may be is told.
func TestGuess(t *testing.T) {
	const typed, plain = `{"id":{"S":"a"},"n":{"N":"1"},"l":{"L":[{"S":"x"}]},"z":{"NULL":true}}`, `{"id":"a","n":1}`
	wrapped := `{"Item":` + typed + `}`
	long := strings.Repeat("x", guessBytes)
	w, b := ddbjson.Wrapped, ddbjson.Bare
	for _, c := range []struct {
		name, in, form string
		want           guess
		odd            string // part of it
	}{
		{"lines of an export", wrapped + "\n" + wrapped, "", guess{dynamo: true, shape: w, lines: true}, ""},
		{"bare lines", typed + "\n" + typed, "", guess{dynamo: true, shape: b, lines: true}, ""},
		{"a mark in front", byteOrderMark + typed + "\n", "", guess{dynamo: true, shape: b, lines: true}, ""},
		{"one without its end", typed[:40], "", guess{dynamo: true, shape: b, lines: true}, ""},
		{"one longer than what is seen", `{"b":{"B":"` + long, "", guess{dynamo: true, shape: b, lines: true}, ""},
		{"pretty-printed", "{\n  \"id\": {\n    \"S\": \"a\"\n  }\n}\n", "", guess{dynamo: true, shape: b}, ""},
		{"pretty-printed and cut", "{\n \"id\": {\n  \"S\": \"a\"\n },\n \"n\": {\n  \"N\": \"1\"\n },\n \"m", "", guess{dynamo: true, shape: b}, ""},
		{"pretty-printed, as get-item does", "{\n \"Item\": {\n  \"id\": {\n   \"S\": \"a\"\n  }\n }\n}\n", "", guess{dynamo: true, shape: w}, ""},
		{"two on a line", typed + typed, "", guess{dynamo: true, shape: b}, ""},
		{"an array of items", "[" + wrapped + ",\n" + wrapped + "]", "", guess{dynamo: true, shape: w}, ""},
		{"an array, bare", "[" + typed + "]", "", guess{dynamo: true, shape: b}, ""},
		{"a reply", `{"Items":[` + typed + `,` + typed + `],"Count":2,"ScannedCount":2}`, "", guess{dynamo: true, shape: b, replies: true}, ""},
		{"a reply with other members first", `{"Count":1,"ConsumedCapacity":null,"Items":[` + typed, "", guess{dynamo: true, shape: b, replies: true}, ""},
		{"a reply of nothing", `{"Items":[],"Count":0}`, "", guess{dynamo: true, shape: b, replies: true}, ""},
		{"a first line that is broken", wrapped[:20] + "\n" + wrapped, "", guess{dynamo: true, shape: w}, ""},
		{"a bare first line that is broken", typed[:20] + "\n" + typed, "", guess{dynamo: true, shape: b}, ""},
		{"an empty item", `{"Item":{}}`, "", guess{dynamo: true, shape: w, lines: true}, ""},
		{"an attribute called Item", `{"Item":{"M":{"a":{"S":"x"}}}}`, "", guess{dynamo: true, shape: b, lines: true}, ""},
		{"an attribute called M", `{"Item":{"M":{"S":"x"}}}`, "", guess{dynamo: true, shape: w, lines: true}, ""},
		{"one of an export is wrong", wrapped + "\n" + `{"Item":{"id":1}}`, "", guess{dynamo: true, shape: w, lines: true}, ""},

		{"nothing", "", "", guess{lines: true}, ""},
		{"plain", plain + "\n" + plain, "", guess{lines: true}, ""},
		{"plain array", "[" + plain + "]", "", guess{}, ""},
		{"an empty object", "{}", "", guess{lines: true}, ""},
		{"a type of no kind of its own", `{"id":{"S":1}}`, "", guess{lines: true}, ""},
		{"a value of two types", `{"id":{"S":"a","N":"1"}}`, "", guess{lines: true}, ""},
		{"no type", `{"id":{"X":"a"}}`, "", guess{lines: true}, ""},
		{"plain records of an Item", `{"Item":{"name":"pen"}}`, "", guess{lines: true, shape: w}, "begins like DynamoDB JSON"},
		{"in part", `{"id":{"S":"a"},"n":1}`, "", guess{lines: true}, "of the first 1 records 1 look like DynamoDB JSON, in part"},
		{"some", typed + "\n" + plain + "\n" + plain, "", guess{lines: true, shape: b}, "of the first 3 records 1 look"},
		{"some wrapped, some bare", typed + "\n" + wrapped, "", guess{lines: true, shape: w}, "of the first 2 records 2 look"},
		{"a reply of an SDK that takes the types away", `{"Items":[` + plain + `],"Count":1}`, "", guess{replies: true, shape: b}, "jq -c '.Items[]'"},
		{"no reply: it has a member that none has", `{"name":"x","Items":[` + typed + `]}`, "", guess{lines: true}, ""},

		{"said, and it is", plain, DynamoDBJSON, guess{dynamo: true, shape: b, lines: true}, ""},
		{"said, a reply", `{"Items":[` + plain + `]}`, DynamoDBJSON, guess{dynamo: true, shape: b, replies: true}, ""},
	} {
		got := guessJSON([]byte(c.in), c.form)
		odd := got.odd
		got.odd = ""
		if c.want.shape == ddbjson.Wrapped && !c.want.dynamo || !c.want.dynamo { // it says nothing then
			got.shape = c.want.shape
		}
		if got != c.want || (odd != "") != (c.odd != "") || !strings.Contains(odd, c.odd) {
			t.Errorf("%s: %+v %q, want %+v", c.name, got, odd, c.want)
		}
	}
}

// However records follow each other, the same items come out, each with its line, and a bad one has its place.
func TestDynamoDBJSONInAnyShape(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"lines", "{\"id\":{\"S\":\"a\"}}\n\n{\"id\":{\"N\":\"1.0\"}}\n", `1 {"id":{"S":"a"}} 3 {"id":{"N":"1"}}`},
		{"sequence", "{\n \"id\":{\"S\":\"a\"}\n}\n{\n \"id\":{\"N\":\"1.0\"}\n}", `1 {"id":{"S":"a"}} 4 {"id":{"N":"1"}}`},
		{"array", "[\n{\"Item\":{\"id\":{\"S\":\"a\"}}},\n{\"Item\":\n{\"id\":{\"N\":\"1.0\"}}}\n]\n", `2 {"id":{"S":"a"}} 3 {"id":{"N":"1"}}`},
		{"reply", "{\"Count\": 2,\n\"Items\": [\n{\"id\":{\"S\":\"a\"}},\n{\"id\":{\"N\":\"1.0\"}}],\n\"ScannedCount\":2,\"ConsumedCapacity\":null}\n",
			`3 {"id":{"S":"a"}} 4 {"id":{"N":"1"}}`},
		{"pages", "{\"Items\":[{\"id\":{\"S\":\"a\"}}],\"NextToken\":\"x}]\"}\n{\"Items\":[]}{\"Items\":[{\"id\":{\"S\":\"b\"}}]}", `1 {"id":{"S":"a"}} 2 {"id":{"S":"b"}}`},
		{"nothing", `{"Items":[],"Count":0,"ScannedCount":0}`, ``},
		{"a bad item", "{\"Items\":[{\"id\":{\"S\":\"a\"}},\n{\"id\":{\"N\":\"x\"}},\n{\"id\":{\"S\":\"b\"}}]}", `1 {"id":{"S":"a"}} ! 2 at byte 40, attribute id 3 {"id":{"S":"b"}}`},
		{"a reply cut", `{"Items":[{"id":{"S":"a"}},{"id`, `1 {"id":{"S":"a"}} corrupt input ends within the array`},
		{"a reply cut behind", `{"Items":[{"id":{"S":"a"}}],"Count"`, `1 {"id":{"S":"a"}} corrupt input ends within the reply`},
		{"a member of no reply", `{"Items":[{"id":{"S":"a"}}],"Other":1}`, `1 {"id":{"S":"a"}} corrupt no reply of Scan or Query has a member Other`},
		{"items twice", `{"Items":[{"id":{"S":"a"}}],"Items":[]}`, `1 {"id":{"S":"a"}} corrupt Items is no array, or there are two`},
		{"more behind it", `{"Items":[{"id":{"S":"a"}}]} 7`, `1 {"id":{"S":"a"}} corrupt something other than another reply`},
		{"a comma too many", `{"Items":[{"id":{"S":"a"}}],}`, `1 {"id":{"S":"a"}} corrupt no name where a member`},
	} {
		for _, piece := range []int{1, 7, 1 << 20} {
			if got := readAllOf(t, c.in, piece); got != c.want && !(strings.Contains(c.want, "corrupt") && strings.HasPrefix(got, c.want)) {
				t.Errorf("%s: %s\nwant %s", c.name, got, c.want)
			}
		}
	}
}

// readAllOf reads a loose file and writes down its items and refusals.
func readAllOf(t *testing.T, in string, piece int) string {
	t.Helper()
	var got []string
	r, err := newReader(&pieces{in, piece}, JSON, Spec{Guess: guessVersion, Kind: KindFiles}, func(r codec.Reject) error {
		place := fault.PlaceOf(r.Err)
		place.Line, place.Offset = r.Place.Line, r.Place.Offset
		got = append(got, "! "+strings.TrimPrefix(place.String(), "line "))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for b := (&item.Batch{}); ; {
		rejected := len(got)
		err := r.Read(b)
		var items []string
		for i := range b.Rows {
			items = append(items, fmt.Sprintf("%d %s", b.FirstLine+int64(b.Rows[i].Line), item.AppendCanonical(nil, b.Item(i))))
		}
		if err == nil && len(got) > rejected { // of one batch: the refused stand between
			got = append(got[:rejected], append(items[:1], append(got[rejected:], items[1:]...)...)...)
		} else {
			got = append(got, items...)
		}
		if err == io.EOF {
			return strings.Join(got, " ")
		}
		if err != nil {
			return strings.Join(append(got, fault.KindOf(err).String(), strings.TrimPrefix(fault.Reason(err), "json: ")), " ")
		}
	}
}

// pieces is a reader that gives a few bytes at a time.
type pieces struct {
	left string
	n    int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.left == "" {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.n)], p.left)
	p.left = p.left[n:]
	return n, nil
}

// The output of a scan is one JSON object however large it is: it passes through in small batches.
func TestReplyStreams(t *testing.T) {
	const items = 20_000
	fill := strings.Repeat("x", 1_000)
	in, out := io.Pipe()
	go func() {
		w := bufio.NewWriter(out)
		fmt.Fprint(w, "{\n    \"Items\": [")
		for i := range items {
			fmt.Fprintf(w, "%s\n        {\n            \"id\": {\n                \"N\": \"%d\"\n            },\n            \"fill\": {\"S\": \"%s\"}\n        }",
				","[:min(i, 1)], i, fill)
		}
		fmt.Fprintf(w, "\n    ],\n    \"Count\": %d\n}\n", items)
		w.Flush()
		out.Close()
	}()
	r, err := newReader(in, JSON, Spec{Guess: guessVersion, Kind: KindFiles}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n, most := 0, 0
	for b := (&item.Batch{}); ; n += b.Len() {
		if err := r.Read(b); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		most = max(most, cap(b.Src))
	}
	runtime.ReadMemStats(&after)
	if n != items || most > 4<<20 {
		t.Errorf("%d items, a batch of %d bytes", n, most)
	}
	if made := after.TotalAlloc - before.TotalAlloc; made > 8<<20 {
		t.Errorf("%d bytes allocated", made)
	}
}

// A plan that was made before the rule had versions is read as it began.
func TestGuessOfOldPlans(t *testing.T) {
	const typed = `{"id":{"S":"a"}}`
	for _, c := range []struct {
		spec Spec
		form string
		in   string
		want bool
	}{
		{Spec{Kind: KindFiles}, JSON, typed, false},
		{Spec{Kind: KindFiles}, JSON, `{"Item":` + typed + `}`, true},
		{Spec{Kind: KindFiles}, DynamoDBJSON, typed, true},
		{Spec{Kind: KindFiles, Guess: guessVersion}, JSON, typed, true},
		{Spec{Kind: KindFiles, Guess: guessVersion, Form: JSON}, JSON, typed, false},
		{Spec{Kind: KindDataset, Guess: guessVersion}, JSON, `{"Item":` + typed + `}`, false},
	} {
		if got := c.spec.guess([]byte(c.in), c.form); got.dynamo != c.want {
			t.Errorf("%+v %s: %+v", c.spec, c.in, got)
		}
	}
}

func FuzzGuess(f *testing.F) {
	f.Add([]byte(`{"Items":[{"id":{"S":"a"}},{"id":{"S":`))
	f.Add([]byte("{\"Item\":{\"a\":{\"L\":[]}}}\n{"))
	f.Fuzz(func(t *testing.T, in []byte) {
		guessJSON(in, "")
		r, err := newReader(strings.NewReader(string(in)), JSON, Spec{Guess: guessVersion, Kind: KindFiles}, func(codec.Reject) error { return nil })
		if err != nil {
			return
		}
		for b, reads := (&item.Batch{}), 0; r.Read(b) == nil; reads++ {
			if reads > len(in) {
				t.Fatal("it never ends")
			}
		}
	})
}

// BenchmarkReply reads the output of a scan, pretty-printed as the AWS CLI does it. Lines of an export go through at more
// than 1 GB/s; here every byte is looked at three times, for brackets, as JSON, and as an item, at some 100 MB/s.
func BenchmarkReply(b *testing.B) {
	item1 := "\n        {\n            \"id\": {\n                \"S\": \"abc\"\n            },\n            \"fill\": {\n                \"S\": \"" + strings.Repeat("x", 500) + "\"\n            }\n        }"
	in := `{"Items": [` + strings.Repeat(item1+",", 9_999) + item1 + `],"Count":10000}`
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	batch := &item.Batch{}
	for b.Loop() {
		r, err := newReader(strings.NewReader(in), JSON, Spec{Guess: guessVersion, Kind: KindFiles}, nil)
		for ; err == nil; err = r.Read(batch) {
		}
		if err != io.EOF {
			b.Fatal(err)
		}
	}
}
