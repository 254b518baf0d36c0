package sink

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"

	"dynaferry/internal/blob"
	"dynaferry/internal/column"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// Route names the part of the output an item belongs to.
type Route struct {
	Key       string                     `json:"-"`                   // identity: equal routes have equal keys
	Partition []string                   `json:"partition,omitempty"` // texts of the partition columns
	Segments  []string                   `json:"segments,omitempty"`  // path segments
	Constants map[string]json.RawMessage `json:"constants,omitempty"` // attributes kept out of the files
}

// SpillOptions set up a Spill.
type SpillOptions struct {
	Bucket blob.Bucket
	Staged func(name string) string
	// Route decides where an item goes. The Route may be reused by the next call; Spill copies new ones.
	Route func(it item.Item) (*Route, error)
	// Memory bounds the raw bytes gathered before runs are written.
	Memory int
	// Stats observes the items without their constants, for forms whose schema depends on them. nil observes nothing.
	Stats *column.Stats
	Put   blob.PutOptions
}

// Run is one run of items of one partition in a spill object: a zstd frame of DynamoDB JSON lines.
type Run struct {
	Offset int64 `json:"o"`
	Length int64 `json:"l"`
	Raw    int64 `json:"r"` // bytes before compression
	Items  int64 `json:"n"`
}

// Part is a partition with its runs in one spill object, in the order they were written.
type Part struct {
	Key string `json:"key"`
	Route
	Runs        []Run  `json:"runs"`
	Fingerprint string `json:"fingerprint"`
}

// Index tells where the runs of a spill object lie, by partition, sorted by key.
type Index struct {
	Object string `json:"object"`
	Parts  []Part `json:"parts"`
}

// Spill cuts a stream of items into runs by partition, so that a second round can write each partition's files whole.
type Spill struct {
	ctx    context.Context
	o      SpillOptions
	name   string
	out    *blob.Writer
	enc    *zstd.Encoder
	parts  map[string]*gathering
	held   int
	frame  []byte
	hasher item.Hasher
	strip  Stripper
}

type gathering struct {
	part  Part
	lines []byte
	items int64
	print item.Fingerprint
}

// partBytes is what a partition costs in memory beside its lines, for the budget.
const partBytes = 512

// NewSpill returns a sink; nothing is staged before memory is full or Close.
func NewSpill(ctx context.Context, o SpillOptions) (*Spill, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20),
		zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	return &Spill{ctx: ctx, o: o, enc: enc, parts: map[string]*gathering{}, name: o.Staged("spill")}, nil
}

// Write routes the items.
func (s *Spill) Write(b *item.Batch) error {
	for i := range b.Rows {
		it := b.Item(i)
		route, err := s.o.Route(it)
		if err != nil {
			return err
		}
		if s.o.Stats != nil {
			s.o.Stats.Observe(s.strip.Item(it, route.Constants))
		}
		if err := s.Put(route, nil, it); err != nil {
			return err
		}
	}
	return nil
}

// Put adds one item to a part, with a mark in front of its line that means something to whoever reads the runs. The route
// may be reused.
func (s *Spill) Put(route *Route, mark []byte, it item.Item) error {
	g := s.parts[route.Key]
	if g == nil {
		g = &gathering{part: Part{Key: route.Key, Route: clone(route)}}
		s.parts[route.Key] = g
		s.held += partBytes
	}
	before := cap(g.lines)
	g.lines = appendLine(append(g.lines, mark...), it)
	s.held += cap(g.lines) - before
	g.items++
	g.print.Add(s.hasher.Item(it))
	if s.held > s.o.Memory {
		return s.flush(s.o.Memory / 2)
	}
	return nil
}

// appendLine appends the item as one line. Bytes that were read from pretty-printed text may hold line feeds.
func appendLine(dst []byte, it item.Item) []byte {
	if raw := it.Raw(); bytes.IndexByte(raw, '\n') < 0 {
		dst = append(dst, raw...)
	} else {
		dst = item.AppendCanonical(dst, it)
	}
	return append(dst, '\n')
}

func clone(r *Route) Route {
	c := Route{Key: r.Key, Partition: slices.Clone(r.Partition), Segments: slices.Clone(r.Segments)}
	if len(r.Constants) > 0 {
		c.Constants = make(map[string]json.RawMessage, len(r.Constants))
		for k, v := range r.Constants {
			c.Constants[k] = slices.Clone(v)
		}
	}
	return c
}

