package changelog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// stream is a made-up stream: shards that grow, split and merge.
type stream struct {
	mu     sync.Mutex
	order  []string // shards as they began
	shards map[string]*streamShard
	seq    int
	ended  bool
}

type streamShard struct {
	feed.Shard
	records []Record
}

func newStream(shards int) *stream {
	s := &stream{shards: map[string]*streamShard{}}
	for range shards {
		s.begin()
	}
	return s
}

func (s *stream) begin(parents ...string) {
	id := fmt.Sprintf("shard-%03d", len(s.order))
	s.order = append(s.order, id)
	s.shards[id] = &streamShard{Shard: feed.Shard{ID: id, Parents: parents}}
}

func (s *stream) open() (open []string) {
	for _, id := range s.order {
		if !s.shards[id].Closed {
			open = append(open, id)
		}
	}
	return open
}

// happen makes one thing happen: mostly a record, sometimes a split or a merge.
func (s *stream) happen(r *rand.Rand) {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := s.open()
	id := open[r.IntN(len(open))]
	switch k := r.IntN(20); {
	case k == 0 && len(open) < 6:
		s.shards[id].Closed = true
		for range 1 + r.IntN(2) {
			s.begin(id)
		}
	case k == 1 && len(open) > 2:
		other := open[(slices.Index(open, id)+1)%len(open)]
		s.shards[id].Closed, s.shards[other].Closed = true, true
		s.begin(id, other)
	default:
		s.seq++
		s.shards[id].records = append(s.shards[id].records, record(s.seq, int64(1000+s.seq-r.IntN(5)), fmt.Sprint(s.seq%7)))
	}
}

// look is what a capture sees: a listing, and the records of a shard behind a position, at most max.
func (s *stream) look() (listed []feed.Shard, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.order {
		listed = append(listed, s.shards[id].Shard)
	}
	return listed, s.ended
}

func (s *stream) read(id string, after feed.Position, most int) (some []Record, drained bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	shard := s.shards[id]
	for _, r := range shard.records {
		if r.Compare(after) > 0 {
			some = append(some, r)
		}
	}
	if len(some) > most {
		return some[:most], false
	}
	return some, shard.Closed
}

func (s *stream) children(id string) (children []string) {
	listed, _ := s.look()
	for _, shard := range listed {
		if slices.Contains(shard.Parents, id) {
			children = append(children, shard.ID)
		}
	}
	return children
}

// capture is a writer as the storey above will be one, in the small: it takes the chain over with a fence and appends what
// the stream has, until the stream has ended and all is in the log, or something goes wrong.
func capture(ctx context.Context, l *Log, s *stream, r *rand.Rand, name string) error {
	options := ChainOptions{commit.Options{Deadline: 4 * time.Second, Pause: 10 * time.Millisecond}}
	c, err := l.Chain(ctx, 0, name, options)
	if err != nil {
		return err
	}
	fenced := new(FencedError)
	for tries := 0; ; tries++ {
		_, err := c.Append(ctx, &Draft{Kind: Fence})
		if err == nil {
			break
		}
		if !errors.As(err, &fenced) || tries > 3 {
			return err
		}
	}
	b, err := NewBuilder(c.State(), BuilderOptions{BlockBytes: 200 + r.IntN(2000), OpenBytes: 500 + r.IntN(5000), Workers: 2})
	if err != nil {
		return err
	}
	for rounds := 0; ; rounds++ {
		if rounds > 2000 {
			return fault.New(fault.Bug, "there is no end: %v are unseen", c.State().Unseen(nil))
		}
		listed, ended := s.look()
		if err := gather(b, c.State(), s, r, listed); err != nil {
			return err
		}
		touched := b.Touched()
		if _, err := c.Append(ctx, b.Cut()); err != nil {
			return err
		}
		if ended && !touched && len(c.State().Unseen(listed)) == 0 {
			return nil
		}
		if err := pause(ctx, time.Duration(r.IntN(900))*time.Millisecond, nil); err != nil {
			return err
		}
	}
}

