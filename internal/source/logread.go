package source

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"iter"
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
	r := changelog.Range{Group: u.Log.Group, First: u.Log.First, Last: u.Log.Last, From: u.Log.From}
	if u.Log.To != 1<<63-1 {
		r.To = u.Log.To + 1
	}
	if s.key != nil {
		r.Key = changelog.KeyHash(s.key)
	}
	st := &logStream{ctx: ctx, log: s, span: *u.Log, rejects: o.Rejects}
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
	st.next, st.stop = iter.Pull2(s.log.Read(ctx, r))
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
	parser ddbjson.Parser
	key    []byte

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
		if st.part.Source == nil {
			err = st.compacted(b, lines)
		} else {
			err = st.records(b, lines)
		}
		if err != nil {
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

// records parses lines as the service's replies have them.
func (st *logStream) records(b *item.Changes, lines []byte) error {
	page := &st.page
	page.Items = b.Batch // whose memory is used again
	var err error
	if st.log.log.Kinesis {
		if page.Items.Src, err = appendKinesis(page.Items.Src[:0], lines); err == nil {
			err = ddbjson.ParseShardRecords(page)
		}
	} else {
		page.Items.Src = appendStreams(page.Items.Src[:0], lines)
		err = ddbjson.ParseRecords(page)
	}
	b.Batch = page.Items
	if err != nil {
		return fault.As(fault.Corrupt, err)
	}
	for i := range page.Records {
		r := &page.Records[i]
		at := r.Micros
		if st.running = max(st.running, r.Micros); !st.log.log.Kinesis {
			at = st.running
		}
		if r.Event == 0 || at <= st.span.From || at > st.span.To {
			continue
		}
		c := item.Change{Key: r.Keys, New: r.New, Old: r.Old, Micros: at, Line: uint32(i), Service: r.Service && r.Event == feed.Remove}
		if st.wants(b, c, r) {
			b.List = append(b.List, c)
		}
	}
	return nil
}

// appendStreams makes a reply of GetRecords of lines.
func appendStreams(dst, lines []byte) []byte {
	dst = append(dst, `{"Records":[`...)
	for line := range changelog.Lines(lines) {
		dst = append(append(dst, line...), ',')
	}
	return item.GrowSlack(append(bytes.TrimSuffix(dst, []byte{','}), `]}`...))
}

// appendKinesis makes a reply of Kinesis of lines.
func appendKinesis(dst, lines []byte) ([]byte, error) {
	dst = append(dst, `{"Records":[`...)
	for line := range changelog.Lines(lines) {
		var record struct {
			Kinesis struct {
				SequenceNumber json.RawMessage `json:"sequenceNumber"`
				PartitionKey   json.RawMessage `json:"partitionKey"`
			} `json:"kinesis"`
			Data json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal(line, &record); err != nil {
			return dst, fault.New(fault.Corrupt, "a record is no JSON: %w", err)
		}
		if len(record.Data) == 0 { // no JSON, so none of DynamoDB's
			continue
		}
		dst = fmt.Appendf(dst, `{"SequenceNumber":%s,"PartitionKey":%s,"Data":"`, record.Kinesis.SequenceNumber, record.Kinesis.PartitionKey)
		dst = append(base64.StdEncoding.AppendEncode(dst, record.Data), `"},`...)
	}
	return item.GrowSlack(append(bytes.TrimSuffix(dst, []byte{','}), `]}`...)), nil
}

// compacted parses the lines of a compacted entry, which are those of an incremental export: final states of a stretch of time. Each
// counts as of just before the second of its write, so that a record of that second beats it.
func (st *logStream) compacted(b *item.Changes, lines []byte) error {
	b.Src = item.GrowSlack(append(b.Src, lines...))
	if _, _, err := st.parser.ParseChanges(b, true, nil); err != nil {
		return fault.As(fault.Corrupt, err)
	}
	kept := b.List[:0]
	for _, c := range b.List {
		c.Micros = max(c.Micros, st.part.From)/1e6*1e6 - 1
		if st.wants(b, c, nil) {
			kept = append(kept, c)
		}
	}
	b.List = kept
	return nil
}

// wants applies the filters; r is nil of a change without a record, of which nobody knows who made it.
func (st *logStream) wants(b *item.Changes, c item.Change, r *feed.Record) bool {
	o := st.log.spec.Log
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
