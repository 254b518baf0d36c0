package source

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"

	"dynaferry/internal/changelog"
	"dynaferry/internal/codec"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
	"dynaferry/internal/row"
	"dynaferry/internal/step"
)

// Changes implements Changer: records as changes, each with its running time, in the order of the log.
func (s *log) Changes(ctx context.Context, u Unit, o ReadOptions) (ChangeStream, error) {
	return s.open(ctx, u, o)
}

// Read streams rows that tell changes, or what records deleted.
func (s *log) Read(ctx context.Context, u Unit, o ReadOptions) (Stream, error) {
	if !s.spec.Log.items() {
		return nil, NotItems(s.info)
	}
	return s.open(ctx, u, o)
}

func (s *log) open(ctx context.Context, u Unit, o ReadOptions) (*logStream, error) {
	if u.Log == nil {
		return nil, fault.New(fault.Corrupt, "unit %d is of no log", u.Order)
	}
	st, err := s.begin(ctx, *u.Log, o)
	if err == nil {
		st.next, st.stop = iter.Pull2(s.log.Read(ctx, s.blocks(*u.Log)))
	}
	return st, err
}

// blocks are those of a span that may have records that are meant.
func (s *log) blocks(span LogSpan) changelog.Range {
	r := changelog.Range{Group: span.Group, First: span.First, Last: span.Last, From: span.From}
	if span.To != math.MaxInt64 {
		r.To = span.To + 1
	}
	if s.key != nil {
		r.Key = changelog.KeyHash(s.key)
	}
	return r
}

// begin makes a stream of a span, to which somebody gives entries.
func (s *log) begin(ctx context.Context, span LogSpan, o ReadOptions) (*logStream, error) {
	st := &logStream{ctx: ctx, log: s, span: span, rejects: o.Rejects, stop: func() {}}
	if s.filter != nil {
		if err := st.start(s.filter, "--where: ", step.Env{}); err != nil {
			return nil, err
		}
	}
	if s.steps != nil {
		if o.Steps == nil {
			return nil, fault.New(fault.Bug, "steps of %s without a plan", s.at)
		}
		if err := st.start(s.steps, "", *o.Steps); err != nil {
			st.end()
			return nil, err
		}
	}
	return st, nil
}

// logStream reads a run of entries.
type logStream struct {
	log  *log
	span LogSpan
	next func() (*changelog.Batch, error, bool)
	stop func()

	batch   *changelog.Batch
	parts   []changelog.Part
	part    *changelog.Part
	lines   []byte // of the part, decompressed
	rest    []byte // of lines
	running int64  // time of the record before
	line    int64  // records of the entry before

	page   feed.Page
	key    []byte
	others func(line int) // takes the records of the window that are no changes; nil leaves them out

	ctx     context.Context // of Read: the steps'
	passes  []changePass    // what changes go through, one after another
	judged  []step.Change
	at      []int // in the batch, by the row of their keys
	rejects codec.Rejects

	changes item.Changes // that rows are made of
	shape   row.Shaper
}

// changePass is a chain of steps, and what a refusal by it begins with.
type changePass struct {
	run  *step.Runner
	flag string
}

func (st *logStream) start(chain *step.Chain, flag string, env step.Env) error {
	run, err := chain.Start(st.ctx, env)
	if err != nil {
		return fmt.Errorf("%s%w", flag, err)
	}
	st.passes = append(st.passes, changePass{run, flag})
	return nil
}

func (st *logStream) end() {
	for _, p := range st.passes {
		p.run.Close()
	}
}

// Close implements Stream.
func (st *logStream) Close() error {
	st.end()
	st.stop()
	return nil
}

// linesBytes is how much is parsed at once.
const linesBytes = 1 << 20

// advance makes some whole lines the next ones to parse; io.EOF behind the last.
func (st *logStream) advance() (lines []byte, err error) {
	for len(st.rest) == 0 {
		if len(st.parts) == 0 {
			batch, err, ok := st.next()
			if !ok {
				return nil, io.EOF
			}
			if err != nil {
				return nil, err
			}
			st.batch, st.parts, st.line = batch, batch.Parts, 0
			continue
		}
		st.part, st.parts = &st.parts[0], st.parts[1:]
		if st.part.Source == nil && !st.log.spec.Log.AcceptCompacted {
			continue // of a gap that is not of the window
		}
		if st.lines, err = st.part.Records(st.lines[:0]); err != nil {
			return nil, err
		}
		st.rest, st.running = st.lines, st.part.From
	}
	n := len(st.rest)
	if n > linesBytes {
		if end := bytes.LastIndexByte(st.rest[:linesBytes], '\n'); end >= 0 {
			n = end + 1
		} else if end = bytes.IndexByte(st.rest, '\n'); end >= 0 {
			n = end + 1
		}
	}
	lines, st.rest = st.rest[:n], st.rest[n:]
	return lines, nil
}

