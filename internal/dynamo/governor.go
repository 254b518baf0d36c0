package dynamo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"dynaferry/internal/fault"
)

// The governor's constants. Changing one changes what the simulations in governor_test.go measure.
const (
	// burstSeconds of the budget may be saved up. A ten-second window then holds at most 2.5 % more than its budget from
	// savings, which leaves as much again for requests that cost more than expected.
	burstSeconds = 0.25
	// cutFactor is what a throttle leaves of the rate, at most once a cutEvery, since one burst throttles many requests.
	cutFactor = 0.7
	cutEvery  = time.Second
	// rampPerSecond is the share of the budget by which the rate grows again: from nothing to 90 % in 18 s.
	rampPerSecond = 0.05
	// feelPerSecond is by how much an unlimited rate grows after a throttle: tenfold in 12 s.
	feelPerSecond = 0.2
	// feelFrom is the least an unlimited rate begins with after a throttle: 40,000 units/s, a table's quota, are 30 s
	// away.
	feelFrom = 100
	// floorShare is the least share of the budget a cut leaves.
	floorShare = 0.01
	// backoffBase and backoffMax bound the full-jitter wait before a try: uniform in [0, min(max, base·2^tries)].
	backoffBase    = 50 * time.Millisecond
	backoffMax     = 5 * time.Second
	accountBackoff = 20 * time.Second
	// retryForDefault is how long one call is tried before its error goes to the caller.
	retryForDefault = 5 * time.Minute
	// tryTimeoutDefault is one try's deadline: DynamoDB answers in milliseconds, and a stalled connection must not hold
	// a worker. Import's protocol against late writers relies on at most 10 s (docs/ARCHITECTURE.md).
	tryTimeoutDefault = 10 * time.Second
)

// GovernorOptions set up a Governor.
type GovernorOptions struct {
	// Rate is the budget in units a second; 0 or +Inf is unlimited: only throttles slow it.
	Rate float64
	// RetryFor bounds the tries of one call, counted from its first throttle or failure; 0 is 5 minutes.
	RetryFor time.Duration
	// TryTimeout bounds one try; 0 is 10 seconds.
	TryTimeout time.Duration
	// Seed makes the jitter repeatable; 0 draws one.
	Seed uint64
	// Notify is told, at most once a limit, what the user could change; nil says nothing.
	Notify func(Notice)
}

// Share returns the options for one of n equal parts of the budget: tasks on other machines cannot see each other.
func (o GovernorOptions) Share(n int) GovernorOptions {
	if n > 1 {
		o.Rate /= float64(n)
	}
	return o
}

// Notice is something the user should know about the rate while the job goes on.
type Notice struct {
	Limit    Limit
	Text     string
	Hint     string
	Resource string
}

// Stats is what a governor counted since it was made.
type Stats struct {
	Units     float64
	Calls     int64 // tries that were sent
	Throttles map[Limit]int64
	Failures  int64   // tries that ended Unavailable
	Rate      float64 // units a second allowed at this moment; +Inf when nothing slows
}

// Governor keeps the calls of any number of workers below one budget of consumed capacity units. It is a closed loop: a
// call reserves what it is expected to use, and what it really used is settled afterwards, so that consumption never
// exceeds the budget by more than 5 % in any ten seconds of calls that are small against it. Workers are served in the
// order they ask. Throttles lower the rate and it grows back (to 90 % within 30 s of relief); a hot key range slows its
// lane only.
type Governor struct {
	o    GovernorOptions
	turn chan struct{} // held by the call that waits for units: first come, first served

	mu      sync.Mutex
	rand    *rand.Rand
	at      time.Time // the bucket's state is of this moment
	tokens  float64
	rate    float64 // allowed now; grows towards budget
	budget  float64 // +Inf until a throttle shows what there is
	ceiling float64 // budget never grows above; a learnt on-demand maximum
	cutAt   time.Time
	paused  time.Time // nobody sends before: the account's limit
	account int       // account throttles in a row
	ratio   float64   // real over expected units, smoothed
	meter   meter
	stats   Stats
	noticed map[Limit]bool
}

