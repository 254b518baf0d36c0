package store

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/vfs"

	"dynaferry/internal/fault"
)

// changedMax is how many changed keys are held in memory, at about 250 bytes each. More go to files as sorted runs.
const changedMax = 200_000

// touched is what became of one key in a part of the log: places, not bytes.
type touched struct {
	key         []byte // as in the index
	first, last uint64 // sequence numbers
	time        int64  // of the last
	service     bool
	old, new    image
}

// image is an item before or after a change.
type image struct {
	exists bool
	pointer
}

// changed collects the keys that changes touch, first old and last new image of each, and then yields them in order.
type changed struct {
	s       *Store
	m       map[string]*touched
	files   []string
	runs    runs
	scratch []byte // of who adds
}

func newChanged(s *Store) *changed { return &changed{s: s, m: map[string]*touched{}} }

// add books one change; base is where its record stands and at its value.
func (c *changed) add(key []byte, seg *segment, r *record, base, at uint32) error {
	t := c.m[string(key)]
	if t == nil {
		if len(c.m) >= c.s.changedMax {
			if err := c.spill(); err != nil {
				return err
			}
		}
		t = &touched{key: bytes.Clone(key), first: r.seq}
		switch {
		case r.old == oldPointer:
			t.old = image{true, r.oldAt}
		case r.old == oldInline:
			t.old = image{true, pointer{segment: seg.number, offset: base + uint32(r.inlineAt), length: uint32(len(r.oldInline)),
				size: r.prior.size, crc: checksum(r.oldInline)}}
		case r.prior.exists:
			err := fault.New(fault.Corrupt, "a record of the history that does not tell what was before it")
			return fault.At(err, fault.Place{File: seg.name, Offset: int64(base)})
		}
		c.m[string(key)] = t
	}
	t.last, t.time, t.service = r.seq, r.time, r.service
	t.new = image{}
	if r.kind == kindPut {
		t.new = image{true, pointer{seq: r.seq, time: r.time, segment: seg.number, offset: at, length: uint32(len(r.value)),
			size: r.size, crc: r.crc}}
	}
	return nil
}

// take empties the map into a sorted list.
func (c *changed) take() []*touched {
	list := slices.Collect(maps.Values(c.m))
	slices.SortFunc(list, func(a, b *touched) int { return bytes.Compare(a.key, b.key) })
	c.m = map[string]*touched{}
	return list
}

// sortDir holds sorted runs; what a crash leaves there goes when the store opens.
const sortDir = "sort"

// spill writes what is collected to a file.
func (c *changed) spill() error {
	fs, dir := c.s.fs, c.s.fs.PathJoin(c.s.dir, sortDir)
	if err := fs.MkdirAll(dir, 0o777); err != nil {
		return fault.At(fault.As(fault.Unavailable, err), fault.Place{File: dir})
	}
	name := fs.PathJoin(dir, fmt.Sprintf("run-%d", c.s.lastRun.Add(1)))
	f, err := fs.Create(name)
	if err != nil {
		return fault.At(fault.As(fault.Unavailable, err), fault.Place{File: name})
	}
	c.files = append(c.files, name)
	w := bufio.NewWriterSize(f, runBuffer)
	var b []byte
	for _, t := range c.take() {
		b = t.append(b[:0])
		if _, err = w.Write(b); err != nil {
			break
		}
	}
	if err := errors.Join(err, w.Flush(), f.Close()); err != nil {
		return fault.At(fault.As(fault.Unavailable, err), fault.Place{File: name})
	}
	return nil
}

const runBuffer = 64 << 10