// gather adds to the draft what the stream has: a random part of it, so that cuts fall anywhere.
func gather(b *Builder, state *State, s *stream, r *rand.Rand, listed []feed.Shard) error {
	unseen := state.Unseen(listed)
	for _, shard := range listed { // parents before children
		fresh := slices.ContainsFunc(unseen, func(u feed.Shard) bool { return u.ID == shard.ID })
		waits := slices.ContainsFunc(shard.Parents, func(id string) bool { p := b.lanes[id]; return p == nil || !p.shard.Closed })
		if fresh && !waits && r.IntN(3) > 0 { // not all children at once
			if err := b.Begin(Shard{ID: shard.ID, Parents: shard.Parents}); err != nil {
				return err
			}
		}
		at := b.lanes[shard.ID]
		if at == nil || at.shard.Closed && len(at.shard.Children) == len(s.children(shard.ID)) {
			continue
		}
		some, drained := s.read(shard.ID, at.position(), 1+r.IntN(12))
		for _, rec := range some {
			if err := b.Add(shard.ID, rec); err != nil {
				return err
			}
		}
		if drained {
			if err := b.Close(shard.ID, s.children(shard.ID)...); err != nil {
				return err
			}
		} else if len(some) == 0 && r.IntN(3) == 0 {
			if err := b.Tip(shard.ID, at.shard.Time); err != nil {
				return err
			}
		}
	}
	return nil
}

// faults draws a plan of what goes wrong with the chain's objects.
func faults(r *rand.Rand) string {
	var rules []string
	for range r.IntN(14) {
		n := 1 + r.IntN(40)
		rules = append(rules, []string{
			fmt.Sprintf("put(chain*)#%d: lost", n),
			fmt.Sprintf("put(chain*)#%d: late %dms", n, 1+r.IntN(8000)),
			fmt.Sprintf("put(chain*)#%d-%d: 503", n, n+r.IntN(4)),
			fmt.Sprintf("put(chain*)#%d-%d: lost; get(chain*)#%d-%d: 503", n, n+1, n, n+200),
			fmt.Sprintf("put(chain*)#%d: slow %dms", n, 1+r.IntN(6000)),
			fmt.Sprintf("get(chain*)#%d: flip %d", 2*n, r.IntN(400)),
			fmt.Sprintf("get(chain*)#%d: 500", 2*n),
			fmt.Sprintf("head(chain*)#%d: 503", 3*n),
			fmt.Sprintf("put(chain*)#%d: 403", n),
		}[r.IntN(9)])
	}
	return strings.Join(append(rules, "put(never)#1: 503"), "; ")
}

