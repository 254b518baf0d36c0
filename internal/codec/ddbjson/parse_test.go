package ddbjson

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dynaferry/internal/codec"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
)

// lines parses chunk with one parser and collects what it refuses.
func lines(t testing.TB, p *Parser, shape Shape, chunk []byte) (*item.Batch, []codec.Reject) {
	t.Helper()
	b := &item.Batch{Src: item.WithSlack(chunk), FirstLine: 1}
	var refused []codec.Reject
	consumed, _, err := p.ParseLines(b, shape, true, func(r codec.Reject) error {
		r.Raw = bytes.Clone(r.Raw)
		refused = append(refused, r)
		return nil
	})
	if err != nil || consumed != len(chunk) {
		t.Fatalf("consumed %d of %d: %v", consumed, len(chunk), err)
	}
	checkTape(t, b)
	return b, refused
}

// checkTape verifies what the contract of item.Token promises about every token.
func checkTape(t testing.TB, b *item.Batch) {
	t.Helper()
	next := uint32(0)
	for i, row := range b.Rows {
		if row.First != next {
			t.Fatalf("row %d starts at token %d, want %d", i, row.First, next)
		}
		it := b.Item(i)
		if it.Tape[0].Type != item.M || int(it.Tape[0].Skip) != len(it.Tape) {
			t.Fatalf("row %d: first token %+v of %d", i, it.Tape[0], len(it.Tape))
		}
		if end := checkToken(t, it, 0); end != len(it.Tape) {
			t.Fatalf("row %d: %d of %d tokens", i, end, len(it.Tape))
		}
		next += it.Tape[0].Skip
	}
	if int(next) != len(b.Tape) {
		t.Fatalf("%d tokens belong to no row", len(b.Tape)-int(next))
	}
}

func checkToken(t testing.TB, it item.Item, i int) int {
	token := it.Tape[i]
	content := it.Src[token.Off:token.End]
	switch token.Type {
	case item.S, item.N, item.B, item.Name:
		if it.Src[token.Off-1] != '"' || it.Src[token.End] != '"' || token.Skip != 1 {
			t.Fatalf("token %+v: %q", token, content)
		}
		escaped := bytes.IndexByte(content, '\\') >= 0
		if escaped != (token.Flags&item.Escaped != 0) {
			t.Fatalf("token %+v has wrong flags for %q", token, content)
		}
		high := bytes.IndexFunc(content, func(r rune) bool { return r > 0x7f }) >= 0
		if high != (token.Flags&item.NonASCII != 0) {
			t.Fatalf("token %+v has wrong flags for %q", token, content)
		}
		if token.Type == item.N {
			normal, err := item.CheckNumber(content)
			if normal != (token.Flags&item.Normal != 0) || !escaped && err != nil {
				t.Fatalf("token %+v has wrong flags for %q", token, content)
			}
		}
		return i + 1
	case item.BOOL, item.NULL:
		if want := fmt.Sprint(token.Flags&item.True != 0 || token.Type == item.NULL); string(content) != want {
			t.Fatalf("token %+v: %q", token, content)
		}
		return i + 1
	}
	open, shut := byte('['), byte(']')
	if token.Type == item.M {
		open, shut = '{', '}'
	}
	if content[0] != open || content[len(content)-1] != shut {
		t.Fatalf("token %+v: %q", token, content)
	}
	end := i + int(token.Skip)
	for i++; i < end; {
		if token.Type == item.M {
			if it.Tape[i].Type != item.Name {
				t.Fatalf("%+v where a name is due", it.Tape[i])
			}
			i = checkToken(t, it, i)
		}
		i = checkToken(t, it, i)
	}
	return end
}

// both parses one attribute map with the checked parser and as a line with the automaton, and wants the same answer.
func both(t testing.TB, p *Parser, raw []byte) (item.Item, error) {
	t.Helper()
	slow := &item.Batch{Src: item.WithSlack(raw)}
	err := Parse(slow, 0)
	nextAgrees(t, raw)
	if bytes.IndexByte(raw, '\n') >= 0 || len(bytes.TrimSpace(raw)) == 0 {
		if err != nil {
			return item.Item{}, err
		}
		return slow.Item(0), nil
	}
	fast, refused := lines(t, p, Bare, raw)
	if (err != nil) != (len(refused) == 1) || fast.Len()+len(refused) != 1 {
		t.Fatalf("%.300q: checked %v, automaton %d items and %v", raw, err, fast.Len(), refused)
	}
	if err != nil {
		return item.Item{}, err
	}
	if !reflect.DeepEqual(slow.Tape, fast.Tape) {
		t.Fatalf("%.300q: tapes differ:\n%+v\n%+v", raw, slow.Tape, fast.Tape)
	}
	return fast.Item(0), nil
}

