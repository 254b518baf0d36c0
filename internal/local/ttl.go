package local

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/local/store"
)

// timeToLive is what a table's definition knows of TTL.
type timeToLive struct {
	Attribute string `json:"attribute"`
	Enabled   bool   `json:"enabled"`
	ChangedMs int64  `json:"changedMs"`
	Uses      uint32 `json:"uses"`            // how often it was enabled: each time has an index of its own
	Built     bool   `json:"built,omitempty"` // the index holds what was there before
}

// ttlIndexFirst is where the ids of TTL's indexes begin, far above those of secondary indexes.
const ttlIndexFirst = 1 << 31

func (t *timeToLive) index() store.IndexID { return store.IndexID(ttlIndexFirst + t.Uses) }

func (d *definition) ttlSettings(s *store.Settings) {
	if d.TTL.on() {
		s.Indexes = append(s.Indexes, d.TTL.index())
	}
}

// ttlHash is the one hash key of the index by expiry; its sort keys are seconds.
var ttlHash = store.EncodeBinary(nil, []byte("ttl"))

func ttlPlace(second int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(max(second, 0))) }

// on tells whether items expire.
func (t *timeToLive) on() bool { return t != nil && t.Enabled }

// entry appends the place of an item in its table's index by expiry.
func (t *timeToLive) entry(dst []store.Entry, it item.Item) []store.Entry {
	if !t.on() {
		return dst
	}
	second, ok := expiry(it, t.Attribute)
	if !ok {
		return dst
	}
	return append(dst, store.Entry{Index: t.index(), Key: store.Key{Hash: ttlHash, Range: ttlPlace(second)}})
}

// expirySecondMax bounds what is taken for a time; later is never.
const expirySecondMax = 1 << 40

// expiry is the second at which an item expires: a top-level number, fractions cut off. Anything else never does.
func expiry(it item.Item, attribute string) (second int64, ok bool) {
	i, found := it.Get(attribute)
	if !found || it.Tape[i].Type != item.N {
		return 0, false
	}
	for _, c := range it.Text(i) { // in normal form: no exponent, no sign but minus
		if c < '0' || c > '9' {
			return second, c == '.'
		}
		if second = second*10 + int64(c-'0'); second > expirySecondMax {
			return 0, false
		}
	}
	return second, true
}

// ttlOldest is how long ago an item may have expired and still be deleted: what is older is taken for a mistake.
const ttlOldest = 5 * 365 * 24 * time.Hour

// expired tells whether an item is to be deleted now.
func expired(it item.Item, attribute string, now time.Time) bool {
	second, ok := expiry(it, attribute)
	return ok && second < now.Unix() && second >= now.Add(-ttlOldest).Unix()
}

// ttlPause is the service's: one change an hour. It is kept under strict times.
const ttlPause = time.Hour

func (c *call) updateTimeToLive() error {
	name, err := c.tableName()
	if err != nil {
		return err
	}
	members, present, err := c.args.object("TimeToLiveSpecification", classStructure)
	if err != nil {
		return err
	}
	v := &constraints{}
	if !present {
		v.notNull("timeToLiveSpecification")
		return v.err()
	}
	attribute, given, err := members.text("AttributeName")
	if err != nil {
		return err
	}
	if given {
		v.length(attribute, "timeToLiveSpecification.attributeName", 1, 255)
	} else {
		v.notNull("timeToLiveSpecification.attributeName")
	}
	enabled, err := members.flag("Enabled")
	if err != nil {
		return err
	}
	if enabled == nil {
		v.notNull("timeToLiveSpecification.enabled")
	}
	if err := v.err(); err != nil {
		return err
	}
	c.db.change.Lock()
	defer c.db.change.Unlock()
	t, err := c.table(name)
	if err != nil {
		return notFound("Requested resource not found: Table: %s not found", name)
	}
	def := *t.def
	if def.TTL, err = c.db.retime(t.def.TTL, attribute, *enabled); err != nil {
		return err
	}
	if t, err = c.db.redefine(t, &def); err != nil {
		return err
	}
	if err := c.db.buildSmall(c.ctx, t); err != nil {
		return err
	}
	return c.replyJSON("TimeToLiveSpecification", struct {
		Enabled       bool
		AttributeName string
	}{*enabled, attribute})
}

// retime is the setting that follows another.
func (db *DB) retime(was *timeToLive, attribute string, enabled bool) (*timeToLive, error) {
	now, next := millis(db.now()), timeToLive{}
	if was != nil {
		next = *was
	}
	switch {
	case enabled && next.Enabled && next.Attribute == attribute:
		return nil, invalid("TimeToLive is already enabled")
	case !enabled && !next.Enabled:
		return nil, invalid("TimeToLive is already disabled")
	case next.Enabled && next.Attribute != attribute:
		return nil, invalid("TimeToLive is active on a different AttributeName: current AttributeName is %s", next.Attribute)
	case db.opts.StrictTimes && next.ChangedMs > 0 && now-next.ChangedMs < ttlPause.Milliseconds():
		return nil, invalid("Time to live has been modified multiple times within a fixed interval")
	}
	next.Attribute, next.Enabled, next.ChangedMs, next.Built = attribute, enabled, now, false
	if enabled {
		next.Uses++
	}
	return &next, nil
}

