package local

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"dynaferry/internal/fault"
	"dynaferry/internal/local/store"
)

// journalName is the hidden table that the journal is kept in.
const journalName = hiddenPrefix + "journal"

// journal remembers exports, imports and backups over restarts: a hidden table of the store, all of it in memory too. The
// table is made with the first record.
type journal struct {
	store   *store.Store
	mu      sync.Mutex
	table   store.TableID // 0: not made yet; under mu
	exports shelf[exportRecord]
	imports shelf[importRecord]
	backups shelf[backupRecord]
}

// openJournal finds the journal and reads it.
func openJournal(s *store.Store) (*journal, error) {
	j := &journal{store: s}
	for _, t := range s.Tables() {
		if t.Name == journalName {
			j.table = t.ID
		}
	}
	return j, errors.Join(j.exports.open(j, "export"), j.imports.open(j, "import"), j.backups.open(j, "backup"))
}

// ready returns the table to write to.
func (j *journal) ready() (store.TableID, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.table != 0 {
		return j.table, nil
	}
	var err error
	if j.table, err = j.store.CreateTable([]byte(`{"hidden":"journal","version":1}`), journalName, store.Settings{}); err != nil {
		return 0, fmt.Errorf("make the journal of exports, imports and backups: %w", err)
	}
	return j.table, nil
}

// shelf is the journal's records of one kind, by id. A record is never changed once it stands there: a change is another
// record.
type shelf[T any] struct {
	journal *journal
	kind    string
	mu      sync.RWMutex
	all     map[string]*T
}

func (s *shelf[T]) open(j *journal, kind string) error {
	s.journal, s.kind, s.all = j, kind, map[string]*T{}
	if j.table == 0 {
		return nil
	}
	it := j.store.Query(j.table, store.EncodeString(nil, []byte(kind)), store.QueryOptions{})
	defer it.Close()
	for it.Next() {
		entry := struct {
			ID     string
			Record *T
		}{}
		if err := json.Unmarshal(it.Raw(), &entry); err != nil || entry.Record == nil {
			return fault.New(fault.Corrupt, "record of an %s in the journal: %v", kind, err)
		}
		s.all[entry.ID] = entry.Record
	}
	return it.Close()
}

func (s *shelf[T]) key(id string) store.Key {
	return store.Key{Hash: store.EncodeString(nil, []byte(s.kind)), Range: store.EncodeString(nil, []byte(id))}
}

// put makes the record durable and then visible.
func (s *shelf[T]) put(id string, record *T) error {
	text, err := json.Marshal(struct {
		ID     string
		Record *T
	}{id, record})
	if err != nil {
		return fmt.Errorf("write the record of an %s: %w", s.kind, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.write(id, store.OpPut, text); err != nil {
		return err
	}
	s.all[id] = record
	return nil
}

func (s *shelf[T]) drop(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.write(id, store.OpDelete, nil); err != nil {
		return err
	}
	delete(s.all, id)
	return nil
}

func (s *shelf[T]) write(id string, op store.Op, text []byte) error {
	table, err := s.journal.ready()
	if err != nil {
		return err
	}
	if _, err = s.journal.store.Update(context.Background(), table, s.key(id),
		func([]byte) (store.Op, []byte, error) { return op, text, nil }); err != nil {
		return fmt.Errorf("write the record of an %s: %w", s.kind, err)
	}
	return nil
}

func (s *shelf[T]) get(id string) *T {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.all[id]
}

// ids lists the records in ascending order of their ids, which is that of their times.
func (s *shelf[T]) ids() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.SortedFunc(maps.Keys(s.all), cmp.Compare[string])
}

// find returns the first record that matches, in the order of ids.
func (s *shelf[T]) find(match func(*T) bool) *T {
	for _, id := range s.ids() {
		if r := s.get(id); r != nil && match(r) {
			return r
		}
	}
	return nil
}

// crew runs what goes on after its request was answered: exports, imports, backups, restores. Close of the DB ends them;
// the next Open takes them up.
type crew struct {
	ctx  context.Context
	stop context.CancelFunc
	mu   sync.Mutex
	done sync.WaitGroup
}

func newCrew() *crew {
	ctx, stop := context.WithCancel(context.Background())
	return &crew{ctx: ctx, stop: stop}
}

// start runs work beside everything else, unless the crew was dismissed.
func (w *crew) start(work func(ctx context.Context)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() == nil {
		w.done.Go(func() { work(w.ctx) })
	}
}

// dismiss ends all work and waits for it.
func (w *crew) dismiss() {
	w.mu.Lock()
	w.stop()
	w.mu.Unlock()
	w.done.Wait()
}

// resume opens the journal and goes on with what an earlier process had begun.
func (db *DB) resume() (err error) {
	if db.journal, err = openJournal(db.store); err != nil {
		return err
	}
	if err := db.sweepBackups(); err != nil {
		return err
	}
	for _, id := range db.journal.exports.ids() {
		switch e := db.journal.exports.get(id); {
		case e.Status == statusInProgress && db.opts.Bucket != nil:
			db.runExport(e)
		case e.Status == statusInProgress:
			failed := *e
			failed.Status, failed.Failure, failed.EndMs = statusFailed, &exportFailure{"InternalServerError", saysNoBuckets}, millis(db.now())
			err = errors.Join(err, db.journal.exports.put(id, &failed))
		case db.forgotten(e.StartMs):
			err = errors.Join(err, db.journal.exports.drop(id))
		}
	}
	begun := slices.Collect(maps.Values(db.fills)) // all of them, before any goes on and is one no more
	imports := map[string]*table{}
	for _, t := range begun {
		imports[t.def.Filling.Import] = t
	}
	for _, t := range begun {
		if t.def.Filling.Import == "" {
			db.restore(t)
		}
	}
	return errors.Join(err, db.resumeImports(imports))
}

// codeNoBucket is the failure that leaves no table of an import.
const codeNoBucket = "S3NoSuchBucket"

const saysNoBuckets = "dynaferry local was started again without an S3 half"
