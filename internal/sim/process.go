package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/commit"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// Env is what a process has of the world: ports, and a name that no other has.
type Env struct {
	Name   string
	Bucket blob.Bucket
	Feed   feed.Client
	Stream string // what Feed's methods take
	Table  dynamo.Client
	Wire   *Wire // the same, as services on the network

	p    *Process
	part func(name string) blob.Bucket // of Part, where Bucket is no fake but a client of one
}

// Part is the bucket as a part of the process sees it that runs beside others, and a context for it: what it draws does not
// depend on which of them was first to ask for the same object.
func (e *Env) Part(ctx context.Context, name string) (context.Context, blob.Bucket) {
	ctx = e.p.source(ctx, name+" ")
	if e.part != nil {
		return ctx, e.part(name)
	}
	return ctx, e.p.bucket(name + " ")
}

// Actor is the code of a process. It runs until it is done, or its context ends.
type Actor func(ctx context.Context, env *Env) error

// Process runs an actor, until it is killed at the latest.
type Process struct {
	Name   string
	Done   chan struct{} // closed when the actor has returned
	Err    error         // what it returned, once Done is closed
	w      *World
	cancel context.CancelFunc

	mu     sync.Mutex
	calls  map[string]int // of one operation on one name
	killed bool
	thawed chan struct{} // while frozen; closed at the end of that
}

// Spawn starts a process.
func (w *World) Spawn(name string, run Actor) *Process {
	p := &Process{Name: name, Done: make(chan struct{}), w: w, calls: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	ctx = p.source(ctx, "")
	env := &Env{Name: name, Bucket: p.bucket(""), Feed: &client{t: w.Table, p: p}, Stream: w.Plan.Stream(),
		Table: &tableClient{w.Table, p}, p: p}
	env.Wire = &Wire{Env: env}
	go func() {
		defer close(p.Done)
		defer cancel()
		p.Err = run(ctx, env)
		w.note(name, "end", "", 0, fault.KindOf(p.Err).String())
	}()
	return p
}

// bucket is the store as a part of the process sees it.
func (p *Process) bucket(part string) *bucket { return &bucket{s: p.w.Store, p: p, part: part} }

// source gives write ids and pauses below ctx their numbers, to each part of the process its own. They depend on the time and
// not on how many were drawn before: a pause that nobody will wait for is drawn or not as chance has it.
func (p *Process) source(ctx context.Context, part string) context.Context {
	return commit.WithSource(ctx, func(of string) uint64 {
		now := fmt.Sprintf("%s at %d", of, time.Since(p.w.Begun))
		return p.w.mix(p.Name, part+"id", now, p.nth(part+"id", now))
	})
}

// Kill ends a process as SIGKILL does: what it has in flight may still land, all that it does later does nothing.
func (p *Process) Kill() {
	p.mu.Lock()
	p.killed = true
	p.mu.Unlock()
	p.w.note(p.Name, "kill", "", 0, "")
	p.cancel()
	p.Thaw()
}

// Freeze stops a process as SIGSTOP does: its next call, and the answer to one that is in flight, waits for Thaw.
func (p *Process) Freeze() {
	p.w.note(p.Name, "freeze", "", 0, "")
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.thawed == nil {
		p.thawed = make(chan struct{})
	}
}

// Thaw lets it go on, and it does not know how late it is.
func (p *Process) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.thawed != nil {
		close(p.thawed)
		p.thawed = nil
	}
}

// gate waits while the process is frozen. Calls that wait go on one after the other, at times of their own: at one
// instant chance would order them.
func (p *Process) gate(op, name string) error {
	for {
		p.mu.Lock()
		thawed, killed := p.thawed, p.killed
		p.mu.Unlock()
		switch {
		case killed:
			return fmt.Errorf("process %s is killed: %w", p.Name, context.Canceled)
		case thawed == nil:
			return nil
		}
		wakes := p.w.Rand(p.Name, "thaw "+op, name, p.nth("thaw "+op, name)).Int64N(int64(time.Millisecond))
		<-thawed
		time.Sleep(time.Duration(wakes))
	}
}

func (p *Process) nth(op, name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls[op+" "+name]++
	return p.calls[op+" "+name]
}

// call is one call of a process through a port.
type call struct {
	p        *Process
	op, name string
	nth      int
	r        *rand.Rand
	back     time.Duration // what the answer takes
}

// begin sends a call on its way: it returns at the moment at which it reaches the service. A call that its caller gives up
// before is on its way all the same: land is run when it arrives, if it is not nil.
func (p *Process) begin(ctx context.Context, op, name string, more time.Duration, land func()) (*call, error) {
	if err := p.gate(op, name); err != nil {
		return nil, err
	}
	time.Sleep(1) // what ends ctx at this very instant has done so then
	if err := ctx.Err(); err != nil {
		return nil, err // and takes no number: whether such a call is begun at all may be chance
	}
	c := &call{p: p, op: op, name: name, nth: p.nth(op, name)}
	c.r = p.w.Rand(p.Name, op, name, c.nth)
	there := c.spread(p.w.Plan.Call/2) + more
	c.back = c.spread(p.w.Plan.Call / 2)
	start := time.Now()
	if err := sleep(ctx, there); err != nil {
		if land != nil {
			time.AfterFunc(there-time.Since(start), land)
		}
		_ = p.gate(op, name)
		return nil, c.end("given up", err)
	}
	return c, nil
}

// spread is a time about d that is no other call's.
func (c *call) spread(d time.Duration) time.Duration {
	return d + time.Duration(c.r.Int64N(int64(d)+10_000))
}

// end waits for the answer to arrive, and says what it is.
func (c *call) end(outcome string, err error) error {
	c.p.w.note(c.p.Name, c.op, c.name, c.nth, outcome)
	return err
}

// answer waits until the answer to a call has come back to its process.
func (c *call) answer(ctx context.Context, outcome string, err error) error {
	late := sleep(ctx, c.back)
	if dead := c.p.gate(c.op, c.name); dead != nil {
		return dead
	}
	if late != nil {
		return c.end(outcome+", not waited for", late)
	}
	return c.end(outcome, err)
}

// sleep waits, at most until ctx ends. When both are at one instant the time is up.
func sleep(ctx context.Context, d time.Duration) error {
	until := time.Now().Add(d)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		if time.Now().Before(until) {
			return ctx.Err()
		}
		return nil
	}
}

func unavailable(what string) error { return fault.New(fault.Unavailable, "%s", what) }
