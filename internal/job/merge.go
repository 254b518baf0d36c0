package job

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/sink"
	"dynaferry/internal/source"
)

// mergeBytes is the raw size of the changes and items that one merging task aims at; mergeTasksLeast keeps several workers busy
// where there is less.
const (
	mergeBytes      = 512 << 20
	mergeBytesLeast = 16 << 20
	mergeTasksLeast = 8
)

// cutMerge packs neighbouring buckets into tasks, by the indexes of their runs, which are too many to be held at once.
func cutMerge(ctx context.Context, b blob.Bucket, sides ...[]string) ([]json.RawMessage, error) {
	raw := map[string]int64{}
	var total int64
	for _, name := range slices.Concat(sides...) {
		index, err := sink.ReadIndex(ctx, b, name)
		if err != nil {
			return nil, fmt.Errorf("read index %s: %w", name, err)
		}
		for _, p := range index.Parts {
			for _, r := range p.Runs {
				raw[p.Key] += r.Raw
				total += r.Raw
			}
		}
	}
	keys := make([]string, 0, len(raw))
	for key := range raw {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	most := min(mergeBytes, max(mergeBytesLeast, total/mergeTasksLeast))
	var tasks []json.RawMessage
	var first int
	var size int64
	for i, key := range keys {
		if i > first && size+raw[key] > most {
			tasks = append(tasks, marshal(keyRange{keys[first], keys[i-1]}))
			first, size = i, 0
		}
		size += raw[key]
	}
	if first < len(keys) {
		tasks = append(tasks, marshal(keyRange{keys[first], keys[len(keys)-1]}))
	}
	return tasks, nil
}

// merging goes through buckets of changes, one after another: what is left of each key when its last window has passed.
type merging struct {
	st      plan.State
	keys    item.KeySchema
	windows []source.Window
	objects [2][]string // of changes, and of items that were put aside
	parts   [2]map[string]*partition
	names   []string
	reader  *sink.RunReader

	frames map[runAt][]byte
	last   map[string]lastChange
	lines  []byte
	b      item.Batch
	marks  []changeMark
	key    []byte
}

// lastChange is the newest change of a key: its place in the bucket, and when it was.
type lastChange struct {
	at   int64
	mark changeMark
}

// The sides of merging.
const (
	sideChanges = iota
	sideItems
)

func newMerging(ctx context.Context, st plan.State, o *Overlay, windows []source.Window, body json.RawMessage, changes, aside []string) (*merging, error) {
	var buckets keyRange
	if err := json.Unmarshal(body, &buckets); err != nil {
		return nil, fault.New(fault.Corrupt, "a task of buckets: %w", err)
	}
	m := &merging{st: st, keys: o.keys(), windows: windows}
	seen := map[string]bool{}
	for side, names := range [][]string{changes, aside} {
		objects, parts, err := readIndexes(ctx, st.Bucket, names, func(key string) bool { return buckets.First <= key && key <= buckets.Last })
		if err != nil {
			return nil, err
		}
		m.objects[side], m.parts[side] = objects, map[string]*partition{}
		for _, p := range parts {
			m.parts[side][p.Key] = p
			seen[p.Key] = true
		}
	}
	for key := range seen {
		m.names = append(m.names, key)
	}
	slices.Sort(m.names)
	var err error
	m.reader, err = sink.NewRunReader()
	return m, err
}

func (m *merging) close() { m.reader.Close() }

// run goes through all buckets. puts gets what items have become, gone the keys that are deleted, and rest the items that
// have no change. The batches are m's own.
func (m *merging) run(ctx context.Context, puts, gone, rest func(*item.Batch) error) error {
	for _, name := range m.names {
		if err := m.bucket(ctx, name, puts, gone, rest); err != nil {
			return fmt.Errorf("bucket %s: %w", name, err)
		}
	}
	return nil
}

func (m *merging) bucket(ctx context.Context, name string, puts, gone, rest func(*item.Batch) error) error {
	m.last, m.frames = map[string]lastChange{}, map[runAt][]byte{}
	changes, items := m.parts[sideChanges][name], m.parts[sideItems][name]
	if changes != nil {
		if err := m.newest(ctx, changes); err != nil {
			return err
		}
		if err := m.emit(ctx, changes, puts, gone); err != nil {
			return err
		}
	}
	if items == nil || rest == nil {
		return nil
	}
	return m.lineBatches(ctx, sideItems, items, func(lines []byte) error {
		m.b.Reset()
		m.b.Src = item.GrowSlack(append(m.b.Src, lines...))
		if _, err := ddbjson.ParseLines(&m.b, ddbjson.Bare, true, nil); err != nil {
			return err
		}
		kept := m.b.Rows[:0]
		for i, row := range m.b.Rows {
			var err error
			if m.key, err = m.keys.AppendKey(m.key[:0], m.b.Item(i)); err != nil {
				return err
			}
			if _, changed := m.last[string(m.key)]; !changed {
				kept = append(kept, row)
			}
		}
		m.b.Rows = kept
		return rest(&m.b)
	})
}

// newest finds each key's last change. Changes lie in the order of their windows, and a window has one of a key, unless it is
// of a log: that has them all, in order but for shards that went to another group, which times put right.
func (m *merging) newest(ctx context.Context, p *partition) error {
	var at int64
	return m.changes(ctx, p, func() error {
		for i := range m.b.Rows {
			var err error
			if m.key, err = m.keys.AppendKey(m.key[:0], m.b.Item(i)); err != nil {
				return err
			}
			mark := m.marks[i]
			if before, ok := m.last[string(m.key)]; ok {
				switch order := mark.compare(before.mark); {
				case order == 0 && mark.micros == 0 || order < 0 && mark.micros == 0 && before.mark.micros == 0:
					return m.twice(i, mark.window)
				case order < 0:
					at++
					continue
				}
			}
			m.last[string(m.key)] = lastChange{at, mark}
			at++
		}
		return nil
	})
}

func (m *merging) twice(row, window int) error {
	key, _ := m.keys.AppendKeyJSON(nil, m.b.Item(row))
	where := fmt.Sprintf("window %d", window)
	if window <= len(m.windows) {
		where = m.windows[window-1].URL
	}
	return fault.Hint(fault.New(fault.Corrupt, "%s holds two changes of the key %s", where, key), "an incremental export has one change of an item; export it again")
}

// emit hands out the last changes.
func (m *merging) emit(ctx context.Context, p *partition, puts, gone func(*item.Batch) error) error {
	var at int64
	return m.changes(ctx, p, func() error {
		var keep, drop []item.Row
		for i, row := range m.b.Rows {
			var err error
			if m.key, err = m.keys.AppendKey(m.key[:0], m.b.Item(i)); err != nil {
				return err
			}
			if m.last[string(m.key)].at == at {
				if m.marks[i].gone {
					drop = append(drop, row)
				} else {
					keep = append(keep, row)
				}
			}
			at++
		}
		for _, out := range []struct {
			rows []item.Row
			take func(*item.Batch) error
		}{{drop, gone}, {keep, puts}} {
			if len(out.rows) == 0 || out.take == nil {
				continue
			}
			m.b.Rows = out.rows
			if err := out.take(&m.b); err != nil {
				return err
			}
		}
		return nil
	})
}

// changes reads a bucket's changes in order into m.b and m.marks.
func (m *merging) changes(ctx context.Context, p *partition, visit func() error) error {
	return m.lineBatches(ctx, sideChanges, p, func(lines []byte) error {
		var err error
		if m.marks, err = parseMarked(&m.b, m.marks, lines); err != nil {
			return err
		}
		return visit()
	})
}

// frameBytesKept is how much of a bucket's runs is kept from the first reading for the second.
const frameBytesKept = 8 << 20

// lineBatches reads the runs of a bucket, some whole lines at a time.
func (m *merging) lineBatches(ctx context.Context, side int, p *partition, take func(lines []byte) error) error {
	var total int64
	for _, r := range p.runs {
		total += r.Length
	}
	for _, r := range p.runs {
		frame, ok := m.frames[r]
		if !ok || side != sideChanges {
			data, _, err := blob.ReadRange(ctx, m.st.Bucket, m.objects[side][r.object], blob.ReadOptions{Offset: r.Offset, Length: r.Length}, r.Length)
			if err != nil {
				return fmt.Errorf("read runs: %w", err)
			}
			if frame = data; side == sideChanges && total <= frameBytesKept {
				m.frames[r] = data
			}
		}
		var err error
		if m.lines, err = m.reader.Decode(m.lines[:0], frame, r.Run); err != nil {
			return err
		}
		for rest := m.lines; len(rest) > 0; {
			n := linesOf(rest, gatherBatchBytes)
			if err := take(rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
	}
	return nil
}
