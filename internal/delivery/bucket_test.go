package delivery

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

// memory is a bucket of this process, as much of one as a delivery uses: a history of hundreds of kills makes hundreds of them.
type memory struct {
	mu      sync.Mutex
	objects map[string]object
}

type object struct {
	data []byte
	meta map[string]string
}

func newMemory() *memory { return &memory{objects: map[string]object{}} }

func (m *memory) URL() string { return "mem://delivery" }

func (m *memory) find(ctx context.Context, name string) ([]byte, blob.Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, has := m.objects[name]
	if ctx.Err() != nil {
		return nil, blob.Info{}, ctx.Err()
	}
	if !has {
		return nil, blob.Info{}, fault.As(fault.NotFound, fmt.Errorf("%s: %w", name, blob.ErrNotFound))
	}
	return o.data, blob.Info{Name: name, Size: int64(len(o.data)), ETag: fmt.Sprint(crc32.ChecksumIEEE(o.data)), Metadata: o.meta}, nil
}

func (m *memory) Head(ctx context.Context, name string) (blob.Info, error) {
	_, info, err := m.find(ctx, name)
	return info, err
}

func (m *memory) Get(ctx context.Context, name string, o blob.ReadOptions) (io.ReadCloser, blob.Info, error) {
	data, info, err := m.find(ctx, name)
	if err != nil {
		return nil, info, err
	}
	if o.IfMatch != "" && o.IfMatch != info.ETag {
		return nil, info, fault.As(fault.Conflict, blob.ErrChanged)
	}
	offset, length := blob.Span(o, info.Size)
	return io.NopCloser(bytes.NewReader(data[offset : offset+length])), info, nil
}

func (m *memory) Put(ctx context.Context, name string, body []byte, o blob.PutOptions) (blob.Info, error) {
	if ctx.Err() != nil {
		return blob.Info{}, ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, has := m.objects[name]; has && o.IfAbsent {
		return blob.Info{}, fault.As(fault.Conflict, fmt.Errorf("%s: %w", name, blob.ErrExists))
	}
	m.objects[name] = object{bytes.Clone(body), o.Metadata}
	return blob.Info{Name: name, Size: int64(len(body))}, nil
}

func (m *memory) List(_ context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		m.mu.Lock()
		names := slices.Sorted(maps.Keys(m.objects))
		m.mu.Unlock()
		for _, name := range names {
			if name > after && strings.HasPrefix(name, prefix) && !yield(blob.Info{Name: name}, nil) {
				return
			}
		}
	}
}

func (m *memory) Delete(_ context.Context, names ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range names {
		delete(m.objects, name)
	}
	return nil
}

func (m *memory) Create(_ context.Context, name string, o blob.PutOptions) (blob.Upload, error) {
	return &upload{m: m, name: name, o: o, parts: map[int][]byte{}}, nil
}

func (m *memory) Publish(context.Context, blob.Staged, []byte, string, blob.PutOptions) (blob.Info, error) {
	return blob.Info{}, fault.New(fault.Unsupported, "publish")
}

// upload is an object in parts.
type upload struct {
	m     *memory
	name  string
	o     blob.PutOptions
	mu    sync.Mutex
	parts map[int][]byte
}

func (u *upload) Part(_ context.Context, n int, body []byte) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts[n] = bytes.Clone(body)
	return nil
}

func (u *upload) Complete(ctx context.Context) (blob.Info, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	var data []byte
	for _, n := range slices.Sorted(maps.Keys(u.parts)) {
		data = append(data, u.parts[n]...)
	}
	return u.m.Put(ctx, u.name, data, u.o)
}

func (u *upload) Abort(context.Context) error { return nil }
