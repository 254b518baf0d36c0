package job

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/zeebo/xxh3"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/sink"
	"dynaferry/internal/source"
	"dynaferry/internal/step"
)

// Overlay is what rounds must agree on that lay changes over items (docs/decisions/0010-overlays.md).
type Overlay struct {
	// Keys are of the changes, nil when there is none. Which attribute is the hash key may be unknown and does not matter.
	Keys    *item.KeySchema `json:"keys,omitempty"`
	Buckets int             `json:"buckets"`
	Changes int64           `json:"changes"`
}

// keys are empty when there is no change.
func (o *Overlay) keys() item.KeySchema {
	if o.Keys == nil {
		return item.KeySchema{}
	}
	return *o.Keys
}

// Changes are cut into buckets by the hash of their key. A bucket's keys are in memory at once, its items never.
const (
	bucketKeys = 32 << 10
	bucketsMax = 4096
)

// newOverlay looks at the first change for the keys, which through makes of them where it is set, and holds them against those that
// are known from elsewhere.
func newOverlay(ctx context.Context, src source.Source, known *item.KeySchema, through func(item.KeySchema) (item.KeySchema, error)) (*Overlay, error) {
	o := &Overlay{Buckets: 1}
	for _, w := range src.Info().Windows {
		o.Changes += w.Items
	}
	o.Buckets = bucketsFor(o.Changes)
	if src.Info().Log != nil {
		o.Changes, o.Buckets = 0, 0 // see changeGroups
	}
	seen, where, err := firstKeys(ctx, src)
	if err == nil && seen != nil && through != nil {
		*seen, err = through(*seen)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case seen == nil: // no change at all: no key is ever asked for
		o.Keys = known
	case known == nil:
		o.Keys = seen
	case !sameAttrs(*seen, *known):
		return nil, fault.New(fault.User, "%s: its changes have the keys %s, not %s", where, keysText(*seen), keysText(*known))
	default:
		o.Keys = known
	}
	return o, nil
}

func bucketsFor(changes int64) int {
	return int(min(max(1, (changes+bucketKeys-1)/bucketKeys), bucketsMax))
}

func sameAttrs(a, b item.KeySchema) bool {
	if len(a.Attrs()) != len(b.Attrs()) {
		return false
	}
	return a == b || a.Hash == b.Range && a.Range == b.Hash
}

// firstKeys takes the key attributes of the first change; nil when there is no change.
func firstKeys(ctx context.Context, src source.Source) (*item.KeySchema, string, error) {
	changer := src.(source.Changer)
	if info := src.Info(); info.Log != nil && info.Keys != nil {
		return info.Keys, info.URL, nil
	}
	for _, u := range changer.ChangeUnits() {
		if u.File != nil && u.File.Items == 0 {
			continue
		}
		keys, err := fault.Again(ctx, func() (*item.KeySchema, error) { return keysOf(ctx, changer, u) })
		if err != nil || keys != nil {
			return keys, src.Info().Windows[u.Window-1].URL, err
		}
	}
	return nil, "", nil
}

func keysOf(ctx context.Context, changer source.Changer, u source.Unit) (*item.KeySchema, error) {
	in, err := changer.Changes(ctx, u, source.ReadOptions{Rejects: ignoreReject, Steps: &step.Env{Plan: time.Now()}})
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var b item.Changes
	if err := in.ReadChanges(&b); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	it := b.Key(0)
	var attrs []item.KeyAttr
	for at := 1; at < len(it.Tape); at += 1 + int(it.Tape[at+1].Skip) {
		attrs = append(attrs, item.KeyAttr{Name: string(it.Text(at)), Type: it.Tape[at+1].Type})
	}
	if len(attrs) > 2 {
		return nil, fault.New(fault.Corrupt, "%s: a change whose Keys have %d attributes", b.File, len(attrs))
	}
	keys := &item.KeySchema{Hash: attrs[0]}
	if len(attrs) == 2 {
		keys.Range = attrs[1]
	}
	if err := keys.Check(); err != nil {
		return nil, fault.At(fault.New(fault.Corrupt, "the Keys of a change: %w", err), fault.Place{File: b.File})
	}
	return keys, nil
}

