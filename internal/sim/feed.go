package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
)

// client is a process's view of the table's stream.
type client struct {
	t *Table
	p *Process
	// raw: as Kinesis itself answers, which goes on at what is left and says nothing where records are trimmed. What a port makes
	// of that is a client's.
	raw bool
}

// send carries out a call of a service that only reads.
func (t *Table) send(ctx context.Context, p *Process, op, name string, do func(r *rand.Rand) error) error {
	c, err := p.begin(ctx, op, name, 0, nil)
	if err != nil {
		return err
	}
	switch t.w.pick(c.r, Before, Throttle, Lost, Slow) {
	case Before:
		return c.answer(ctx, "503", unavailable("503 Service Unavailable"))
	case Throttle:
		return c.answer(ctx, "throttled", fault.New(fault.Throttled, "LimitExceededException"))
	case Lost:
		return c.answer(ctx, "lost", unavailable("connection reset by peer"))
	case Slow:
		c.back += c.spread(30 * time.Second)
	}
	t.mu.Lock()
	err = do(c.r)
	t.mu.Unlock()
	return c.answer(ctx, outcome(err), err)
}

func (c *client) Describe(ctx context.Context, stream string) (*feed.Stream, error) {
	err := c.t.send(ctx, c.p, "describe-stream", stream, func(*rand.Rand) error {
		if stream != c.t.w.Plan.Stream() {
			return fault.New(fault.NotFound, "no stream %s", stream)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	d := &feed.Stream{ARN: stream, Kinesis: c.t.w.Plan.Kinesis, View: feed.BothImages, Open: true}
	if !d.Kinesis { // which knows neither
		d.Table, d.Keys = TableName, keys
	}
	return d, nil
}

var keys = item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.S}}

func (c *client) Shards(ctx context.Context, stream, of string) ([]feed.Shard, error) {
	return c.shards(ctx, of, func(s *shard) bool { return of == "" || slices.Contains(s.Parents, of) })
}

// shards lists those that are wanted.
func (c *client) shards(ctx context.Context, of string, wanted func(*shard) bool) (list []feed.Shard, err error) {
	err = c.t.send(ctx, c.p, "shards", of, func(r *rand.Rand) error {
		now := time.Now()
		asOf := now
		if c.t.w.pick(r, Stale) == Stale {
			asOf = now.Add(-time.Duration(r.Int64N(int64(time.Minute))))
		}
		for i, s := range c.t.shards {
			first := i < c.t.w.Plan.Shards // was there before anybody looked
			if s.listed.After(asOf) && !first || s.gone(now) || !wanted(s) {
				continue
			}
			shard := s.Shard
			shard.Closed = !s.closed.IsZero() && !s.told.After(asOf)
			list = append(list, shard)
		}
		return nil
	})
	return list, err
}

// gone tells whether a shard is no longer kept: closed, and all that it held is.
func (s *shard) gone(now time.Time) bool { return !s.closed.IsZero() && now.Sub(s.closed) > retention }

// trimmed counts the records that are no longer kept.
func (s *shard) trimmed(now time.Time) int {
	n := 0
	for n < len(s.records) && now.Sub(s.records[n].at) > retention {
		n++
	}
	return n
}

func (t *Table) shard(id string) *shard {
	for _, s := range t.shards {
		if s.ID == id && !s.gone(time.Now()) {
			return s
		}
	}
	return nil
}

// seek finds the first record behind a position that is kept.
func (s *shard) seek(after feed.Position, raw bool) (int, error) {
	i := 0
	if !after.IsZero() {
		for i < len(s.records) && number(s.records[i].seq) <= number(after.Seq) {
			i++
		}
	}
	lost := s.trimmed(time.Now())
	if i < lost && !after.IsZero() && !raw {
		return 0, fmt.Errorf("shard %s behind %v: %w", s.ID, after, feed.ErrTrimmed)
	}
	return max(i, lost), nil
}

// number reads a sequence number without package feed, whose comparing is on trial.
func number(n feed.Number) int {
	v, _ := strconv.Atoi(n.String())
	return v
}

func (c *client) Iterator(ctx context.Context, stream, shard string, after feed.Position) (iterator string, err error) {
	err = c.t.send(ctx, c.p, "iterator", shard, func(*rand.Rand) error {
		s := c.t.shard(shard)
		if s == nil {
			return fault.New(fault.NotFound, "no shard %s", shard)
		}
		_, err := s.seek(after, c.raw)
		iterator = c.t.iterator(shard, after, 0)
		return err
	})
	if err != nil {
		return "", err
	}
	return iterator, nil
}

// iterator is what the service hands out: it tells all by itself, when it was made, and how many pages before it in a row
// were empty without need.
func (t *Table) iterator(shard string, after feed.Position, empty int) string {
	return fmt.Sprintf("%s/%s/%d/%d", shard, after, time.Now().UnixNano(), empty)
}

// emptyMax is how many pages in a row are empty although records are there: that five over ten seconds are the open end, is
// what capture has to rely on.
const emptyMax = 4

func (c *client) Read(ctx context.Context, iterator string, limit int, p *feed.Page) error {
	*p = feed.Page{Records: p.Records[:0], Items: p.Items, Children: p.Children[:0], Behind: -1}
	p.Items.Reset()
	part := strings.Split(iterator, "/")
	if len(part) != 4 {
		return fault.New(fault.User, "%q is no iterator", iterator)
	}
	return c.t.send(ctx, c.p, "read", part[0], func(r *rand.Rand) error {
		return c.read(r, part, limit, p)
	})
}

func (c *client) read(r *rand.Rand, iterator []string, limit int, p *feed.Page) error {
	t := c.t
	id := iterator[0]
	made64, err := strconv.ParseInt(iterator[2], 10, 64)
	empty, err2 := strconv.Atoi(iterator[3])
	after, err3 := feed.ParsePosition(iterator[1])
	if err := errors.Join(err, err2, err3); err != nil {
		return fault.New(fault.User, "%q is no iterator: %w", iterator, err)
	}
	life := 15 * time.Minute
	if t.w.Plan.Kinesis {
		life = 5 * time.Minute
	}
	if time.Since(time.Unix(0, made64)) > life || t.w.pick(r, Expire) == Expire {
		return fmt.Errorf("shard %s: %w", id, feed.ErrExpired)
	}
	s := t.shard(id)
	if s == nil {
		return fault.New(fault.NotFound, "no shard %s", id)
	}
	from, err := s.seek(after, c.raw)
	if err != nil {
		return err
	}
	p.Date = time.Now().Truncate(time.Second)
	some := s.records[from:min(len(s.records), from+1+r.IntN(min(limit, 10)))]
	if t.w.pick(r, Empty) == Empty && empty < emptyMax {
		some, empty = nil, empty+1
	} else {
		empty = 0
	}
	build := item.NewBuilder(&p.Items)
	for _, rec := range some {
		p.Records = append(p.Records, rec.page(build, &p.Items, t.w.Plan.Kinesis))
		p.Bytes += len(rec.raw)
		after = feed.Position{Seq: rec.seq}
	}
	left := s.records[from+len(some):]
	if t.w.Plan.Kinesis {
		p.Behind = 0
		if len(left) > 0 {
			p.Behind = time.Since(left[0].at)
		}
	}
	if len(left) > 0 || s.closed.IsZero() {
		p.Next = t.iterator(id, after, empty)
		return nil
	}
	for _, child := range t.shards {
		if t.w.Plan.Kinesis && slices.Contains(child.Parents, id) {
			p.Children = append(p.Children, child.Shard)
		}
	}
	return nil
}

// page is the record as a page holds it.
func (r *record) page(build *item.Builder, to *item.Batch, kinesis bool) feed.Record {
	image := func(n int, key bool) int32 {
		if n == 0 && !key {
			return item.NoImage
		}
		build.Begin(0)
		build.Name("id")
		build.String([]byte(r.Key))
		if !key {
			build.Name("v")
			build.Int(int64(n))
		}
		build.Finish()
		return int32(to.Len() - 1)
	}
	out := feed.Record{Raw: bytes.Clone(r.raw), Position: feed.Position{Seq: r.seq}, Event: r.Event, Service: r.Service, Micros: r.micros,
		EventID: fmt.Appendf(nil, "%032x", r.N)}
	out.Keys, out.New, out.Old = image(0, true), image(r.New, false), image(r.Old, false)
	if kinesis {
		out.Table, out.PartitionKey, out.Arrived = []byte(TableName), []byte(r.Key), r.arrived()*1e3
	}
	return out
}
