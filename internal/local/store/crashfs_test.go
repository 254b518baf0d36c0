package store

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/vfs"
)

// journalFS is a file system in memory that writes down every change, so that the state a power cut would have left
// after any of them can be built afterwards. fail may refuse a change.
type journalFS struct {
	vfs.FS
	mu      sync.Mutex
	journal []fsOp
	nodes   map[string]int // path → node
	next    int
	fail    func(op, name string) error
}

// fsOp is one change: of a node's bytes, of a folder's entries, or a sync of either.
type fsOp struct {
	op       string // create, write, sync, rename, link, remove, mkdir, syncdir
	node     int
	name, to string
	offset   int64
	data     []byte
}

func newJournalFS() *journalFS {
	return &journalFS{FS: vfs.NewMem(), nodes: map[string]int{}, fail: func(string, string) error { return nil }}
}

// do runs a change and writes it down, in one order with all others.
func (j *journalFS) do(o fsOp, change func() error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.fail(o.op, o.name); err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	switch o.op {
	case "create":
		j.next++
		o.node = j.next
		j.nodes[o.name] = o.node
	case "rename", "link":
		j.nodes[o.to] = j.nodes[o.name]
		o.node = j.nodes[o.name]
		if o.op == "rename" {
			delete(j.nodes, o.name)
		}
	case "remove":
		delete(j.nodes, o.name)
	}
	j.journal = append(j.journal, o)
	return nil
}

func (j *journalFS) length() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.journal)
}

func (j *journalFS) node(name string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.nodes[name]
}

type journalFile struct {
	vfs.File
	fs   *journalFS
	name string
	node int
	pos  int64
	dir  bool
}

func (j *journalFS) Create(name string) (f vfs.File, err error) {
	err = j.do(fsOp{op: "create", name: name}, func() (err error) { f, err = j.FS.Create(name); return err })
	return &journalFile{File: f, fs: j, name: name, node: j.node(name)}, err
}

func (j *journalFS) OpenReadWrite(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if _, err := j.FS.Stat(name); err != nil {
		f, err := j.Create(name)
		if err != nil {
			return nil, err
		}
		f.Close()
	}
	f, err := j.FS.OpenReadWrite(name, opts...)
	return &journalFile{File: f, fs: j, name: name, node: j.node(name)}, err
}

func (j *journalFS) ReuseForWrite(oldName, newName string) (vfs.File, error) {
	if err := j.Rename(oldName, newName); err != nil {
		return nil, err
	}
	return j.OpenReadWrite(newName)
}

func (j *journalFS) OpenDir(name string) (vfs.File, error) {
	f, err := j.FS.OpenDir(name)
	return &journalFile{File: f, fs: j, name: name, dir: true}, err
}

func (j *journalFS) Rename(a, b string) error {
	return j.do(fsOp{op: "rename", name: a, to: b}, func() error { return j.FS.Rename(a, b) })
}

func (j *journalFS) Link(a, b string) error {
	return j.do(fsOp{op: "link", name: a, to: b}, func() error { return j.FS.Link(a, b) })
}

func (j *journalFS) Remove(name string) error {
	return j.do(fsOp{op: "remove", name: name}, func() error { return j.FS.Remove(name) })
}

func (j *journalFS) RemoveAll(name string) error { panic("not used by the store") }

func (j *journalFS) MkdirAll(dir string, mode os.FileMode) error {
	return j.do(fsOp{op: "mkdir", name: dir}, func() error { return j.FS.MkdirAll(dir, mode) })
}

// Lock is not journalled: a lock does not outlive its process.
func (j *journalFS) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

func (f *journalFile) Write(p []byte) (int, error) {
	n := 0
	err := f.fs.do(fsOp{op: "write", node: f.node, name: f.name, offset: f.pos, data: slices.Clone(p)}, func() (err error) {
		n, err = f.File.Write(p)
		return err
	})
	f.pos += int64(n)
	return n, err
}

