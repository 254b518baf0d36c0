package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
	"dynaferry/internal/local/kinesis"
	"dynaferry/internal/local/shadow"
	"dynaferry/internal/local/store"
	"dynaferry/internal/local/upstream"
)

// Options says where the tables live and how the service behaves. The zero value is an empty DynamoDB in memory that
// never throttles.
type Options struct {
	Dir      string // folder of the tables, made when missing; "": in memory, gone after Close
	Addr     string // where Start listens, a loopback address with port; "": 127.0.0.1 and a free port
	NoSync   bool   // reply before the device has the bytes: a power cut may lose the last writes, a kill does not
	Throttle bool   // hold tables to their provisioned units (and on-demand ceilings), with the service's 300 s of burst

	// Bucket opens a bucket of the S3 half, for exports to write and imports to read; nil: there is none, and both are
	// refused. It need not ask whether the bucket exists: using one that does not is an error of kind NotFound.
	Bucket func(ctx context.Context, name string) (blob.Bucket, error)

	// StrictTimes holds the service's times: what is younger than 5 minutes cannot be restored or exported, an incremental
	// export covers 15 minutes at least, and TTL changes once an hour. Without it nobody waits.
	StrictTimes bool

	// Upstream is the endpoint that everything is forwarded to but what it lacks (docs/decisions/0016-upstream.md); nil: all
	// tables are here. UpstreamLag is how late it may show a write in a table's stream, 0: by what is known of it.
	Upstream    *upstream.Client
	UpstreamLag time.Duration

	FullPages       bool          // every page of a stream holds what is there; the service also gives empty ones in mid-shard
	ShardLife       time.Duration // after which a shard of a stream is followed by another; 0: 4 hours
	TTLInterval     time.Duration // how often expired items are looked for; 0: 1 s
	KinesisDisorder bool          // tables' changes reach Kinesis as the service allows: some twice, neighbours out of order

	Clock func() time.Time // nil: time.Now; for tests of throttling and times
}

// DB is an open local DynamoDB. It is an http.Handler; its methods may be called concurrently.
type DB struct {
	opts    Options
	store   *store.Store
	kinesis *kinesis.Engine
	mu      sync.RWMutex // guards tables
	change  sync.Mutex   // held by operations that create, change or drop tables
	tables  map[string]*table
	fills   map[string]*table // those that are being filled, see filling; under mu
	tokens  tokenTable
	journal *journal
	crew    *crew
	streams streamSet
	feeds   feeds
	job     firstError // of what happens in the background
	relay   *relay     // nil: there is no upstream
	calls   sync.Pool
}