// changeTask is one attempt that reads files of changes.
type changeTask struct {
	keys    item.KeySchema
	version string // attribute of old images that deletions keep
	src     source.Source
	images  bool // spill what was before each change too
	dead    *deadLetters
	meter   plan.Meter
	read    int64
	refused int64        // put aside
	logged  *step.Env    // of the steps of a window of a log
	steps   *importSteps // of an import, nil for none
	list    []step.Change
	buckets int // of the task, where its plan could not know
	key     []byte
	own     []byte
}

// each reads the changes of a task's units in order; those that contradict themselves become dead letters. take gets the
// number of the window and, for each change, its row in List.
func (t *changeTask) each(ctx context.Context, body json.RawMessage, take func(window int, b *item.Changes) error) error {
	var g group
	if err := json.Unmarshal(body, &g); err != nil {
		return fault.New(fault.Corrupt, "a task of changes: %w", err)
	}
	t.buckets = g.Buckets
	for _, u := range g.Units {
		if err := t.unit(ctx, u, take); err != nil {
			return err
		}
	}
	return nil
}

func (t *changeTask) unit(ctx context.Context, u source.Unit, take func(window int, b *item.Changes) error) error {
	in, err := t.src.(source.Changer).Changes(ctx, u, source.ReadOptions{Steps: t.logged, Rejects: func(r codec.Reject) error {
		t.refused++
		return t.dead.reject(r)
	}})
	if err != nil {
		return err
	}
	defer in.Close()
	var b item.Changes
	for {
		if err := in.ReadChanges(&b); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		t.read += int64(len(b.List))
		t.meter.Add(int64(len(b.List)), int64(len(b.Src)))
		if err := t.arrive(ctx, &b); err != nil {
			return err
		}
		kept := b.List[:0]
		for i, c := range b.List {
			err := t.check(&b, i)
			if err == nil {
				kept = append(kept, c)
				continue
			}
			t.refused++
			if err := t.dead.change(&b, i, err); err != nil {
				return err
			}
		}
		b.List = kept
		if err := take(u.Window, &b); err != nil {
			return err
		}
	}
}

// check holds a change's Keys against the table's, and its new image against its Keys.
func (t *changeTask) check(b *item.Changes, i int) error {
	var err error
	key := b.Key(i)
	if t.key, err = t.keys.AppendKey(t.key[:0], key); err != nil {
		return err
	}
	if n := key.Count(0); n != len(t.keys.Attrs()) {
		return fmt.Errorf("the change's Keys have %d attributes; the table's keys are %s", n, keysText(t.keys))
	}
	it, put := b.New(i)
	if !put {
		return nil
	}
	if t.own, err = t.keys.AppendKey(t.own[:0], it); err != nil {
		return err
	}
	if string(t.own) != string(t.key) {
		return errors.New("the change's NewImage has another key than its Keys")
	}
	return nil
}

// gone builds what stands for a deleted item: its key, and its last version where one is kept.
func (t *changeTask) gone(w *item.Builder, b *item.Changes, i int) {
	w.Begin(b.List[i].Line)
	key := b.Key(i)
	for at := 1; at < len(key.Tape); at += 1 + int(key.Tape[at+1].Skip) {
		w.RawName(key, at)
		w.Raw(key, at+1)
	}
	if old, ok := b.Old(i); ok && t.version != "" {
		_, isKey := key.Get(t.version)
		if at, ok := old.Get(t.version); ok && !isKey {
			w.Name(t.version)
			w.Raw(old, at)
		}
	}
	w.Finish()
}

// spilled is what a task of changes leaves for the rounds behind.
type spilled struct {
	Staged sink.Staged
	Hashes []string
}