// TestHistories: whatever several writers do to one chain while answers get lost, puts land late and writers are killed
// in the middle, there is one chain, with every record of the stream once and in order, and its state is what its entries
// say; a reader that follows along sees the same.
func TestHistories(t *testing.T) {
	histories := 60
	if testing.Short() {
		histories = 10
	}
	if os.Getenv("DYNAFERRY_LONG") != "" {
		histories = 20_000
	}
	for seed := range histories {
		synctest.Test(t, func(t *testing.T) { history(t, uint64(seed)) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func history(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 7))
	m := newMemory()
	makeLog(t, m, 1)
	broken, f := faultedLog(t, m, faults(r))
	s := newStream(1 + r.IntN(3))
	var wait sync.WaitGroup
	events := 30 + r.IntN(200)
	producer := rand.New(rand.NewPCG(seed, 8))
	wait.Go(func() {
		for range events {
			s.happen(producer)
			time.Sleep(time.Duration(producer.IntN(400)) * time.Millisecond)
		}
		s.mu.Lock()
		s.ended = true
		s.mu.Unlock()
	})
	for w := range 1 + r.IntN(3) {
		own := rand.New(rand.NewPCG(seed, uint64(100+w)))
		wait.Go(func() {
			for life := range 6 {
				ctx, kill := context.WithTimeout(t.Context(), time.Duration(own.IntN(40_000))*time.Millisecond)
				err := capture(ctx, broken, s, own, fmt.Sprintf("w%d.%d", w, life))
				kill()
				if k := fault.KindOf(err); err != nil && (k == fault.Corrupt || k == fault.Bug && ctx.Err() == nil) {
					t.Errorf("seed %d: writer %d: %v", seed, w, err)
				}
				time.Sleep(time.Duration(own.IntN(5000)) * time.Millisecond)
			}
		})
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	l, err := Open(ctx, m, "")
	must(t, err)
	followed, following := map[string][]string{}, make(chan error, 1)
	go func() {
		var err error
		followed, _, err = readAll(ctx, l, Range{Poll: 300 * time.Millisecond})
		following <- err
	}()
	wait.Wait()
	f.Wait()
	// A healthy writer brings in what is left.
	if err := capture(t.Context(), l, s, r, "last"); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	time.Sleep(time.Second)
	stop()
	if err := <-following; !errors.Is(err, context.Canceled) {
		t.Errorf("seed %d: the follower ended with %v", seed, err)
	}
	judge(t, l, m, s, followed)
}

// judge compares a log with the stream that it is of.
func judge(t *testing.T, l *Log, m *memory, s *stream, followed map[string][]string) {
	t.Helper()
	lines, entries, err := readAll(t.Context(), l, Range{})
	must(t, err)
	for _, id := range s.order {
		var want []string
		for _, r := range s.shards[id].records {
			want = append(want, string(r.Raw))
		}
		if !slices.Equal(lines[id], want) {
			t.Errorf("shard %s: the log has %d records, the stream %d, or they differ", id, len(lines[id]), len(want))
		}
		if !slices.Equal(followed[id], want) {
			t.Errorf("shard %s: the follower saw %d records, the stream has %d, or they differ", id, len(followed[id]), len(want))
		}
	}
	n := 0
	for _, name := range m.names() {
		if strings.HasPrefix(name, "chain/000/0") {
			if n++; name != entryName("", 0, uint64(n)) {
				t.Errorf("object %s, where entry %d should be", name, n)
			}
		}
	}
	if n != len(entries) {
		t.Errorf("%d entries are there, %d were read", n, len(entries))
	}
	judgeState(t, l, s, entries)
}

// judgeState compares the state with what the stream says, and with all that every entry makes when it is folded from the first.
func judgeState(t *testing.T, l *Log, s *stream, entries []*Entry) {
	t.Helper()
	folded := newState(0)
	var err error
	for _, e := range entries {
		if folded, err = folded.next(e); err != nil {
			t.Fatalf("entry %d: %v", e.N, err)
		}
		if e.N%5 == 0 || e.N == uint64(len(entries)) {
			short, err := l.StateAt(t.Context(), 0, e.N)
			must(t, err)
			if got, want := fmt.Sprint(shardTexts(short)), fmt.Sprint(shardTexts(folded)); got != want || short.Writer != folded.Writer || short.Stream != folded.Stream {
				t.Fatalf("the state behind %d is %s; folded from the first it is %s", e.N, got, want)
			}
		}
	}
	var known []string
	for _, shard := range folded.Shards() {
		known = append(known, shard.ID)
		there := s.shards[shard.ID]
		if int(shard.Total) != len(there.records) || shard.Closed != there.Closed {
			t.Errorf("shard %s has %d records and is closed %v; the stream says %d and %v", shard.ID, shard.Total, shard.Closed,
				len(there.records), there.Closed)
		}
	}
	if !slices.Equal(known, s.open()) {
		t.Errorf("not finished are %v, open are %v", known, s.open())
	}
}

func shardTexts(s *State) (texts []string) {
	for _, shard := range s.Shards() {
		texts = append(texts, fmt.Sprintf("%+v", *shard))
	}
	return texts
}
