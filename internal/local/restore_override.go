package local

import (
	"fmt"
	"slices"
)

// readOverrides reads the overrides as if they were UpdateTable's parameters.
func (c *call) readOverrides(v *constraints, ch *tableChange) (err error) {
	asked := c.args
	defer func() { c.args = asked }()
	if ch.billing, _, err = asked.text("BillingModeOverride"); err != nil {
		return err
	}
	v.oneOf(ch.billing, "billingModeOverride", billingProvisioned, billingOnDemand)
	c.args = args{{[]byte("ProvisionedThroughput"), asked.get("ProvisionedThroughputOverride")},
		{[]byte("OnDemandThroughput"), asked.get("OnDemandThroughputOverride")}}
	for i, m := range c.args {
		if m.raw == nil {
			c.args[i].raw = []byte("null")
		}
	}
	if ch.units, err = readThroughput(c.args, "", v); err != nil {
		return err
	}
	if err := v.err(); err != nil {
		return err
	}
	if ch.ceiling, err = readOnDemand(c.args, "table"); err != nil {
		return err
	}
	c.args = asked
	if ch.sse, err = c.readSSE("SSESpecificationOverride"); err != nil {
		return err
	}
	return ch.units.check()
}

// override lays what a restore asks for over the source's billing and capacity.
func (d *definition) override(ch tableChange) error {
	was := d.Billing
	if ch.billing != "" {
		d.Billing = ch.billing
	}
	switch {
	case !d.provisioned() && ch.units.given:
		return invalidValue(saysNeither)
	case d.provisioned() && ch.ceiling != nil:
		return ch.ceiling.provisioned("")
	case d.provisioned() && !ch.units.given && was == billingOnDemand:
		return invalidValue(saysBoth)
	case ch.units.given:
		d.ReadUnits, d.WriteUnits = *ch.units.read, *ch.units.write
	}
	if d.provisioned() {
		d.OnDemand = nil
		return nil
	}
	d.ReadUnits, d.WriteUnits = 0, 0
	if ch.ceiling != nil {
		d.OnDemand = d.OnDemand.with(ch.ceiling)
	}
	return nil
}

// overrideIndexes gives the restored table the source's indexes, or those of them that the request names.
func (c *call) overrideIndexes(def, source *definition) error {
	def.LastIndex = source.LastIndex
	for _, p := range []struct {
		name, at string
		local    bool
	}{
		{"LocalSecondaryIndexOverride", "localSecondaryIndexOverride", true},
		{"GlobalSecondaryIndexOverride", "globalSecondaryIndexOverride", false},
	} {
		list, given, err := c.args.list(p.name)
		if err != nil {
			return err
		}
		for _, ix := range source.Indexes {
			if ix.Local == p.local && !given {
				def.Indexes = append(def.Indexes, ix)
			}
		}
		for i, raw := range list {
			ix, err := c.overrideIndex(def, source, raw, fmt.Sprintf("%s.%d.member.", p.at, i+1), p.local)
			if err != nil {
				return err
			}
			def.Indexes = append(def.Indexes, ix)
		}
	}
	return def.settleIndexes()
}

// overrideIndex reads one index of an override, which must be one of the source's.
func (c *call) overrideIndex(def, source *definition, raw []byte, at string, local bool) (ix index, err error) {
	members, err := object(raw, classStructure)
	if err != nil {
		return ix, err
	}
	v := &constraints{}
	draft, err := c.readIndex(members, at, v)
	if err == nil {
		err = v.err()
	}
	if err != nil {
		return ix, err
	}
	found := slices.IndexFunc(source.Indexes, func(ix index) bool {
		return ix.Local == local && ix.Name == draft.name && ix.Projection == draft.projection && slices.Equal(elementsOf(ix.Keys), draft.keys)
	})
	twice := slices.ContainsFunc(def.Indexes, func(ix index) bool { return ix.Name == draft.name })
	switch {
	case found < 0:
		return ix, invalidValue("the source table %s has no such index: %s", source.Name, draft.name)
	case twice:
		return ix, invalidValue("Duplicate index name: %s", draft.name)
	}
	if ix = source.Indexes[found]; local {
		return ix, nil
	}
	if ix.ReadUnits == 0 || draft.units.given || !def.provisioned() {
		err = def.capacityOf(&ix, &draft)
	}
	if draft.ceiling != nil {
		ix.OnDemand = draft.ceiling
	}
	return ix, err
}

// settleIndexes brings the capacity of indexes in line with the billing mode, and says which lacks what it needs.
func (d *definition) settleIndexes() error {
	for i := range d.Indexes {
		ix := &d.Indexes[i]
		ix.Filling, ix.Changes = false, throughputTimes{} // entries come with the items
		switch {
		case !d.provisioned():
			ix.ReadUnits, ix.WriteUnits = 0, 0
		case !ix.Local && ix.ReadUnits == 0:
			return invalidValue("ProvisionedThroughput must be specified for index: %s", ix.Name)
		default:
			ix.OnDemand = nil
		}
	}
	return nil
}