func (f *journalFile) WriteAt(p []byte, at int64) (n int, err error) {
	err = f.fs.do(fsOp{op: "write", node: f.node, name: f.name, offset: at, data: slices.Clone(p)}, func() (err error) {
		n, err = f.File.WriteAt(p, at)
		return err
	})
	return n, err
}

func (f *journalFile) Sync() error {
	op := "sync"
	if f.dir {
		op = "syncdir"
	}
	return f.fs.do(fsOp{op: op, node: f.node, name: f.name}, func() error { return nil })
}

func (f *journalFile) SyncData() error { return f.Sync() }

func (f *journalFile) SyncTo(int64) (bool, error) { return false, nil }

// disk is what the journal made: bytes that are on the device, and writes and folder changes that may be.
type disk struct {
	content map[int][]byte
	pending map[int][]fsOp
	entries map[string]int // path → node, as on the device
	dirOps  map[string][]fsOp
	dirs    []string
}

// crash builds the file system a power cut after the first k changes leaves: all that was synced; of unsynced writes
// each sector with a chance of keep percent; of unsynced changes of a folder some first ones.
func (j *journalFS) crash(k int, keep int, rng *rand.Rand) *vfs.MemFS {
	j.mu.Lock()
	defer j.mu.Unlock()
	d := disk{content: map[int][]byte{}, pending: map[int][]fsOp{}, entries: map[string]int{}, dirOps: map[string][]fsOp{}}
	for _, o := range j.journal[:k] {
		switch o.op {
		case "mkdir":
			d.dirs = append(d.dirs, o.name) // folders are made before anything is acknowledged
		case "write":
			d.pending[o.node] = append(d.pending[o.node], o)
		case "sync":
			d.settle(o.node, 100, nil)
		case "syncdir":
			d.settleDir(o.name, len(d.dirOps[o.name]))
		default:
			dir := path.Dir(o.name)
			d.dirOps[dir] = append(d.dirOps[dir], o)
		}
	}
	nodes := []int{}
	for node := range d.pending {
		nodes = append(nodes, node)
	}
	slices.Sort(nodes)
	for _, node := range nodes {
		d.settle(node, keep, rng)
	}
	names := []string{}
	for dir := range d.dirOps {
		names = append(names, dir)
	}
	slices.Sort(names)
	for _, dir := range names {
		n := len(d.dirOps[dir])
		if keep < 100 {
			n = rng.IntN(n + 1)
		}
		d.settleDir(dir, n)
	}
	return d.build()
}

const sector = 512

// settle puts a node's pending writes on the device, sector by sector.
func (d *disk) settle(node, keep int, rng *rand.Rand) {
	for _, o := range d.pending[node] {
		for from := 0; from < len(o.data); {
			at := o.offset + int64(from)
			to := min(len(o.data), from+sector-int(at%sector))
			if keep == 100 || rng.IntN(100) < keep {
				c := d.content[node]
				if need := int(at) + to - from; len(c) < need {
					c = append(c, make([]byte, need-len(c))...)
				}
				copy(c[at:], o.data[from:to])
				d.content[node] = c
			}
			from = to
		}
	}
	delete(d.pending, node)
}

func (d *disk) settleDir(dir string, n int) {
	for _, o := range d.dirOps[dir][:n] {
		switch o.op {
		case "create":
			d.entries[o.name] = o.node
		case "rename", "link":
			d.entries[o.to] = o.node
			if o.op == "rename" {
				delete(d.entries, o.name)
			}
		case "remove":
			delete(d.entries, o.name)
		}
	}
	d.dirOps[dir] = nil
}

func (d *disk) build() *vfs.MemFS {
	fs := vfs.NewMem()
	for _, dir := range d.dirs {
		if err := fs.MkdirAll(dir, 0o777); err != nil {
			panic(err)
		}
	}
	for name, node := range d.entries {
		f, err := fs.Create(name)
		if err != nil {
			panic(fmt.Sprint(name, err))
		}
		if _, err := f.Write(d.content[node]); err != nil {
			panic(err)
		}
		f.Close()
	}
	return fs
}
