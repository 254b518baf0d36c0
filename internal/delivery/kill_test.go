package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/faulty"
	"dynaferry/internal/codec/parquet"
	"dynaferry/internal/commit"
	"dynaferry/internal/item"
)

// quick makes doubt short, so that faults cost no time.
var quick = commit.Options{Deadline: 5 * time.Second, Pause: time.Millisecond}

// logOf makes a log of two groups with some entries, and a gap-free past.
func logOf(t testing.TB, entries int) *writer {
	w := newLog(t, 2)
	for i := range entries {
		w.orders(i%2, 12)
		w.cut(i % 2)
	}
	return w
}

// forms are settings whose files go through every kind of maker.
func forms() []Settings {
	const timed = "y=!{timestamp:yyyy}/d=!{timestamp:dd}/!{firehose:random-string}/"
	return []Settings{
		{Form: DynamoDBJSON, BufferBytes: 30_000},
		{Form: JSON, BufferBytes: 30_000, Prefix: timed},
		{Form: Parquet, BufferBytes: 30_000, Prefix: "status=!{partitionKeyFromQuery:status}/" + timed,
			Partition: []PartitionKey{{Name: "status", Path: []string{"status"}}}},
		{Form: CSV, Images: Both, BufferBytes: 30_000},
	}
}

// killed runs a delivery that dies at a call: what is in flight there is carried out (after) or not, and nothing later is.
func killed(t *testing.T, w *writer, dst blob.Bucket, s Settings, rule string) (calls int) {
	t.Helper()
	plan, err := faulty.Parse(rule)
	must(t, err)
	ctx, die := context.WithCancelCause(t.Context())
	defer die(nil)
	b := faulty.New(dst, plan, faulty.Options{Crash: func(faulty.Call) { die(errors.New("killed")) }})
	err = Run(ctx, w.log, b, s, Options{Once: true, Commit: quick, Interval: time.Hour, Workers: 1})
	if err != nil {
		t.Fatalf("%s: %v", rule, err)
	}
	return b.Calls()
}

// rebuilt is what the decided epochs of a delivery make where nothing ever happened: all that is durable but the epochs is
// forgotten, and each is finished once, in order.
func rebuilt(t *testing.T, w *writer, dst blob.Bucket, name string) (b blob.Bucket) {
	t.Helper()
	b = newMemory()
	from, to := newLedger(dst, "", name), newLedger(b, "", name)
	last, err := from.last(t.Context())
	must(t, err)
	for n := uint64(1); last != nil && n <= last.N; n++ {
		body, _, err := blob.ReadAll(t.Context(), dst, from.epochName(n), 1<<20)
		must(t, err)
		_, err = b.Put(t.Context(), to.epochName(n), body, blob.PutOptions{})
		must(t, err)
		e, err := to.epoch(t.Context(), n)
		must(t, err)
		done, err := to.finishEpoch(t.Context(), w.log, e, &Options{Workers: 2})
		must(t, err)
		there, err := from.done(t.Context(), n)
		must(t, err)
		if got, want := fmt.Sprint(*there), fmt.Sprint(*done); got != want {
			t.Errorf("epoch %d is done as %s; rebuilt it is %s", n, got, want)
		}
	}
	return b
}

// TestKilledAnywhere: whatever call of the store a process dies at, before or after it, and another goes on: the files are those
// that the decided epochs make undisturbed, byte for byte, each record of the log is in them once, and before that nothing is
// visible that will not be there in the end.
func TestKilledAnywhere(t *testing.T) {
	w := logOf(t, 6)
	for _, s := range forms() {
		t.Run(string(s.Form), func(t *testing.T) {
			calls := killed(t, w, newMemory(), s, "call#100000: crash before")
			step := 1
			if testing.Short() && os.Getenv("DYNAFERRY_LONG") == "" {
				step = 5
			}
			for n := 1; n <= calls; n += step {
				for _, when := range []string{"before", "after"} {
					dst := newMemory()
					rule := fmt.Sprintf("call#%d: crash %s", n, when)
					killed(t, w, dst, s, rule)
					early := objects(t, dst, false)
					killed(t, w, dst, s, "call#100000: crash before")
					got := objects(t, dst, false)
					for name := range early {
						if got[name] != early[name] {
							t.Errorf("%s: %s was visible, and is not what it was", rule, name)
						}
					}
					same(t, rule, got, objects(t, rebuilt(t, w, dst, "changes"), false))
					if n := rows(t, s, dst); n != len(w.lines) {
						t.Errorf("%s: %d rows are visible; the log has %d records", rule, n, len(w.lines))
					}
					if t.Failed() {
						t.FailNow()
					}
				}
			}
		})
	}
}

// rows counts what is visible.
func rows(t *testing.T, s Settings, b blob.Bucket) (n int) {
	t.Helper()
	for name, data := range objects(t, b, false) {
		if s.Form == Parquet {
			n += len(readParquet(t, name, data))
			continue
		}
		n += strings.Count(unpacked(t, data), "\n")
		if s.Form == CSV {
			n-- // header
		}
	}
	return n
}

// readParquet reads a file's rows by our reader, as DynamoDB JSON.
func readParquet(t *testing.T, name, data string) (items []string) {
	t.Helper()
	r, err := parquet.Open(strings.NewReader(data), int64(len(data)), parquet.ReadOptions{})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for b := new(item.Batch); ; {
		err := r.Read(b)
		if err == io.EOF {
			return items
		}
		must(t, err)
		for i := range b.Rows {
			items = append(items, string(item.AppendCanonical(nil, b.Item(i))))
		}
	}
}

// columnNames are a Parquet file's columns.
func columnNames(t *testing.T, data string) string {
	t.Helper()
	r, err := parquet.Open(strings.NewReader(data), int64(len(data)), parquet.ReadOptions{})
	must(t, err)
	var names []string
	for _, f := range r.Schema().Fields {
		names = append(names, f.Name+":"+f.Kind.String())
	}
	return fmt.Sprint(names)
}
