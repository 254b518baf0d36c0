package local

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/local/shadow"
	"dynaferry/internal/local/store"
)

// definition is what we know of a table beside its items; its JSON is what the store keeps (docs/formats/local-store.md
// calls it the caller's definition). New members may come, so unknown ones are kept out by the version.
type definition struct {
	Version    int              `json:"version"`
	Name       string           `json:"name"`
	ID         string           `json:"id"` // the service's TableId, a UUID
	Keys       item.KeySchema   `json:"keys"`
	CreatedMs  int64            `json:"createdMs"`
	Billing    string           `json:"billing"` // PROVISIONED or PAY_PER_REQUEST
	ReadUnits  int64            `json:"readUnits,omitempty"`
	WriteUnits int64            `json:"writeUnits,omitempty"`
	Changes    throughputTimes  `json:"changes,omitzero"`
	OnDemand   *onDemandCeiling `json:"onDemand,omitempty"`
	Class      string           `json:"class,omitempty"`
	ClassMs    int64            `json:"classMs,omitempty"`
	Protected  bool             `json:"protected,omitempty"`
	Tags       []tag            `json:"tags,omitempty"`
	Stream     *tableStream     `json:"stream,omitempty"`
	TTL        *timeToLive      `json:"ttl,omitempty"`
	Kinesis    *destination     `json:"kinesis,omitempty"`
	wish       streamWish       // of CreateTable, until the stream is begun
	PITR       *pitrState       `json:"pitr,omitempty"`
	SSE        *encryption      `json:"sse,omitempty"`
	Policy     *resourcePolicy  `json:"policy,omitempty"`
	Filling    *filling         `json:"filling,omitempty"`
	Restored   *restored        `json:"restored,omitempty"`
	Shadow     *shadowed        `json:"shadow,omitempty"`    // the table is a copy of an upstream's
	Indexes    []index          `json:"indexes,omitempty"`   // the local ones first
	LastIndex  store.IndexID    `json:"lastIndex,omitempty"` // ids are never used twice
}

type throughputTimes struct {
	IncreaseMs int64 `json:"increaseMs,omitempty"`
	DecreaseMs int64 `json:"decreaseMs,omitempty"`
	Decreases  int64 `json:"decreases,omitempty"`  // on the day (UTC) of DecreaseMs
	OnDemandMs int64 `json:"onDemandMs,omitempty"` // when the table last went to PAY_PER_REQUEST
}

type onDemandCeiling struct {
	Read  int64 `json:"read,omitempty"` // 0: none asked for; -1: removed
	Write int64 `json:"write,omitempty"`
}

type tag struct {
	Key   string `json:"Key"`
	Value string `json:"Value"`
}

// definitionVersion is that of definitions we write. 1 knew no indexes, 2 no keys of several attributes.
const definitionVersion = 3

func (d *definition) provisioned() bool { return d.Billing == billingProvisioned }

const (
	billingProvisioned = "PROVISIONED"
	billingOnDemand    = "PAY_PER_REQUEST"
)

// table is a served table. Its definition is never changed in place: a change makes a new table value around the same
// limiter, so that requests under way keep what they started with.
type table struct {
	def   *definition
	id    store.TableID
	keys  item.KeySchema
	limit *limiter

	indexes []servedIndex  // as in the definition
	copy    *shadow.Status // of an upstream's table that is followed
}

// newTable serves a definition. before is the table with the definition that it replaces: its limiters go on.
func newTable(def *definition, id store.TableID, before *table, now time.Time) *table {
	t := &table{def: def, id: id, keys: def.Keys, limit: new(limiter), indexes: serve(def, before)}
	if before != nil {
		t.limit = before.limit
	}
	t.limit.set(def.provisioned(), def.ReadUnits, def.WriteUnits, def.OnDemand, now)
	for _, ix := range t.indexes {
		ix.limit.set(def.provisioned(), ix.ReadUnits, ix.WriteUnits, ix.OnDemand, now)
	}
	return t
}

func (db *DB) load(entry store.Table) (*table, error) {
	def := new(definition)
	if err := json.Unmarshal(entry.Definition, def); err != nil {
		return nil, fault.New(fault.Corrupt, "definition of the local table %s: %w", entry.Name, err)
	}
	if def.Version < 1 || def.Version > definitionVersion {
		err := fault.New(fault.Unsupported, "definition of the local table %s has version %d, this program knows %d",
			entry.Name, def.Version, definitionVersion)
		return nil, fault.Hint(err, "open the folder with a newer dynaferry")
	}
	return newTable(def, entry.ID, nil, db.now()), nil
}

// decreasesToday counts the decreases of throughput on the day of now, as the service does by UTC.
func (t throughputTimes) decreasesToday(now int64) int64 {
	const day = 24 * 60 * 60 * 1000
	if t.DecreaseMs/day != now/day {
		return 0
	}
	return t.Decreases
}

// after are the times after a change of throughput.
func (t throughputTimes) after(wasRead, wasWrite, read, write, now int64) throughputTimes {
	if read > wasRead || write > wasWrite {
		t.IncreaseMs = now
	}
	if read < wasRead || write < wasWrite {
		t.Decreases = t.decreasesToday(now) + 1
		t.DecreaseMs = now
	}
	return t
}