func (c *call) describeTimeToLive() error {
	t, err := c.named()
	if err != nil {
		return err
	}
	out := struct {
		TimeToLiveStatus string
		AttributeName    string `json:",omitempty"`
	}{TimeToLiveStatus: "DISABLED"}
	if ttl := t.def.TTL; ttl.on() {
		out.TimeToLiveStatus, out.AttributeName = "ENABLING", ttl.Attribute
		if ttl.Built {
			out.TimeToLiveStatus = "ENABLED"
		}
	}
	return c.replyJSON("TimeToLiveDescription", out)
}

// ttlBuildNow is how many items a table may have for its index by expiry to be built before the answer.
const ttlBuildNow = 50_000

// buildSmall builds the index of a table that is small; the others' are left to the sweeper. db.change is held.
func (db *DB) buildSmall(ctx context.Context, t *table) error {
	counts, err := db.store.Counts(t.id)
	if err != nil || !t.def.TTL.on() || counts.Items > ttlBuildNow {
		return err
	}
	if err := db.store.BuildIndex(ctx, t.id, t.def.TTL.index(), nil); err != nil {
		return fmt.Errorf("index %s by expiry: %w", t.def.Name, err)
	}
	return db.ttlBuilt(t)
}

// ttlBuilt notes that the index is whole. db.change is held.
func (db *DB) ttlBuilt(t *table) error {
	def, ttl := *t.def, *t.def.TTL
	ttl.Built = true
	def.TTL = &ttl
	_, err := db.redefine(t, &def)
	return err
}

// The sweeper's rhythm: how many items one write deletes, and how many a table loses before the next one's turn.
const (
	sweepBatch = 100
	sweepMost  = 10_000
)

// sweepTTL deletes what has expired in all tables.
func (db *DB) sweepTTL(ctx context.Context) error {
	for _, name := range db.names() {
		db.mu.RLock()
		t := db.tables[name]
		db.mu.RUnlock()
		if t == nil || !t.def.TTL.on() {
			continue
		}
		if !t.def.TTL.Built {
			if err := db.buildLarge(ctx, t); err != nil {
				return err
			}
			continue
		}
		if err := db.sweepTable(ctx, t); err != nil && fault.KindOf(err) != fault.NotFound { // dropped meanwhile
			return fmt.Errorf("delete what has expired in %s: %w", name, err)
		}
	}
	return nil
}

// buildLarge builds the index while requests go on.
func (db *DB) buildLarge(ctx context.Context, t *table) error {
	if err := db.store.BuildIndex(ctx, t.id, t.def.TTL.index(), nil); err != nil {
		return fmt.Errorf("index %s by expiry: %w", t.def.Name, err)
	}
	db.change.Lock()
	defer db.change.Unlock()
	db.mu.RLock()
	now := db.tables[t.def.Name]
	db.mu.RUnlock()
	if now == nil || now.id != t.id || !now.def.TTL.on() || now.def.TTL.Uses != t.def.TTL.Uses {
		return nil // it has changed meanwhile
	}
	return db.ttlBuilt(now)
}

func (db *DB) sweepTable(ctx context.Context, t *table) error {
	ttl := t.def.TTL
	for swept := 0; swept < sweepMost; {
		now := db.now()
		it := db.store.QueryIndex(t.id, ttl.index(), ttlHash, store.QueryOptions{Lower: ttlPlace(now.Add(-ttlOldest).Unix()),
			Upper: ttlPlace(now.Unix()), UpperExclusive: true, Limit: sweepBatch})
		var writes []store.Write
		for it.Next() {
			writes = append(writes, store.Write{Table: t.id, Key: cloneKey(it.BaseKey()), Service: true,
				Decide: decideExpired(ttl.Attribute, now)})
		}
		if err := it.Close(); err != nil {
			return err
		}
		if len(writes) == 0 {
			return nil
		}
		results, err := db.store.UpdateMany(ctx, writes, false)
		if err != nil {
			return err
		}
		for _, r := range results {
			if r.Err != nil {
				return r.Err
			}
		}
		if swept += len(writes); len(writes) < sweepBatch {
			return nil
		}
	}
	return nil
}

func cloneKey(k store.Key) store.Key {
	return store.Key{Hash: bytes.Clone(k.Hash), Range: bytes.Clone(k.Range)}
}

// decideExpired deletes an item if it has expired still: between the look at the index and the write it may have changed.
func decideExpired(attribute string, now time.Time) store.Decide {
	return func(old []byte) (store.Op, []byte, error) {
		if old == nil {
			return store.OpNone, nil, nil
		}
		var b item.Batch
		it, err := tokens(&b, old)
		if err != nil || !expired(it, attribute, now) {
			return store.OpNone, nil, err
		}
		return store.OpDelete, nil, nil
	}
}
