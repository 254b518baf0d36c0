package dynamo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dynaferry/internal/fault"
)

// ledger records consumption and finds the worst window.
type ledger struct {
	mu     sync.Mutex
	at     []time.Time
	units  []float64
	misses int
}

func (l *ledger) add(units float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at, l.units = append(l.at, time.Now()), append(l.units, units)
}

// worst returns the largest sum of any window of the given length.
func (l *ledger) worst(window time.Duration) float64 {
	most, sum, first := 0.0, 0.0, 0
	for i := range l.at {
		sum += l.units[i]
		for l.at[i].Sub(l.at[first]) > window {
			sum -= l.units[first]
			first++
		}
		most = max(most, sum)
	}
	return most
}

func (l *ledger) between(from, to time.Time) float64 {
	sum := 0.0
	for i, at := range l.at {
		if !at.Before(from) && at.Before(to) {
			sum += l.units[i]
		}
	}
	return sum
}

// run keeps workers busy for a while; each call takes some milliseconds and consumes what use says.
func run(g *Governor, workers int, length time.Duration, seed uint64, use func(r *rand.Rand) (need, units float64, err error)) *ledger {
	l := &ledger{}
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(w)))
			lane := g.Lane()
			for ctx.Err() == nil {
				need, _, _ := use(r)
				_ = lane.Do(ctx, need, func(context.Context) (float64, error) {
					time.Sleep(time.Duration(2+r.IntN(30)) * time.Millisecond)
					_, units, err := use(r)
					if err == nil {
						l.add(units)
					}
					return units, err
				})
			}
		})
	}
	wg.Wait()
	return l
}

// TestBudgetHolds: over any ten seconds at most 5 % more than the budget, and at least 90 % of it used, whatever the
// calls cost against what was expected of them.
func TestBudgetHolds(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 9))
			rate := float64(50 + r.IntN(5000))
			workers := 1 + r.IntN(32)
			bias := 0.5 + r.Float64()*1.5
			g := NewGovernor(GovernorOptions{Rate: rate, Seed: seed})
			size := rate / 100
			l := run(g, workers, time.Minute, seed, func(r *rand.Rand) (float64, float64, error) {
				need := size * (0.2 + r.Float64())
				return need, need * bias * (0.8 + 0.4*r.Float64()), nil
			})
			if worst := l.worst(10 * time.Second); worst > 10*rate*1.05 {
				t.Errorf("seed %d: %.0f units in ten seconds of a budget of %.0f", seed, worst, 10*rate)
			}
			mean := l.between(l.at[0].Add(10*time.Second), l.at[0].Add(50*time.Second)) / 40
			most := float64(workers) / 0.017 * size * 0.7 * bias // what the workers can do at all
			if mean < 0.9*min(rate, 0.9*most) {
				t.Errorf("seed %d: %.0f units/s of %.0f allowed and %.0f possible", seed, mean, rate, most)
			}
		})
	}
}

func throttled(limit Limit) error {
	return &ThrottleError{Table: "T", Code: "ThrottlingException", Reasons: []Reason{{Limit: limit, Direction: Read}}}
}

// TestRecovery: a table that serves a tenth for twenty seconds and then all again is back at 90 % of the budget within
// thirty seconds of the relief, for each limit that has a reaction of its own.
func TestRecovery(t *testing.T) {
	for _, limit := range []Limit{Provisioned, KeyRange, Account, Replication} {
		for _, budget := range []float64{1000, math.Inf(1)} {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var mu sync.Mutex
				tokens, at := 0.0, start
				serve := func(units float64) bool {
					mu.Lock()
					defer mu.Unlock()
					rate := 1000.0
					if d := time.Since(start); d > 10*time.Second && d < 30*time.Second {
						rate = 100
					}
					tokens = min(tokens+time.Since(at).Seconds()*rate, rate/4)
					at = time.Now()
					if tokens < units {
						return false
					}
					tokens -= units
					return true
				}
				if !math.IsInf(budget, 1) {
					budget = 900
				}
				g := NewGovernor(GovernorOptions{Rate: budget, Seed: 7})
				late := 0
				l := busy(g, 16, 90*time.Second, func(units float64) bool {
					ok := serve(units)
					if d := time.Since(start); !ok && d > 15*time.Second && d < 30*time.Second {
						mu.Lock()
						late++
						mu.Unlock()
					}
					return ok
				}, limit)
				if (limit == Provisioned || limit == Account) && late > 60 {
					t.Errorf("%s, budget %.0f: %d throttles in fifteen seconds: the rate was not lowered", limit, budget, late)
				}
				after := l.between(start.Add(60*time.Second), start.Add(90*time.Second)) / 30
				if want := 0.9 * min(budget, 900); after < want {
					t.Errorf("%s, budget %.0f: %.0f units/s thirty seconds after the relief, want %.0f", limit, budget, after, want)
				}
				if during := l.between(start.Add(15*time.Second), start.Add(30*time.Second)) / 15; during > 105 {
					t.Errorf("%s: %.0f units/s while the table served 100", limit, during)
				}
			})
		}
	}
}

