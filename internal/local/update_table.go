package local

// tableChange is what UpdateTable asks for.
type tableChange struct {
	units   throughput
	billing string
	class   string
	protect *bool
	ceiling *onDemandCeiling
}

func (c *call) readTableChange() (ch tableChange, err error) {
	v := &constraints{}
	if ch.units, err = c.readThroughput(v); err != nil {
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
	if err = v.err(); err != nil {
		return ch, err
	}
	if ch.ceiling, err = c.readOnDemand(); err != nil {
		return ch, err
	}
	if err = c.refuseUnserved(); err != nil {
		return ch, err
	}
	asked := ch.units.given || ch.billing != "" || ch.class != "" || ch.protect != nil || ch.ceiling != nil ||
		c.args.get("StreamSpecification") != nil || c.args.get("SSESpecification") != nil
	if !asked {
		return ch, invalid("At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, " +
			"GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required")
	}
	if ch.billing == billingOnDemand && ch.units.given {
		return ch, invalidValue(saysNeither)
	}
	return ch, ch.units.check()
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
	c.db.change.Lock()
	defer c.db.change.Unlock()
	t, err := c.table(name)
	if err != nil {
		return notFound("Requested resource not found: Table: %s not found", name)
	}
	def := *t.def
	if err := def.apply(change, millis(c.db.now())); err != nil {
		return err
	}
	if t, err = c.db.redefine(t, &def); err != nil {
		return err
	}
	return c.replyTable("TableDescription", t, "UPDATING")
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
	if ch.ceiling == nil {
		return nil
	}
	if d.provisioned() {
		return invalidValue("OnDemandThroughput can only be specified when BillingMode is PAY_PER_REQUEST")
	}
	ceiling := onDemandCeiling{}
	if d.OnDemand != nil {
		ceiling = *d.OnDemand
	}
	if ch.ceiling.Read != 0 {
		ceiling.Read = ch.ceiling.Read
	}
	if ch.ceiling.Write != 0 {
		ceiling.Write = ch.ceiling.Write
	}
	d.OnDemand = &ceiling
	return nil
}

func (d *definition) applyUnits(ch tableChange, was string, now int64) error {
	if !d.provisioned() {
		if ch.units.given {
			return invalidValue(saysNeither)
		}
		if was == billingProvisioned {
			d.ReadUnits, d.WriteUnits, d.Changes.OnDemandMs = 0, 0, now
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
	if was == billingProvisioned && (read > d.ReadUnits || write > d.WriteUnits) {
		d.Changes.IncreaseMs = now
	}
	if read < d.ReadUnits || write < d.WriteUnits {
		d.Changes.Decreases = d.Changes.decreasesToday(now) + 1
		d.Changes.DecreaseMs = now
	}
	d.ReadUnits, d.WriteUnits = read, write
	d.OnDemand = nil
	return nil
}
