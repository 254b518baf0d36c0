package delivery

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"

	"dynaferry/internal/changelog"
	"dynaferry/internal/codec"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
)

// page is one block of the log on its way into files: unpacked and parsed beside others, transformed in order, and shaped
// into pieces. Its memory is used again.
type page struct {
	entry   *changelog.Entry
	block   int // in the entry
	shard   string
	raw     int64 // bytes of its records
	feed    feed.Page
	changes []Change
	refused []refusal
	dropped int64
	before  int64 // records that are not wanted: of before the beginning, or of a set known already
	shape   shaper
	rows    item.Batch
	pieces  []piece
	values  []string
	cached  string // prefix of the time in cachedAt
	at      int64
}

// pages are kept for the next span: a page has the memory of a block and what is made of it.
var pages = sync.Pool{New: func() any { return new(page) }}

// piece is what of a page goes into one file: rows, or for DynamoDB JSON the lines themselves.
type piece struct {
	prefix string // as rendered; random strings are still marked
	batch  item.Batch
	lines  []byte
	n      int64

	// With Settings.Into: by row the change that it is of, and by line where it ends and its key.
	from []int
	ends []int
	keys []string
}

// refusal is a record that cannot pass, and why.
type refusal struct {
	shard    string
	position feed.Position
	entry    uint64
	line     int64 // of the block, from 1
	micros   int64 // when it happened
	at       int64 // when it was captured
	code     string
	reason   string
	raw      []byte
}

// The reasons of refusals that are ours, in the place of Firehose's error codes.
const (
	codeUnreadable = "Record.Unreadable"
	codeNoChange   = "Record.NoChange"
	codeStep       = "Step.Refused"
	codeName       = "DynamicPartitioning.InvalidName"
)

// load unpacks and parses a part of the log.
func (p *page) load(e *changelog.Entry, part *changelog.Part, begin *Begin) error {
	p.reset(e, blockOf(e, part), part.Bytes)
	if part.Source != nil {
		p.shard = part.Source.ID
	}
	src, err := part.Records(slices.Grow(p.feed.Items.Src[:0], int(part.Bytes)+item.Slack))
	if err != nil {
		return err
	}
	p.feed.Items.Src = item.GrowSlack(src)
	return p.parse(part.From, part.Source == nil, func(c *Change) bool { return begin.has(c.Shard, c.Position, c.Micros) })
}

func (p *page) reset(e *changelog.Entry, block int, bytes int64) {
	p.entry, p.block, p.shard, p.raw = e, block, "", bytes
	p.changes, p.refused, p.dropped, p.before = p.changes[:0], p.refused[:0], 0, 0
	p.feed.Reset()
	p.feed.Items.Rows = p.feed.Items.Rows[:0]
}

// parse makes changes of the records in Src: those that are wanted. from is the time that they begin with; states have no order.
func (p *page) parse(from int64, states bool, wanted func(*Change) bool) error {
	e := p.entry
	err := ddbjson.ParseLogRecords(&p.feed, func(r codec.Reject) error {
		p.refused = append(p.refused, refusal{shard: p.shard, entry: e.N, line: r.Place.Line, micros: from, at: e.At, code: codeUnreadable,
			reason: r.Err.Error(), raw: bytes.Clone(r.Raw)})
		return nil
	})
	if err != nil {
		return err
	}
	micros := from
	for i := range p.feed.Records {
		r := &p.feed.Records[i]
		if micros = max(micros, r.Micros); states {
			micros = max(from, r.Micros) // in no order
		}
		c := Change{Shard: p.shard, Position: r.Position, Event: r.Event, State: states, Service: r.Service, Micros: micros,
			EventID: r.EventID, Raw: r.Raw, record: i}
		if !wanted(&c) {
			p.before++
			continue
		}
		if r.Event == 0 {
			c.Fate, c.Reason = Refused, "no change of DynamoDB's"
			p.refuse(&c, codeNoChange)
			continue
		}
		c.Keys, c.New, c.Old = p.item(r.Keys), p.item(r.New), p.item(r.Old)
		p.changes = append(p.changes, c)
	}
	return nil
}

// blockOf is the part's place among the blocks of its entry.
func blockOf(e *changelog.Entry, part *changelog.Part) int {
	return slices.IndexFunc(e.Blocks, func(b changelog.Block) bool { return b.Offset == part.Offset })
}

func (p *page) item(row int32) item.Item {
	if row == item.NoImage {
		return item.Item{}
	}
	return p.feed.Items.Item(int(row))
}