// busy keeps workers busy against a table that may throttle.
func busy(g *Governor, workers int, length time.Duration, serve func(float64) bool, limit Limit) *ledger {
	l := &ledger{}
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			lane := g.Lane()
			for ctx.Err() == nil {
				_ = lane.Do(ctx, 10, func(context.Context) (float64, error) {
					time.Sleep(10 * time.Millisecond)
					if !serve(10) {
						return 0, throttled(limit)
					}
					l.add(10)
					return 10, nil
				})
			}
		})
	}
	wg.Wait()
	return l
}

// TestHotKeyRangeSlowsItsLaneOnly: one lane is throttled forever, the others keep the whole budget.
func TestHotKeyRangeSlowsItsLaneOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGovernor(GovernorOptions{Rate: 1000, Seed: 3, RetryFor: time.Hour})
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		tries := 0
		var wg sync.WaitGroup
		wg.Go(func() {
			_ = g.Lane().Do(ctx, 10, func(context.Context) (float64, error) {
				tries++
				return 0, throttled(KeyRange)
			})
		})
		var l *ledger
		wg.Go(func() {
			l = run(g, 8, time.Minute, 3, func(*rand.Rand) (float64, float64, error) { return 5, 5, nil })
		})
		wg.Wait()
		if mean := l.between(l.at[0], l.at[0].Add(50*time.Second)) / 50; mean < 900 {
			t.Errorf("the others got %.0f of 1000 units/s", mean)
		}
		if tries < 5 || tries > 100 {
			t.Errorf("%d tries in a minute", tries)
		}
	})
}

// TestSharedLaneCools: calls that share a hot lane wait for one another's throttles.
func TestSharedLaneCools(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGovernor(GovernorOptions{Rate: 1000, Seed: 3, RetryFor: time.Hour})
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		lane, tries := g.Lane(), atomic.Int64{}
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for ctx.Err() == nil { // short calls, so that each one's own back-off is short
					first := true
					_ = lane.Do(ctx, 1, func(context.Context) (float64, error) {
						time.Sleep(time.Millisecond)
						if tries.Add(1); first {
							first = false
							return 0, throttled(KeyRange)
						}
						return 1, nil
					})
				}
			})
		}
		wg.Wait()
		if n := tries.Load(); n > 6000 {
			t.Errorf("%d tries in a minute", n)
		}
	})
}

// TestSavingsAreBounded: after a quiet time the budget holds as before.
func TestSavingsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGovernor(GovernorOptions{Rate: 1000, Seed: 3})
		time.Sleep(time.Minute)
		l := run(g, 16, 30*time.Second, 3, func(*rand.Rand) (float64, float64, error) { return 5, 5, nil })
		if worst := l.worst(10 * time.Second); worst > 10500 {
			t.Errorf("%.0f units in ten seconds", worst)
		}
	})
}

// TestOnDemandMaximumIsACeiling: the rate stays below what went through, and the user hears of the setting once.
func TestOnDemandMaximumIsACeiling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var notices []Notice
		g := NewGovernor(GovernorOptions{Rate: 1000, Seed: 3, Notify: func(n Notice) { notices = append(notices, n) }})
		tokens, at := 0.0, time.Now()
		var mu sync.Mutex
		throttles := 0
		start := time.Now()
		late := 0
		l := busy(g, 8, time.Minute, func(units float64) bool {
			mu.Lock()
			defer mu.Unlock()
			tokens = min(tokens+time.Since(at).Seconds()*300, 75)
			at = time.Now()
			if tokens < units {
				if throttles++; time.Since(start) > 30*time.Second {
					late++
				}
				return false
			}
			tokens -= units
			return true
		}, MaxOnDemand)
		if len(notices) != 1 || notices[0].Limit != MaxOnDemand || notices[0].Hint == "" {
			t.Errorf("notices %v", notices)
		}
		if late > 5 {
			t.Errorf("%d throttles in the second half minute", late)
		}
		if mean := l.between(start.Add(30*time.Second), start.Add(time.Minute)) / 30; mean < 150 {
			t.Errorf("%.0f units/s of 300", mean)
		}
	})
}

func TestDoGivesUp(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		least time.Duration
		most  time.Duration
		tries int // exact when > 0
		kind  fault.Kind
	}{
		{"a refusal at once", fault.New(fault.User, "no"), 0, time.Second, 1, fault.User},
		{"throttles at the deadline", throttled(Provisioned), 20 * time.Second, 31 * time.Second, 0, fault.Throttled},
		{"failures at the deadline", fault.New(fault.Unavailable, "500"), 20 * time.Second, 31 * time.Second, 0,
			fault.Unavailable},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := NewGovernor(GovernorOptions{Rate: 1000, Seed: 5, RetryFor: 30 * time.Second})
			start, tries := time.Now(), 0
			err := g.Do(context.Background(), 1, func(context.Context) (float64, error) { tries++; return 0, c.err })
			took := time.Since(start)
			if !errors.Is(err, c.err) || fault.KindOf(err) != c.kind || took < c.least || took > c.most ||
				c.tries > 0 && tries != c.tries {
				t.Errorf("%s: %v (%s) after %s and %d tries", c.name, err, fault.KindOf(err), took, tries)
			}
		})
	}
}

func TestTryHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGovernor(GovernorOptions{Rate: 1000, Seed: 5})
		tries := 0
		start := time.Now()
		err := g.Do(context.Background(), 1, func(ctx context.Context) (float64, error) {
			if tries++; tries == 1 {
				<-ctx.Done() // a stalled connection
				return 0, ctx.Err()
			}
			return 1, nil
		})
		if err != nil || tries != 2 || time.Since(start) > 11*time.Second {
			t.Errorf("%v after %s and %d tries", err, time.Since(start), tries)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err = g.Do(ctx, 1, func(ctx context.Context) (float64, error) { <-ctx.Done(); return 0, ctx.Err() })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the caller's own deadline: %v", err)
		}
	})
}

// TestAccountPausesEverybody: after an account throttle no call is sent for a moment.
func TestAccountPausesEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGovernor(GovernorOptions{Seed: 12})
		first := true
		var sent []time.Duration
		start := time.Now()
		call := func(context.Context) (float64, error) {
			sent = append(sent, time.Since(start))
			if first {
				first = false
				return 0, throttled(Account)
			}
			return 1, nil
		}
		for range 3 {
			if err := g.Do(context.Background(), 1, call); err != nil {
				t.Fatal(err)
			}
		}
		if g.Stats().Throttles[Account] != 1 || sent[1] == 0 {
			t.Errorf("sent at %v", sent)
		}
	})
}

// TestDeterminism: one seed, one history.
func TestDeterminism(t *testing.T) {
	history := func() (text string) {
		synctest.Test(t, func(t *testing.T) {
			g := NewGovernor(GovernorOptions{Rate: 100, Seed: 42})
			start, n := time.Now(), 0
			for range 50 {
				_ = g.Do(context.Background(), 3, func(context.Context) (float64, error) {
					if n++; n%4 == 0 {
						return 0, throttled(Provisioned)
					}
					return 4, nil
				})
			}
			text = fmt.Sprint(time.Since(start), g.Stats())
		})
		return text
	}
	if a, b := history(), history(); a != b {
		t.Errorf("%s\n%s", a, b)
	}
}

func TestBudgets(t *testing.T) {
	provisioned := &Table{Provisioned: true, ReadUnits: 400, WriteUnits: 200}
	onDemand := &Table{}
	capped := &Table{MaxReadUnits: 1000, MaxWriteUnits: 100}
	for _, c := range []struct {
		text  string
		table *Table
		d     Direction
		want  float64
	}{
		{"", provisioned, Read, 200}, {"", provisioned, Write, 100}, {"", onDemand, Read, 6000}, {"", onDemand, Write, 2000},
		{"", capped, Read, 500}, {"25%", capped, Write, 25}, {"500", provisioned, Read, 500}, {"0.5", onDemand, Read, 0.5},
		{"unlimited", provisioned, Read, math.Inf(1)}, {"100%", provisioned, Read, 400},
	} {
		b, err := ParseBudget(c.text)
		if err != nil || b.String() != c.text {
			t.Errorf("%q: %v, %q", c.text, err, b)
		}
		if got, why := b.Rate(c.table, c.d); got != c.want || why == "" {
			t.Errorf("%q of %+v: %g (%s), want %g", c.text, c.table, got, why, c.want)
		}
	}
	for _, text := range []string{"0", "-5", "101%", "x", "NaN", "inf", "5 %", "%"} {
		if _, err := ParseBudget(text); fault.KindOf(err) != fault.User || fault.HintOf(err) == "" {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestReasons(t *testing.T) {
	for text, want := range map[string]Reason{
		"TableReadKeyRangeThroughputExceeded":     {Limit: KeyRange, Direction: Read},
		"IndexWriteKeyRangeThroughputExceeded":    {Limit: KeyRange, Direction: Write, Index: true},
		"TableWriteProvisionedThroughputExceeded": {Limit: Provisioned, Direction: Write},
		"TableReadAccountLimitExceeded":           {Limit: Account, Direction: Read},
		"IndexReadMaxOnDemandThroughputExceeded":  {Limit: MaxOnDemand, Direction: Read, Index: true},
		"TableWriteReplicatedWriteConflict":       {Limit: Replication, Direction: Write},
		"TableReadSomethingOfNextYear":            {Limit: Provisioned, Direction: Read},
		"":                                        {Limit: Provisioned},
	} {
		want.Resource = "arn"
		if got := ParseReason(text, "arn"); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
	e := &ThrottleError{Table: "T", Reasons: []Reason{{Limit: KeyRange}, {Limit: Account, Resource: "r"}}}
	if e.Limit() != Account || e.ResourceARN() != "r" || fault.KindOf(e) != fault.Throttled || fault.HintOf(e) == "" {
		t.Errorf("%v %s %s", e.Limit(), fault.KindOf(e), fault.HintOf(e))
	}
}
