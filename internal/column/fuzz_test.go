package column

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/zeebo/xxh3"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/item"
)

// FuzzStats: whatever bytes with a right checksum come, decoding ends, and what it takes encodes to a fixed point.
func FuzzStats(f *testing.F) {
	var s Stats
	for _, it := range parse(f, `{"a":{"N":"1.5"},"m":{"M":{"x":{"L":[{"S":""}]}}},"s":{"NS":["1"]}}`, `{"a":{"S":""},"m":{"M":{}}}`) {
		s.Observe(it)
	}
	data, _ := s.AppendBinary(nil)
	f.Add(data[5 : len(data)-8])
	f.Fuzz(func(t *testing.T, body []byte) {
		data := append([]byte("DFCS\x01"), body...)
		data = binary.LittleEndian.AppendUint64(data, xxh3.Hash(data))
		var s Stats
		if s.UnmarshalBinary(data) != nil {
			return
		}
		once, _ := s.AppendBinary(nil)
		var again Stats
		if err := again.UnmarshalBinary(once); err != nil {
			t.Fatal(err)
		}
		if twice, _ := again.AppendBinary(nil); !bytes.Equal(once, twice) {
			t.Fatalf("%q became %q", once, twice)
		}
		s.Merge(&again)
		s.Schema(SchemaOptions{})
	})
}

// FuzzText: JSON columns and Extra are text that foreign hands may have changed. What is accepted must be what our
// tokenizer accepts, with the same value.
func FuzzText(f *testing.F) {
	for _, seed := range []string{`{"M":{"a":{"S":"\ud83d\ude00\n"},"b":{"L":[{"N":"1e3"},{"NULL":true}]}}}`, ` { "SS" : [ "a" , "b" ] } `,
		`{"B":"AAA="}`, `{"BOOL":false}`, `{"M":{"a":{"S":""},"a":{"S":""}}}`, `{"S":"\ud800"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var b item.Batch
		w := item.NewBuilder(&b)
		w.Begin(0)
		w.Name("a")
		r := textReader{src: text}
		err := r.value(w)
		if err == nil {
			err = r.end()
		}
		line := append(append([]byte(`{"a":`), text...), '}')
		want, wantErr := ddbjson.ParseItem(line)
		if err != nil {
			return // stricter is allowed, as to nesting and base64
		}
		w.Finish()
		if wantErr != nil {
			t.Fatalf("%q was taken, the tokenizer says %v", text, wantErr)
		}
		if got := b.Item(0); !item.Equal(got, want) {
			t.Fatalf("%q became %s", text, got.Raw())
		}
	})
}

// FuzzExtra: no Extra text makes assembling panic.
func FuzzExtra(f *testing.F) {
	f.Add([]byte(`{"/l/1":{"S":"x"},"/m/k":{"NULL":true},"/z":{"N":"1"},"/s/0":{"S":"y"}}`))
	f.Add([]byte(`{"/l":{"S":"x"},"/l/1":{"NULL":true}}`))
	items := parse(f, `{"l":{"L":[{"N":"1"},{"N":"2"}]},"m":{"M":{"k":{"S":"s"}}},"s":{"SS":["a","b"]}}`)
	f.Fuzz(func(t *testing.T, text []byte) {
		slabs, _ := shredCut(t, ShredOptions{}, items, func(int) bool { return false })
		extra := &slabs[0].Vectors[len(slabs[0].Vectors)-1]
		extra.Def, extra.Bytes, extra.Ends = nil, text, []uint32{uint32(len(text))}
		var b item.Batch
		if err := NewAssembler(slabs[0].Schema).Items(slabs[0], &b); err == nil && b.Len() != 1 {
			t.Fatal("no item and no error")
		}
	})
}
