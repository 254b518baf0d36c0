package dynamo

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dynaferry/internal/item"
)

// heap is a table whose items have sizes of a distribution; a scan of it never ends.
type heap struct {
	Client
	mu      sync.Mutex
	r       *rand.Rand
	size    func(r *rand.Rand) int
	ledger  ledger
	largest float64
	limits  map[int]bool
}

func (h *heap) Scan(_ context.Context, req *ScanRequest, b *item.Batch) (*Page, error) {
	h.mu.Lock()
	latency := time.Duration(3+h.r.IntN(20)) * time.Millisecond
	bytes, n := 0, 0
	for bytes < pageBytesMax && (req.Limit == 0 || n < req.Limit) {
		bytes += h.size(h.r)
		n++
	}
	h.limits[req.Limit] = true
	h.mu.Unlock()
	time.Sleep(latency)
	units := math.Ceil(float64(bytes)/4096) / 2
	if req.Consistent {
		units *= 2
	}
	h.ledger.add(units)
	h.mu.Lock()
	h.largest = max(h.largest, units)
	h.mu.Unlock()
	b.Reset()
	return &Page{Scanned: n, Units: units, Last: []byte("{}")}, nil
}

// TestScanKeepsTheBudget: sixteen segments of items of any size use the budget, evenly, and never 5 % more.
func TestScanKeepsTheBudget(t *testing.T) {
	sizes := map[string]func(r *rand.Rand) int{
		"100 B":            func(*rand.Rand) int { return 100 },
		"1 KB":             func(r *rand.Rand) int { return 500 + r.IntN(1000) },
		"mixed":            func(r *rand.Rand) int { return int(100 * math.Exp(4*r.Float64())) },
		"50 KB":            func(r *rand.Rand) int { return 30000 + r.IntN(40000) },
		"one in fifty big": func(r *rand.Rand) int { return 300 + r.IntN(50)/49*100000 },
	}
	for name, size := range sizes {
		for _, rate := range []float64{200, 1000, 20000} {
			synctest.Test(t, func(t *testing.T) {
				h := &heap{r: rand.New(rand.NewPCG(5, 5)), size: size, limits: map[int]bool{}}
				g := NewGovernor(GovernorOptions{Rate: rate, Seed: 2})
				s := NewScanner(h, g, nil)
				ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
				defer cancel()
				var wg sync.WaitGroup
				for segment := range 16 {
					wg.Go(func() {
						var b item.Batch
						lane := g.Lane()
						for ctx.Err() == nil {
							_, _ = s.Page(ctx, lane, &ScanRequest{Table: "T", Segment: segment, Segments: 16}, &b)
						}
					})
				}
				wg.Wait()
				worst := h.ledger.worst(10 * time.Second)
				if worst > 10*rate*1.05 {
					t.Errorf("%s at %g units/s: %.0f units in ten seconds", name, rate, worst)
				}
				start := h.ledger.at[0]
				mean := h.ledger.between(start.Add(5*time.Second), start.Add(35*time.Second)) / 30
				if possible := 16 / 0.0125 * h.largest; mean < 0.9*min(rate, possible*0.8) {
					t.Errorf("%s at %g units/s: %.0f units/s", name, rate, mean)
				}
				// Pages stay near their share, but for the probe of ten items.
				if most := max(2*pageSeconds*rate, probeItems*70000/8192+1); h.largest > most && rate < 1280 && name != "one in fifty big" &&
					name != "mixed" {
					t.Errorf("%s at %g units/s: a page of %.0f units", name, rate, h.largest)
				}
			})
		}
	}
}

// TestScanLimits: a request's own Limit is kept, and an unlimited rate asks for whole pages.
func TestScanLimits(t *testing.T) {
	h := &heap{r: rand.New(rand.NewPCG(5, 5)), size: func(*rand.Rand) int { return 1000 }, limits: map[int]bool{}}
	s := NewScanner(h, NewGovernor(GovernorOptions{}), &Table{Items: 10, Bytes: 10000})
	lane := s.g.Lane()
	var b item.Batch
	for _, limit := range []int{0, 7} {
		if _, err := s.Page(context.Background(), lane, &ScanRequest{Limit: limit}, &b); err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(h.limits) != "map[0:true 7:true]" {
		t.Error(h.limits)
	}
}
