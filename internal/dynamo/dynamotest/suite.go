package dynamotest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// Options say how a counterpart differs from the service.
type Options struct {
	// NoCapacity: consumed units are not those of the service.
	NoCapacity bool
	// NoBatchUnits: only those of batches are not (DynamoDB Local counts one more for a delete).
	NoBatchUnits bool
	// NoSegments: items of a parallel scan are not spread, or not by partition key.
	NoSegments bool
	// Bucket is one that the counterpart can export into and import from; "" leaves out the part "native".
	Bucket string
}

// Run runs the whole suite; open gives a client, the same or a new one, for each part.
func Run(t *testing.T, open func(t *testing.T) dynamo.Client, o Options) {
	for name, part := range map[string]func(*testing.T, *table){
		"describe": describe, "batch": batch, "segments": segments, "paging": paging, "get": get, "write": write,
		"filter": filter, "capacity": capacity, "errors": refusals, "types": everyType, "concurrent": concurrent,
		"native": native, "control": control, "stream": stream,
	} {
		t.Run(name, func(t *testing.T) { part(t, &table{client: open(t), o: o}) })
	}
}

// table is one part's client and the tables it made.
type table struct {
	client dynamo.Client
	o      Options
	name   string
}

// Keys are the keys of the suite's tables.
var keys = item.KeySchema{Hash: item.KeyAttr{Name: "pk", Type: item.S}, Range: item.KeyAttr{Name: "sk", Type: item.N}}

// create makes a table for the part and removes it afterwards.
func (tb *table) create(t *testing.T, def dynamo.Definition) *dynamo.Table {
	t.Helper()
	var b [6]byte
	_, _ = rand.Read(b[:])
	def.Name = "suite-" + hex.EncodeToString(b[:])
	def.Version = 1
	if def.Keys.Empty() {
		def.Keys = keys
	}
	if def.BillingMode == "" {
		def.BillingMode = "PAY_PER_REQUEST"
	}
	made, err := tb.client.Create(t.Context(), &def)
	if err != nil {
		t.Fatal(err)
	}
	tb.name = def.Name
	t.Cleanup(func() {
		if err := tb.client.Delete(context.Background(), def.Name); err != nil && fault.KindOf(err) != fault.NotFound {
			t.Error(err)
		}
	})
	return made
}

// make builds an item; values are strings, ints and item.Values.
func makeItem(t *testing.T, pairs ...any) item.Item {
	t.Helper()
	members := map[string]item.Value{}
	for i := 0; i < len(pairs); i += 2 {
		var v item.Value
		switch x := pairs[i+1].(type) {
		case string:
			v = item.Value{Type: item.S, Str: x}
		case int:
			v = item.Value{Type: item.N, Str: fmt.Sprint(x)}
		case item.Value:
			v = x
		}
		members[pairs[i].(string)] = v
	}
	it, err := item.FromMap(members)
	if err != nil {
		t.Fatal(err)
	}
	return it
}

// fill writes n items with 25 a batch and returns their canonical texts.
func (tb *table) fill(t *testing.T, n int) []string {
	t.Helper()
	var want []string
	var puts []item.Item
	for i := range n {
		it := makeItem(t, "pk", fmt.Sprint("k", i%97), "sk", i, "text", strings.Repeat("x", i%300))
		want = append(want, canonical(it))
		puts = append(puts, it)
	}
	for batch := range slices.Chunk(puts, 25) {
		reply, err := tb.client.BatchWrite(t.Context(), &dynamo.BatchWriteRequest{Table: tb.name, Puts: batch})
		if err != nil || len(reply.UnprocessedPuts) > 0 {
			t.Fatal(reply, err)
		}
	}
	slices.Sort(want)
	return want
}

func canonical(it item.Item) string { return string(item.AppendCanonical(nil, it)) }

// scan reads a whole segment.
func (tb *table) scan(t *testing.T, req dynamo.ScanRequest) (items []string, pages int, units float64) {
	t.Helper()
	req.Table = tb.name
	var b item.Batch
	for {
		page, err := tb.client.Scan(t.Context(), &req, &b)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		units += page.Units
		if page.Bytes <= 0 || page.Received.IsZero() || page.Scanned < b.Len() {
			t.Errorf("page %+v with %d items", page, b.Len())
		}
		for i := range b.Len() {
			items = append(items, canonical(b.Item(i)))
		}
		if page.Last == nil {
			return items, pages, units
		}
		req.Start = page.Last
	}
}

