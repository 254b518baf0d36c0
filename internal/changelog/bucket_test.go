package changelog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"sync"
	"testing"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/faulty"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// memory is a bucket of this process, as much of one as a change log uses: fast, and without a file system whose waits a
// bubble of testing/synctest would not see.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	// lazy makes the objects that nobody put, for logs that are too long to be written; nil for names that are not there.
	lazy func(name string) func() []byte
}

func newMemory() *memory { return &memory{objects: map[string][]byte{}} }

func (m *memory) URL() string { return "mem://log" }

func (m *memory) find(name string) ([]byte, blob.Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, has := m.objects[name]
	if !has && m.lazy != nil {
		if build := m.lazy(name); build != nil {
			data, has = build(), true
		}
	}
	if !has {
		return nil, blob.Info{}, fault.As(fault.NotFound, fmt.Errorf("%s: %w", name, blob.ErrNotFound))
	}
	return data, blob.Info{Name: name, Size: int64(len(data)), ETag: fmt.Sprint(checksum(data))}, nil
}

func (m *memory) Head(ctx context.Context, name string) (blob.Info, error) {
	m.mu.Lock()
	lazy := m.lazy != nil && m.lazy(name) != nil
	m.mu.Unlock()
	if lazy && ctx.Err() == nil {
		return blob.Info{Name: name}, nil // it is there; to know more it would have to be made
	}
	_, info, err := m.find(name)
	return info, cmpErr(ctx.Err(), err)
}

func (m *memory) Get(ctx context.Context, name string, o blob.ReadOptions) (io.ReadCloser, blob.Info, error) {
	data, info, err := m.find(name)
	if err = cmpErr(ctx.Err(), err); err != nil {
		return nil, info, err
	}
	if o.IfMatch != "" && o.IfMatch != info.ETag {
		return nil, info, fault.As(fault.Conflict, blob.ErrChanged)
	}
	offset, length := blob.Span(o, info.Size)
	return io.NopCloser(bytes.NewReader(data[offset : offset+length])), info, nil
}

func (m *memory) Put(ctx context.Context, name string, body []byte, o blob.PutOptions) (blob.Info, error) {
	if err := ctx.Err(); err != nil {
		return blob.Info{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, has := m.objects[name]; has && o.IfAbsent {
		return blob.Info{}, fault.As(fault.Conflict, fmt.Errorf("%s: %w", name, blob.ErrExists))
	}
	m.objects[name] = bytes.Clone(body)
	return blob.Info{Name: name, Size: int64(len(body))}, nil
}

func (m *memory) List(_ context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for _, name := range m.names() {
			if name > after && len(name) >= len(prefix) && name[:len(prefix)] == prefix && !yield(blob.Info{Name: name}, nil) {
				return
			}
		}
	}
}

func (m *memory) names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.objects))
}

func (m *memory) Delete(_ context.Context, names ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range names {
		delete(m.objects, name)
	}
	return nil
}

func (m *memory) Create(context.Context, string, blob.PutOptions) (blob.Upload, error) {
	return nil, fault.New(fault.Unsupported, "parts")
}

func (m *memory) Publish(context.Context, blob.Staged, []byte, string, blob.PutOptions) (blob.Info, error) {
	return blob.Info{}, fault.New(fault.Unsupported, "publish")
}

func cmpErr(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

// makeLog makes the log of a test table in a bucket.
func makeLog(t testing.TB, b blob.Bucket, groups uint32) *Log {
	t.Helper()
	l, err := Create(t.Context(), b, "", Info{Stream: "arn:stream/1", Table: "Orders", View: feed.BothImages, Groups: groups})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func openChain(t testing.TB, l *Log, writer string) *Chain {
	t.Helper()
	c, err := l.Chain(t.Context(), 0, writer, ChainOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newTestBuilder(t testing.TB, s *State, o BuilderOptions) *Builder {
	t.Helper()
	b, err := NewBuilder(s, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// record makes a record of a position, in the form of DynamoDB Streams.
func record(seq int, micros int64, key string) Record {
	return Record{Raw: fmt.Appendf(nil, `{"eventID":"e%d","dynamodb":{"Keys":{"id":{"S":%q}},"SequenceNumber":"%d"}}`, seq, key, seq),
		Position: feed.Position{Seq: feed.Number(fmt.Sprint(seq))}, Micros: micros, Key: KeyHash([]byte(key))}
}

func add(t testing.TB, b *Builder, shard string, records ...Record) {
	t.Helper()
	for _, r := range records {
		must(t, b.Add(shard, r))
	}
}

func appendDraft(t testing.TB, c *Chain, d *Draft) *Entry {
	t.Helper()
	e, err := c.Append(t.Context(), d)
	must(t, err)
	return e
}

// readAll reads a range: the lines of each shard in order, "" for loose ones, and the entries.
func readAll(ctx context.Context, l *Log, r Range) (map[string][]string, []*Entry, error) {
	lines, entries := map[string][]string{}, []*Entry(nil)
	for batch, err := range l.Read(ctx, r) {
		if err != nil {
			return lines, entries, err
		}
		entries = append(entries, batch.Entry)
		for i := range batch.Parts {
			p := &batch.Parts[i]
			records, err := p.Records(nil)
			if err != nil {
				return lines, entries, err
			}
			id := ""
			if p.Source != nil {
				id = p.Source.ID
			}
			for line := range Lines(records) {
				lines[id] = append(lines[id], string(line))
			}
		}
	}
	return lines, entries, nil
}

// faultedLog opens the log of a bucket through a plan of faults.
func faultedLog(t testing.TB, m *memory, plan string) (*Log, *faulty.Bucket) {
	t.Helper()
	p, err := faulty.Parse(plan)
	must(t, err)
	b := faulty.New(m, p, faulty.Options{})
	l, err := Open(t.Context(), b, "")
	must(t, err)
	return l, b
}
