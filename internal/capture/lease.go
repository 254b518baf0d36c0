package capture

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/changelog"
	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
)

// leaseDefault is how long a lease that does not change is believed. With a look every second and a fence it is followed
// by, a group is taken over within 10 s after its process stopped.
const leaseDefault = 8 * time.Second

const (
	// beatsPerLease is how often a holder shows that it lives while others believe it: two beats may go missing.
	beatsPerLease = 3
	lookEvery     = time.Second
	// releaseMax is how long a clean end may take for telling others.
	releaseMax = 2 * time.Second
	// leaseBytesMax bounds what is read of a lease.
	leaseBytesMax = 4 << 10
)

// holding is the body of a lease object: who captures a group at present. It proves nothing, see package changelog.
type holding struct {
	Writer string `json:"writer"`
	Beat   uint64 `json:"beat"`           // makes each one another object
	Free   bool   `json:"free,omitempty"` // the holder has ended, and said so
}

// lease is one group's, as this process sees it.
type lease struct {
	*process
	group   uint32
	etag    string // "" while there is no object
	holding holding
	changed time.Time // when it was seen to be another one last
}

// fleet is what is known of all leases: who holds how many.
type fleet struct {
	mu     sync.Mutex
	holder map[uint32]string // of leases that are believed; "" of those that are free
	stolen time.Time         // when a group was taken from a richer process last
	since  time.Time
}

// tend holds a group whenever its lease can be had.
func (p *process) tend(ctx context.Context, group uint32) error {
	l := &lease{process: p, group: group, changed: time.Now()}
	for {
		if err := l.look(ctx); err != nil {
			if ctx.Err() != nil || !leaseMayPass(err) {
				return err
			}
		} else if l.free() || p.fleet.poorer(p.o.Writer, l.holding.Writer, group, p.o.Lease) {
			if done, err := l.hold(ctx); done || err != nil {
				return err
			}
		}
		if done, err := l.passedElsewhere(ctx); done || err != nil {
			return err
		}
		if err := pause(ctx, lookEvery/2+time.Duration(commit.Jitter(ctx, l.name(), int64(lookEvery)))); err != nil {
			return err
		}
	}
}

// leaseMayPass: what a lease's object holds is never a reason to stop.
func leaseMayPass(err error) bool {
	return fault.Retryable(err) || fault.KindOf(err) == fault.Corrupt || fault.KindOf(err) == fault.Conflict || errors.Is(err, context.DeadlineExceeded)
}

func (l *lease) name() string { return l.log.Name(fmt.Sprintf("lease/%03d", l.group)) }

// look reads the lease.
func (l *lease) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	text, info, err := blob.ReadRange(ctx, l.log.Bucket(), l.name(), blob.ReadOptions{}, leaseBytesMax)
	if errors.Is(err, blob.ErrNotFound) {
		l.saw("", holding{Free: true})
		return nil
	}
	if err != nil {
		return err
	}
	var h holding
	if err := json.Unmarshal(text, &h); err != nil {
		h = holding{} // somebody's whom we do not know: it is his while it changes
	}
	l.saw(info.ETag, h)
	return nil
}

func (l *lease) saw(etag string, h holding) {
	if etag != l.etag {
		l.changed = time.Now()
	}
	l.etag, l.holding = etag, h
	holder := h.Writer
	if l.free() && (holder != l.o.Writer || h.Free) {
		holder = ""
	}
	l.fleet.note(l.group, holder)
	l.o.Metrics.setHolder(l.group, holder)
}

// free tells whether nobody holds it, or who did is not seen to live any more.
func (l *lease) free() bool {
	return l.holding.Free || l.holding.Writer == l.o.Writer || time.Since(l.changed) >= l.o.Lease
}

