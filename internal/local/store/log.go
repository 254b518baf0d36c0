package store

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/vfs"

	"dynaferry/internal/fault"
)

// sparesMax is how many freed segments are kept for writing again: a sync of blocks already written is cheaper.
const sparesMax = 2

// changeLog is the set of segments and the one that is written. One goroutine appends (the batcher); views, trash and
// the set of segments are under mu.
type changeLog struct {
	fs       vfs.FS
	dir      string
	segBytes int64
	unsynced bool // reply before the bytes are on the device
	memory   bool
	active   *segment

	mu     sync.Mutex
	view   *view
	trash  []*segment // freed and held by no view: recycled or removed by sweep
	spares []string
}

// view is a set of segments that stay readable while anybody holds it.
type view struct {
	log  *changeLog
	segs map[uint32]*segment
	refs int
}

func newLog(fs vfs.FS, dir string, o *Options) *changeLog {
	l := &changeLog{fs: fs, dir: dir, segBytes: o.SegmentBytes, unsynced: o.NoSync, memory: o.Dir == "" && o.fs == nil}
	l.view = &view{log: l, segs: map[uint32]*segment{}, refs: 1}
	return l
}

func (l *changeLog) path(name string) string { return l.fs.PathJoin(l.dir, name) }

// list opens what is there: segments by number, spares by name; other files are refused.
func (l *changeLog) list() ([]*segment, error) {
	names, err := l.fs.List(l.dir)
	if err != nil {
		return nil, fault.As(fault.Unavailable, err)
	}
	slices.Sort(names)
	var segs []*segment
	for _, name := range names {
		if strings.HasPrefix(name, "spare-") {
			l.spares = append(l.spares, l.path(name))
			continue
		}
		number, ok := parseSegmentName(name)
		if !ok {
			return segs, fault.At(fault.New(fault.Conflict, "not a file of the store"), fault.Place{File: l.path(name)})
		}
		seg, err := openSegment(l.fs, l.path(name), number)
		if err != nil {
			return segs, err
		}
		segs = append(segs, seg)
	}
	return segs, nil
}

// install makes segs the current view.
func (l *changeLog) install(segs map[uint32]*segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.replace(segs)
}

// edit makes a changed copy of the current view the next one. Copy and change are one step, since the batcher adds
// segments while compaction drops others.
func (l *changeLog) edit(change func(segs map[uint32]*segment)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	segs := maps.Clone(l.view.segs)
	change(segs)
	l.replace(segs)
}

// replace installs a view under mu; the old one lives until its readers are gone.
func (l *changeLog) replace(segs map[uint32]*segment) {
	for _, s := range segs {
		s.refs++
	}
	old := l.view
	l.view = &view{log: l, segs: segs, refs: 1}
	l.unref(old)
}

// acquire pins the current segments; release them soon.
func (l *changeLog) acquire() *view {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.view.refs++
	return l.view
}

func (v *view) release() {
	v.log.mu.Lock()
	defer v.log.mu.Unlock()
	v.log.unref(v)
}

func (l *changeLog) unref(v *view) {
	if v.refs--; v.refs > 0 {
		return
	}
	for _, s := range v.segs {
		if s.refs--; s.refs == 0 {
			l.trash = append(l.trash, s)
		}
	}
}

// current tells whether v still is the newest view.
func (l *changeLog) current(v *view) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.view == v
}

// snapshot returns the current segments in order of their numbers, without pinning them.
func (l *changeLog) snapshot() []*segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Values(l.view.segs), func(a, b *segment) int { return int(a.number) - int(b.number) })
}

// drop takes a segment out of the current view; sweep frees its file once no reader holds it.
func (l *changeLog) drop(number uint32) {
	l.edit(func(segs map[uint32]*segment) { delete(segs, number) })
}

// fits tells whether a frame of n bytes has its place in the active segment, with room for the seal.
func (l *changeLog) fits(n int) bool {
	a := l.active
	return a != nil && (a.end+int64(n)+frameHeaderLen <= l.segBytes || a.end == segmentHeaderLen)
}

