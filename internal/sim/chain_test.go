package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dynaferry/internal/changelog"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/planted"
)

// chain tries package changelog: writers that know nothing of each other carry the stream into one chain.
func chain() Scenario {
	return Scenario{Name: "chain", Actor: carry,
		Begin: func(w *World) error {
			_, err := changelog.Create(context.Background(), w.Store.Bucket(), "log", changelog.Info{Stream: StreamARN, Table: TableName,
				Kinesis: w.Plan.Kinesis, View: feed.BothImages, Groups: 1})
			return err
		},
		Safe: func(w *World) error { return checkLog(w, false) },
		Done: func(w *World) error { return checkLog(w, true) }}
}

// carrier is a writer in the small: it takes the chain over and appends what the stream has.
type carrier struct {
	env   *Env
	chain *changelog.Chain
	build *changelog.Builder
	at    map[string]*reading
	page  feed.Page
}

// reading is how far a shard was read.
type reading struct {
	end      feed.Position
	iterator string
	closed   bool
	told     bool // that it is closed, to the builder
	children []string
}

func carry(ctx context.Context, env *Env) error {
	log, err := changelog.Open(ctx, env.Bucket, "log")
	if err != nil {
		return err
	}
	c := &carrier{env: env, at: map[string]*reading{}}
	if c.chain, err = log.Chain(ctx, 0, env.Name, changelog.ChainOptions{}); err != nil {
		return err
	}
	fenced := new(changelog.FencedError)
	for tries := 0; ; tries++ {
		_, err := c.chain.Append(ctx, &changelog.Draft{Kind: changelog.Fence})
		if err == nil {
			break
		}
		if !errors.As(err, &fenced) || tries > 3 {
			return err
		}
	}
	if c.build, err = changelog.NewBuilder(c.chain.State(), changelog.BuilderOptions{Workers: 1, BlockBytes: 4 << 10, OpenBytes: 16 << 10}); err != nil {
		return err
	}
	for _, s := range c.chain.State().Shards() {
		c.at[s.ID] = &reading{end: s.End, closed: s.Closed, told: s.Closed, children: s.Children}
	}
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		if err := c.gather(ctx); err != nil {
			return err
		}
		if c.build.Touched() {
			pause = time.Second
			if _, err := c.chain.Append(ctx, c.build.Cut()); err != nil {
				return err
			}
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// gather reads a page of each shard that may be read.
func (c *carrier) gather(ctx context.Context) error {
	listed, err := c.env.Feed.Shards(ctx, StreamARN, "")
	if fault.Retryable(err) {
		return nil
	}
	if err != nil {
		return err
	}
	unseen := c.chain.State().Unseen(listed)
	for _, shard := range listed { // parents before children
		at := c.at[shard.ID]
		if at == nil {
			fresh := slices.ContainsFunc(unseen, func(u feed.Shard) bool { return u.ID == shard.ID })
			if !fresh || c.waits(shard, unseen) {
				continue
			}
			if err := c.build.Begin(changelog.Shard{ID: shard.ID, Parents: shard.Parents}); err != nil {
				return err
			}
			at = &reading{}
			c.at[shard.ID] = at
		}
		if err := c.read(ctx, shard.ID, at, listed); err != nil && !fault.Retryable(err) {
			return err
		}
	}
	return nil
}

// waits tells whether a parent is still to be drained.
func (c *carrier) waits(shard feed.Shard, unseen []feed.Shard) bool {
	return slices.ContainsFunc(shard.Parents, func(id string) bool {
		if at := c.at[id]; at != nil {
			return !at.closed
		}
		return slices.ContainsFunc(unseen, func(u feed.Shard) bool { return u.ID == id })
	})
}

func (c *carrier) read(ctx context.Context, id string, at *reading, listed []feed.Shard) (err error) {
	if !at.closed {
		if at.iterator == "" {
			if at.iterator, err = c.env.Feed.Iterator(ctx, StreamARN, id, at.end); err != nil {
				return err
			}
		}
		err := c.env.Feed.Read(ctx, at.iterator, 1000, &c.page)
		if errors.Is(err, feed.ErrExpired) {
			at.iterator = ""
			return nil
		}
		if err != nil {
			return err
		}
		for i := range c.page.Records {
			r := &c.page.Records[i]
			if planted.Is(planted.ChildLatest) && len(c.parents(id, listed)) > 0 && at.end.IsZero() && i < len(c.page.Records)-1 {
				continue
			}
			key := c.page.Items.Item(int(r.Keys))
			if err := c.build.Add(id, changelog.Record{Raw: r.Raw, Position: r.Position, Micros: r.Micros, Key: changelog.KeyHash(key.Src)}); err != nil {
				return err
			}
			at.end = r.Position
		}
		at.iterator, at.closed = c.page.Next, c.page.Next == ""
		if !at.closed {
			return nil
		}
	}
	if at.told && c.chain.State().Shard(id) == nil {
		return nil // finished: all children that were listed were taken up; one that is listed later is begun all the same
	}
	var children []string
	for _, shard := range listed {
		if slices.Contains(shard.Parents, id) && !slices.Contains(at.children, shard.ID) {
			children = append(children, shard.ID)
		}
	}
	if len(children) == 0 && at.told {
		return nil
	}
	at.told, at.children = true, append(slices.Clone(at.children), children...)
	return c.build.Close(id, children...)
}

func (c *carrier) parents(id string, listed []feed.Shard) []string {
	for _, shard := range listed {
		if shard.ID == id {
			return shard.Parents
		}
	}
	return nil
}

// checkLog compares the log with the stream, and with what happened to the table; whole tells that nothing may be missing.
// That entries go on where those before end, reading them checks.
func checkLog(w *World, whole bool) error {
	log, err := changelog.Open(context.Background(), w.Store.Bucket(), "log")
	if err != nil {
		return err
	}
	lines, all := map[string][]string{}, []string(nil)
	entries := 0
	for batch, err := range log.Read(context.Background(), changelog.Range{}) {
		if err != nil {
			return err
		}
		entries++
		for i := range batch.Parts {
			records, err := batch.Parts[i].Records(nil)
			if err != nil {
				return err
			}
			for line := range changelog.Lines(records) {
				id := batch.Parts[i].Source.ID
				lines[id] = append(lines[id], string(line))
				all = append(all, string(line))
			}
		}
	}
	if err := checkNames(w, entries); err != nil {
		return err
	}
	there := w.Table.Lines()
	for id, got := range lines {
		if want := there[id]; len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
			return fmt.Errorf("shard %s: the log's %d records are not the first of the stream's %d", id, len(got), len(want))
		}
	}
	if !whole {
		return nil
	}
	for id, want := range there {
		if len(lines[id]) != len(want) {
			return fmt.Errorf("shard %s: the log has %d records of %d", id, len(lines[id]), len(want))
		}
	}
	if w.Plan.Kinesis {
		return nil // has no order of an item's changes, and has some twice
	}
	return checkChanges(w, all)
}

// checkNames: the chain is dense, and each entry was written once.
func checkNames(w *World, entries int) error {
	n := 0
	for _, name := range w.Store.Names() {
		if !strings.HasPrefix(name, "log/chain/000/0") {
			continue
		}
		if n++; name != fmt.Sprintf("log/chain/000/%012d", n) {
			return fmt.Errorf("%s is there, where entry %d should be", name, n)
		}
		if w.Store.Written(name) != 1 {
			return fmt.Errorf("%s was written %d times", name, w.Store.Written(name))
		}
	}
	if n != entries {
		return fmt.Errorf("%d entries are there, %d were read", n, entries)
	}
	return nil
}

// checkChanges: what the log says of each item, in the log's order, is what happened to it.
func checkChanges(w *World, all []string) error {
	got, want := map[string][]string{}, map[string][]string{}
	for _, line := range all {
		_, rest, _ := strings.Cut(line, `"Keys":{"id":{"S":"`)
		key, _, _ := strings.Cut(rest, `"`)
		got[key] = append(got[key], line[len(`{"eventID":"`):][:32])
	}
	for _, c := range w.Table.Changes() {
		want[c.Key] = append(want[c.Key], fmt.Sprintf("%032x", c.N))
	}
	for key := range want {
		if !slices.Equal(got[key], want[key]) {
			return fmt.Errorf("item %s: the log has the changes %v, the table had %v", key, got[key], want[key])
		}
	}
	return nil
}