// Open opens the folder, or an empty database in memory. Errors are the store's: Corrupt with the place, Conflict when
// another process has the folder open.
func Open(opts Options) (*DB, error) {
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	settings := store.Options{Dir: opts.Dir, NoSync: opts.NoSync, Size: size, Clock: opts.Clock, Entries: entries}
	clock := shadow.NewClock(opts.Clock)
	if opts.Upstream != nil {
		settings.Clock = clock.Now
	}
	s, err := store.Open(settings)
	if err != nil {
		return nil, fmt.Errorf("open the local DynamoDB: %w", err)
	}
	db := &DB{opts: opts, store: s, tables: map[string]*table{}, fills: map[string]*table{}, crew: newCrew()}
	db.calls.New = func() any { return new(call) }
	if db.relay, err = openRelay(s, clock, &opts); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if db.kinesis, err = kinesis.Open(s, kinesis.Options{Throttle: opts.Throttle, Clock: opts.Clock}); err != nil {
		return nil, errors.Join(fmt.Errorf("open the local Kinesis: %w", err), s.Close())
	}
	for _, entry := range s.Tables() {
		if hidden(entry.Name) {
			continue
		}
		t, err := db.load(entry)
		if err == nil {
			err = db.place(t)
		}
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	if err := db.relay.resume(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	var busy []*table // known before anything goes on beside us and changes the tables
	for _, t := range db.tables {
		if t.busy() != nil {
			busy = append(busy, t)
		}
	}
	if err := errors.Join(db.openStreams(), db.feeds.open(db), db.resume()); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	for _, t := range busy {
		db.fillIndexes(t)
	}
	return db, nil
}

// place puts a table that was found in the store where it is served from.
func (db *DB) place(t *table) error {
	switch {
	case t.def.Filling != nil:
		db.fills[t.def.Name] = t
	case (db.relay != nil) != (t.def.Shadow != nil):
		err := fault.New(fault.User, "the folder %s is of a local DynamoDB with an upstream, or of one without: its table %s is the other kind", db.opts.Dir, t.def.Name)
		return fault.Hint(err, "give each of the two a folder of its own")
	case db.relay != nil:
		db.relay.shadows[t.def.Name] = t
	default:
		db.tables[t.def.Name] = t
	}
	return nil
}

// Close makes everything durable and gives the folder back. Requests must have ended: Serve waits for them. Exports,
// imports, backups and restores under way stop; the next Open goes on with them. It returns the first error of the
// background jobs, too.
func (db *DB) Close() error {
	db.crew.dismiss()
	return errors.Join(db.job.err(), db.store.Close())
}

func (db *DB) now() time.Time { return db.opts.Clock() }

// size gives the store DynamoDB's idea of an item's size.
func size(raw []byte) int {
	n, ok := sizeOf(raw)
	if !ok {
		return len(raw) // not one of ours; nothing but the table's byte count depends on it
	}
	return n
}

// dated tells our clock with each reply: who reads streams learns it there.
func (db *DB) dated() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = []string{db.now().UTC().Format(http.TimeFormat)}
		db.ServeHTTP(w, r)
	})
}

// The bounds of a connection. A request is read whole before it is looked at, and is at most 16 MB.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 5 * time.Minute
	closeTimeout  = 5 * time.Second
)

// Serve answers requests on the listener, and does what the service does by itself, until ctx ends, then lets those under way finish for at most 5 s and closes
// the listener. It refuses a listener that is not on loopback.
func (db *DB) Serve(ctx context.Context, l net.Listener) error {
	if addr, ok := l.Addr().(*net.TCPAddr); !ok || !addr.IP.IsLoopback() {
		err := fault.New(fault.User, "the local DynamoDB listens on loopback only, not on %s", l.Addr())
		return errors.Join(fault.Hint(err, "listen on 127.0.0.1"), l.Close())
	}
	server := &http.Server{Handler: db.dated(), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout}
	server.RegisterOnShutdown(db.kinesis.Hangup)
	var jobs sync.WaitGroup
	defer jobs.Wait()
	running, stop := context.WithCancel(ctx)
	defer stop()
	jobs.Go(func() { db.background(running) })
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve the local DynamoDB: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		_ = server.Close() // the stragglers have had their time; what they wrote is durable or absent
	}
	<-ended
	return nil
}

// Instance is a DB that serves.
type Instance struct {
	URL string // http://127.0.0.1:port
	DB  *DB

	stop func()
	done chan error
	once sync.Once
	err  error
}

// Start opens a DB and serves it on opts.Addr until ctx ends or Close is called.
func Start(ctx context.Context, opts Options) (*Instance, error) {
	addr := opts.Addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		err = fault.New(fault.User, "listen for the local DynamoDB: %w", err)
		return nil, fault.Hint(err, "choose another port with --dynamodb-port")
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		err := fault.New(fault.User, "the local DynamoDB listens on loopback only, not on %s", l.Addr())
		return nil, errors.Join(fault.Hint(err, "listen on 127.0.0.1"), l.Close())
	}
	db, err := Open(opts)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	ctx, stop := context.WithCancel(ctx)
	in := &Instance{URL: "http://" + l.Addr().String(), DB: db, stop: stop, done: make(chan error, 1)}
	go func() { in.done <- db.Serve(ctx, l) }()
	return in, nil
}

// Close stops serving, lets requests under way finish and closes the DB. It may be called again.
func (in *Instance) Close() error {
	in.once.Do(func() {
		in.stop()
		in.err = errors.Join(<-in.done, in.DB.Close())
	})
	return in.err
}