// write appends one frame that sealFrame closed, and returns when it is on the device.
func (l *changeLog) write(frame []byte) error {
	a := l.active
	if _, err := a.file.WriteAt(frame, a.end); err != nil {
		return fmt.Errorf("write %s at byte %d: %w", a.name, a.end, err)
	}
	if !l.unsynced {
		if err := a.file.SyncData(); err != nil {
			return fmt.Errorf("sync %s: %w", a.name, err)
		}
	}
	a.end += int64(len(frame))
	return nil
}

// seal ends the active segment for good, with a sync even when frames go without.
func (l *changeLog) seal() error {
	a := l.active
	var b [frameHeaderLen]byte
	sealFrame(b[:], a.salt, 0)
	if err := l.write(b[:]); err != nil {
		return err
	}
	if err := a.file.SyncData(); err != nil {
		return fmt.Errorf("sync %s: %w", a.name, err)
	}
	a.sealed = true
	return nil
}

// begin starts segment number: a spare or new file gets room, a header with a fresh salt, and only when that is on the
// device its name, and the folder is synced, so whatever bears a segment's name has a valid header.
func (l *changeLog) begin(number uint32) error {
	spare, err := l.takeSpare()
	if err != nil {
		return err
	}
	file, err := l.fs.OpenReadWrite(spare)
	if err != nil {
		return err
	}
	s := &segment{number: number, name: l.path(segmentName(number)), file: file, salt: rand.Uint64() | 1<<63 | 1,
		unsynced: l.unsynced, end: segmentHeaderLen}
	if err := l.prepare(s); err != nil {
		file.Close()
		return fmt.Errorf("prepare %s: %w", spare, err)
	}
	if err := l.fs.Rename(spare, s.name); err != nil {
		file.Close()
		return err
	}
	if err := l.syncDir(); err != nil {
		file.Close()
		return err
	}
	l.active = s
	l.edit(func(segs map[uint32]*segment) { segs[number] = s })
	return nil
}

func (l *changeLog) prepare(s *segment) error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	s.size = info.Size()
	if s.size < l.segBytes && !l.memory {
		if err := s.file.Preallocate(0, l.segBytes); err != nil && !unsupported(err) {
			return err
		}
		// The file has its size before the first frame, so a sync of a frame does not have to write that too.
		if _, err := s.file.WriteAt([]byte{0}, l.segBytes-1); err != nil {
			return err
		}
		s.size = l.segBytes
	}
	if _, err := s.file.WriteAt(s.header(), 0); err != nil {
		return err
	}
	return s.file.Sync()
}

func (l *changeLog) takeSpare() (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.spares); n > 0 {
		name := l.spares[n-1]
		l.spares = l.spares[:n-1]
		return name, nil
	}
	return l.path("spare-new"), nil
}

func (l *changeLog) syncDir() error { return syncDir(l.fs, l.dir) }

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		d.Close()
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return d.Close()
}

// sweep recycles or removes segments that nobody holds any more. A recycled file has lost its old name on the device
// before it is offered for writing, else a crash could show new content under the old name.
// It returns the numbers of those whose names are gone on the device.
func (l *changeLog) sweep() (gone []uint32, err error) {
	l.mu.Lock()
	trash := l.trash
	l.trash = nil
	l.mu.Unlock()
	for _, s := range trash {
		if err := s.file.Close(); err != nil {
			return gone, err
		}
		l.mu.Lock()
		recycle := len(l.spares) < sparesMax && s.size == l.segBytes && !l.memory
		l.mu.Unlock()
		spare := l.path(fmt.Sprintf("spare-%08d", s.number))
		if recycle {
			err = l.fs.Rename(s.name, spare)
		} else {
			err = l.fs.Remove(s.name)
		}
		if err == nil {
			err = l.syncDir()
		}
		if err != nil {
			return gone, err
		}
		gone = append(gone, s.number)
		if recycle {
			l.mu.Lock()
			l.spares = append(l.spares, spare)
			l.mu.Unlock()
		}
	}
	return gone, nil
}

// close closes all files; the caller has seen to it that nobody reads or writes.
func (l *changeLog) close() error {
	var first error
	for _, s := range l.snapshot() {
		if err := s.file.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
