package local

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"dynaferry/internal/local/store"
)

// The states and types of backups.
const (
	statusCreating  = "CREATING"
	statusAvailable = "AVAILABLE"
	statusDeleted   = "DELETED"

	backupUser   = "USER"
	backupSystem = "SYSTEM"
	backupAll    = "ALL"
)

const (
	backupNameMin   = 3
	backupsListed   = 100
	systemBackup    = "$DeletedTableBackup" // behind the name of a table that was deleted while it had continuous backups
	backupTableStem = hiddenPrefix + "backup/"
)

// backupRecord is one backup. Its items are a hidden table of the store, or, for one that the deletion of a table left,
// the dropped table's own history at AtMs (docs/decisions/0012-local-backups.md).
type backupRecord struct {
	ID        string        `json:"id"`
	Name      string        `json:"name"`
	Type      string        `json:"type"`
	Status    string        `json:"status"`
	CreatedMs int64         `json:"createdMs"`
	ExpiryMs  int64         `json:"expiryMs,omitempty"`
	Items     int64         `json:"items"`
	Bytes     int64         `json:"bytes"`
	Def       definition    `json:"definition"`
	Table     store.TableID `json:"table"`
	AtMs      int64         `json:"atMs,omitempty"`
}

// taskID is the service's form of the ids of backups, exports and imports: 0, 13 digits of Unix ms, 8 hex digits.
func taskID(now time.Time) string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%014d-%x", now.UnixMilli(), b)
}

func (c *call) backupARN(b *backupRecord) string { return c.arn(b.Def.Name) + "/backup/" + b.ID }

// lastOf returns the part of an ARN of ours behind table/NAME/<kind>/, "" when it is no such ARN.
func lastOf(arn, kind string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "dynamodb" {
		return ""
	}
	path := strings.Split(parts[5], "/")
	if len(path) != 4 || path[0] != "table" || path[2] != kind {
		return ""
	}
	return path[3]
}

type backupDetails struct {
	BackupArn              string
	BackupName             string
	BackupSizeBytes        int64
	BackupStatus           string
	BackupType             string
	BackupCreationDateTime seconds
	BackupExpiryDateTime   *seconds `json:",omitempty"`
}

func (c *call) backupDetails(b *backupRecord) backupDetails {
	return backupDetails{c.backupARN(b), b.Name, b.Bytes, b.Status, b.Type, seconds(b.CreatedMs), maybeSeconds(b.ExpiryMs)}
}

func (c *call) createBackup() error {
	name, err := c.tableName()
	if err != nil {
		return err
	}
	v := &constraints{}
	label, present, err := c.args.text("BackupName")
	if err != nil {
		return err
	}
	if !present {
		v.notNull("backupName")
	} else {
		if !validName(label) {
			v.add("'"+label+"'", "backupName", namePattern)
		}
		v.length(label, "backupName", backupNameMin, tableNameMax)
	}
	if err := v.err(); err != nil {
		return err
	}
	c.db.change.Lock()
	defer c.db.change.Unlock()
	t, err := c.table(name)
	if err != nil {
		return missing(err, tableNotFound(name))
	}
	take := c.db.takeBackup
	if c.db.relay != nil {
		take = c.takeCopyBackup
	}
	b, err := take(t, label)
	if err != nil {
		return err
	}
	return c.replyJSON("BackupDetails", c.backupDetails(b))
}

// takeBackup notes the backup and copies the table as it is now beside whatever comes next. The caller holds db.change.
func (db *DB) takeBackup(t *table, label string) (*backupRecord, error) {
	counts, err := db.store.Counts(t.id)
	if err != nil {
		return nil, err
	}
	now := db.now()
	b := &backupRecord{ID: taskID(now), Name: label, Type: backupUser, Status: statusCreating, CreatedMs: millis(now),
		Items: counts.Items, Bytes: counts.Bytes, Def: *t.def}
	if err := db.noteBackup(b); err != nil {
		return nil, err
	}
	items := db.store.Scan(t.id, store.ScanOptions{}) // the state of this moment, whatever is written while it is copied
	db.crew.start(func(ctx context.Context) {
		copied, err := db.fill(db.bulk(ctx, b.Table), t, items)
		if err != nil {
			return // the next Open takes away what was not finished
		}
		done := *b
		done.Status, done.Items, done.Bytes = statusAvailable, copied.Items, copied.Bytes
		_ = db.journal.backups.put(b.ID, &done) // if this fails the store has stopped, and every request says so
	})
	return b, nil
}

// noteBackup makes the table of a backup that is about to be copied, and its record.
func (db *DB) noteBackup(b *backupRecord) (err error) {
	note := fmt.Appendf(nil, `{"hidden":"backup","version":%d}`, definitionVersion)
	if b.Table, err = db.store.CreateTable(note, backupTableStem+b.ID, store.Settings{}); err != nil {
		return err
	}
	return db.journal.backups.put(b.ID, b)
}

