package local

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"dynaferry/internal/item"
	"dynaferry/internal/local/shadow"
	"dynaferry/internal/local/store"
	"dynaferry/internal/local/upstream"
)

// shadowed says that a table of the store is a copy of the upstream's table of its name, and what for.
type shadowed struct {
	Days   int64 `json:"days,omitempty"`
	Wanted bool  `json:"wanted"` // continuous backups are on; else a backup needs it
}

// copyWait is how long turning continuous backups on waits for the copy: that of a small table is there by then.
const copyWait = 10 * time.Second

// saysCopy is why a copy cannot answer.
func saysCopy(name string, s *shadow.Status) string {
	text := fmt.Sprintf("Point in time recovery of table '%s' ", name)
	switch {
	case s.Gap != nil:
		return text + "is not available " + s.Gap.Error() + ". Turning it on again with UpdateContinuousBackups begins it anew"
	case s.Ready() && s.Trouble != nil:
		return text + "is available up to " + clockText(s.PassedMs) + ", and waits: " + s.Trouble.Error()
	case s.Ready():
		return text + "is available"
	case s.Trouble != nil:
		return text + "is being prepared, and waits: " + s.Trouble.Error()
	}
	return text + fmt.Sprintf("is being prepared: %d items are copied, then the table's stream must be followed up to now. Try again", s.Scanned)
}

// copyDescription is what DescribeContinuousBackups tells beside what the service does.
type copyDescription struct {
	Available bool
	Message   string
	Scanned   int64
}

func describeCopy(t *table) *copyDescription {
	if t.copy == nil {
		return nil
	}
	return &copyDescription{t.copy.Ready(), saysCopy(t.def.Name, t.copy), t.copy.Scanned}
}

// caughtUp returns the table as of when its copy has passed this moment, if that is soon: nobody waits for the latest restorable
// time, and what was acknowledged before it was asked for belongs to it.
func (c *call) caughtUp(t *table) (*table, error) {
	const soon = time.Second
	if !t.copy.Ready() || t.copy.Lag > soon {
		return t, nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, t.copy.Lag+3*soon)
	defer cancel()
	_ = c.db.relay.reached(ctx, t.id, latest(c.db.now())) // the answer says how far it came
	return c.table(t.def.Name)
}

// updateCopy is UpdateContinuousBackups of an upstream's table.
func (c *call) updateCopy(name string, enable bool, days *int64) error {
	id, err := c.turnCopy(name, enable, days)
	if err != nil {
		return err
	}
	if enable {
		ctx, cancel := context.WithTimeout(c.ctx, copyWait)
		defer cancel()
		_ = c.db.relay.keeper.Wait(ctx, id, 0) // the answer says what is missing
	}
	t, err := c.table(name)
	if err != nil {
		return missing(err, tableNotFound(name))
	}
	return c.replyContinuousBackups(t)
}

// turnCopy makes, changes or ends the copy. It returns its id.
func (c *call) turnCopy(name string, enable bool, days *int64) (store.TableID, error) {
	r := c.db.relay
	c.db.change.Lock()
	defer c.db.change.Unlock()
	if c.db.inMaking(name) != nil {
		return 0, failure("ContinuousBackupsUnavailableException", "Backups are being enabled for the table: %s. Please retry later", name)
	}
	followed := r.followed(name)
	t, err := c.table(name)
	if isMissing(err) && followed != nil && !enable {
		if err := r.unfollow(name); err != nil { // the copy of a table that is gone
			return 0, err
		}
	}
	if err != nil {
		return 0, missing(err, tableNotFound(name))
	}
	wish := shadowed{Days: daysMax, Wanted: enable}
	if followed != nil && followed.def.Shadow.Days > 0 {
		wish.Days = followed.def.Shadow.Days
	}
	if days != nil {
		wish.Days = *days
	}
	switch {
	case !enable && (followed == nil || !followed.def.Shadow.Wanted):
		return 0, nil
	case !enable && r.copying[name] == 0:
		return 0, r.unfollow(name)
	case enable && (followed == nil || t.broken()):
		return r.follow(c.ctx, name, wish)
	}
	return followed.id, r.reshadow(c.db, followed, wish)
}