// NewGovernor makes a governor.
func NewGovernor(o GovernorOptions) *Governor {
	if o.Rate <= 0 {
		o.Rate = math.Inf(1)
	}
	if o.RetryFor == 0 {
		o.RetryFor = retryForDefault
	}
	if o.TryTimeout == 0 {
		o.TryTimeout = tryTimeoutDefault
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	return &Governor{o: o, turn: make(chan struct{}, 1), rand: rand.New(rand.NewPCG(o.Seed, 1)), at: time.Now(),
		rate: o.Rate, budget: o.Rate, ceiling: o.Rate, ratio: 1,
		stats: Stats{Throttles: map[Limit]int64{}}, noticed: map[Limit]bool{}}
}

// Stats returns the counts so far.
func (g *Governor) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.advance(time.Now())
	s := g.stats
	s.Rate = g.rate
	s.Throttles = map[Limit]int64{}
	for limit, n := range g.stats.Throttles {
		s.Throttles[limit] = n
	}
	return s
}

// Lane is one stream of calls that hit the same keys, a scan segment or a batch writer: what a hot key range slows.
type Lane struct {
	g *Governor

	mu   sync.Mutex
	hot  int // throttles of the key range in a row
	next time.Time
}

// Lane makes a lane. A lane may be used concurrently.
func (g *Governor) Lane() *Lane { return &Lane{g: g} }

// Do is Lane.Do for a call that shares its keys with no other.
func (g *Governor) Do(ctx context.Context, need float64, call func(context.Context) (units float64, err error)) error {
	return g.Lane().Do(ctx, need, call)
}

// Do runs call when need units, what it is expected to consume, are there, and again while it ends Throttled or
// Unavailable. The call gets a context with the deadline of one try and returns what it consumed, also beside an error
// when the service told. Do returns nil, the first error that no retry helps, or, after RetryFor or at ctx's end, the
// last error, still Throttled or Unavailable. A call may have been carried out though its answer was lost: what must
// not happen twice is not for Do.
func (l *Lane) Do(ctx context.Context, need float64, call func(context.Context) (units float64, err error)) error {
	return l.do(ctx, need, true, call)
}

