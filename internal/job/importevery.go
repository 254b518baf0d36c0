package job

import (
	"context"

	"dynaferry/internal/item"
	"dynaferry/internal/plan"
)

// waveItems is how many changes a wave has at most: as many as keep all writers of a task busy.
const waveItems = 25 * writersPerTask * 4

// wave is a run of changes of distinct keys, which may be written in any order. The next begins when all of it is written: so
// each key's changes land in their order.
type wave struct {
	keys       map[string]changeMark // of each key the last change that was written
	now        map[string]bool       // keys of this wave
	puts, gone *item.Batch
	build      [2]*item.Builder
}

// applyEvery writes each change of the task's buckets. A change that comes behind a later one of its key, which only a shard
// that went to another group can have, is passed over.
func (j *importJob) applyEvery(ctx context.Context, a *plan.Attempt, t *writing) error {
	src, err := j.src.open(ctx, j.env, j.spec)
	if err != nil {
		return err
	}
	m, err := newMerging(ctx, j.st, j.set.Changes, src.Info().Windows, a.Task.Body, j.set.Indexes, nil)
	if err != nil {
		return err
	}
	defer m.close()
	for _, name := range m.names {
		w := &wave{keys: map[string]changeMark{}, now: map[string]bool{}}
		m.frames = map[runAt][]byte{}
		err := m.changes(ctx, m.parts[sideChanges][name], func() error {
			for i := range m.b.Rows {
				var err error
				if m.key, err = m.keys.AppendKey(m.key[:0], m.b.Item(i)); err != nil {
					return err
				}
				if w.now[string(m.key)] || len(w.now) == waveItems {
					if err := w.flush(ctx, t); err != nil {
						return err
					}
				}
				if before, ok := w.keys[string(m.key)]; ok && m.marks[i].compare(before) < 0 {
					continue
				}
				w.add(t, string(m.key), m.marks[i], m.b.Item(i))
			}
			return nil
		})
		if err == nil {
			err = w.flush(ctx, t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *wave) add(t *writing, key string, mark changeMark, it item.Item) {
	if w.puts == nil {
		w.puts, w.gone = t.free(), t.free()
		for n, b := range []*item.Batch{w.puts, w.gone} {
			b.Reset()
			w.build[n] = item.NewBuilder(b)
		}
	}
	w.keys[key], w.now[key] = mark, true
	kind := 0
	if mark.gone {
		kind = 1
	}
	copyItem(w.build[kind], it)
}

// flush writes the wave and waits for it.
func (w *wave) flush(ctx context.Context, t *writing) error {
	if len(w.now) == 0 {
		return nil
	}
	err := t.run(ctx, func(_ context.Context, hand handing) error {
		if err := hand(w.gone, true); err != nil {
			return err
		}
		return hand(w.puts, false)
	})
	clear(w.now)
	w.puts, w.gone = nil, nil
	return err
}
