package dynamotest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// capacity checks the units of section "Capacity" of the service's guide on items of known size.
func capacity(t *testing.T, tb *table) {
	if tb.o.NoCapacity {
		t.Skip("the counterpart does not count as the service does")
	}
	tb.create(t, dynamo.Definition{})
	put := func(bytes int) float64 {
		it := makeItem(t, "pk", "c", "sk", 1, "x", "")
		it = makeItem(t, "pk", "c", "sk", 1, "x", strings.Repeat("x", bytes-item.Size(it)))
		reply, err := tb.client.Write(t.Context(), &dynamo.WriteRequest{Table: tb.name, Item: it})
		if err != nil {
			t.Fatal(err)
		}
		return reply.Units
	}
	for _, c := range []struct {
		bytes int
		want  float64
	}{{100, 1}, {1024, 1}, {1025, 2}, {10240, 10}, {100, 10 /* the old item counts when it is larger */}, {100, 1}} {
		if got := put(c.bytes); got != c.want {
			t.Errorf("a put of %d bytes used %g units, want %g", c.bytes, got, c.want)
		}
	}
	put(8192)
	for _, consistent := range []bool{true, false} {
		_, _, units := tb.scan(t, dynamo.ScanRequest{Consistent: consistent})
		want := 2.0
		if !consistent {
			want = 1
		}
		if units != want {
			t.Errorf("a scan of 8 KB (consistent %t) used %g units, want %g", consistent, units, want)
		}
	}
	if tb.o.NoBatchUnits {
		return
	}
	reply, err := tb.client.BatchWrite(t.Context(), &dynamo.BatchWriteRequest{Table: tb.name, Puts: []item.Item{
		makeItem(t, "pk", "d", "sk", 1), makeItem(t, "pk", "d", "sk", 2, "x", strings.Repeat("x", 2000))},
		Deletes: []item.Item{makeItem(t, "pk", "nothing", "sk", 1)}})
	if err != nil || reply.Units != 4 {
		t.Errorf("a batch of 1 + 2 + 1 units: %+v, %v", reply, err)
	}
}