// place names the entry that is being read.
func (st *logStream) place() string {
	return fmt.Sprintf("%s entry %d of group %d", st.log.at, st.batch.N, st.batch.Group)
}

// ReadChanges implements codec.ChangeReader.
func (st *logStream) ReadChanges(b *item.Changes) error {
	for {
		b.Reset()
		lines, err := st.advance()
		if err != nil {
			return err
		}
		if err := st.parse(b, lines); err != nil {
			return fault.At(err, fault.Place{File: st.place()})
		}
		b.File, b.FirstLine = st.place(), st.line+1
		if err := st.judge(b); err != nil {
			return fault.At(err, fault.Place{File: st.place()})
		}
		st.line += int64(bytes.Count(lines, []byte{'\n'}))
		if len(b.List) > 0 {
			return nil
		}
	}
}

// Read implements codec.Reader: rows, or what records deleted.
func (st *logStream) Read(b *item.Batch) error {
	if images := st.log.spec.Log.Images; images != "" {
		return st.readRows(images, b)
	}
	var changes item.Changes
	for {
		changes.Batch = *b
		err := st.ReadChanges(&changes)
		*b = changes.Batch
		if err != nil {
			b.Reset()
			return err
		}
		rows := make([]item.Row, 0, len(changes.List))
		for _, c := range changes.List {
			if c.New == item.NoImage && c.Old != item.NoImage {
				row := b.Rows[c.Old]
				row.Line = c.Line
				rows = append(rows, row)
			}
		}
		if b.Rows = rows; len(rows) > 0 {
			return nil
		}
	}
}

// parse makes changes of lines: those of the window that are wanted. Final states of a compacted entry are of a stretch of time, in no
// order: each counts as of just before the second of its write, so that a record of that second beats it.
func (st *logStream) parse(b *item.Changes, lines []byte) error {
	page := &st.page
	page.Items = b.Batch // whose memory is used again
	page.Items.Src = item.GrowSlack(append(page.Items.Src[:0], lines...))
	err := ddbjson.ParseLogRecords(page, st.foreign)
	b.Batch = page.Items
	if err != nil {
		return fault.As(fault.Corrupt, err)
	}
	order := func(yield func(int) bool) {
		for i := range page.Records {
			if !yield(i) {
				return
			}
		}
	}
	if l := st.log.log; l.Kinesis && st.part.Source != nil && st.others == nil && l.View.HasOld() && !l.Keys.Empty() {
		order = slices.Values(ordered(page, l.Keys))
	}
	for i := range order {
		r := &page.Records[i]
		at, inside := st.when(r)
		switch {
		case r.Event == 0 && st.part.Source == nil:
			return fault.New(fault.Corrupt, "a final state without keys: %.100q", r.Raw)
		case !inside:
		case r.Event != 0:
			c := item.Change{Key: r.Keys, New: r.New, Old: r.Old, Micros: at, Line: uint32(i), Service: r.Service && r.Event == feed.Remove}
			if st.wants(b, c, r) {
				b.List = append(b.List, c)
			}
		case st.others != nil:
			st.others(i)
		}
	}
	return nil
}

// foreign takes a line that cannot be read as a record. Of a Kinesis stream it is one that somebody else wrote, and no change; of others it is
// damage.
func (st *logStream) foreign(r codec.Reject) error {
	if !st.log.log.Kinesis || st.part.Source == nil {
		return r.Err
	}
	at, err := changelog.PositionOf(r.Raw)
	if err == nil {
		st.page.Records = append(st.page.Records, feed.Record{Position: at, Keys: item.NoImage, New: item.NoImage, Old: item.NoImage})
	}
	return err
}

// when tells the time of a record, and whether it is inside the window.
func (st *logStream) when(r *feed.Record) (at int64, inside bool) {
	if st.part.Source == nil {
		return max(r.Micros, st.part.From)/1e6*1e6 - 1, true
	}
	st.running = max(st.running, r.Micros)
	if at = st.running; st.log.log.Kinesis && r.Event != 0 {
		at = r.Micros
	}
	return at, at > st.span.From && at <= st.span.To
}

