package outlet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dynaferry/internal/fault"
)

// moody takes requests in part, loses answers and throttles, as a seed decides.
type moody struct {
	limits Limits
	mu     sync.Mutex
	rand   *rand.Rand
	got    []Record
	worst  string // a limit that a request broke
	hard   string // code of a record that is refused for good
}

func (m *moody) Limits() Limits { return m.limits }

func (m *moody) Put(ctx context.Context, stream string, records []Record) ([]Refusal, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	bytes, keys := 0, map[string]bool{}
	for _, r := range records {
		bytes += m.limits.Size(r)
		if r.Key != "" && keys[r.Key] {
			m.worst = "a key twice"
		}
		keys[r.Key] = true
	}
	if len(records) == 0 || len(records) > m.limits.Records || bytes > m.limits.Bytes {
		m.worst = fmt.Sprintf("%d records of %d bytes", len(records), bytes)
	}
	switch m.rand.IntN(10) {
	case 0:
		return nil, fault.New(fault.Unavailable, "broken before")
	case 1:
		m.got = append(m.got, records...)
		return nil, fault.New(fault.Unavailable, "lost behind")
	}
	refusals := make([]Refusal, len(records))
	for i, r := range records {
		if m.hard != "" && string(r.Data) == m.hard {
			refusals[i] = Refusal{"InvalidArgument", "never"}
		} else if m.rand.IntN(4) == 0 {
			refusals[i] = Refusal{"ProvisionedThroughputExceededException", "slow down"}
		} else {
			m.got = append(m.got, r)
		}
	}
	return refusals, nil
}

// TestSend: everything arrives, each key's records in their order, within the limits, whatever is refused or lost.
func TestSend(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			m := &moody{limits: Limits{Records: 5, Bytes: 60, Record: 30, Keys: seed%2 == 0}, rand: rand.New(rand.NewPCG(seed, 1))}
			r := rand.New(rand.NewPCG(seed, 2))
			var records []Record
			for i := range 200 {
				key := fmt.Sprint("k", r.IntN(12))
				if r.IntN(8) == 0 {
					key = ""
				}
				records = append(records, Record{key, fmt.Appendf(nil, "%s:%04d", key, i)})
			}
			records = append(records, Record{"k1", []byte(strings.Repeat("x", 31))})
			var refused []string
			err := Send(t.Context(), m, "s", slices.Values(records), Options{Lanes: 1 + int(seed%4), Refuse: func(r Record, reason string) error {
				refused = append(refused, reason)
				return nil
			}})
			if err != nil || m.worst != "" || len(refused) != 1 {
				t.Fatalf("seed %d: %v, %s, %q", seed, err, m.worst, refused)
			}
			want, got := map[string][]string{}, map[string][]string{}
			seen := map[string]bool{}
			for _, r := range records[:200] {
				want[r.Key] = append(want[r.Key], string(r.Data))
			}
			for _, r := range m.got {
				list := got[r.Key]
				if n := len(list); r.Key != "" && n > 0 && list[n-1] == string(r.Data) || r.Key == "" && seen[string(r.Data)] {
					continue // a lost answer
				}
				seen[string(r.Data)] = true
				got[r.Key] = append(list, string(r.Data))
			}
			for key := range want {
				if key == "" {
					slices.Sort(got[key])
				}
				if !slices.Equal(want[key], got[key]) {
					t.Fatalf("seed %d: of %q came %v, want %v", seed, key, got[key], want[key])
				}
			}
		})
	}
}

// TestSendGivesUp: what is refused for good ends it with the service's words, and so does a service that takes nothing.
func TestSendGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &moody{limits: Limits{Records: 5, Bytes: 60, Record: 30}, rand: rand.New(rand.NewPCG(1, 1)), hard: "bad"}
		err := Send(t.Context(), m, "s", slices.Values([]Record{{"a", []byte("good")}, {"b", []byte("bad")}}), Options{})
		if fault.KindOf(err) != fault.User || !strings.Contains(err.Error(), "never") {
			t.Errorf("%v", err)
		}
		if err := Send(t.Context(), m, "s", slices.Values([]Record{{"a", make([]byte, 31)}}), Options{}); fault.KindOf(err) != fault.Limit {
			t.Errorf("too large: %v", err)
		}
		start := time.Now()
		err = Send(t.Context(), deaf{}, "s", slices.Values([]Record{{"a", []byte("x")}}), Options{Patience: time.Minute})
		if took := time.Since(start); fault.KindOf(err) != fault.Throttled || took < time.Minute || took > 2*time.Minute {
			t.Errorf("after %v: %v", took, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := Send(ctx, deaf{}, "s", slices.Values([]Record{{"a", []byte("x")}}), Options{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

// deaf takes nothing.
type deaf struct{}

func (deaf) Limits() Limits { return Limits{Records: 1, Bytes: 10, Record: 10} }

func (deaf) Put(_ context.Context, _ string, records []Record) ([]Refusal, error) {
	return []Refusal{{"ProvisionedThroughputExceededException", "no"}}, nil
}
