package delivery

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"dynaferry/internal/changelog"
	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
)

// Options are what a process decides for itself; nothing of it changes what files hold. The zero value is right for
// production.
type Options struct {
	Dir      string        // of the destination in the bucket, "" for its root
	Interval time.Duration // between two epochs, unless the buffer is full before; 0 is 60 s. The first entry after a rest is delivered at once
	Poll     time.Duration // how often the log is looked at for an entry that no Bell told of; 0 is a quarter of Interval, 200 ms to 2 s
	Bell     *Bell         // rung by who writes the log in the same process; may be nil
	Workers  int           // spans that are made into files at once; 0 is one a processor
	// MemoryBytes bounds what is held of the log and of files in the making, about: 128 MiB. Parquet files are in memory until
	// all of an epoch know their columns, so that fewer spans make an epoch when there is less.
	MemoryBytes int64

	// Begin is asked where the delivery begins, when it has no epoch yet; nil delivers all that is in the log. What it says is
	// durable before anything is delivered, and it is not asked again.
	Begin func(ctx context.Context) (*Begin, error)
	// AcceptGaps goes on behind gaps of the log, and notes them in the epoch. Without it a gap is a GapError.
	AcceptGaps bool
	// Until ends the run, without an error, once it holds for what is delivered of each group.
	Until func(delivered []*changelog.State) bool
	// Once ends the run when all is delivered that was in the log when it began.
	Once bool
	// Transform makes steps of Settings.Steps, and of those that an unfinished epoch has. It is needed where there are any.
	Transform func(steps []string) (Transform, error)

	// Sink takes the records of epochs with Settings.Into; needed where that is set. Then the bucket and Dir are the log's.
	Sink Sink

	Progress *Progress // counts along; may be nil
	Commit   commit.Options
	// Retry is the longest pause between two tries when something is unavailable; 0 is 30 s.
	Retry time.Duration
	// Patience is how long the process that decided an epoch may take to finish it before others help; 0 is 10 s, with a Sink
	// a minute, since help repeats records. Where several run, one makes the files and the others stand by.
	Patience time.Duration
}

const (
	memoryDefault = 128 << 20
	aheadBytesMin = 4 << 20
)

// spans is how many spans of so many bytes of records, before compression, may be in memory as files at once.
func (o *Options) spans(bufferBytes int64) int {
	return int(min(max(o.MemoryBytes/bufferBytes, 1), spansMax))
}

// aheadBytes is how much of the log each span reads before it needs it.
func (o *Options) aheadBytes() int64 { return max(o.MemoryBytes/16, aheadBytesMin) }

func (o Options) filled() Options {
	o.Interval = cmp.Or(o.Interval, time.Minute)
	if o.Poll == 0 {
		o.Poll = min(max(o.Interval/4, 200*time.Millisecond), 2*time.Second)
	}
	if o.Progress == nil {
		o.Progress = new(Progress)
	}
	o.Retry = cmp.Or(o.Retry, 30*time.Second)
	o.MemoryBytes = cmp.Or(o.MemoryBytes, memoryDefault)
	if o.Sink != nil {
		o.Patience = cmp.Or(o.Patience, time.Minute)
		o.Workers = 1 // spans go one after the other: a key's order
	}
	o.Patience = cmp.Or(o.Patience, 10*time.Second)
	return o
}

// transform makes steps; nil of none.
func (o *Options) transform(steps []string) (Transform, error) {
	if len(steps) == 0 {
		return nil, nil
	}
	if o.Transform == nil {
		return nil, fault.New(fault.Bug, "there are steps, and nobody who makes them")
	}
	return o.Transform(steps)
}

// Bell tells those who follow a log in this process that it has grown. The zero Bell is ready; a nil one never rings.
type Bell struct {
	mu   sync.Mutex
	rung chan struct{}
}

// Ring wakes all who wait.
func (b *Bell) Ring() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rung != nil {
		close(b.rung)
		b.rung = nil
	}
}

// Wait returns what is closed at the next ring.
func (b *Bell) Wait() <-chan struct{} {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rung == nil {
		b.rung = make(chan struct{})
	}
	return b.rung
}

// Progress counts what a run has delivered, for metrics. Times are µs since 1970.
type Progress struct {
	Epochs, Files, Bytes atomic.Int64 // Bytes of files, or of what a Sink took
	Records              atomic.Int64 // of the log
	Dropped, Refused     atomic.Int64
	Misfits              atomic.Int64
	Gaps                 atomic.Int64 // passed over
	Retries              atomic.Int64 // tries after something was unavailable
	Newest               atomic.Int64 // time of the newest record in the log, as far as it is known
	Delivered            atomic.Int64 // of the newest that is visible
	Waiting              atomic.Int64 // bytes of records that are in the log and not visible, as far as it is known
	mu                   sync.Mutex
	last                 error
}

// Lag is how much older the newest visible record is than the newest in the log; 0 when all is visible.
func (p *Progress) Lag() time.Duration {
	if p.Waiting.Load() == 0 {
		return 0
	}
	return time.Duration(max(p.Newest.Load()-p.Delivered.Load(), 0)) * time.Microsecond
}

// LastError is what made the run try again last; nil when nothing did.
func (p *Progress) LastError() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

func (p *Progress) retried(err error) {
	p.Retries.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = err
}

func (p *Progress) finished(d *Done) {
	p.Epochs.Add(1)
	p.Records.Add(d.Records)
	p.Dropped.Add(d.Dropped)
	p.Refused.Add(d.Refused)
	p.Bytes.Add(d.Bytes)
	for _, f := range d.Files {
		p.Files.Add(1)
		p.Bytes.Add(f.Size)
	}
	for _, n := range d.Misfits {
		p.Misfits.Add(n)
	}
}

func raise(to *atomic.Int64, value int64) {
	for at := to.Load(); value > at && !to.CompareAndSwap(at, value); at = to.Load() {
	}
}
