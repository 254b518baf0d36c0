package sim

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"dynaferry/internal/fault"
)

// Scenario is what is tried: code, and what must hold.
type Scenario struct {
	Name string
	// Begin prepares the world, before anything goes wrong.
	Begin func(w *World) error
	Actor Actor
	// Safe must hold at any time, also in the midst of faults.
	Safe func(w *World) error
	// Done must hold some time after all is healed and all writes have happened.
	Done func(w *World) error
}

// Outcome is what came of a history.
type Outcome struct {
	Err    error
	Trace  uint64
	Events int
	Took   time.Duration // of simulated time
}

// converges is how long a healed system may take until it is done. The worst that was left over by then is a put that
// lands 5 minutes late, a call that takes a minute, and a listing as old.
const converges = 30 * time.Minute

// Run makes a plan's history happen, within a bubble of testing/synctest. tell, if there is one, gets a line an event.
func Run(p Plan, s Scenario, tell io.Writer) Outcome {
	w := NewWorld(p, tell)
	err := w.run(&s)
	hash, events := w.Trace()
	return Outcome{Err: err, Trace: hash, Events: events, Took: time.Since(w.Begun)}
}

func (w *World) run(s *Scenario) error {
	if s.Begin != nil {
		if err := s.Begin(w); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
	}
	fleet := &fleet{w: w, actor: s.Actor, stop: make(chan struct{})}
	var living sync.WaitGroup
	living.Go(w.Table.Live)
	for slot := range w.Plan.Processes {
		living.Go(func() { fleet.keep(slot) })
	}
	living.Go(fleet.darken)
	<-w.Table.Written()
	// Some time for faults to meet what is left to do.
	time.Sleep(time.Duration(w.Rand("world", "heal", "", 0).Int64N(int64(time.Minute))))
	var err error
	if s.Safe != nil {
		err = s.Safe(w)
	}
	w.Heal()
	fleet.thaw()
	if err == nil {
		err = w.converge(s, fleet)
	}
	close(fleet.stop)
	living.Wait()
	fleet.end()
	return errors.Join(err, fleet.broken())
}

// converge waits until the system is done, longer each time.
func (w *World) converge(s *Scenario, f *fleet) error {
	var err error
	for pause := 10 * time.Second; ; pause *= 2 {
		time.Sleep(pause)
		if err = errors.Join(f.broken()); err != nil {
			return err
		}
		if err = s.Done(w); err == nil || pause > converges/2 {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("all is healed and it does not come to rest: %w", err)
	}
	return nil
}

// fleet keeps processes running, kills and freezes them as the plan says.
type fleet struct {
	w     *World
	actor Actor
	stop  chan struct{}
	mu    sync.Mutex
	all   []*Process
	bad   error
}

// keep runs one process after the other in a slot, until the end.
func (f *fleet) keep(slot int) {
	for life := 0; ; life++ {
		if !f.outlive() {
			return
		}
		name := fmt.Sprintf("p%d.%d", slot, life)
		r := f.w.Rand(name, "fate", "", 0)
		p := f.w.Spawn(name, f.actor)
		f.mu.Lock()
		f.all = append(f.all, p)
		f.mu.Unlock()
		if !f.live(p, r) {
			return
		}
		// Processes that fence each other need luck to get anywhere; who comes back soon spoils it for others.
		rest := time.Duration(r.Int64N(int64(10 * time.Second)))
		if f.w.Healed() {
			rest += time.Duration(slot) * 10 * time.Minute
		}
		pause := time.NewTimer(rest)
		select {
		case <-f.stop:
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}

// darken kills all when the outage begins, also those that were taken for dead and are frozen.
func (f *fleet) darken() {
	select {
	case <-f.w.Table.dark:
		for _, p := range f.processes() {
			p.Kill()
		}
	case <-f.stop:
	}
}

// outlive waits while there is an outage, false when all ends.
func (f *fleet) outlive() bool {
	select {
	case <-f.w.Table.dark:
	default:
		return true
	}
	select {
	case <-f.w.Table.light:
		return true
	case <-f.stop:
		return false
	}
}

// live waits until a process has ended, or is killed or taken for dead as the plan says; false when all ends.
func (f *fleet) live(p *Process, r *rand.Rand) bool {
	fate := r.IntN(100)
	lives := time.NewTimer(time.Duration(r.Int64N(int64(40 * time.Second))))
	defer lives.Stop()
	dark := f.w.Table.dark
	select {
	case <-dark:
		dark = nil // that is over
	default:
	}
	for {
		select {
		case <-f.stop:
			return false
		case <-p.Done:
			f.judge(p)
			return true
		case <-dark:
			return true
		case <-lives.C:
		}
		switch {
		case f.w.Healed():
		case fate < f.w.Plan.Kills:
			p.Kill()
			return true
		case fate < f.w.Plan.Kills+f.w.Plan.Freezes:
			p.Freeze() // it wakes up later, beside the one that has its place
			time.AfterFunc(time.Duration(r.Int64N(int64(10*time.Minute))), p.Thaw)
			return true
		}
	}
}

// judge keeps an error that no fault of ours explains.
func (f *fleet) judge(p *Process) {
	select {
	case <-p.Done:
	default:
		return
	}
	p.mu.Lock()
	killed := p.killed
	p.mu.Unlock()
	kind := fault.KindOf(p.Err)
	damaged := kind == fault.Corrupt && f.w.Plan.Rates[Damaged] > 0 // twice on its way
	if p.Err == nil || killed || kind.Retryable() || kind == fault.Conflict || damaged {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bad = errors.Join(f.bad, fmt.Errorf("process %s: %w", p.Name, p.Err))
}

func (f *fleet) broken() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bad
}

func (f *fleet) processes() []*Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*Process(nil), f.all...)
}

func (f *fleet) thaw() {
	for _, p := range f.processes() {
		p.Thaw()
	}
}

// end kills what still runs, and waits for it.
func (f *fleet) end() {
	for _, p := range f.processes() {
		p.Kill() // all at once: they stand there in no order
	}
	for _, p := range f.processes() {
		<-p.Done
		f.judge(p)
	}
}
