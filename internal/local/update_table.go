package local

import (
	"slices"
	"time"
)

// tableChange is what UpdateTable asks for.
type tableChange struct {
	units   throughput
	billing string
	class   string
	protect *bool
	ceiling *onDemandCeiling
	layout  layout // of attribute definitions only
	indexes []indexChange
	stream  streamWish
	sse     sseWish
}

func (c *call) readTableChange() (ch tableChange, err error) {
	v := &constraints{}
	if ch.units, err = readThroughput(c.args, "", v); err != nil {
		return ch, err
	}
	if ch.billing, _, err = c.args.text("BillingMode"); err != nil {
		return ch, err
	}
	v.oneOf(ch.billing, "billingMode", billingProvisioned, billingOnDemand)
	if ch.class, _, err = c.args.text("TableClass"); err != nil {
		return ch, err
	}
	v.oneOf(ch.class, "tableClass", "STANDARD", "STANDARD_INFREQUENT_ACCESS")
	if ch.protect, err = c.args.flag("DeletionProtectionEnabled"); err != nil {
		return ch, err
	}
	if ch.layout.defs, _, err = c.readDefinitions(v); err != nil {
		return ch, err
	}
	if ch.indexes, err = c.readIndexChanges(v); err != nil {
		return ch, err
	}
	if err = v.err(); err != nil {
		return ch, err
	}
	if err = checkIndexChanges(ch.indexes); err != nil {
		return ch, err
	}
	if ch.ceiling, err = readOnDemand(c.args, "table"); err != nil {
		return ch, err
	}
	if ch.stream, err = c.readStream(streamOfOld); err != nil {
		return ch, err
	}
	if ch.sse, err = c.readSSE("SSESpecification"); err != nil {
		return ch, err
	}
	if err = c.refuseUnserved(); err != nil {
		return ch, err
	}
	if err = ch.alone(); err != nil {
		return ch, err
	}
	if ch.billing == billingOnDemand && ch.units.given {
		return ch, invalidValue(saysNeither)
	}
	return ch, ch.units.check()
}

// alone refuses a change that asks for nothing, and one that asks for what the service does only by itself.
func (ch *tableChange) alone() error {
	online := slices.ContainsFunc(ch.indexes, func(ix indexChange) bool { return ix.create || ix.remove })
	asked := 0
	for _, is := range []bool{ch.units.given, ch.billing != "", ch.class != "", ch.protect != nil, ch.ceiling != nil, len(ch.indexes) > 0,
		ch.stream.given, ch.sse.given} {
		asked += btoi(is)
	}
	switch {
	case asked == 0:
		return invalid("At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, " +
			"GlobalSecondaryIndexUpdates, SSESpecification, ReplicaUpdates, MultiAccountReplicaReady, ReplicaTransitRoleArn, " +
			"MultiRegionConsistency, DeletionProtectionEnabled, OnDemandThroughput, WarmThroughput or TableClass is required")
	case asked > 1 && ch.sse.given:
		return invalidValue("Server-Side Encryption modification must be the only operation in the request")
	case asked > 1 && ch.class != "":
		return invalidValue("TableClass modification must be the only operation in the request")
	case asked > 1 && ch.protect != nil:
		return invalidValue("DeletionProtection modification must be the only operation in the request")
	case asked-btoi(ch.billing != "") > 1 && ch.ceiling != nil:
		return invalidValue("OnDemandThroughput can only be combined with BillingMode in an UpdateTable request")
	case ch.stream.given && ch.units.given:
		return invalidValue("You cannot modify stream status while updating table IOPS")
	case online && ch.units.given:
		return invalidValue("You cannot create or delete index while updating table IOPS")
	case online && ch.stream.given:
		return invalidValue("You cannot create or delete index while changing stream status")
	}
	return nil
}