// put makes the lease ours, or free, if it is as it was seen last.
func (l *lease) put(ctx context.Context, free bool) error {
	h := holding{Writer: l.o.Writer, Beat: l.holding.Beat + 1, Free: free}
	body, err := json.Marshal(h)
	if err != nil {
		return err
	}
	put := blob.PutOptions{Condition: blob.Condition{IfAbsent: l.etag == "", IfMatch: l.etag}, ContentType: "application/json", NoRetry: true}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := l.log.Bucket().Put(ctx, l.name(), body, put)
	if err != nil {
		return err
	}
	l.saw(info.ETag, h)
	return nil
}

// hold takes the lease and captures the group until ctx ends or another takes it. done tells that Until has passed.
func (l *lease) hold(ctx context.Context) (done bool, err error) {
	if err := l.put(ctx, false); err != nil {
		if ctx.Err() != nil || !leaseMayPass(err) && fault.KindOf(err) != fault.NotFound {
			return false, err
		}
		return false, nil // another was faster, or the answer is lost: the next look tells
	}
	inner, lose := context.WithCancel(ctx)
	var beating sync.WaitGroup
	beating.Go(func() { l.beat(inner, lose) })
	err = l.process.hold(inner, l.group)
	ours := inner.Err() == nil || ctx.Err() != nil
	lose()
	beating.Wait()
	var fenced *changelog.FencedError
	if errors.As(err, &fenced) {
		// Who took it has some time before we look again: where leases do not work, two would only shut each other out.
		return false, pause(ctx, l.o.Lease+time.Duration(commit.Jitter(ctx, l.name(), int64(l.o.Lease))))
	}
	if ours {
		rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseMax)
		defer cancel()
		_ = l.put(rest, true) // else it is believed for a while, and then taken
	}
	if err != nil && ctx.Err() == nil && inner.Err() != nil && ended(inner, err) == nil {
		err = nil
	}
	return err == nil && ours && ctx.Err() == nil, err
}

// beat shows that the holder lives, until ctx ends. Who sees that another has the lease loses the group.
func (l *lease) beat(ctx context.Context, lose func()) {
	for pause(ctx, l.o.Lease/beatsPerLease) == nil {
		err := l.put(ctx, false)
		if err == nil || ctx.Err() != nil || !errors.Is(err, blob.ErrChanged) && !errors.Is(err, blob.ErrExists) {
			continue // what fails otherwise changes nothing: work goes on without a lease
		}
		if l.look(ctx) == nil && l.holding.Writer != l.o.Writer && l.etag != "" {
			lose()
			return
		}
	}
}

// passedElsewhere tells whether Until has passed for a group that others hold.
func (l *lease) passedElsewhere(ctx context.Context) (bool, error) {
	if l.o.Until.IsZero() {
		return false, nil
	}
	tail, err := l.log.Tail(ctx, l.group)
	if err == nil {
		var s *changelog.State
		if s, err = l.log.StateAt(ctx, l.group, tail); err == nil {
			return s.Passed(l.o.Until.UnixMicro()), nil
		}
	}
	if fault.Retryable(err) {
		err = nil
	}
	return false, err
}

func (f *fleet) note(group uint32, holder string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.holder == nil {
		f.holder, f.since = map[uint32]string{}, time.Now()
	}
	f.holder[group] = holder
}

// poorer tells whether a process is to take a group from its holder, so that they share them: the holder has the most, and
// two more than the process. Once in a while, so that all see what came of it before the next.
func (f *fleet) poorer(own, holder string, group uint32, every time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); holder == "" || holder == own || now.Sub(f.since) < every || now.Sub(f.stolen) < every {
		return false
	}
	counts := map[string]int{}
	for _, h := range f.holder {
		counts[h]++
	}
	for h, n := range counts {
		if h != "" && cmp.Or(cmp.Compare(n, counts[holder]), cmp.Compare(h, holder)) > 0 {
			return false // another is richer
		}
	}
	if counts[holder] < counts[own]+2 {
		return false
	}
	f.stolen = time.Now()
	f.holder[group] = own
	return true
}
