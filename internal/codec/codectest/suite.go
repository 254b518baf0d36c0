package codectest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"dynaferry/internal/codec"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
)

// Codec is what a format brings to the suite.
type Codec struct {
	// Writer makes a writer for items that are all known, for formats that want to see names first.
	Writer func(w io.Writer, items []item.Item) codec.Writer
	// Reader makes a reader that hands bad records to rejects.
	Reader func(r io.Reader, rejects codec.Rejects) codec.Reader
	// Loss returns what comes back for an item; nil: the item. It must not change its argument.
	Loss func(members map[string]item.Value) map[string]item.Value
	// Skip names items that the format cannot write at all, as documented; nil: none.
	Skip func(members map[string]item.Value) bool
	// Samples are inputs with records that must be rejected.
	Samples []Sample
}

// Sample is an input with bad records in it.
type Sample struct {
	Name    string
	Input   string
	Items   []string      // what is read, as attribute maps in DynamoDB JSON
	Rejects []fault.Place // where the rejects lie: Line and Path are compared, Offset when it is not zero
	Ends    string        // text in the error that ends the stream; "": it ends with io.EOF
}

// Run runs the suite.
func Run(t *testing.T, c Codec) {
	t.Run("odd", func(t *testing.T) { c.roundTrip(t, c.corpus()) })
	t.Run("each alone", func(t *testing.T) {
		for _, members := range c.corpus() {
			c.roundTrip(t, []map[string]item.Value{members})
		}
	})
	t.Run("orders", func(t *testing.T) { c.roundTrip(t, generated(itemtest.AppendOrder, 1000)) })
	t.Run("mixed", func(t *testing.T) { c.roundTrip(t, generated(itemtest.AppendMixed, 1000)) })
	t.Run("random", c.random)
	t.Run("batch boundaries", c.boundaries)
	t.Run("empty", c.empty)
	t.Run("last record without newline", c.lastRecord)
	t.Run("batches are handed over", c.handedOver)
	t.Run("small reads", c.smallReads)
	t.Run("errors from below", c.errorsFromBelow)
	for _, s := range c.Samples {
		t.Run("rejects/"+s.Name, func(t *testing.T) { c.sample(t, s) })
	}
	t.Run("rejects stop", c.rejectsStop)
}

func generated(appendItem func([]byte, uint64, uint64) []byte, n int) []map[string]item.Value {
	all := make([]map[string]item.Value, n)
	for i := range all {
		all[i] = Parse(string(appendItem(nil, 42, uint64(i))))
	}
	return all
}

// corpus is every odd and hostile item that the format can write.
func (c Codec) corpus() []map[string]item.Value {
	var all []map[string]item.Value
	for _, raw := range append(Odd(), hostile()...) {
		members := Parse(raw)
		if c.Skip == nil || !c.Skip(members) {
			all = append(all, members)
		}
	}
	return all
}

// batches makes batches of size items each.
func batches(all []map[string]item.Value, size int) []*item.Batch {
	var made []*item.Batch
	for len(all) > 0 {
		n := min(size, len(all))
		b := &item.Batch{FirstLine: 1}
		build := item.NewBuilder(b)
		for i, members := range all[:n] {
			must(build.Item(uint32(i), members))
		}
		made = append(made, b)
		all = all[n:]
	}
	return made
}

// write encodes the items in batches of size, which are spoiled as soon as they are written.
func (c Codec) write(t testing.TB, all []map[string]item.Value, size int) []byte {
	t.Helper()
	var items []item.Item
	for _, members := range all {
		items = append(items, Make(members))
	}
	var out bytes.Buffer
	w := c.Writer(&out, items)
	for _, b := range batches(all, size) {
		if err := w.Write(b); err != nil {
			t.Fatalf("write: %v", err)
		}
		for i := range b.Src {
			b.Src[i] = 0xFF
		}
		clear(b.Tape)
	}
	if err := w.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	return out.Bytes()
}