func (c *call) updateTable() error {
	name, err := c.tableName()
	if err != nil {
		return err
	}
	change, err := c.readTableChange()
	if err != nil {
		return err
	}
	t, err := c.changeTable(name, change)
	if err != nil || t.busy() == nil {
		return err
	}
	select {
	case <-c.db.fillIndexes(t):
	case <-time.After(fillWait):
	}
	return nil
}

// changeTable makes the change and the reply.
func (c *call) changeTable(name string, change tableChange) (*table, error) {
	c.db.change.Lock()
	defer c.db.change.Unlock()
	t, err := c.table(name)
	if err != nil {
		return nil, notFound("Requested resource not found: Table: %s not found", name)
	}
	if err := t.busy(); err != nil {
		return nil, err
	}
	def := *t.def
	if err := def.apply(change, millis(c.db.now())); err != nil {
		return nil, err
	}
	if err := def.reencrypt(change.sse, c.region); err != nil {
		return nil, err
	}
	if err := c.db.restream(&def, change.stream); err != nil {
		return nil, err
	}
	gone := t.without(&def)
	if t, err = c.db.redefine(t, &def); err != nil {
		return nil, err
	}
	d, err := c.describe(t, "UPDATING")
	if err != nil {
		return nil, err
	}
	d.GlobalSecondaryIndexes = append(d.GlobalSecondaryIndexes, gone...)
	if change.sse.given {
		d.SSEDescription = def.SSE.describe("UPDATING")
	}
	return t, c.replyJSON("TableDescription", d)
}

// apply changes the definition, which is the caller's own copy.
func (d *definition) apply(ch tableChange, now int64) error {
	was := d.Billing
	if ch.billing != "" {
		d.Billing = ch.billing
	}
	if err := d.applyUnits(ch, was, now); err != nil {
		return err
	}
	if ch.class != "" && ch.class != d.Class {
		d.Class, d.ClassMs = ch.class, now
	}
	if ch.protect != nil {
		d.Protected = *ch.protect
	}
	if ch.ceiling != nil && d.provisioned() {
		return ch.ceiling.provisioned("")
	}
	if ch.ceiling != nil {
		d.OnDemand = d.OnDemand.with(ch.ceiling)
	}
	return d.applyIndexes(ch.layout, ch.indexes, now)
}

// with lays a change over the ceilings there are, if any.
func (o *onDemandCeiling) with(change *onDemandCeiling) *onDemandCeiling {
	ceiling := onDemandCeiling{}
	if o != nil {
		ceiling = *o
	}
	if change.Read != 0 {
		ceiling.Read = change.Read
	}
	if change.Write != 0 {
		ceiling.Write = change.Write
	}
	return &ceiling
}

func (d *definition) applyUnits(ch tableChange, was string, now int64) error {
	if !d.provisioned() {
		if ch.units.given {
			return invalidValue(saysNeither)
		}
		if was == billingProvisioned {
			d.ReadUnits, d.WriteUnits, d.Changes.OnDemandMs = 0, 0, now
			d.Indexes = slices.Clone(d.Indexes)
			for i := range d.Indexes {
				d.Indexes[i].ReadUnits, d.Indexes[i].WriteUnits = 0, 0
			}
		}
		return nil
	}
	if !ch.units.given {
		if was == billingOnDemand {
			return invalidValue(saysBoth)
		}
		return nil
	}
	read, write := *ch.units.read, *ch.units.write
	if was == billingProvisioned && read == d.ReadUnits && write == d.WriteUnits {
		return invalid("The provisioned throughput for the table will not change. The requested value equals the "+
			"current value. Current ReadCapacityUnits provisioned for the table: %d. Requested ReadCapacityUnits: %d. "+
			"Current WriteCapacityUnits provisioned for the table: %d. Requested WriteCapacityUnits: %d. "+
			"Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits.",
			d.ReadUnits, read, d.WriteUnits, write)
	}
	if was == billingProvisioned {
		d.Changes = d.Changes.after(d.ReadUnits, d.WriteUnits, read, write, now)
	}
	d.ReadUnits, d.WriteUnits = read, write
	d.OnDemand = nil
	return nil
}
