package step

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
)

// TestRenameTwice: a rename and its reverse leave every item byte for byte as it was.
func TestRenameTwice(t *testing.T) {
	r := start(t, "rename a=\u00fc b=c c=b", "rename \u00fc=a b=c c=b")
	rapid.Check(t, func(t *rapid.T) {
		it := itemtest.Item().Draw(t, "item")
		b := &item.Batch{}
		rebuild(b, it)
		if _, taken := it.Get("\u00fc"); taken {
			return
		}
		want := bytes.Clone(b.Item(0).Raw())
		if err := r.Items(context.Background(), b, nil); err != nil {
			t.Fatal(err)
		}
		if got := b.Item(0).Raw(); !bytes.Equal(got, want) {
			t.Fatalf("%s\nbecame %s", want, got)
		}
	})
}

func rebuild(b *item.Batch, it item.Item) {
	w := item.NewBuilder(b)
	w.Begin(0)
	for i := 1; i < len(it.Tape); i += 1 + int(it.Tape[i+1].Skip) {
		w.RawName(it, i)
		w.Raw(it, i+1)
	}
	w.Finish()
}

// TestFastAndSlow: what is judged over the tape is judged as the expression itself would.
func TestFastAndSlow(t *testing.T) {
	values := []string{`{"N":"1"}`, `{"N":"1.0"}`, `{"N":"-2.5e1"}`, `{"N":"12345678901234567890123456789012345678"}`, `{"S":"1"}`, `{"S":""}`,
		`{"S":"gr\u00fc"}`, `{"BOOL":true}`, `{"NULL":true}`, `{"B":"AQ=="}`, `{"L":[]}`, `{"SS":["1"]}`, ""}
	literals := []string{`1`, `-25`, `1.00`, `12345678901234567890123456789012345679`, `"1"`, `"gr"`, `true`}
	operators := []string{"==", "!=", "<", "<=", ">", ">=", "startsWith"}
	rapid.Check(t, func(t *rapid.T) {
		var make func(depth int) string
		make = func(depth int) string {
			attr := rapid.SampledFrom([]string{"a", "b", `item["a"]`}).Draw(t, "attribute")
			kind := rapid.IntRange(0, 6).Draw(t, "kind")
			if depth == 0 {
				kind = min(kind, 3)
			}
			switch kind {
			case 0:
				return "has(" + attr + ")"
			case 1:
				return attr + " in [" + strings.Join(rapid.SliceOfN(rapid.SampledFrom(literals), 0, 3).Draw(t, "list"), ", ") + "]"
			case 2:
				return rapid.SampledFrom(literals).Draw(t, "literal") + " " + rapid.SampledFrom(operators[:6]).Draw(t, "operator") + " " + attr
			case 4:
				return "(" + make(depth-1) + " and " + make(depth-1) + ")"
			case 5:
				return "(" + make(depth-1) + " or " + make(depth-1) + ")"
			case 6:
				return "not (" + make(depth-1) + ")"
			}
			return attr + " " + rapid.SampledFrom(operators).Draw(t, "operator") + " " + rapid.SampledFrom(literals).Draw(t, "literal")
		}
		text := make(3)
		e, err := compile(text, 0, true)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if e.simple == nil {
			if strings.Contains(text, "startsWith 1") || strings.Contains(text, "startsWith -") || strings.Contains(text, "startsWith true") {
				return // which is never true and nobody writes
			}
			t.Fatalf("%s is not simple", text)
		}
		var members []string
		for _, name := range []string{"a", "b"} {
			if v := rapid.SampledFrom(values).Draw(t, name); v != "" {
				members = append(members, `"`+name+`":`+v)
			}
		}
		in := "{" + strings.Join(members, ",") + "}"
		it, err := ddbjson.ParseItem([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		fast, fastErr := e.simple(it)
		slow, slowErr := newEvaluator(e).of(it, &subject{Facts: &noFacts, new: it})
		if (fastErr == nil) != (slowErr == nil) || fastErr == nil && slow != fast {
			t.Fatalf("%s of %s: %v %v over the tape, %v %v by the expression", text, in, fast, fastErr, slow, slowErr)
		}
	})
}

// FuzzParse: no text breaks the parser, and what it takes parses again to the same; errors are the user's and name the step.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"rename a=b", `drop "a.b".c[] d`, "filter a > 1e3 and b in [1,2] or not has(c)", "map x={\"a\": [1..3], \"b\": #}", "add a=uuid5('x', b)",
		"mask a last=4 with=#", "hash a key=env:K", "cast a=iso else=null", "flatten * sep=_", "lookup s3://b/x.csv on=a=b take=c=d", "run timeout=1s ./x -y", "http https://h/p",
		"filter 99999999999999999999999999999999999999 == a", "map 'a b'=\"=\"", "filter let x = a; x > 1", "filter a?.b ?? c | lower()", "filter map(a, filter(#, .b == 1))[0]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse([]string{text})
		if err != nil {
			if fault.KindOf(err) != fault.User || Number(err) != 1 {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if again, err := Parse(c.Texts()); err != nil || again.Pure() != c.Pure() || !slices.Equal(again.Texts(), []string{text}) {
			t.Fatalf("%q again: %v", text, err)
		}
		if strings.HasPrefix(strings.TrimSpace(text), "run") || strings.HasPrefix(strings.TrimSpace(text), "lookup") || strings.HasPrefix(strings.TrimSpace(text), "http") {
			return
		}
		r, err := c.Start(context.Background(), testEnv)
		if err != nil {
			return
		}
		b := batchOf(t, `{"a":{"N":"1"},"b":{"S":"x"},"c":{"M":{"d":{"L":[{"N":"2"}]}}}}`)
		if err := r.Items(context.Background(), b, func(Refusal) error { return nil }); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		for _, line := range lines(b) {
			batchOf(t, line)
		}
	})
}