// broken tells whether the copy has a gap.
func (t *table) broken() bool { return t.copy != nil && t.copy.Gap != nil }

// settings are what the store keeps of a copy.
func (s *shadowed) settings() store.Settings {
	return store.Settings{History: time.Duration(max(s.Days, daysMin))*day + historySlack}
}

// follow begins a copy, in place of one of the name that has ended. db.change is held.
func (r *relay) follow(ctx context.Context, name string, wish shadowed) (store.TableID, error) {
	told, err := r.client.Describe(ctx, name)
	if err != nil {
		return 0, err
	}
	waiting, cancel := context.WithTimeout(ctx, copyWait)
	defer cancel()
	if told, err = r.client.EnsureStream(waiting, told); err != nil {
		return 0, refusal(err)
	}
	def, err := definitionOf(told)
	if err != nil {
		return 0, err
	}
	def.Shadow = &wish
	if r.followed(name) != nil {
		if err := r.unfollow(name); err != nil {
			return 0, err
		}
	}
	text, err := json.Marshal(def)
	if err != nil {
		return 0, fmt.Errorf("write the definition of %s: %w", name, err)
	}
	id, err := r.store.CreateTable(text, name, wish.settings())
	if err != nil {
		return 0, err
	}
	t := &table{def: def, id: id, keys: def.Keys}
	source := shadow.Source{Table: name, Stream: told.LatestStreamArn, CreatedMs: told.CreatedMs(), TableID: told.TableId, ARN: told.TableArn}
	if err := r.keeper.Begin(id, source, form(t)); err != nil {
		return 0, err
	}
	r.show(name, t)
	return id, nil
}

func (r *relay) show(name string, t *table) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t == nil {
		delete(r.shadows, name)
		return
	}
	r.shadows[name] = t
}

// reshadow changes what a copy is for. db.change is held.
func (r *relay) reshadow(db *DB, t *table, wish shadowed) error {
	def := *t.def
	def.Shadow = &wish
	changed, err := db.rewrite(t, &def, wish.settings())
	if err == nil {
		r.show(def.Name, changed)
	}
	return err
}

// unfollow ends a copy. What exports and backups under way read of it stays until they are done.
func (r *relay) unfollow(name string) error {
	t := r.followed(name)
	if err := r.keeper.End(t.id); err != nil {
		return err
	}
	if err := r.store.DropTable(t.id); err != nil {
		return err
	}
	r.show(name, nil)
	return nil
}

// takeCopyBackup is takeBackup of an upstream's table: of its copy as of now, or, without one, of one that is made for it, as
// of when that is complete.
func (c *call) takeCopyBackup(t *table, label string) (*backupRecord, error) {
	db, r, name := c.db, c.db.relay, t.def.Name
	followed := r.followed(name)
	if followed == nil || t.broken() {
		if _, err := r.follow(c.ctx, name, shadowed{}); err != nil {
			return nil, err
		}
		followed = r.followed(name)
	}
	now := db.now()
	b := &backupRecord{ID: taskID(now), Name: label, Type: backupUser, Status: statusCreating, CreatedMs: millis(now), Def: *t.def}
	b.Def.Shadow, b.Def.PITR = nil, nil
	if err := db.noteBackup(b); err != nil {
		return nil, err
	}
	r.copying[name]++
	db.crew.start(func(ctx context.Context) {
		done, err := db.copyBackup(ctx, followed, b, latest(now))
		switch {
		case ctx.Err() != nil:
			return // the next Open takes away what was not finished
		case err != nil: // it never came to be, as after the end of a process
			db.job.note(fmt.Errorf("backup %s of table %s: %w", b.Name, name, err))
			_ = db.journal.backups.drop(b.ID)
			_ = db.store.DropTable(b.Table)
		default:
			_ = db.journal.backups.put(b.ID, done) // if this fails the store has stopped, and every request says so
		}
		db.change.Lock()
		defer db.change.Unlock()
		if r.copying[name]--; r.copying[name] > 0 {
			return
		}
		delete(r.copying, name)
		if t := r.followed(name); t != nil && !t.def.Shadow.Wanted {
			db.job.note(r.unfollow(name))
		}
	})
	return b, nil
}