// keepDeleted leaves a system backup of a table with continuous backups that is about to be dropped: its history, for 35
// days. The caller holds db.change and drops the table.
func (db *DB) keepDeleted(t *table) error {
	if t.def.PITR == nil {
		return nil
	}
	counts, err := db.store.Counts(t.id)
	if err != nil {
		return err
	}
	def := *t.def
	def.PITR = &pitrState{SinceMs: def.PITR.SinceMs, Days: daysMax}
	if t, err = db.redefine(t, &def); err != nil {
		return err
	}
	now := db.now()
	b := &backupRecord{ID: taskID(now), Name: t.def.Name + systemBackup, Type: backupSystem, Status: statusAvailable,
		CreatedMs: millis(now), ExpiryMs: millis(now.Add(daysMax * day)), Items: counts.Items, Bytes: counts.Bytes,
		Def: *t.def, Table: t.id, AtMs: latest(now)}
	return db.journal.backups.put(b.ID, b)
}

// sweepBackups takes away what no process finished, and what has expired. It runs before anything else.
func (db *DB) sweepBackups() error {
	known, live := map[store.TableID]bool{}, map[store.TableID]bool{}
	for _, t := range db.store.Tables() {
		live[t.ID] = !hidden(t.Name)
	}
	for _, id := range db.journal.backups.ids() {
		b := db.journal.backups.get(id)
		// A system backup whose table is there still is of a deletion that was not done.
		if b.Status == statusAvailable && !live[b.Table] && (b.ExpiryMs == 0 || b.ExpiryMs > millis(db.now())) {
			known[b.Table] = true
			continue
		}
		if err := db.journal.backups.drop(id); err != nil {
			return err
		}
	}
	for _, t := range db.store.Tables() {
		if strings.HasPrefix(t.Name, backupTableStem) && !known[t.ID] {
			if err := db.store.DropTable(t.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// backup finds the backup that BackupArn names.
func (c *call) backup() (*backupRecord, error) {
	arn, present, err := c.args.text("BackupArn")
	if err != nil {
		return nil, err
	}
	v := &constraints{}
	if !present {
		v.notNull("backupArn")
	} else {
		const arnMin = 37
		v.length(arn, "backupArn", arnMin, arnMax)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	id := lastOf(arn, "backup")
	if id == "" {
		return nil, invalid("Invalid BackupArn: Invalid ResourceArn provided as input %s", arn)
	}
	b := c.db.journal.backups.get(id)
	if b == nil || c.gone(b) {
		return nil, failure("BackupNotFoundException", "Backup not found: %s", arn)
	}
	return b, nil
}

func (c *call) gone(b *backupRecord) bool { return b.ExpiryMs != 0 && b.ExpiryMs <= millis(c.db.now()) }

func (c *call) describeBackup() error {
	b, err := c.backup()
	if err != nil {
		return err
	}
	return c.replyBackup(b)
}

// replyBackup is the answer of DescribeBackup and DeleteBackup.
func (c *call) replyBackup(b *backupRecord) error {
	d := &b.Def
	type details struct {
		TableName             string
		TableId               string
		TableArn              string
		TableSizeBytes        int64
		KeySchema             []keyElement
		TableCreationDateTime seconds
		ProvisionedThroughput unitsInfo
		OnDemandThroughput    *onDemandDescription `json:",omitempty"`
		ItemCount             int64
		BillingMode           string
	}
	source := details{TableName: d.Name, TableId: d.ID, TableArn: c.arn(d.Name), TableSizeBytes: b.Bytes,
		TableCreationDateTime: seconds(d.CreatedMs), ItemCount: b.Items, BillingMode: d.Billing}
	for n, attr := range d.Keys.Attrs() {
		source.KeySchema = append(source.KeySchema, keyElement{attr.Name, []string{"HASH", "RANGE"}[n]})
	}
	source.ProvisionedThroughput.ReadCapacityUnits = d.ReadUnits
	source.ProvisionedThroughput.WriteCapacityUnits = d.WriteUnits
	if d.OnDemand != nil {
		source.OnDemandThroughput = &onDemandDescription{d.OnDemand.Read, d.OnDemand.Write}
	}
	return c.replyJSON("BackupDescription", struct {
		BackupDetails             backupDetails
		SourceTableDetails        details
		SourceTableFeatureDetails featureDetails
	}{c.backupDetails(b), source, d.features()})
}

// featureDetails is what a backup tells of its table beside keys and capacity. Of it only the indexes are restored.
type featureDetails struct {
	LocalSecondaryIndexes  []indexInfo `json:",omitempty"`
	GlobalSecondaryIndexes []indexInfo `json:",omitempty"`
	StreamDescription      any         `json:",omitempty"`
	TimeToLiveDescription  any         `json:",omitempty"`
	SSEDescription         any         `json:",omitempty"`
}

type indexInfo struct {
	IndexName             string
	KeySchema             []keyElement
	Projection            projectionDescription
	ProvisionedThroughput *unitsInfo           `json:",omitempty"`
	OnDemandThroughput    *onDemandDescription `json:",omitempty"`
}

type unitsInfo struct{ ReadCapacityUnits, WriteCapacityUnits int64 }

func (d *definition) features() (f featureDetails) {
	for _, ix := range d.Indexes {
		info := indexInfo{IndexName: ix.Name, KeySchema: elementsOf(ix.Keys), Projection: projectionDescription{ix.Projection, ix.NonKey}}
		if ix.Local {
			f.LocalSecondaryIndexes = append(f.LocalSecondaryIndexes, info)
			continue
		}
		info.ProvisionedThroughput = &unitsInfo{ix.ReadUnits, ix.WriteUnits}
		if ix.OnDemand != nil {
			info.OnDemandThroughput = &onDemandDescription{ix.OnDemand.Read, ix.OnDemand.Write}
		}
		f.GlobalSecondaryIndexes = append(f.GlobalSecondaryIndexes, info)
	}
	if d.Stream != nil && d.Stream.View != "" {
		f.StreamDescription = struct {
			StreamEnabled  bool
			StreamViewType string
		}{true, d.Stream.View}
	}
	if d.TTL != nil && d.TTL.Enabled {
		f.TimeToLiveDescription = struct{ TimeToLiveStatus, AttributeName string }{"ENABLED", d.TTL.Attribute}
	}
	if d.SSE != nil {
		f.SSEDescription = d.SSE.describe("ENABLED")
	}
	return f
}

func (c *call) deleteBackup() error {
	c.db.change.Lock()
	defer c.db.change.Unlock()
	b, err := c.backup()
	if err != nil {
		return err
	}
	arn := c.backupARN(b)
	if b.Status == statusCreating || c.db.restoring(b.ID) {
		return failure("BackupInUseException", "Backup is being used: %s", arn)
	}
	if err := c.db.journal.backups.drop(b.ID); err != nil {
		return err
	}
	if b.Type == backupUser { // the history of a dropped table goes by itself
		if err := c.db.store.DropTable(b.Table); err != nil {
			return err
		}
	}
	deleted := *b
	deleted.Status = statusDeleted
	return c.replyBackup(&deleted)
}

// backupFilter is what ListBackups asks for.
type backupFilter struct {
	table, kind, after string
	lower, upper       *int64
	limit              int
}

func (c *call) readBackupFilter() (f backupFilter, err error) {
	v := &constraints{}
	f.kind, f.limit = backupUser, backupsListed
	if name, present, err := c.args.text("TableName"); err != nil {
		return f, err
	} else if present {
		if f.table, err = checkName(name); err != nil {
			return f, err
		}
	}
	limit, err := c.args.integer("Limit", "Integer")
	if err != nil {
		return f, err
	}
	v.atLeast(limit, "limit", 1)
	v.atMost(limit, "limit", backupsListed)
	if limit != nil {
		f.limit = int(*limit)
	}
	if f.lower, err = c.args.moment("TimeRangeLowerBound"); err != nil {
		return f, err
	}
	if f.upper, err = c.args.moment("TimeRangeUpperBound"); err != nil {
		return f, err
	}
	kind, present, err := c.args.text("BackupType")
	if err != nil {
		return f, err
	}
	if present {
		v.oneOf(kind, "backupType", backupUser, backupSystem, "AWS_BACKUP", backupAll)
		f.kind = kind
	}
	after, present, err := c.args.text("ExclusiveStartBackupArn")
	if err != nil {
		return f, err
	}
	if err := v.err(); err != nil {
		return f, err
	}
	if present {
		if f.after = lastOf(after, "backup"); f.after == "" {
			return f, invalid("Invalid ExclusiveStartBackupArn: Invalid ResourceArn provided as input %s", after)
		}
	}
	if f.lower != nil && f.upper != nil && *f.lower > *f.upper {
		return f, invalid("TimeRangeLowerBound must not be later than TimeRangeUpperBound")
	}
	return f, nil
}

func (f *backupFilter) takes(b *backupRecord) bool {
	return cmp.Compare(b.ID, f.after) > 0 && (f.table == "" || f.table == b.Def.Name) && (f.kind == backupAll || f.kind == b.Type) &&
		(f.lower == nil || b.CreatedMs >= *f.lower) && (f.upper == nil || b.CreatedMs < *f.upper)
}

func (c *call) listBackups() error {
	f, err := c.readBackupFilter()
	if err != nil {
		return err
	}
	type summary struct {
		TableName string
		TableId   string
		TableArn  string
		backupDetails
	}
	reply := struct {
		BackupSummaries        []summary
		LastEvaluatedBackupArn string `json:",omitempty"`
	}{BackupSummaries: []summary{}}
	ids := slices.DeleteFunc(c.db.journal.backups.ids(), func(id string) bool {
		b := c.db.journal.backups.get(id)
		return b == nil || c.gone(b) || !f.takes(b)
	})
	for _, id := range ids[:min(f.limit, len(ids))] {
		b := c.db.journal.backups.get(id)
		if b == nil {
			continue // deleted while we looked
		}
		reply.BackupSummaries = append(reply.BackupSummaries, summary{b.Def.Name, b.Def.ID, c.arn(b.Def.Name), c.backupDetails(b)})
		if len(ids) > f.limit {
			reply.LastEvaluatedBackupArn = c.backupARN(b)
		}
	}
	return c.replyWhole(reply)
}