// do is Do; with learn the ratio of real to expected units, which index writes and old items make other than 1, is
// applied and learnt. Who has an estimate of its own goes without.
func (l *Lane) do(ctx context.Context, need float64, learn bool, call func(context.Context) (float64, error)) error {
	var deadline time.Time
	for try := 0; ; try++ {
		units, err := l.once(ctx, need, learn, call)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if !fault.Retryable(err) {
			return err
		}
		if deadline.IsZero() {
			deadline = time.Now().Add(l.g.o.RetryFor)
		}
		wait := l.react(err, try)
		if time.Now().Add(wait).After(deadline) {
			return fmt.Errorf("gave up after %d tries in %s: %w", try+1, l.g.o.RetryFor, err)
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		need = max(need, units)
	}
}

// once sends one try.
func (l *Lane) once(ctx context.Context, need float64, learn bool, call func(context.Context) (float64, error)) (
	float64, error) {
	if err := l.cool(ctx); err != nil {
		return 0, err
	}
	reserved, err := l.g.reserve(ctx, need, learn)
	if err != nil {
		return 0, err
	}
	try, cancel := context.WithTimeout(ctx, l.g.o.TryTimeout)
	units, err := call(try)
	if err != nil && ctx.Err() == nil && errors.Is(try.Err(), context.DeadlineExceeded) && !fault.Retryable(err) {
		err = fault.New(fault.Unavailable, "no answer within %s: %w", l.g.o.TryTimeout, err)
	}
	cancel()
	l.g.settle(need, reserved, units, learn, err)
	if err == nil {
		l.mu.Lock()
		l.hot = max(0, l.hot-1)
		l.mu.Unlock()
	}
	return units, err
}

// cool waits until a hot lane may send again.
func (l *Lane) cool(ctx context.Context) error {
	l.mu.Lock()
	wait := time.Until(l.next)
	l.mu.Unlock()
	return sleep(ctx, wait)
}

// react lowers what the error says is exhausted and returns the wait before the next try.
func (l *Lane) react(err error, try int) time.Duration {
	g := l.g
	g.mu.Lock()
	defer g.mu.Unlock()
	var throttle *ThrottleError
	if !errors.As(err, &throttle) {
		g.stats.Failures++
		return g.jitter(try, backoffMax)
	}
	limit := throttle.Limit()
	g.stats.Throttles[limit]++
	wait := g.jitter(try, backoffMax)
	switch limit {
	case KeyRange:
		l.mu.Lock()
		l.hot = min(l.hot+1, 16)
		l.next = time.Now().Add(g.jitter(l.hot, backoffMax))
		l.mu.Unlock()
	case Provisioned:
		g.cut(cutFactor)
	case MaxOnDemand:
		g.cap()
		g.notify(throttle)
	case Account:
		g.cut(cutFactor * cutFactor)
		pause := time.Now().Add(g.jitter(g.account+2, accountBackoff))
		if pause.After(g.paused) {
			g.paused = pause
		}
		g.account = min(g.account+1, 16)
		g.notify(throttle)
	}
	return max(wait, throttle.Retry)
}

// jitter draws a full-jitter wait (Marc Brooker, "Exponential backoff and jitter").
func (g *Governor) jitter(tries int, most time.Duration) time.Duration {
	bound := most
	if tries < 16 {
		bound = min(most, backoffBase<<tries)
	}
	return time.Duration(g.rand.Int64N(int64(bound) + 1))
}

// cut lowers the rate, starting from what really went through when that is less.
func (g *Governor) cut(factor float64) {
	now := time.Now()
	if !g.mayCut(now) {
		return
	}
	through := max(g.meter.rate(now), 1)
	if math.IsInf(g.o.Rate, 1) && math.IsInf(g.ceiling, 1) {
		// Nobody set a budget: what went through is the measure of how fast to feel upwards again.
		through = max(through, feelFrom)
		if math.IsInf(g.budget, 1) {
			g.budget = through
		}
		g.budget = max(g.budget, through)
	}
	g.rate = max(min(g.rate, through)*factor, g.budget*floorShare)
	g.tokens = min(g.tokens, 0)
}

// slow is what a throttle without reasons does.
func (g *Governor) slow() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cut(cutFactor)
}

// mayCut moves the bucket to now and tells whether the last cut is long enough ago.
func (g *Governor) mayCut(now time.Time) bool {
	g.advance(now)
	if !g.cutAt.IsZero() && now.Sub(g.cutAt) < cutEvery {
		return false
	}
	g.cutAt = now
	return true
}

// cap stops at an on-demand maximum: the rate that went through becomes the budget's ceiling.
func (g *Governor) cap() {
	now := time.Now()
	if !g.mayCut(now) {
		return
	}
	through := max(g.meter.rate(now), 1)
	if !math.IsInf(g.rate, 1) {
		through = max(through, g.rate/2) // one bad measurement must not cap the rest of the job
	}
	g.ceiling = min(g.ceiling, through)
	g.budget = min(g.budget, g.ceiling)
	g.rate = g.budget * cutFactor
	g.tokens = min(g.tokens, 0)
}

func (g *Governor) notify(e *ThrottleError) {
	limit := e.Limit()
	if g.noticed[limit] || g.o.Notify == nil {
		return
	}
	g.noticed[limit] = true
	g.o.Notify(Notice{Limit: limit, Text: e.Error(), Hint: e.hint(), Resource: e.ResourceARN()})
}