// copyBackup copies the state of a table's copy before ms, or the first that it can answer for.
func (db *DB) copyBackup(ctx context.Context, t *table, b *backupRecord, ms int64) (*backupRecord, error) {
	if err := db.relay.reached(ctx, t.id, ms); err != nil {
		return nil, err
	}
	if s, ok := db.relay.keeper.Status(t.id); ok {
		ms = max(ms, s.SinceMs)
	}
	copied, err := db.fill(db.bulk(ctx, b.Table), t, db.store.StateAt(t.id, before(ms), store.ScanOptions{}))
	done := *b
	done.Status, done.Items, done.Bytes = statusAvailable, copied.Items, copied.Bytes
	return &done, err
}

// definitionOf is our definition of an upstream's table, as far as restores need it.
func definitionOf(t *upstream.Table) (*definition, error) {
	types := map[string]item.Type{}
	for _, a := range t.AttributeDefinitions {
		kind, err := item.ParseType(a.AttributeType)
		if err != nil {
			return nil, fmt.Errorf("table %s of the upstream: %w", t.TableName, err)
		}
		types[a.AttributeName] = kind
	}
	keys := func(list []upstream.KeyElement) (k indexKeys) {
		for _, e := range list {
			part := &k.Hash
			if e.KeyType != "HASH" {
				part = &k.Range
			}
			*part = append(*part, item.KeyAttr{Name: e.AttributeName, Type: types[e.AttributeName]})
		}
		return k
	}
	d := &definition{Version: definitionVersion, Name: t.TableName, ID: t.TableId, CreatedMs: t.CreatedMs(),
		Billing: t.BillingModeSummary.BillingMode}
	for _, attr := range keys(t.KeySchema).Hash {
		d.Keys.Hash = attr
	}
	for _, attr := range keys(t.KeySchema).Range {
		d.Keys.Range = attr
	}
	if d.Billing != billingOnDemand {
		d.Billing = billingProvisioned
		d.ReadUnits, d.WriteUnits = t.ProvisionedThroughput.ReadCapacityUnits, t.ProvisionedThroughput.WriteCapacityUnits
	} else if t.OnDemandThroughput != nil {
		d.OnDemand = &onDemandCeiling{t.OnDemandThroughput.MaxReadRequestUnits, t.OnDemandThroughput.MaxWriteRequestUnits}
	}
	add := func(list []upstream.Index, local bool) {
		for _, ix := range list {
			d.LastIndex++
			in := index{Name: ix.IndexName, ID: d.LastIndex, Local: local, Keys: keys(ix.KeySchema),
				Projection: ix.Projection.ProjectionType, NonKey: ix.Projection.NonKeyAttributes}
			if ix.ProvisionedThroughput != nil && d.provisioned() && !local {
				in.ReadUnits, in.WriteUnits = ix.ProvisionedThroughput.ReadCapacityUnits, ix.ProvisionedThroughput.WriteCapacityUnits
			}
			if ix.OnDemandThroughput != nil && !d.provisioned() {
				in.OnDemand = &onDemandCeiling{ix.OnDemandThroughput.MaxReadRequestUnits, ix.OnDemandThroughput.MaxWriteRequestUnits}
			}
			d.Indexes = append(d.Indexes, in)
		}
	}
	add(t.LocalSecondaryIndexes, true)
	add(t.GlobalSecondaryIndexes, false)
	return d, nil
}