// spill writes the changes as runs by bucket, a mark in front of each line, and beside them the hashes of their keys.
func (t *changeTask) spill(ctx context.Context, a *plan.Attempt, o *Overlay, memory int) (*spilled, error) {
	out, err := sink.NewSpill(ctx, sink.SpillOptions{Bucket: a.State.Bucket, Staged: a.Staged, Memory: memory, Put: stagedPut})
	if err != nil {
		return nil, err
	}
	defer out.Abandon()
	hashes := blob.NewWriter(ctx, a.State.Bucket, a.Staged("changed"), blob.WriterOptions{PartBytes: blob.PartBytesMin, Flight: 1})
	defer hashes.Close()
	words := bufio.NewWriterSize(hashes, 64<<10)
	var route sink.Route
	var prefix, key, word []byte
	var deleted item.Batch
	build := item.NewBuilder(&deleted)
	err = t.each(ctx, a.Task.Body, func(window int, b *item.Changes) error {
		for i := range b.List {
			it, put := b.New(i)
			mark := changeMark{window: window, gone: !put}
			if windows := t.src.Info().Windows; windows[window-1].Log {
				mark.micros = max(b.List[i].Micros, 1)
			}
			if !put {
				deleted.Reset()
				t.gone(build, b, i)
				it = deleted.Item(0)
			}
			if key, err = t.keys.AppendKey(key[:0], it); err != nil {
				return err
			}
			route.Key = bucketName(item.BucketOf(key, cmp.Or(t.buckets, o.Buckets)))
			if t.images {
				if err := t.spillOld(out, &route, mark, b, i); err != nil {
					return err
				}
			}
			prefix = mark.append(prefix[:0])
			if err := out.Put(&route, prefix, it); err != nil {
				return err
			}
			word = binary.LittleEndian.AppendUint64(word[:0], xxh3.Hash(key))
			if _, err := words.Write(word); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	staged, err := out.Close()
	if err != nil {
		return nil, err
	}
	if err := words.Flush(); err != nil {
		return nil, err
	}
	if _, err := hashes.Finish(); err != nil {
		return nil, fmt.Errorf("stage hashes of keys: %w", err)
	}
	return &spilled{staged, []string{a.Staged("changed")}}, nil
}

// spillOld writes what was before a change, in front of what came of it.
func (t *changeTask) spillOld(out *sink.Spill, route *sink.Route, mark changeMark, b *item.Changes, i int) error {
	mark.before, mark.gone = true, false
	old, was := b.Old(i)
	if !was {
		mark.gone, old = true, b.Key(i)
	}
	return out.Put(route, mark.append(nil), old)
}

func bucketName(n int) string { return fmt.Sprintf("%04d", n) }

// changed is a filter of the keys that have changes: whoever is not in it has none, one in eighty of those that have
// none is in it all the same.
type changed struct{ bits []byte }

// The filter takes ten bits a key, up to a size that leaves the memory budget alone; beyond, more items take the detour.
const (
	changedBitsPerKey = 10
	changedProbes     = 4
	changedBytesMax   = 32 << 20
)

func newChanged(keys int64) *changed {
	return &changed{make([]byte, min(keys*changedBitsPerKey/8+1, changedBytesMax))}
}

func (c *changed) probe(h uint64, i int) uint64 {
	at, _ := bits.Mul64(h*(0x9e3779b97f4a7c15+2*uint64(i)*0xd1342543de82ef95), uint64(len(c.bits)*8))
	return at
}

func (c *changed) add(h uint64) {
	for i := range changedProbes {
		at := c.probe(h, i)
		c.bits[at/8] |= 1 << (at % 8)
	}
}

func (c *changed) has(h uint64) bool {
	for i := range changedProbes {
		if at := c.probe(h, i); c.bits[at/8]>>(at%8)&1 == 0 {
			return false
		}
	}
	return true
}

// stageChanged makes the filter of all hashes that tasks left, and stages it.
func stageChanged(ctx context.Context, st plan.State, name string, o *Overlay, hashes []string) error {
	filter := newChanged(o.Changes)
	for _, object := range hashes {
		if err := filter.addAll(ctx, st.Bucket, object); err != nil {
			return fmt.Errorf("read hashes of keys: %w", err)
		}
	}
	if _, err := st.Bucket.Put(ctx, name, filter.bits, blob.PutOptions{}); err != nil {
		return fmt.Errorf("stage %s: %w", name, err)
	}
	return nil
}

func (c *changed) addAll(ctx context.Context, b blob.Bucket, object string) error {
	body, _, err := b.Get(ctx, object, blob.ReadOptions{})
	if err != nil {
		return err
	}
	defer body.Close()
	in := bufio.NewReaderSize(body, 64<<10)
	var word [8]byte
	for {
		if _, err := io.ReadFull(in, word[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		c.add(binary.LittleEndian.Uint64(word[:]))
	}
}

// changedOnce is the filter of a plan, read once for all tasks of this process.
type changedOnce struct {
	mu     sync.Mutex
	filter *changed
}

func (c *changedOnce) read(ctx context.Context, st plan.State, name string) (*changed, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.filter != nil {
		return c.filter, nil
	}
	bits, _, err := blob.ReadAll(ctx, st.Bucket, name, changedBytesMax)
	if err != nil {
		return nil, fmt.Errorf("read the filter of changed keys: %w", err)
	}
	if len(bits) == 0 {
		return nil, fault.New(fault.Corrupt, "%s: a filter without bits", name)
	}
	c.filter = &changed{bits}
	return c.filter, nil
}

// parseMarked takes lines with a mark in front into b, which it resets, and the marks beside.
func parseMarked(b *item.Batch, marks []changeMark, lines []byte) ([]changeMark, error) {
	b.Reset()
	marks = marks[:0]
	for len(lines) > 0 {
		mark, n := parseMark(lines)
		end := bytes.IndexByte(lines, '\n')
		if n == 0 || end < n {
			return nil, fault.New(fault.Corrupt, "a run of changes holds a line that is none")
		}
		marks = append(marks, mark)
		b.Src = append(b.Src, lines[n:end+1]...)
		lines = lines[end+1:]
	}
	b.Src = item.GrowSlack(b.Src)
	if _, err := ddbjson.ParseLines(b, ddbjson.Bare, true, nil); err != nil {
		return nil, err
	}
	if b.Len() != len(marks) {
		return nil, fault.New(fault.Corrupt, "a run of changes holds an empty line")
	}
	return marks, nil
}

// changeMark is what stands in front of a spilled change: its window, of a log the time of the change, and what the line is:
//
//	1+{…}             the item as the change left it
//	2:1709288000-{…}  the key of an item that is gone
//	2:1709288000<{…}  the item as it was before
//	2:1709288000!{…}  the key of an item that was not there before
type changeMark struct {
	window int   // from 1
	micros int64 // of a log
	before bool  // what was before the change
	gone   bool  // no item
}

// kinds are the letters of marks, by before and gone.
const kinds = "+-<!"

func (m changeMark) append(dst []byte) []byte {
	dst = strconv.AppendInt(dst, int64(m.window), 10)
	if m.micros != 0 {
		dst = strconv.AppendInt(append(dst, ':'), m.micros, 10)
	}
	kind := 0
	if m.gone {
		kind = 1
	}
	if m.before {
		kind += 2
	}
	return append(dst, kinds[kind])
}

// parseMark reads a mark at the beginning of a line and tells its length; 0 when there is none.
func parseMark(line []byte) (m changeMark, n int) {
	digits := func() (value int64) {
		for ; n < len(line) && line[n]-'0' <= 9; n++ {
			value = value*10 + int64(line[n]-'0')
		}
		return value
	}
	m.window = int(digits())
	if n == 0 || n == len(line) {
		return m, 0
	}
	if line[n] == ':' {
		n++
		m.micros = digits()
	}
	if n == len(line) {
		return m, 0
	}
	kind := strings.IndexByte(kinds, line[n])
	if kind < 0 {
		return m, 0
	}
	m.gone, m.before = kind&1 != 0, kind&2 != 0
	return m, n + 1
}

// compare orders changes of one key by window and time; of equals in a log the later in order is the later change.
func (m changeMark) compare(o changeMark) int {
	return cmp.Or(cmp.Compare(m.window, o.window), cmp.Compare(m.micros, o.micros))
}

// ignoreReject is for looks at a source whose damage others report.
func ignoreReject(codec.Reject) error { return nil }
