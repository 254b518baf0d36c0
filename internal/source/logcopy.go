package source

import (
	"bytes"
	"context"
	"io"
	"iter"

	"dynaferry/internal/changelog"
	"dynaferry/internal/fault"
)

// LogCopy is what of one group of a log goes into another that holds a part of it: the entries of the window, and behind them those that
// heal gaps of it. Its times are those of the window.
type LogCopy struct {
	LogSpan
	Heals []uint64 `json:"heals,omitempty"`
}

// runs are its entries behind one of them.
func (c *LogCopy) runs(after uint64) (runs []changelog.Run) {
	if first := max(c.First, after+1); first <= c.Last {
		runs = append(runs, changelog.Run{First: first, Last: c.Last})
	}
	for _, n := range c.Heals {
		if n > after {
			runs = append(runs, changelog.Run{First: n, Last: n})
		}
	}
	return runs
}

// Logged is a Source that is a window of a change log, whose records can be taken as they stand.
type Logged interface {
	Source
	// Log is the whole log.
	Log() *changelog.Log
	// Entries yields the entries of a copy behind one of them, in order. Each is the caller's until he asks for the next. aheadBytes is how
	// much is read before it is asked for.
	Entries(ctx context.Context, c LogCopy, after uint64, aheadBytes int64) iter.Seq2[*LogEntry, error]
}

// LogEntry is an entry of a log as it stands.
type LogEntry struct {
	*changelog.Batch
	stream *logStream
}

func (s *log) Log() *changelog.Log { return s.log }

// Entries implements Logged.
func (s *log) Entries(ctx context.Context, c LogCopy, after uint64, aheadBytes int64) iter.Seq2[*LogEntry, error] {
	return func(yield func(*LogEntry, error) bool) {
		st, err := s.begin(ctx, c.LogSpan, ReadOptions{})
		if err != nil {
			yield(nil, err)
			return
		}
		defer st.Close()
		st.next = func() (*changelog.Batch, error, bool) { return nil, nil, false }
		for _, run := range c.runs(after) {
			r := s.blocks(c.LogSpan)
			r.First, r.Last, r.AheadBytes = run.First, run.Last, aheadBytes
			for b, err := range s.log.Read(ctx, r) {
				if err != nil {
					yield(nil, err)
					return
				}
				st.batch, st.parts, st.rest, st.line = b, b.Parts, nil, 0
				if !yield(&LogEntry{b, st}, nil) {
					return
				}
			}
		}
	}
}

// Records gives the records of the window that pass all filters, in the order of the entry's blocks, each with its block: once. Those that
// are no changes pass where there is no filter. A change of which a filter cannot tell is an error.
func (e *LogEntry) Records(add func(*changelog.Part, changelog.Record) error) error {
	st := e.stream
	var kept []bool // by line
	keep := func(line int) {
		for len(kept) <= line {
			kept = append(kept, false)
		}
		kept[line] = true
	}
	if o := st.log.spec.Log; len(o.Ops) == 0 && len(o.Key) == 0 && o.Where == "" {
		st.others = keep
	}
	for {
		lines, err := st.advance()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		kept = kept[:0]
		running := st.running
		b := &st.changes
		b.Reset()
		if err = st.parse(b, lines); err == nil {
			b.File, b.FirstLine = st.place(), st.line+1
			err = st.judge(b)
		}
		if err != nil {
			return fault.At(err, fault.Place{File: st.place()})
		}
		st.line += int64(bytes.Count(lines, []byte{'\n'}))
		for i := range b.List {
			keep(int(b.List[i].Line))
		}
		if err := st.give(lines, kept, running, add); err != nil {
			return err
		}
	}
}

// give hands the lines that are kept on, as records of a log; running is the time of the record before them.
func (st *logStream) give(lines []byte, kept []bool, running int64, add func(*changelog.Part, changelog.Record) error) error {
	i := -1
	for line := range changelog.Lines(lines) {
		if i++; i >= len(kept) {
			return nil
		}
		r := &st.page.Records[i]
		if running = max(running, r.Micros); !kept[i] {
			continue
		}
		made := changelog.Record{Raw: line, Position: r.Position, Micros: r.Micros, Running: running}
		if r.Event != 0 && !st.log.log.Keys.Empty() {
			// As capture has it: a key of other attributes is none of the table's.
			if key, err := st.log.log.Keys.AppendKey(st.key[:0], st.changes.Item(int(r.Keys))); err == nil {
				made.Key, st.key = changelog.KeyHash(key), key
			}
		}
		if err := add(st.part, made); err != nil {
			return err
		}
	}
	return nil
}
