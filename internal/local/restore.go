package local

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"dynaferry/internal/local/store"
)

// filling says that a table is being made from something else, and from what: until that is done it is CREATING, and
// nobody may read, write or change it. It is part of the definition, so that the next Open goes on with it.
type filling struct {
	Backup   string        `json:"backup,omitempty"` // id of a backup
	Import   string        `json:"import,omitempty"` // id of an import
	Source   store.TableID `json:"source,omitempty"` // the table of the store to copy: at BeforeMs, or 0: as it is
	BeforeMs int64         `json:"beforeMs,omitempty"`
	MadeMs   int64         `json:"madeMs,omitempty"` // when the upstream's table, which the items go to, was made
}

// restored is what DescribeTable tells about where a table came from.
type restored struct {
	Backup    string `json:"backup,omitempty"` // its ARN
	Table     string `json:"table"`            // ARN of the source table
	RestoreMs int64  `json:"restoreMs"`
}

type restoreSummary struct {
	SourceBackupArn   string `json:",omitempty"`
	SourceTableArn    string
	RestoreDateTime   seconds
	RestoreInProgress bool
}

func (d *definition) restoreSummary() *restoreSummary {
	if d.Restored == nil {
		return nil
	}
	return &restoreSummary{d.Restored.Backup, d.Restored.Table, seconds(d.Restored.RestoreMs), d.Filling != nil}
}

// inMaking returns the table that is being filled under this name, nil when there is none.
func (db *DB) inMaking(name string) *table {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return db.fills[name]
}

func inMakingError(name string) error {
	return inUse("Attempt to change a resource which is still in use: Table is being created: %s", name)
}

// restoring tells whether a table is being made from the backup.
func (db *DB) restoring(backup string) bool {
	db.mu.RLock()
	defer db.mu.RUnlock()
	for _, t := range db.fills {
		if t.def.Filling.Backup == backup {
			return true
		}
	}
	return false
}

// makeFilled makes the table of a definition with Filling, at the upstream if there is one. The caller holds db.change and
// has seen that the name is free.
func (db *DB) makeFilled(ctx context.Context, def *definition) (*table, error) {
	text, err := json.Marshal(def)
	if err != nil {
		return nil, fmt.Errorf("write the definition of %s: %w", def.Name, err)
	}
	id, err := db.store.CreateTable(text, def.Name, def.settings())
	if err != nil {
		return nil, err
	}
	t := newTable(def, id, nil, db.now())
	db.mu.Lock()
	db.fills[def.Name] = t
	db.mu.Unlock()
	if db.relay == nil {
		return t, nil
	}
	made, err := db.makeUpstream(ctx, t)
	if err != nil {
		return nil, errors.Join(err, db.discard(t))
	}
	return made, nil
}

// filled makes a table that has got its items one like any other.
func (db *DB) filled(t *table) error {
	db.change.Lock()
	defer db.change.Unlock()
	if db.relay != nil {
		return db.discard(t) // the table is the upstream's
	}
	def := *t.def
	def.Filling = nil
	if _, err := db.redefine(t, &def); err != nil { // which shows it among the tables
		return err
	}
	db.mu.Lock()
	delete(db.fills, t.def.Name)
	db.mu.Unlock()
	return nil
}

// unfilled takes a table away that cannot get its items.
func (db *DB) unfilled(t *table) error {
	db.change.Lock()
	defer db.change.Unlock()
	if db.relay != nil {
		if err := db.relay.unmake(t); err != nil {
			return err
		}
	}
	return db.discard(t)
}

// discard takes away what the store has of a table that is being filled. The caller holds db.change.
func (db *DB) discard(t *table) error {
	if err := db.store.DropTable(t.id); err != nil {
		return err
	}
	db.mu.Lock()
	delete(db.fills, t.def.Name)
	db.mu.Unlock()
	return nil
}

// restore fills the table beside everything else, from the beginning also when an earlier process had begun.
func (db *DB) restore(t *table) {
	db.crew.start(func(ctx context.Context) {
		err := db.refill(ctx, t)
		switch {
		case err == nil:
			_ = db.filled(t) // when the store has stopped the table stays CREATING, and the next Open goes on
		case ctx.Err() == nil && (db.relay != nil || errors.Is(err, store.ErrTooOld)):
			_ = db.unfilled(t) // the state is gone, or the upstream does not take it, and no table shows half of it
		}
	})
}

// refill copies the state that the table is made from.
func (db *DB) refill(ctx context.Context, t *table) error {
	into, err := db.filler(ctx, t)
	if err != nil {
		return err
	}
	from := t.def.Filling
	if from.BeforeMs == 0 {
		_, err = db.fill(into, t, db.store.Scan(from.Source, store.ScanOptions{}))
		return err
	}
	if err := db.reached(ctx, from.Source, from.BeforeMs); err != nil {
		return err
	}
	_, err = db.fill(into, t, db.store.StateAt(from.Source, before(from.BeforeMs), store.ScanOptions{}))
	return err
}