// flush writes the largest gatherings until at most keep bytes are held; those written lie in key order, so that the
// second round reads neighbours together.
func (s *Spill) flush(keep int) error {
	all := make([]*gathering, 0, len(s.parts))
	for _, g := range s.parts {
		if g.items > 0 {
			all = append(all, g)
		}
	}
	slices.SortFunc(all, func(a, b *gathering) int {
		return cmp.Or(cmp.Compare(cap(b.lines), cap(a.lines)), cmp.Compare(a.part.Key, b.part.Key))
	})
	n, held := 0, s.held
	for ; n < len(all) && held > keep; n++ {
		held -= cap(all[n].lines)
	}
	all = all[:n]
	slices.SortFunc(all, func(a, b *gathering) int { return cmp.Compare(a.part.Key, b.part.Key) })
	if s.out == nil && n > 0 {
		s.out = blob.NewWriter(s.ctx, s.o.Bucket, s.name, uploads(s.o.Put, true))
	}
	for _, g := range all {
		s.frame = s.enc.EncodeAll(g.lines, s.frame[:0])
		run := Run{Offset: s.out.Bytes(), Length: int64(len(s.frame)), Raw: int64(len(g.lines)), Items: g.items}
		if _, err := s.out.Write(s.frame); err != nil {
			return fmt.Errorf("spill: %w", err)
		}
		g.part.Runs = append(g.part.Runs, run)
		s.held -= cap(g.lines)
		g.lines, g.items = nil, 0
	}
	return nil
}

// Close writes what is held and the index.
func (s *Spill) Close() (Staged, error) {
	if err := s.flush(-1); err != nil {
		return Staged{}, err
	}
	var staged Staged
	if s.out != nil {
		if _, err := s.out.Finish(); err != nil {
			return Staged{}, fmt.Errorf("stage %s: %w", s.name, err)
		}
		defer s.out.Close()
	}
	index := Index{Object: s.name}
	var total item.Fingerprint
	for _, g := range s.parts {
		total.Merge(g.print)
		g.part.Fingerprint = g.print.String()
		index.Parts = append(index.Parts, g.part)
	}
	slices.SortFunc(index.Parts, func(a, b Part) int { return cmp.Compare(a.Key, b.Key) })
	staged.Fingerprint = total.String()
	if err := s.stageIndex(&staged, index); err != nil {
		return Staged{}, err
	}
	if s.o.Stats == nil {
		return staged, nil
	}
	stats, err := s.o.Stats.AppendBinary(nil)
	if err != nil {
		return Staged{}, fmt.Errorf("stats of the columns: %w", err)
	}
	staged.Stats = s.o.Staged("stats")
	if _, err := s.o.Bucket.Put(s.ctx, staged.Stats, stats, blob.PutOptions{}); err != nil {
		return Staged{}, fmt.Errorf("stage %s: %w", staged.Stats, err)
	}
	return staged, nil
}

func (s *Spill) stageIndex(staged *Staged, index Index) error {
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	staged.Index = s.o.Staged("index")
	w := blob.NewWriter(s.ctx, s.o.Bucket, staged.Index, blob.WriterOptions{Flight: 1})
	defer w.Close()
	if _, err := w.Write(s.enc.EncodeAll(data, nil)); err != nil {
		return fmt.Errorf("stage %s: %w", staged.Index, err)
	}
	if _, err := w.Finish(); err != nil {
		return fmt.Errorf("stage %s: %w", staged.Index, err)
	}
	return nil
}

// Abandon releases what an attempt that failed holds.
func (s *Spill) Abandon() {
	if s.out != nil {
		s.out.Close()
	}
}

// indexBytesMax bounds an index: a million runs.
const indexBytesMax = 512 << 20

// ReadIndex reads the index that a Spill left.
func ReadIndex(ctx context.Context, b blob.Bucket, name string) (*Index, error) {
	packed, _, err := blob.ReadAll(ctx, b, name, indexBytesMax)
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(indexBytesMax))
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	data, err := dec.DecodeAll(packed, nil)
	if err != nil {
		return nil, fault.New(fault.Corrupt, "%s: %w", name, err)
	}
	var index Index
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fault.New(fault.Corrupt, "%s: %w", name, err)
	}
	return &index, nil
}

// RunReader decodes runs; it is for one goroutine.
type RunReader struct{ dec *zstd.Decoder }

// NewRunReader returns a reader of runs.
func NewRunReader() (*RunReader, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	return &RunReader{dec}, err
}

// Decode appends the lines of a run to dst.
func (r *RunReader) Decode(dst, frame []byte, run Run) ([]byte, error) {
	from := len(dst)
	dst, err := r.dec.DecodeAll(frame, dst)
	if err != nil {
		return dst, fault.New(fault.Corrupt, "run at %d: %w", run.Offset, err)
	}
	if int64(len(dst)-from) != run.Raw {
		return dst, fault.New(fault.Corrupt, "run at %d has %d bytes, its index says %d", run.Offset, len(dst)-from, run.Raw)
	}
	return dst, nil
}

// Close frees the decoder.
func (r *RunReader) Close() { r.dec.Close() }