// nextAgrees wants that what Next takes is what Parse takes, whatever stands behind it.
func nextAgrees(t testing.TB, raw []byte) {
	t.Helper()
	for _, behind := range []string{"", "}}", ",x"} {
		src := append(bytes.Clone(raw), behind...)
		b := &item.Batch{Src: item.WithSlack(src)}
		end, ok := Next(b, 0)
		if !bytes.Equal(b.Src, src) {
			t.Fatalf("%.300q: Next changed what it read", src)
		}
		if !ok {
			if b.Len() != 0 || len(b.Tape) != 0 {
				t.Fatalf("%.300q: Next refused it and left something behind", src)
			}
			continue
		}
		slow := &item.Batch{Src: item.WithSlack(src[:end])}
		if err := Parse(slow, 0); err != nil || !reflect.DeepEqual(slow.Tape, b.Tape) {
			t.Fatalf("%.300q: Next took it up to %d, Parse says %v; tapes:\n%+v\n%+v", src, end, err, slow.Tape, b.Tape)
		}
	}
}

func TestParseHostile(t *testing.T) {
	p := &Parser{}
	for range 2 { // the second time as learnt
		for _, h := range itemtest.Hostile() {
			it, err := both(t, p, h.Raw)
			if err != nil {
				t.Errorf("%s: %v", h.Name, err)
				continue
			}
			want, err := reference(h.Raw)
			if err != nil {
				t.Fatalf("%s: %v", h.Name, err)
			}
			if got := it.Map(); !reflect.DeepEqual(got, want) {
				t.Errorf("%s:\n got %+v\nwant %+v", h.Name, got, want)
			}
			if err := item.Validate(it, &itemtest.Keys); err != nil {
				t.Errorf("%s: %v", h.Name, err)
			}
		}
	}
}

func TestParseRefused(t *testing.T) {
	p := &Parser{}
	for range 2 {
		for _, r := range itemtest.Refused() {
			it, err := both(t, p, r.Raw)
			if !r.Syntax && err == nil {
				err = item.Validate(it, &itemtest.Keys)
			} else if (err != nil) != r.Syntax {
				t.Errorf("%s: parsed with %v", r.Name, err)
			}
			if err == nil || !strings.Contains(err.Error(), r.Reason) {
				t.Errorf("%s: error %v, want %q", r.Name, err, r.Reason)
			}
		}
	}
}

func TestErrorsNameTheirPlace(t *testing.T) {
	for _, c := range []struct {
		raw, path string
		offset    int64
		kind      fault.Kind
	}{
		{`{"a":{"S":"x"},"b":{"M":{"c":{"L":[{"N":"1"},{"N":"x"}]}}}}`, "b.c[1]", 51, fault.User},
		{`{"a":{"L":[{"S":"x"},{"S":1}]}}`, "a[1]", 26, fault.Corrupt},
		{`{"a":{"SS":["x","y",3]}}`, "a[2]", 20, fault.Corrupt},
		{`{"a":{"L":[{"S":"x"},{"Q":1}]}}`, "a[1]", 22, fault.Corrupt},
		{`{"a":{"S":"x"},"a":{"S":"y"}}`, "a", 15, fault.Corrupt},
		{`{"a":{"S":"x"},"b":{"S":"y` + "\xff" + `"}}`, "b", 26, fault.Corrupt},
		{`{"a":{"M":{"b":{"B":"AAA"}}}}`, "a.b", 21, fault.Corrupt},
		{`{"a":{"BOOL":1}}`, "a", 13, fault.Corrupt},
		{`{"a":{"S":"x"}`, "a", 14, fault.Corrupt},
		{`{"a":{"S":"x","N":"1"}}`, "a", 13, fault.User},
	} {
		b := &item.Batch{Src: item.WithSlack([]byte(c.raw)), Offset: 1000}
		err := Parse(b, 0)
		place := fault.PlaceOf(err)
		if place.Path != c.path || place.Offset != c.offset+1000 || fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v: path %q, offset %d, kind %s; want %q, %d, %s",
				c.raw, err, place.Path, place.Offset, fault.KindOf(err), c.path, c.offset+1000, c.kind)
		}
		if b.Len() != 0 || len(b.Tape) != 0 {
			t.Errorf("%s left something behind", c.raw)
		}
	}
}

