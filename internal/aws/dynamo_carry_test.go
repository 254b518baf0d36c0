package aws

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/dynamo/faulty"
	"dynaferry/internal/item"
	"dynaferry/internal/local"
)

// TestCarryThroughFaults writes and reads a table through throttles, lost answers, members left over and broken replies:
// the governor, the batch writer and the scanner together lose nothing, double nothing and end.
func TestCarryThroughFaults(t *testing.T) {
	plan := `batch: random 8% throttle Provisioned
batch: random 8% unprocessed 3
batch: random 5% lost
batch: random 5% 500
batch: unprocessed key=id:poison
scan: random 10% throttle KeyRange
scan: random 10% cut
scan: random 5% corrupt`
	client, err := faulty.New(localTables(t, local.Options{}), plan, 7)
	if err != nil {
		t.Fatal(err)
	}
	keys := item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.S}}
	table, err := client.Create(t.Context(), &dynamo.Definition{Name: "carry", Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	var puts []item.Item
	var want []string
	for i := range 1500 {
		it := parsed(t, fmt.Sprintf(`{"id":{"S":"k%d"},"n":{"N":"%d"}}`, i, i))
		puts, want = append(puts, it), append(want, string(item.AppendCanonical(nil, it)))
	}
	governor := dynamo.NewGovernor(dynamo.GovernorOptions{Rate: 20000, Seed: 3})
	var wg sync.WaitGroup
	var mu sync.Mutex
	for part := range slices.Chunk(puts, 500) {
		wg.Go(func() {
			w := dynamo.NewBatchWriter(client, governor, dynamo.BatchWriterOptions{Table: "carry", Keys: keys})
			if done, err := w.Write(t.Context(), part, nil); err != nil || done.Puts != len(part) {
				t.Error(done, err)
			}
		})
	}
	wg.Wait()
	scanner := dynamo.NewScanner(client, governor, table)
	var got []string
	for segment := range 4 {
		wg.Go(func() {
			var b item.Batch
			lane := governor.Lane()
			req := dynamo.ScanRequest{Table: "carry", Segment: segment, Segments: 4, Limit: 60}
			for {
				page, err := scanner.Page(t.Context(), lane, &req, &b)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for i := range b.Len() {
					got = append(got, string(item.AppendCanonical(nil, b.Item(i))))
				}
				mu.Unlock()
				if req.Start = page.Last; page.Last == nil {
					return
				}
			}
		})
	}
	wg.Wait()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d items of %d came back", len(got), len(want))
	}
	if faults := client.Faults(); len(faults) < 5 {
		t.Errorf("the plan did too little: %v", faults)
	}
}