// sort ends the collecting; next yields the keys from then on.
func (c *changed) sort() error {
	last := &run{list: c.take()}
	c.m = nil
	all := []*run{last}
	for _, name := range c.files {
		f, err := c.s.fs.Open(name)
		if err != nil {
			return fault.At(fault.As(fault.Unavailable, err), fault.Place{File: name})
		}
		all = append(all, &run{file: f, r: bufio.NewReaderSize(f, runBuffer)})
	}
	for i, r := range all {
		more, err := r.step()
		if more {
			c.runs = append(c.runs, r)
		} else {
			err = errors.Join(err, r.close())
		}
		if err != nil {
			for _, r := range all[i+1:] {
				err = errors.Join(err, r.close())
			}
			return fault.As(fault.Unavailable, err)
		}
	}
	heap.Init(&c.runs)
	return nil
}

// next yields the next key, nil at the end: of all runs that have it, what was before the earliest and after the last.
func (c *changed) next() (*touched, error) {
	var whole *touched
	for len(c.runs) > 0 {
		t := c.runs[0].at
		switch {
		case whole == nil:
			whole = t
		case !bytes.Equal(whole.key, t.key):
			return whole, nil
		case t.last > whole.last: // it came up later, so its first is later, too
			whole.last, whole.time, whole.service, whole.new = t.last, t.time, t.service, t.new
		}
		more, err := c.runs[0].step()
		if err != nil {
			return nil, fault.As(fault.Unavailable, err)
		}
		if more {
			heap.Fix(&c.runs, 0)
		} else if err := heap.Pop(&c.runs).(*run).close(); err != nil {
			return nil, fault.As(fault.Unavailable, err)
		}
	}
	return whole, nil
}

// close removes the files.
func (c *changed) close() error {
	var errs []error
	for _, r := range c.runs {
		errs = append(errs, r.close())
	}
	for _, name := range c.files {
		errs = append(errs, c.s.fs.Remove(name))
	}
	c.runs, c.files, c.m = nil, nil, nil
	return fault.As(fault.Unavailable, errors.Join(errs...))
}

// run is one sorted list, in memory or in a file.
type run struct {
	list []*touched
	file vfs.File
	r    *bufio.Reader
	at   *touched
}

func (r *run) close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}

func (r *run) step() (more bool, err error) {
	if r.r == nil {
		if len(r.list) == 0 {
			return false, nil
		}
		r.at, r.list[0], r.list = r.list[0], nil, r.list[1:]
		return true, nil
	}
	n, err := binary.ReadUvarint(r.r)
	if err == io.EOF {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	b := make([]byte, n+touchedLen)
	if _, err := io.ReadFull(r.r, b); err != nil {
		return false, err
	}
	r.at = &touched{}
	return true, r.at.parse(b[:n], b[n:])
}

const touchedLen = 3*8 + 1 + 2*(1+pointerLen)

func (t *touched) append(dst []byte) []byte {
	dst = appendBytes(dst, t.key)
	for _, n := range []uint64{t.first, t.last, uint64(t.time)} {
		dst = binary.LittleEndian.AppendUint64(dst, n)
	}
	dst = append(dst, flag(t.service), flag(t.old.exists))
	dst = append(t.old.append(dst), flag(t.new.exists))
	return t.new.append(dst)
}

func (t *touched) parse(key, b []byte) error {
	t.key = key
	t.first, t.last = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	t.time, t.service = int64(binary.LittleEndian.Uint64(b[16:])), b[24] == 1
	t.old.exists, t.new.exists = b[25] == 1, b[26+pointerLen] == 1
	if !t.old.parse(b[26:26+pointerLen]) || !t.new.parse(b[27+pointerLen:]) {
		return fault.New(fault.Bug, "sorted run of %d bytes an entry", len(b))
	}
	return nil
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}

// runs is a heap by key, then by sequence number.
type runs []*run

func (h runs) Len() int      { return len(h) }
func (h runs) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *runs) Push(x any)   { *h = append(*h, x.(*run)) }

func (h runs) Less(i, j int) bool {
	a, b := h[i].at, h[j].at
	if c := bytes.Compare(a.key, b.key); c != 0 {
		return c < 0
	}
	return a.first < b.first
}

func (h *runs) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