func describe(t *testing.T, tb *table) {
	made := tb.create(t, dynamo.Definition{BillingMode: "PROVISIONED", ReadUnits: 7, WriteUnits: 5})
	got, err := tb.client.Describe(t.Context(), tb.name)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []*dynamo.Table{made, got} {
		if d.Name != tb.name || d.Status != "ACTIVE" || d.Keys != keys || !d.Provisioned || d.ReadUnits != 7 ||
			d.WriteUnits != 5 || d.ARN == "" || time.Since(d.Created).Abs() > time.Hour || !strings.Contains(string(d.Raw), `"TableName"`) {
			t.Errorf("%+v", d)
		}
		if def := d.Definition; def.Name != tb.name || def.Keys != keys || def.BillingMode != "PROVISIONED" ||
			def.ReadUnits != 7 || def.WriteUnits != 5 || def.Version != 1 {
			t.Errorf("%+v", def)
		}
	}
	def := got.Definition
	if _, err := tb.client.Create(t.Context(), &def); fault.KindOf(err) != fault.Conflict {
		t.Errorf("made twice: %v", err)
	}
	only := &table{client: tb.client}
	made = only.create(t, dynamo.Definition{Keys: item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.B}}})
	if made.Provisioned || made.ReadUnits != 0 || made.Keys.Range.Name != "" || made.Keys.Hash.Type != item.B {
		t.Errorf("%+v", made)
	}
	if err := tb.client.Delete(t.Context(), only.name); err != nil {
		t.Error(err)
	}
	if _, err := tb.client.Describe(t.Context(), only.name); fault.KindOf(err) != fault.NotFound {
		t.Errorf("after the delete: %v", err)
	}
}

func batch(t *testing.T, tb *table) {
	tb.create(t, dynamo.Definition{})
	want := tb.fill(t, 60)
	got, _, _ := tb.scan(t, dynamo.ScanRequest{Consistent: true})
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Fatalf("%d items of %d", len(got), len(want))
	}
	req := &dynamo.BatchWriteRequest{Table: tb.name, Puts: []item.Item{makeItem(t, "pk", "new", "sk", 1)}}
	for i := range 24 {
		req.Deletes = append(req.Deletes, makeItem(t, "pk", fmt.Sprint("k", i), "sk", i))
	}
	if _, err := tb.client.BatchWrite(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := tb.scan(t, dynamo.ScanRequest{Consistent: true}); len(got) != 60-24+1 {
		t.Errorf("%d items after 24 deletes and a put", len(got))
	}
}

func segments(t *testing.T, tb *table) {
	tb.create(t, dynamo.Definition{})
	want := tb.fill(t, 500)
	for _, n := range []int{1, 2, 3, 8, 64} {
		var got []string
		used := 0
		hashes := map[string]int{}
		for s := range n {
			items, _, _ := tb.scan(t, dynamo.ScanRequest{Segment: s, Segments: n, Limit: 7})
			if len(items) > 0 {
				used++
			}
			for _, it := range items {
				hash := it[strings.Index(it, `"pk"`):][:16]
				if other, ok := hashes[hash]; ok && other != s && !tb.o.NoSegments {
					t.Errorf("%s lies in segments %d and %d of %d", hash, other, s, n)
				}
				hashes[hash] = s
			}
			got = append(got, items...)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%d segments: %d items of %d", n, len(got), len(want))
		}
		if used < n/3 && !tb.o.NoSegments {
			t.Errorf("only %d of %d segments hold items", used, n)
		}
	}
}