// advance moves the bucket to now: the rate ramps up and its integral flows in.
func (g *Governor) advance(now time.Time) {
	seconds := now.Sub(g.at).Seconds()
	if seconds <= 0 {
		return
	}
	g.at = now
	if math.IsInf(g.rate, 1) {
		return
	}
	slope := g.budget * rampPerSecond
	goal := g.budget
	if math.IsInf(g.o.Rate, 1) && math.IsInf(g.ceiling, 1) {
		// Unlimited: feel upwards until the next throttle, from whatever little the last one left.
		slope, goal = max(slope, g.rate*feelPerSecond), math.Inf(1)
	}
	grow := seconds
	if left := (goal - g.rate) / slope; left < grow {
		grow = max(left, 0)
	}
	g.tokens += g.rate*grow + slope*grow*grow/2
	g.rate += slope * grow
	g.tokens += g.rate * (seconds - grow)
}

// reserve waits its turn, then for need units, and takes them. It returns what it took.
func (g *Governor) reserve(ctx context.Context, need float64, scaled bool) (float64, error) {
	select {
	case g.turn <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { <-g.turn }()
	for {
		g.mu.Lock()
		now := time.Now()
		g.advance(now)
		want := need
		if scaled {
			want *= g.ratio
		}
		wait := g.paused.Sub(now)
		if wait <= 0 && math.IsInf(g.rate, 1) {
			g.stats.Calls++
			g.mu.Unlock()
			return 0, nil
		}
		if wait <= 0 {
			// Savings are bounded, but a call that costs more than the bound may save up for itself.
			g.tokens = min(g.tokens, max(g.rate*burstSeconds, want))
			if g.tokens >= want {
				g.tokens -= want
				g.stats.Calls++
				g.mu.Unlock()
				return want, nil
			}
			// Never longer than a moment at once: the rate may have grown, or a settled call given units back.
			wait = time.Duration((want - g.tokens) / g.rate * float64(time.Second))
			wait = min(max(wait, time.Millisecond), 100*time.Millisecond)
		}
		g.mu.Unlock()
		if err := sleep(ctx, wait); err != nil {
			return 0, err
		}
	}
}

// settle replaces what was reserved by what was used.
func (g *Governor) settle(need, reserved, units float64, learn bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.advance(now)
	if err != nil && units == 0 && !fault.Retryable(err) {
		units = reserved // a refused request may have cost units; nobody told
	}
	var throttle *ThrottleError
	if err != nil && units == 0 && !errors.As(err, &throttle) {
		units = reserved // carried out, perhaps: count it rather than send twice as much
	}
	if !math.IsInf(g.rate, 1) {
		g.tokens += reserved - units
	}
	g.stats.Units += units
	g.meter.add(now, units)
	if err == nil {
		g.account = max(0, g.account-1)
		if learn && need > 0 && units > 0 {
			g.ratio += 0.2 * (min(max(units/need, 0.05), 50) - g.ratio)
		}
	}
}

// sleep waits or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// meter remembers consumption of the last seconds in slots of a quarter second.
type meter struct {
	slots [8]float64
	last  int64
	start time.Time
}

const meterSlot = 250 * time.Millisecond

func (m *meter) turn(now time.Time) int64 {
	slot := now.UnixNano() / int64(meterSlot)
	for s := max(m.last+1, slot-int64(len(m.slots))+1); s <= slot; s++ {
		m.slots[s%int64(len(m.slots))] = 0
	}
	m.last = max(m.last, slot)
	return m.last
}

func (m *meter) add(now time.Time, units float64) {
	if m.start.IsZero() {
		m.start = now
	}
	m.slots[m.turn(now)%int64(len(m.slots))] += units
}

// rate is the mean of the last two seconds in units a second, of less at the beginning.
func (m *meter) rate(now time.Time) float64 {
	m.turn(now)
	length := time.Duration(len(m.slots)) * meterSlot
	if since := now.Sub(m.start); !m.start.IsZero() && since < length {
		length = max(since, meterSlot)
	}
	sum := 0.0
	for _, units := range m.slots {
		sum += units
	}
	return sum / length.Seconds()
}