// redefine returns the table with another definition, which it stores first. The caller holds db.change.
func (db *DB) redefine(t *table, def *definition) (*table, error) {
	changed, err := db.rewrite(t, def, def.settings())
	if err == nil {
		db.mu.Lock()
		db.tables[def.Name] = changed
		db.mu.Unlock()
	}
	return changed, err
}

// rewrite is redefine without showing the table.
func (db *DB) rewrite(t *table, def *definition, settings store.Settings) (*table, error) {
	text, err := json.Marshal(def)
	if err != nil {
		return nil, fmt.Errorf("write the definition of %s: %w", def.Name, err)
	}
	if err := db.store.UpdateTable(t.id, text, settings); err != nil {
		return nil, err
	}
	return newTable(def, t.id, t, db.now()), nil
}

// uuid is a random UUID, version 4.
func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// seconds is a time as the service writes it: seconds since 1970 with milliseconds as fraction.
type seconds int64

// MarshalJSON writes 1795403643.164.
func (s seconds) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%d.%03d", int64(s)/1000, int64(s)%1000), nil
}

func millis(t time.Time) int64 { return t.UnixMilli() }

// The service's TableDescription, members in its order.
type tableDescription struct {
	AttributeDefinitions      []attributeDefinition
	TableName                 string
	KeySchema                 []keyElement
	TableStatus               string
	CreationDateTime          seconds
	ProvisionedThroughput     throughputDescription
	TableSizeBytes            int64
	ItemCount                 int64
	TableArn                  string
	TableId                   string
	BillingModeSummary        *billingSummary      `json:",omitempty"`
	LocalSecondaryIndexes     []indexDescription   `json:",omitempty"`
	GlobalSecondaryIndexes    []indexDescription   `json:",omitempty"`
	TableClassSummary         *classSummary        `json:",omitempty"`
	OnDemandThroughput        *onDemandDescription `json:",omitempty"`
	DeletionProtectionEnabled bool
	streamMembers
	RestoreSummary *restoreSummary `json:",omitempty"`
	SSEDescription *sseDescription `json:",omitempty"`
}

type attributeDefinition struct {
	AttributeName string
	AttributeType string
}

type keyElement struct {
	AttributeName string
	KeyType       string
}

type throughputDescription struct {
	LastIncreaseDateTime   *seconds `json:",omitempty"`
	LastDecreaseDateTime   *seconds `json:",omitempty"`
	NumberOfDecreasesToday int64
	ReadCapacityUnits      int64
	WriteCapacityUnits     int64
}

type billingSummary struct {
	BillingMode                       string
	LastUpdateToPayPerRequestDateTime *seconds `json:",omitempty"`
}

type classSummary struct {
	TableClass         string
	LastUpdateDateTime *seconds `json:",omitempty"`
}

type onDemandDescription struct {
	MaxReadRequestUnits  int64
	MaxWriteRequestUnits int64
}

func maybeSeconds(ms int64) *seconds {
	if ms == 0 {
		return nil
	}
	s := seconds(ms)
	return &s
}

// describe is the table as DescribeTable tells it.
func (c *call) describe(t *table, status string) (*tableDescription, error) {
	d := t.def
	counts, err := c.db.store.Counts(t.id)
	if err != nil {
		return nil, err
	}
	out := &tableDescription{
		TableName: d.Name, TableStatus: status, CreationDateTime: seconds(d.CreatedMs),
		TableArn: c.arn(d.Name), TableId: d.ID, ItemCount: counts.Items, TableSizeBytes: counts.Bytes,
		DeletionProtectionEnabled: d.Protected, streamMembers: c.describeStreamOf(d), RestoreSummary: d.restoreSummary(),
		SSEDescription: d.SSE.describe("ENABLED"),
	}
	out.AttributeDefinitions, out.KeySchema = d.attributes(), elementsOf(tableKeys(d.Keys))
	now := millis(c.db.now())
	out.ProvisionedThroughput = d.Changes.describe(d.ReadUnits, d.WriteUnits, now)
	for i := range t.indexes {
		ix, err := c.describeIndex(t, &t.indexes[i], status == "CREATING", now)
		if err != nil {
			return nil, err
		}
		if t.indexes[i].Local {
			out.LocalSecondaryIndexes = append(out.LocalSecondaryIndexes, ix)
		} else {
			out.GlobalSecondaryIndexes = append(out.GlobalSecondaryIndexes, ix)
		}
	}
	if !d.provisioned() || d.Changes.OnDemandMs != 0 {
		out.BillingModeSummary = &billingSummary{d.Billing, maybeSeconds(d.Changes.OnDemandMs)}
	}
	if d.Class != "" {
		out.TableClassSummary = &classSummary{d.Class, maybeSeconds(d.ClassMs)}
	}
	if d.OnDemand != nil {
		out.OnDemandThroughput = &onDemandDescription{d.OnDemand.Read, d.OnDemand.Write}
	}
	return out, nil
}