// wants applies the filters.
func (st *logStream) wants(b *item.Changes, c item.Change, r *feed.Record) bool {
	o := st.log.spec.Log
	if st.part.Source == nil {
		r = nil // nobody knows who made it
	}
	if len(o.Ops) > 0 && !st.did(o.Ops, c, r) {
		return false
	}
	if st.log.key != nil {
		var err error
		if st.key, err = st.log.log.Keys.AppendKey(st.key[:0], b.Item(int(c.Key))); err != nil || !bytes.Equal(st.key, st.log.key) {
			return false
		}
	}
	return true
}

// judge keeps the changes for which the expression holds, of what an item became, or of one that was deleted, was; and does what
// steps do. Those of which neither can tell are rejects.
func (st *logStream) judge(b *item.Changes) error {
	if len(st.passes) == 0 || len(b.List) == 0 {
		return nil
	}
	st.judged, st.at = st.judged[:0], slices.Grow(st.at[:0], len(b.Rows))[:len(b.Rows)]
	for i, c := range b.List {
		st.at[c.Key] = i
		facts := step.Facts{Op: step.Op(st.op(c)), Micros: c.Micros, Position: st.position(c), TTL: c.Service}
		if facts.Op == row.State {
			facts.Op = step.Modify
		}
		st.judged = append(st.judged, step.Change{Keys: c.Key, New: c.New, Old: c.Old, Facts: facts})
	}
	for _, p := range st.passes {
		passed, err := p.run.Changes(st.ctx, &b.Batch, st.judged, func(f step.Refusal) error {
			r := codec.Reject{Place: fault.Place{File: b.File, Line: b.FirstLine + int64(f.Line)}, Raw: item.AppendCanonical(nil, f.Item), Err: fmt.Errorf("%s%w", p.flag, f.Reason)}
			if st.rejects == nil {
				return fault.At(r.Err, r.Place)
			}
			return st.rejects(r)
		})
		if err != nil {
			return err
		}
		st.judged = passed
	}
	kept := b.List[:0]
	for _, p := range st.judged {
		c := b.List[st.at[p.Keys]]
		c.New, c.Old = p.New, p.Old
		kept = append(kept, c)
	}
	b.List = kept
	return nil
}

// record is what a change was read from; nil of a final state in a compacted entry.
func (st *logStream) record(c item.Change) *feed.Record {
	if st.part.Source == nil {
		return nil
	}
	return &st.page.Records[c.Line]
}

// position is where a change stands in its shard.
func (st *logStream) position(c item.Change) string {
	if r := st.record(c); r != nil && !r.IsZero() {
		return r.Position.String()
	}
	return ""
}

// op is what happened, in DynamoDB's words.
func (st *logStream) op(c item.Change) string {
	r := st.record(c)
	switch {
	case c.New == item.NoImage && (r == nil || r.Event == feed.Remove):
		return row.Remove
	case r == nil:
		return row.State
	case r.Event == feed.Insert:
		return row.Insert
	case r.Event == feed.Remove:
		return row.Remove
	}
	return row.Modify
}

// readRows makes rows of changes.
func (st *logStream) readRows(images row.Images, b *item.Batch) error {
	c := &st.changes
	for {
		b.Reset()
		if err := st.ReadChanges(c); err != nil {
			return err
		}
		b.File, b.FirstLine = c.File, c.FirstLine
		for i, change := range c.List {
			made := row.Change{Op: st.op(change), Micros: change.Micros, Position: st.position(change), Keys: c.Key(i)}
			made.New, _ = c.New(i)
			made.Old, _ = c.Old(i)
			if st.shape.Row(b, images, &made) {
				b.Rows[len(b.Rows)-1].Line = change.Line
			}
		}
		if b.Len() > 0 {
			return nil
		}
	}
}

func (st *logStream) did(ops []string, c item.Change, r *feed.Record) bool {
	event, service := feed.Modify, false
	switch {
	case r != nil:
		event, service = r.Event, r.Service
	case c.New == item.NoImage:
		event = feed.Remove
	case c.Old == item.NoImage && st.log.log.View.HasOld():
		event = feed.Insert
	}
	for _, op := range ops {
		switch op {
		case OpPut:
			if event != feed.Remove {
				return true
			}
		case OpInsert:
			if event == feed.Insert {
				return true
			}
		case OpModify:
			if event == feed.Modify {
				return true
			}
		case OpDelete:
			if event == feed.Remove {
				return true
			}
		case OpTTL:
			if event == feed.Remove && service {
				return true
			}
		case OpAppDelete:
			if event == feed.Remove && !service && r != nil {
				return true
			}
		}
	}
	return false
}

var _ codec.ChangeReader = (*logStream)(nil)