// The spelling of an item changes neither its values nor, of course, its identity; what the automaton has learnt
// from the items before changes nothing at all.
func TestSpelling(t *testing.T) {
	p := &Parser{}
	rapid.Check(t, func(rt *rapid.T) {
		members := itemtest.Members().Draw(rt, "members")
		want := itemtest.Must(members)
		raw := itemtest.Spelled(members).Draw(rt, "spelled")
		got, err := both(t, p, raw)
		if err != nil {
			rt.Fatalf("%s: %v", raw, err)
		}
		if !item.Equal(got, want) {
			rt.Fatalf("%s is another item than %s", raw, want.Raw())
		}
	})
}

func TestParseArbitrary(t *testing.T) {
	p := &Parser{}
	for i := range uint64(5_000) {
		members := itemtest.Arbitrary(7, i)
		it, err := both(t, p, itemtest.AppendArbitrary(nil, 7, i, i%2 == 0))
		if err != nil {
			t.Fatal(err)
		}
		if want := itemtest.Must(members); !item.Equal(it, want) {
			t.Fatalf("item %d: %s, want %s", i, it.Raw(), want.Raw())
		}
		if err := item.Validate(it, &itemtest.Keys); err != nil {
			t.Fatal(err)
		}
	}
}

// damaged is how many items TestDamage takes apart.
func damaged() int {
	if os.Getenv("DYNAFERRY_LONG") != "" {
		return 1000
	}
	return 8
}

// Damage a byte at a time: automaton, checked parser and reference must agree about every damaged line.
func TestDamage(t *testing.T) {
	p := &Parser{}
	var seed []byte
	for i := range uint64(damaged()) {
		seed = itemtest.AppendMixed(seed[:0], 3, i)
		if i%4 == 0 {
			seed = itemtest.AppendArbitrary(seed[:0], 3, i, true)
		}
		if len(seed) > 3000 {
			continue
		}
		lines(t, p, Bare, seed)
		for at := range seed {
			for _, c := range []byte{'"', '\\', '{', '}', ',', 'x', '0', ' ', 0x80, seed[at] ^ 1} {
				raw := bytes.Clone(seed)
				raw[at] = c
				agree(t, p, raw)
			}
			agree(t, p, append(bytes.Clone(seed[:at]), seed[at+1:]...))
			agree(t, p, seed[:at])
		}
	}
}

// agree wants the same answer from everybody.
func agree(t testing.TB, p *Parser, raw []byte) {
	t.Helper()
	it, err := both(t, p, raw)
	want, refErr := reference(raw)
	if (err == nil) != (refErr == nil) {
		t.Fatalf("%.500q: parser %v, reference %v", raw, err, refErr)
	}
	if err == nil && !reflect.DeepEqual(it.Map(), want) {
		t.Fatalf("%.500q: parser %+v, reference %+v", raw, it.Map(), want)
	}
}

func FuzzParse(f *testing.F) {
	for i := range uint64(8) {
		f.Add(itemtest.AppendMixed(nil, 1, i), itemtest.AppendMixed(nil, 2, i))
		f.Add(itemtest.AppendArbitrary(nil, 1, i, true), itemtest.AppendArbitrary(nil, 1, i, false))
	}
	for _, h := range itemtest.Hostile() {
		if len(h.Raw) < 400 {
			f.Add(h.Raw, h.Raw)
		}
	}
	for _, r := range itemtest.Refused() {
		if len(r.Raw) < 400 {
			f.Add([]byte(`{"pk":{"S":"k"},"a":{"S":"x"}}`), r.Raw)
		}
	}
	// The first line teaches the automaton what the second one then meets.
	f.Fuzz(func(t *testing.T, first, second []byte) {
		p := &Parser{}
		agree(t, p, first)
		agree(t, p, second)
		agree(t, p, first)
	})
}