// refusals checks kinds and the service's words.
func refusals(t *testing.T, tb *table) {
	tb.create(t, dynamo.Definition{})
	var b item.Batch
	scan := func(req dynamo.ScanRequest) error {
		_, err := tb.client.Scan(t.Context(), &req, &b)
		return err
	}
	write := func(puts ...item.Item) error {
		_, err := tb.client.BatchWrite(t.Context(), &dynamo.BatchWriteRequest{Table: tb.name, Puts: puts})
		return err
	}
	one := makeItem(t, "pk", "a", "sk", 1)
	for _, c := range []struct {
		name string
		err  error
		kind fault.Kind
		text string
	}{
		{"no such table", scan(dynamo.ScanRequest{Table: "no-such-table"}), fault.NotFound, "no-such-table"},
		{"a filter that is none", scan(dynamo.ScanRequest{Table: tb.name, Filter: "a = ="}), fault.User,
			`Invalid FilterExpression: Syntax error; token: "=", near: "= ="`},
		{"a reserved word", scan(dynamo.ScanRequest{Table: tb.name, Projection: "name"}), fault.User,
			"Invalid ProjectionExpression: Attribute name is a reserved keyword; reserved keyword: name"},
		{"the same key twice", write(one, one), fault.User, "Provided list of item keys contains duplicates"},
		{"no key", write(makeItem(t, "pk", "a")), fault.User, ""},
		{"a key of another type", write(makeItem(t, "pk", "a", "sk", "x")), fault.User, ""},
		{"an empty key", write(makeItem(t, "pk", "", "sk", 1)), fault.User, ""},
		{"401 KB", write(makeItem(t, "pk", "a", "sk", 1, "x", strings.Repeat("x", 401<<10))), fault.User,
			"Item size has exceeded the maximum allowed size"},
		{"26 members", write(slices.Repeat([]item.Item{one}, 26)...), fault.User, ""},
	} {
		if c.err == nil || fault.KindOf(c.err) != c.kind || !strings.Contains(c.err.Error(), c.text) {
			t.Errorf("%s: %v (%s), want %s with %q", c.name, c.err, fault.KindOf(c.err), c.kind, c.text)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tb.client.Scan(ctx, &dynamo.ScanRequest{Table: tb.name}, &b); err == nil {
		t.Error("a scan after the context's end")
	}
	if got, _, _ := tb.scan(t, dynamo.ScanRequest{Consistent: true}); len(got) != 0 {
		t.Errorf("refused members were written: %v", got)
	}
}

// everyType sends each type, odd names and odd contents through and back.
func everyType(t *testing.T, tb *table) {
	tb.create(t, dynamo.Definition{})
	s := func(text string) item.Value { return item.Value{Type: item.S, Str: text} }
	n := func(text string) item.Value { return item.Value{Type: item.N, Str: text} }
	bin := func(text string) item.Value { return item.Value{Type: item.B, Bin: []byte(text)} }
	deep := n("1")
	for range 30 {
		deep = item.Value{Type: item.L, List: []item.Value{deep}}
	}
	values := map[string]item.Value{
		"empty": s(""), "quotes": s(`"\/` + "\n\t\u2028é😀\x00"), "max": n("9.9999999999999999999999999999999999999E+125"),
		"min": n("-1E-130"), "zero": n("-0.00"), "digits": n("12345678901234567890123456789012345678"), "bin": bin("\x00\xff"),
		"empty bin": bin(""), "true": {Type: item.BOOL, Bool: true}, "false": {Type: item.BOOL}, "null": {Type: item.NULL},
		"list": {Type: item.L, List: []item.Value{s("a"), n("1.0"), {Type: item.L}, {Type: item.M}}},
		"map":  {Type: item.M, Map: map[string]item.Value{"a.b[0]": n("1"), " ": s("x")}},
		"ss":   {Type: item.SS, List: []item.Value{s("b"), s("a"), s("")}}, "ns": {Type: item.NS, List: []item.Value{n("2"), n("-1.50")}},
		"bs": {Type: item.BS, List: []item.Value{bin("x"), bin("\xff")}}, "deep": deep, "ключ \"": s("name"),
		strings.Repeat("long", 500): s("long name"),
	}
	var puts []item.Item
	var want []string
	i := 0
	for name, v := range values {
		it := makeItem(t, "pk", "types", "sk", i, "a"+name, v)
		puts, want = append(puts, it), append(want, canonical(it))
		i++
	}
	if _, err := tb.client.BatchWrite(t.Context(), &dynamo.BatchWriteRequest{Table: tb.name, Puts: puts}); err != nil {
		t.Fatal(err)
	}
	got, _, _ := tb.scan(t, dynamo.ScanRequest{Consistent: true})
	slices.Sort(got)
	slices.Sort(want)
	for i := range want {
		if i < len(got) && got[i] != want[i] {
			t.Errorf("sent %.300s\n got %.300s", want[i], got[i])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d items of %d", len(got), len(want))
	}
}

// concurrent writes and reads from many goroutines with one client.
func concurrent(t *testing.T, tb *table) {
	tb.create(t, dynamo.Definition{})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			var b item.Batch
			for i := range 10 {
				var puts []item.Item
				for j := range 25 {
					puts = append(puts, makeItem(t, "pk", fmt.Sprint("w", w), "sk", i*25+j))
				}
				if _, err := tb.client.BatchWrite(t.Context(), &dynamo.BatchWriteRequest{Table: tb.name, Puts: puts}); err != nil {
					t.Error(err)
					return
				}
				if _, err := tb.client.Scan(t.Context(), &dynamo.ScanRequest{Table: tb.name, Segment: w, Segments: 8}, &b); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got, _, _ := tb.scan(t, dynamo.ScanRequest{Consistent: true}); len(got) != 8*250 {
		t.Errorf("%d items of %d", len(got), 8*250)
	}
}