// read decodes everything to canonical items; rejects are errors.
func (c Codec) read(t testing.TB, r io.Reader) ([][]byte, error) {
	t.Helper()
	reader := c.Reader(r, func(reject codec.Reject) error {
		return fmt.Errorf("rejected at %v: %w", reject.Place, reject.Err)
	})
	var all [][]byte
	b := &item.Batch{}
	last := int64(0)
	for {
		err := reader.Read(b)
		if err != nil {
			if b.Len() > 0 {
				t.Fatal("items beside an error")
			}
			if err == io.EOF {
				err = nil
			}
			return all, err
		}
		if b.Len() == 0 {
			t.Fatal("no items and no error")
		}
		if cap(b.Src)-len(b.Src) < item.Slack {
			t.Fatal("no slack behind Src")
		}
		for i, row := range b.Rows {
			if line := b.FirstLine + int64(row.Line); line <= last {
				t.Fatalf("item %d is at line %d, the one before at %d", i, line, last)
			} else {
				last = line
			}
			all = append(all, item.AppendCanonical(nil, b.Item(i)))
		}
	}
}

// expect is what shall come back.
func (c Codec) expect(members map[string]item.Value) []byte {
	if c.Loss != nil {
		members = c.Loss(members)
	}
	return []byte(Canonical(members))
}

func (c Codec) compare(t testing.TB, got [][]byte, all []map[string]item.Value) {
	t.Helper()
	if len(got) != len(all) {
		t.Fatalf("%d items came back of %d", len(got), len(all))
	}
	for i, members := range all {
		if want := c.expect(members); !bytes.Equal(got[i], want) {
			t.Fatalf("item %d: %s", i, describe(got[i], want))
		}
	}
}

func (c Codec) roundTrip(t testing.TB, all []map[string]item.Value) {
	t.Helper()
	encoded := c.write(t, all, 500)
	got, err := c.read(t, bytes.NewReader(encoded))
	if err != nil {
		t.Fatalf("read: %v\n%.300s", err, encoded)
	}
	c.compare(t, got, all)
}

func (c Codec) random(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var all []map[string]item.Value
		for range rapid.IntRange(1, 5).Draw(rt, "items") {
			members := drawItem(rt)
			if c.Skip == nil || !c.Skip(members) {
				all = append(all, members)
			}
		}
		if len(all) == 0 {
			return
		}
		encoded := c.write(t, all, rapid.IntRange(1, 5).Draw(rt, "batch"))
		got, err := c.read(t, bytes.NewReader(encoded))
		if err != nil {
			rt.Fatalf("read: %v\n%.300s", err, encoded)
		}
		if len(got) != len(all) {
			rt.Fatalf("%d items came back of %d\n%.300s", len(got), len(all), encoded)
		}
		for i, members := range all {
			if want := c.expect(members); !bytes.Equal(got[i], want) {
				rt.Fatalf("item %d: %s", i, describe(got[i], want))
			}
		}
	})
}

// boundaries: how items are cut into batches does not show in the bytes.
func (c Codec) boundaries(t *testing.T) {
	all := append(c.corpus(), generated(itemtest.AppendMixed, 300)...)
	want := c.write(t, all, len(all))
	for _, size := range []int{1, 7, 100} {
		if got := c.write(t, all, size); !bytes.Equal(got, want) {
			t.Fatalf("batches of %d: %s", size, describe(got, want))
		}
	}
}

func (c Codec) empty(t *testing.T) {
	written := string(c.write(t, nil, 1))
	for name, input := range map[string]string{"nothing": "", "written": written, "line feeds": "\n\n", "crlf": "\r\n"} {
		b := &item.Batch{Rows: make([]item.Row, 1), Tape: make([]item.Token, 1)}
		r := c.Reader(strings.NewReader(input), nil)
		for range 2 {
			if err := r.Read(b); err != io.EOF || b.Len() != 0 {
				t.Errorf("%s: %v with %d items", name, err, b.Len())
			}
		}
	}
	w := c.Writer(io.Discard, nil)
	if err := errors.Join(w.Write(&item.Batch{}), w.Close()); err != nil {
		t.Error(err)
	}
}

