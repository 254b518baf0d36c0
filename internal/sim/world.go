package sim

import (
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"sync"
	"time"
)

// World is where one history happens. It is made and used within one bubble of testing/synctest.
type World struct {
	Plan   Plan
	Store  *Store
	Table  *Table
	Begun  time.Time
	mu     sync.Mutex
	healed bool
	trace  uint64
	events int
	met    map[Fault]int // how often each fault met a call
	tell   io.Writer     // each event as a line, if there is one
}

// NewWorld makes a world at rest: nothing happens before Processes are spawned and the Table is written.
func NewWorld(p Plan, tell io.Writer) *World {
	w := &World{Plan: p, Begun: time.Now(), tell: tell, met: map[Fault]int{}}
	w.Store = &Store{w: w, objects: map[string]*object{}, calls: map[string]int{}, written: map[string]int{}}
	w.Table = newTable(w)
	return w
}

// mix is a number that depends on all of its arguments.
func (w *World) mix(who, op, name string, nth int) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d|%s|%s|%s|%d", w.Plan.Seed, who, op, name, nth)
	return h.Sum64()
}

// Rand draws for one purpose of one actor.
func (w *World) Rand(who, op, name string, nth int) *rand.Rand {
	return rand.New(rand.NewPCG(w.mix(who, op, name, nth), w.Plan.Seed))
}

// note adds an event to the trace.
func (w *World) note(who, op, name string, nth int, outcome string) {
	at := time.Since(w.Begun)
	h := w.mix(who, op+"="+outcome, name, nth) ^ uint64(at)*0x9e3779b97f4a7c15
	h ^= h >> 29
	h *= 0xbf58476d1ce4e5b9
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace += h
	w.events++
	if w.tell != nil {
		_, _ = fmt.Fprintf(w.tell, "%14.6f %-8s %s %s#%d: %s\n", at.Seconds(), who, op, name, nth, outcome)
	}
}

// Trace is a hash of all that happened so far, and how much it was.
func (w *World) Trace() (hash uint64, events int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.trace, w.events
}

// Heal ends the phase of faults: from now on calls do what they are asked to.
func (w *World) Heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.healed = true
}

// Healed tells whether that was.
func (w *World) Healed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.healed
}

// pick draws which of some faults meets a call, "" for none.
func (w *World) pick(r *rand.Rand, of ...Fault) Fault {
	at := r.IntN(100) // always, so that a plan with a fault less draws the same for the others
	if w.Healed() {
		return ""
	}
	for i, f := range of {
		// Each fault has its own draw: turned by a fixed part of the circle, so that rates do not add up to a wall.
		if (at+i*37)%100 < w.Plan.Rates[f] {
			w.mu.Lock()
			w.met[f]++
			w.mu.Unlock()
			return f
		}
	}
	return ""
}
