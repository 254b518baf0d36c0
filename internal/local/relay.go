package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/local/shadow"
	"dynaferry/internal/local/store"
	"dynaferry/internal/local/upstream"
)

// relay is what a DB with an upstream has beside what every DB has: the upstream, and the copies of its tables that the
// operations work on which it lacks (docs/decisions/0016-upstream.md).
type relay struct {
	client *upstream.Client
	keeper *shadow.Keeper
	store  *store.Store

	mu      sync.Mutex        // guards shadows, which change under db.change
	shadows map[string]*table // the copies, by the name of the upstream's table
	copying map[string]int    // backups that need a copy, by its name; under db.change
}

// answered are the operations that are not forwarded.
var answered = set("CreateBackup", "DeleteBackup", "DescribeBackup", "DescribeContinuousBackups", "DescribeEndpoints", "DescribeExport",
	"DescribeImport", "ExportTableToPointInTime", "ImportTable", "ListBackups", "ListExports", "ListImports", "RestoreTableFromBackup",
	"RestoreTableToPointInTime", "UpdateContinuousBackups")

// whole are those that are not, for a table which is being filled.
var whole = set("DeleteTable", "DescribeTable", "UpdateTable")

func openRelay(s *store.Store, clock *shadow.Clock, opts *Options) (*relay, error) {
	if opts.Upstream == nil {
		return nil, nil
	}
	keeper, err := shadow.Open(s, shadow.Options{Client: opts.Upstream, Clock: clock, Wall: opts.Clock, Lag: opts.UpstreamLag})
	if err != nil {
		return nil, fmt.Errorf("open the copies of the upstream's tables: %w", err)
	}
	return &relay{client: opts.Upstream, keeper: keeper, store: s, shadows: map[string]*table{}, copying: map[string]int{}}, nil
}

// resume goes on with the copies that the store has. One that was for a backup only is not needed any more, and one that
// never began neither.
func (r *relay) resume() error {
	if r == nil {
		return nil
	}
	for name, t := range r.shadows {
		ok, err := r.keeper.Resume(t.id, form(t))
		if err != nil {
			return err
		}
		if !ok || !t.def.Shadow.Wanted {
			if err := r.unfollow(name); err != nil {
				return err
			}
		}
	}
	r.keeper.Resumed()
	return nil
}

// form is how items of a table are kept.
func form(t *table) shadow.Form {
	keys := &table{keys: t.keys}
	return func(raw []byte, keyOnly bool) (store.Key, []byte, error) {
		var b item.Batch // copies are followed one record after the other, but those of several tables at a time
		it, err := tokens(&b, raw)
		if err != nil {
			return store.Key{}, nil, err
		}
		key, err := keys.itemKey(it)
		if err != nil || keyOnly {
			return key, nil, err
		}
		return key, appendNormal(make([]byte, 0, len(raw)+16), it), nil
	}
}

// forwarded answers a request as the upstream does. here is true when the request is answered here instead: its body can
// be read again.
func (db *DB) forwarded(w http.ResponseWriter, r *http.Request) (here bool) {
	_, err := region(r)
	var body []byte
	if err == nil {
		body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMax+1))
		var long *http.MaxBytesError
		if errors.As(err, &long) || len(body) > bodyMax {
			err = tooLargeBody()
		}
	}
	if err == nil && db.here(r.Header.Get("X-Amz-Target"), body) {
		r.Body = io.NopCloser(bytes.NewReader(body))
		return true
	}
	refuse := func(w http.ResponseWriter, err error) {
		e := answer(err)
		reply(w, fail(nil, e), e.Status)
	}
	if err != nil {
		refuse(w, err)
		return false
	}
	for _, name := range []string{"x-amzn-RequestId", "Server"} {
		delete(w.Header(), name) // the upstream has its own
	}
	db.relay.client.Forward(w, r, body, refuse)
	return false
}

// here tells whether a request is not forwarded.
func (db *DB) here(target string, body []byte) bool {
	operation, ours := strings.CutPrefix(target, targetStem)
	if !ours || answered[operation] {
		return ours
	}
	db.mu.RLock()
	filling := len(db.fills) > 0
	db.mu.RUnlock()
	if !filling || !whole[operation] {
		return false
	}
	a, _ := split(nil, body)
	name, _, err := a.text("TableName")
	if err == nil {
		name, err = checkName(name)
	}
	return err == nil && db.inMaking(name) != nil
}

// table is the upstream's table, and what is known of its past.
func (r *relay) table(ctx context.Context, name string) (*table, error) {
	told, err := r.client.Describe(ctx, name)
	if fault.KindOf(err) == fault.NotFound {
		return nil, notFound("Requested resource not found")
	}
	if err != nil {
		return nil, err
	}
	def, err := definitionOf(told)
	if err != nil {
		return nil, err
	}
	t := &table{def: def, keys: def.Keys, indexes: serve(def, nil)}
	followed := r.followed(name)
	if followed == nil {
		return t, nil
	}
	t.id, def.Shadow = followed.id, followed.def.Shadow
	_ = r.keeper.Check(t.id, told) // a gap is in the status
	if status, ok := r.keeper.Status(t.id); ok && def.Shadow.Wanted {
		if t.copy = &status; status.Ready() {
			def.PITR = &pitrState{SinceMs: status.SinceMs - 1, Days: def.Shadow.Days}
		}
	}
	return t, nil
}

func (r *relay) followed(name string) *table {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shadows[name]
}

// errNotFollowed says that the state at a time will never be known.
var errNotFollowed = errors.New("the table is not followed so far")

// reached waits until the copy can answer for the state before ms.
func (r *relay) reached(ctx context.Context, id store.TableID, ms int64) error {
	if err := r.keeper.Wait(ctx, id, ms); err != nil {
		return fmt.Errorf("%w: %w", errNotFollowed, err)
	}
	return nil
}