// lastRecord: a last line that lacks its end is a line like every other.
func (c Codec) lastRecord(t *testing.T) {
	all := generated(itemtest.AppendOrder, 20)
	encoded := bytes.TrimRight(c.write(t, all, 20), "\r\n")
	got, err := c.read(t, bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	c.compare(t, got, all)
}

// handedOver: a batch stays as it is while the next one is read into another, and a used one is as good as new.
func (c Codec) handedOver(t *testing.T) {
	all := generated(itemtest.AppendMixed, 500)
	r := c.Reader(bytes.NewReader(c.write(t, all, 100)), nil)
	pair := [2]*item.Batch{{}, {}}
	var before [][]byte
	var got [][]byte
	for n := 0; ; n++ {
		b := pair[n%2]
		err := r.Read(b)
		other := pair[(n+1)%2]
		for i := range other.Rows {
			if !bytes.Equal(item.AppendCanonical(nil, other.Item(i)), before[i]) {
				t.Fatal("reading into one batch changed the other")
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		before = before[:0]
		for i := range b.Rows {
			before = append(before, item.AppendCanonical(nil, b.Item(i)))
		}
		got = append(got, before...)
	}
	c.compare(t, got, all)
}

// smallReads leaves the largest items out: keeping them while pieces arrive byte by byte would cost the square of
// their size.
func (c Codec) smallReads(t *testing.T) {
	large := func(members map[string]item.Value) bool { return len(Canonical(members)) > 10_000 }
	all := slices.DeleteFunc(c.corpus(), large)
	all = append(all, generated(itemtest.AppendMixed, 20)...)
	encoded := c.write(t, all, 10)
	for name, r := range map[string]io.Reader{
		"bytes": iotest.OneByteReader(bytes.NewReader(encoded)),
		"EOF":   iotest.DataErrReader(bytes.NewReader(encoded)),
		"lent":  &lender{b: encoded, r: rand.New(rand.NewPCG(1, 1))},
	} {
		got, err := c.read(t, r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c.compare(t, got, all)
	}
}

// lender is codec.Chunks with chunks of any size, which are spoiled when they are given back.
type lender struct {
	b    []byte
	r    *rand.Rand
	last []byte
}

// Read implements io.Reader and is not to be used.
func (l *lender) Read([]byte) (int, error) { return 0, errors.New("read although chunks are lent") }

// Next implements codec.Chunks.
func (l *lender) Next(keep int) ([]byte, error) {
	chunk := make([]byte, 0, keep+100+item.Slack)
	chunk = append(chunk, l.last[len(l.last)-keep:]...)
	for i := range l.last {
		l.last[i] = 0xFF
	}
	if len(l.b) == 0 {
		l.last = chunk
		return chunk, io.EOF
	}
	n := min(len(l.b), 1+l.r.IntN(99))
	chunk = append(chunk, l.b[:n]...)
	l.b = l.b[n:]
	l.last = chunk
	return chunk, nil
}

func (c Codec) errorsFromBelow(t *testing.T) {
	encoded := c.write(t, generated(itemtest.AppendOrder, 20), 20)
	gone := fault.New(fault.Unavailable, "connection reset")
	for _, n := range []int{0, 1, len(encoded) / 2, len(encoded)} {
		r := c.Reader(io.MultiReader(bytes.NewReader(encoded[:n]), iotest.ErrReader(gone)), nil)
		var err error
		for b := (&item.Batch{}); err == nil; {
			err = r.Read(b)
		}
		if !errors.Is(err, gone) || fault.KindOf(err) != fault.Unavailable {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
	full := errors.New("disk full")
	w := c.Writer(failing{full}, nil)
	var err error
	for range 100 {
		for _, b := range batches(generated(itemtest.AppendOrder, 20), 20) {
			err = errors.Join(err, w.Write(b))
		}
	}
	if err = errors.Join(err, w.Close()); !errors.Is(err, full) {
		t.Errorf("writer: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
