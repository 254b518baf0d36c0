package dynamo

import (
	"context"
	"math"
	"sync"

	"dynaferry/internal/item"
)

// Pages are cut so that one costs at most this share of a second's budget: then consumption is even, and what a page of
// unexpectedly large items costs too much is small against ten seconds.
const pageSeconds = 0.1

// pageBytesMax is what the service evaluates for one page at most.
const pageBytesMax = 1 << 20

// Scanner reads scan pages through a governor with a Limit that follows the size of the items. One Scanner serves all
// segments of a table and may be used concurrently; each segment has its own lane.
type Scanner struct {
	client Client
	g      *Governor

	probe chan struct{} // held by the one page that is read before the size of items is known

	mu      sync.Mutex
	perItem float64 // bytes an item, as the last pages had them
	known   bool    // perItem was seen and not guessed
}

// probeItems are read first, by one segment alone: were all to begin with a guess, all would be wrong at once.
const probeItems = 10

// itemBytesUnknown is assumed before the first page when the table's description says nothing.
const itemBytesUnknown = 1024

// NewScanner makes a scanner. t, when known, gives the size of items to begin with.
func NewScanner(client Client, g *Governor, t *Table) *Scanner {
	s := &Scanner{client: client, g: g, perItem: itemBytesUnknown, probe: make(chan struct{}, 1)}
	if t != nil && t.Items > 0 && t.Bytes > 0 {
		s.perItem = float64(t.Bytes) / float64(t.Items)
	}
	return s
}

// Page reads the next page of a segment into b; see Client.Scan and Lane.Do. A Limit in the request is an upper bound.
func (s *Scanner) Page(ctx context.Context, lane *Lane, req *ScanRequest, b *item.Batch) (*Page, error) {
	r := *req
	if !math.IsInf(s.g.o.Rate, 1) && !s.isKnown() {
		select {
		case s.probe <- struct{}{}:
			defer func() { <-s.probe }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if !s.isKnown() && (r.Limit == 0 || r.Limit > probeItems) {
			r.Limit = probeItems
		}
	}
	limit, need := s.limit(req.Consistent)
	if limit > 0 && (r.Limit == 0 || limit < r.Limit) {
		r.Limit = limit
	}
	var page *Page
	err := lane.do(ctx, need, false, func(ctx context.Context) (float64, error) {
		var err error
		if page, err = s.client.Scan(ctx, &r, b); err != nil {
			return 0, err
		}
		return page.Units, nil
	})
	if err != nil {
		return nil, err
	}
	s.learn(page, req.Consistent)
	return page, nil
}

func (s *Scanner) isKnown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known
}

// unitBytes is what one unit reads.
func unitBytes(consistent bool) float64 {
	if consistent {
		return 4096
	}
	return 8192
}

// limit returns the Limit of the next page, 0 for a full one, and the units expected.
func (s *Scanner) limit(consistent bool) (int, float64) {
	s.mu.Lock()
	perItem := s.perItem
	s.mu.Unlock()
	full := pageBytesMax / unitBytes(consistent)
	allowed := s.g.allowed() * pageSeconds
	if math.IsInf(allowed, 1) || allowed >= full {
		return 0, full
	}
	limit := max(1, math.Floor(allowed*unitBytes(consistent)/perItem))
	if limit*perItem >= pageBytesMax {
		return 0, full
	}
	// The service rounds a page up to 4 KB.
	bytes := math.Ceil(limit*perItem/4096) * 4096
	return int(limit), bytes / unitBytes(consistent)
}

func (s *Scanner) learn(page *Page, consistent bool) {
	if page.Scanned == 0 || page.Units == 0 {
		return
	}
	perItem := page.Units * unitBytes(consistent) / float64(page.Scanned)
	s.mu.Lock()
	defer s.mu.Unlock()
	// Larger items count at once, since pages of them would overdraw; smaller ones bit by bit. The first page decides
	// alone.
	if s.known && perItem < s.perItem {
		perItem = s.perItem + 0.2*(perItem-s.perItem)
	}
	if s.known {
		perItem = min(perItem, 8*s.perItem)
	}
	s.perItem, s.known = max(1, perItem), true
}

// allowed is the rate at this moment.
func (g *Governor) allowed() float64 { return g.Stats().Rate }
