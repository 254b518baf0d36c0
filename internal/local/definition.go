package local

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
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
	PITR       *pitrState       `json:"pitr,omitempty"`
	Filling    *filling         `json:"filling,omitempty"`
	Restored   *restored        `json:"restored,omitempty"`
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

const definitionVersion = 1

func (d *definition) provisioned() bool { return d.Billing == billingProvisioned }

func (d *definition) maxRead() int64 {
	if d.OnDemand == nil {
		return 0
	}
	return d.OnDemand.Read
}

func (d *definition) maxWrite() int64 {
	if d.OnDemand == nil {
		return 0
	}
	return d.OnDemand.Write
}

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
}

func (db *DB) load(entry store.Table) (*table, error) {
	def := new(definition)
	if err := json.Unmarshal(entry.Definition, def); err != nil {
		return nil, fault.New(fault.Corrupt, "definition of the local table %s: %w", entry.Name, err)
	}
	if def.Version != definitionVersion {
		err := fault.New(fault.Unsupported, "definition of the local table %s has version %d, this program knows %d",
			entry.Name, def.Version, definitionVersion)
		return nil, fault.Hint(err, "open the folder with a newer dynaferry")
	}
	t := &table{def: def, id: entry.ID, keys: def.Keys, limit: new(limiter)}
	t.limit.apply(def, db.now())
	return t, nil
}

// decreasesToday counts the decreases of throughput on the day of now, as the service does by UTC.
func (t throughputTimes) decreasesToday(now int64) int64 {
	const day = 24 * 60 * 60 * 1000
	if t.DecreaseMs/day != now/day {
		return 0
	}
	return t.Decreases
}

// redefine returns the table with another definition, which it stores first. The caller holds db.change.
func (db *DB) redefine(t *table, def *definition) (*table, error) {
	text, err := json.Marshal(def)
	if err != nil {
		return nil, fmt.Errorf("write the definition of %s: %w", def.Name, err)
	}
	if err := db.store.UpdateTable(t.id, text, def.settings()); err != nil {
		return nil, err
	}
	changed := &table{def: def, id: t.id, keys: def.Keys, limit: t.limit}
	changed.limit.apply(def, db.now())
	db.mu.Lock()
	db.tables[def.Name] = changed
	db.mu.Unlock()
	return changed, nil
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
	TableClassSummary         *classSummary        `json:",omitempty"`
	OnDemandThroughput        *onDemandDescription `json:",omitempty"`
	DeletionProtectionEnabled bool
	RestoreSummary            *restoreSummary `json:",omitempty"`
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
		DeletionProtectionEnabled: d.Protected, RestoreSummary: d.restoreSummary(),
	}
	for n, attr := range d.Keys.Attrs() {
		out.AttributeDefinitions = append(out.AttributeDefinitions, attributeDefinition{attr.Name, attr.Type.String()})
		out.KeySchema = append(out.KeySchema, keyElement{attr.Name, []string{"HASH", "RANGE"}[n]})
	}
	out.ProvisionedThroughput = throughputDescription{
		LastIncreaseDateTime: maybeSeconds(d.Changes.IncreaseMs), LastDecreaseDateTime: maybeSeconds(d.Changes.DecreaseMs),
		NumberOfDecreasesToday: d.Changes.decreasesToday(millis(c.db.now())),
		ReadCapacityUnits:      d.ReadUnits, WriteCapacityUnits: d.WriteUnits,
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