// restoreRequest is what both operations of restores ask for beside their source.
type restoreRequest struct {
	target string
	change tableChange // overrides
}

func (c *call) readRestore() (r restoreRequest, err error) {
	v := &constraints{}
	target, present, err := c.args.text("TargetTableName")
	if err != nil {
		return r, err
	}
	if !present {
		v.notNull("targetTableName")
	} else {
		if !validName(target) {
			v.add("'"+target+"'", "targetTableName", namePattern)
		}
		v.length(target, "targetTableName", tableNameMin, tableNameMax)
	}
	r.target = target
	if err := c.readOverrides(v, &r.change); err != nil {
		return r, err
	}
	return r, nil
}

// beginRestore makes the target table after a source definition and begins to fill it. The caller holds db.change.
func (c *call) beginRestore(r restoreRequest, source *definition, from filling, origin restored) error {
	if taken, err := c.taken(r.target); err != nil || taken {
		return cmp.Or(err, error(failure("TableAlreadyExistsException", "Table already exists: %s", r.target)))
	}
	now := millis(c.db.now())
	def := &definition{Version: definitionVersion, Name: r.target, ID: uuid(), Keys: source.Keys, CreatedMs: now,
		Billing: source.Billing, ReadUnits: source.ReadUnits, WriteUnits: source.WriteUnits, OnDemand: source.OnDemand,
		SSE: source.SSE, Filling: &from, Restored: &origin}
	def.encrypt(r.change.sse, c.region)
	if err := def.override(r.change); err != nil {
		return err
	}
	if err := c.overrideIndexes(def, source); err != nil {
		return err
	}
	if !def.provisioned() {
		def.Changes.OnDemandMs = now
	}
	t, err := c.db.makeFilled(c.ctx, def)
	if err != nil {
		return err
	}
	if err := c.replyTable("TableDescription", t, statusCreating); err != nil {
		return err
	}
	c.db.restore(t)
	return nil
}

func (c *call) restoreTableFromBackup() error {
	r, err := c.readRestore()
	if err != nil {
		return err
	}
	c.db.change.Lock()
	defer c.db.change.Unlock()
	b, err := c.backup()
	if err != nil {
		return err
	}
	if b.Status != statusAvailable {
		return failure("BackupInUseException", "Backup is being created: %s", c.backupARN(b))
	}
	return c.beginRestore(r, &b.Def, filling{Backup: b.ID, Source: b.Table, BeforeMs: b.AtMs},
		restored{Backup: c.backupARN(b), Table: c.arn(b.Def.Name), RestoreMs: b.CreatedMs})
}

func (c *call) restoreTableToPointInTime() error {
	source, err := c.readRestoreSource()
	if err != nil {
		return err
	}
	r, err := c.readRestore()
	if err != nil {
		return err
	}
	newest, err := c.args.flag("UseLatestRestorableTime")
	if err != nil {
		return err
	}
	at, err := c.args.moment("RestoreDateTime")
	if err != nil {
		return err
	}
	useLatest := newest != nil && *newest
	if useLatest == (at != nil) {
		return invalid("Exactly one of RestoreDateTime and UseLatestRestorableTime must be specified")
	}
	c.db.change.Lock()
	defer c.db.change.Unlock()
	t, err := c.table(source)
	if err != nil {
		return missing(err, tableNotFound(source))
	}
	p := t.def.PITR
	if p == nil {
		return t.noRecovery()
	}
	w := c.db.window(p)
	if useLatest {
		at = &w.latest
	}
	if !w.holds(*at) {
		return failure("InvalidRestoreTimeException", "The specified RestoreDateTime is not within the restorable window "+
			"from %s to %s", clockText(w.earliest), clockText(w.latest))
	}
	return c.beginRestore(r, t.def, filling{Source: t.id, BeforeMs: p.from(*at)},
		restored{Table: c.arn(source), RestoreMs: *at})
}

// readRestoreSource reads SourceTableName or SourceTableArn, of which there is one.
func (c *call) readRestoreSource() (string, error) {
	arn, byARN, err := c.args.text("SourceTableArn")
	if err != nil {
		return "", err
	}
	name, byName, err := c.args.text("SourceTableName")
	if err != nil {
		return "", err
	}
	switch {
	case byARN && byName:
		return "", invalid("Only one of SourceTableArn and SourceTableName can be specified")
	case byARN:
		return tableOfARN(arn)
	case !byName:
		return "", invalid("One of SourceTableArn and SourceTableName must be specified")
	}
	v := &constraints{}
	if !validName(name) {
		v.add("'"+name+"'", "sourceTableName", namePattern)
	}
	v.length(name, "sourceTableName", tableNameMin, tableNameMax)
	return name, v.err()
}