func paging(t *testing.T, tb *table) {
	tb.create(t, dynamo.Definition{})
	want := tb.fill(t, 100)
	for _, limit := range []int{1, 33, 100, 0} {
		got, pages, _ := tb.scan(t, dynamo.ScanRequest{Limit: limit, Consistent: true})
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("limit %d: %d items of %d", limit, len(got), len(want))
		}
		if limit > 0 && pages < 100/limit {
			t.Errorf("limit %d: %d pages", limit, pages)
		}
	}
	// 1 MB ends a page whatever the limit.
	for i := range 8 {
		req := &dynamo.BatchWriteRequest{Table: tb.name, Puts: []item.Item{
			makeItem(t, "pk", "big", "sk", i, "text", strings.Repeat("y", 300<<10))}}
		if _, err := tb.client.BatchWrite(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	got, pages, _ := tb.scan(t, dynamo.ScanRequest{Consistent: true})
	if len(got) != 108 || pages < 3 {
		t.Errorf("%d items of 108 in %d pages", len(got), pages)
	}
}

func get(t *testing.T, tb *table) {
	tb.create(t, dynamo.Definition{})
	tb.fill(t, 120)
	var wanted []item.Item
	for i := range 100 {
		wanted = append(wanted, makeItem(t, "pk", fmt.Sprint("k", (i+30)%97), "sk", i+30))
	}
	var b item.Batch
	page, err := tb.client.Get(t.Context(), tb.name, wanted, &b)
	if err != nil {
		t.Fatal(err)
	}
	if b.Len() != 90 || page.Units == 0 && !tb.o.NoCapacity {
		t.Errorf("%d items of 90, %+v", b.Len(), page)
	}
	seen := map[string]bool{}
	for i := range b.Len() {
		key, err := keys.AppendKeyJSON(nil, b.Item(i))
		if err != nil {
			t.Fatal(err)
		}
		seen[string(key)] = true
	}
	if len(seen) != 90 {
		t.Errorf("%d keys", len(seen))
	}
	if _, err := tb.client.Get(t.Context(), tb.name, wanted[95:], &b); err != nil || b.Len() != 0 {
		t.Errorf("missing items: %d, %v", b.Len(), err)
	}
}

func write(t *testing.T, tb *table) {
	tb.create(t, dynamo.Definition{})
	put := func(version int, condition string, values map[string]item.Value) error {
		req := &dynamo.WriteRequest{Table: tb.name, Item: makeItem(t, "pk", "a", "sk", 1, "v", version), Condition: condition,
			Values: values}
		if strings.Contains(condition, "#pk") {
			req.Names = map[string]string{"#pk": "pk"}
		}
		_, err := tb.client.Write(t.Context(), req)
		return err
	}
	version := func(n int) map[string]item.Value {
		return map[string]item.Value{":v": {Type: item.N, Str: fmt.Sprint(n)}}
	}
	const newer = "attribute_not_exists(pk) OR v < :v"
	for i, c := range []struct {
		err  error
		want error
	}{
		{put(1, "attribute_not_exists(#pk)", nil), nil},
		{put(2, "attribute_not_exists(#pk)", nil), dynamo.ErrCondition},
		{put(5, newer, version(5)), nil},
		{put(4, newer, version(4)), dynamo.ErrCondition},
		{put(6, newer, version(6)), nil},
		{put(3, "", nil), nil},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("put %d: %v, want %v", i, c.err, c.want)
		}
	}
	key := makeItem(t, "pk", "a", "sk", 1)
	remove := func(n int) error {
		_, err := tb.client.Write(t.Context(), &dynamo.WriteRequest{Table: tb.name, Item: key, Delete: true,
			Condition: "v = :v", Values: version(n)})
		return err
	}
	if err := remove(9); !errors.Is(err, dynamo.ErrCondition) {
		t.Errorf("delete of another version: %v", err)
	}
	if err := remove(3); err != nil {
		t.Error(err)
	}
	reply, err := tb.client.Write(t.Context(), &dynamo.WriteRequest{Table: tb.name, Item: key, Delete: true})
	if err != nil || reply.Units != 1 && !tb.o.NoCapacity {
		t.Errorf("delete of nothing: %+v, %v", reply, err)
	}
	if got, _, _ := tb.scan(t, dynamo.ScanRequest{Consistent: true}); len(got) != 0 {
		t.Errorf("left over: %v", got)
	}
}

func filter(t *testing.T, tb *table) {
	tb.create(t, dynamo.Definition{})
	tb.fill(t, 100)
	got, _, _ := tb.scan(t, dynamo.ScanRequest{Consistent: true, Filter: "sk BETWEEN :low AND :high AND begins_with(#p, :k)",
		Projection: "#p, sk", Names: map[string]string{"#p": "pk"}, Values: map[string]item.Value{
			":low": {Type: item.N, Str: "10"}, ":high": {Type: item.N, Str: "14"}, ":k": {Type: item.S, Str: "k1"}}})
	slices.Sort(got)
	want := []string{`{"pk":{"S":"k10"},"sk":{"N":"10"}}`, `{"pk":{"S":"k11"},"sk":{"N":"11"}}`,
		`{"pk":{"S":"k12"},"sk":{"N":"12"}}`, `{"pk":{"S":"k13"},"sk":{"N":"13"}}`, `{"pk":{"S":"k14"},"sk":{"N":"14"}}`}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	var b item.Batch
	page, err := tb.client.Scan(t.Context(), &dynamo.ScanRequest{Table: tb.name, Filter: "attribute_exists(nope)",
		Limit: 10}, &b)
	if err != nil || page.Scanned != 10 || b.Len() != 0 || page.Last == nil {
		t.Errorf("an empty page is not the end: %+v, %d, %v", page, b.Len(), err)
	}
}