func (p *page) refuse(c *Change, code string) {
	p.refused = append(p.refused, refusal{shard: p.shard, position: clonePosition(c.Position), entry: p.entry.N, micros: c.Micros, at: p.entry.At, code: code,
		reason: c.Reason, raw: bytes.Clone(c.Raw)})
}

// clonePosition outlives the page.
func clonePosition(p feed.Position) feed.Position {
	p.Seq = feed.Number(strings.Clone(string(p.Seq)))
	return p
}

// form makes pieces of the changes that were kept.
func (p *page) form(e *Epoch, x *prefixes) {
	for i := range p.pieces {
		p.pieces[i].batch.Rows, p.pieces[i].lines, p.pieces[i].n = p.pieces[i].batch.Rows[:0], p.pieces[i].lines[:0], 0
		p.pieces[i].from = p.pieces[i].from[:0]
	}
	p.pieces, p.at, p.cached = p.pieces[:0], -1, ""
	p.shape.images = e.Settings.Images
	p.rows.Reset()
	text := e.Settings.Form == DynamoDBJSON
	views := e.Settings.Images == New && !text && len(e.Settings.Steps) == 0 // rows are items as they stand
	for i := range p.changes {
		c := &p.changes[i]
		switch c.Fate {
		case Dropped:
			p.dropped++
			continue
		case Refused:
			p.refuse(c, codeStep)
			continue
		}
		if e.Settings.Images == New && !has(c.New) {
			p.dropped++
			continue
		}
		to, err := p.route(x, c, e.Settings.Clock)
		if err != nil {
			c.Reason = err.Error()
			p.refuse(c, codeName)
			continue
		}
		to.n++
		if e.Settings.Into != "" {
			to.from = append(to.from, i)
		}
		switch {
		case text:
			to.lines, _ = p.shape.line(to.lines, c)
		case views:
			to.batch.Rows = append(to.batch.Rows, p.feed.Items.Rows[p.feed.Records[c.record].New])
		default:
			p.shape.row(&p.rows, c)
			to.batch.Rows = append(to.batch.Rows, p.rows.Rows[len(p.rows.Rows)-1])
		}
	}
	from := &p.rows
	if views {
		from = &p.feed.Items
	}
	for i := range p.pieces {
		p.pieces[i].batch.Src, p.pieces[i].batch.Tape = from.Src, from.Tape
	}
}

// route finds the piece of a change.
func (p *page) route(x *prefixes, c *Change, clock Clock) (*piece, error) {
	if x.constant() {
		if len(p.pieces) == 0 {
			return p.piece(x.render(x.data, subject{}))
		}
		return &p.pieces[0], nil
	}
	micros := c.Micros
	if clock == CaptureTime {
		micros = p.entry.At
	}
	if step := micros * 1000 / x.step; !x.keyed && step == p.at && len(p.pieces) > 0 {
		return p.piece(p.cached)
	} else {
		p.at = step
	}
	p.values = p.values[:0]
	for i := range x.keys {
		p.values = append(p.values, keyValue(c.image(), x.keys[i].Path))
	}
	p.cached = x.render(x.data, subject{micros: micros, values: p.values})
	return p.piece(p.cached)
}

func (p *page) piece(prefix string) (*piece, error) {
	for i := len(p.pieces) - 1; i >= 0 && i >= len(p.pieces)-8; i-- {
		if p.pieces[i].prefix == prefix {
			return &p.pieces[i], nil
		}
	}
	if i := slices.IndexFunc(p.pieces, func(q piece) bool { return q.prefix == prefix }); i >= 0 {
		return &p.pieces[i], nil
	}
	if n := len(prefix); n > renderedBytesMax {
		return nil, fault.New(fault.Limit, "the prefix has %d bytes; at most %d", n, renderedBytesMax)
	}
	if len(p.pieces) < cap(p.pieces) {
		p.pieces = p.pieces[:len(p.pieces)+1]
	} else {
		p.pieces = append(p.pieces, piece{})
	}
	fresh := &p.pieces[len(p.pieces)-1]
	fresh.prefix = prefix
	return fresh, nil
}

// renderedBytesMax leaves room for a file's own name and the destination's prefix.
const renderedBytesMax = 768

// apply runs steps over the page, or takes what they made of it before.
func (p *page) apply(ctx context.Context, t Transform, o *outcomes) error {
	if t == nil || len(p.changes) == 0 {
		return nil
	}
	if o != nil {
		return o.apply(ctx, t, p)
	}
	return t.Apply(ctx, p.changes)
}
