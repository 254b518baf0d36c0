package local

import (
	"fmt"
	"slices"
	"strings"
)

// The bounds of indexes (Developer Guide, quotas).
const (
	localIndexesMax  = 5
	globalIndexesMax = 20
	nonKeyMax        = 20  // of one index
	nonKeyTotalMax   = 100 // of all indexes of a table that include some
	attributeNameMax = 255
)

// indexDraft is an index as CreateTable or UpdateTable asks for it.
type indexDraft struct {
	name       string
	local      bool
	keys       []keyElement
	projection string
	nonKey     []string
	hasNonKey  bool
	units      throughput
	ceiling    *onDemandCeiling
}

// readIndexes reads LocalSecondaryIndexes and GlobalSecondaryIndexes.
func (c *call) readIndexes(v *constraints) (drafts []indexDraft, err error) {
	for _, p := range []struct {
		name, at string
		local    bool
	}{
		{"LocalSecondaryIndexes", "localSecondaryIndexes", true}, {"GlobalSecondaryIndexes", "globalSecondaryIndexes", false},
	} {
		list, present, err := c.args.list(p.name)
		if err != nil {
			return nil, err
		}
		if present && len(list) == 0 {
			return nil, invalidValue("List of %s is empty", p.name)
		}
		for i, raw := range list {
			members, err := object(raw, classStructure)
			if err != nil {
				return nil, err
			}
			d, err := c.readIndex(members, fmt.Sprintf("%s.%d.member.", p.at, i+1), v)
			if err != nil {
				return nil, err
			}
			d.local = p.local
			drafts = append(drafts, d)
		}
	}
	return drafts, nil
}

func (c *call) readIndex(a args, at string, v *constraints) (d indexDraft, err error) {
	if d.name, err = readIndexName(a, at, v); err != nil {
		return d, err
	}
	if d.keys, err = readKeys(a, at, v); err != nil {
		return d, err
	}
	projection, present, err := a.object("Projection", classStructure)
	if err != nil {
		return d, err
	}
	if !present {
		v.notNull(at + "projection")
	}
	if d.projection, _, err = projection.text("ProjectionType"); err != nil {
		return d, err
	}
	v.oneOf(d.projection, at+"projection.projectionType", projectAll, projectInclude, projectKeys)
	list, present, err := projection.list("NonKeyAttributes")
	if err != nil {
		return d, err
	}
	d.hasNonKey = present
	for i, raw := range list {
		name, err := text(raw)
		if err != nil {
			return d, err
		}
		v.length(name, fmt.Sprintf("%sprojection.nonKeyAttributes.%d.member", at, i+1), 1, attributeNameMax)
		d.nonKey = append(d.nonKey, name)
	}
	if n := len(d.nonKey); present && n == 0 {
		v.add("'[]'", at+"projection.nonKeyAttributes", "Member must have length greater than or equal to 1")
	} else if n > nonKeyMax {
		v.add("'["+strings.Join(d.nonKey, ", ")+"]'", at+"projection.nonKeyAttributes",
			fmt.Sprintf("Member must have length less than or equal to %d", nonKeyMax))
	}
	if d.units, err = readThroughput(a, at, v); err != nil {
		return d, err
	}
	if a.get("WarmThroughput") != nil {
		return d, refused("warm throughput (the parameter WarmThroughput of the index %s)", d.name)
	}
	d.ceiling, err = readOnDemand(a, "index : "+d.name)
	return d, err
}

func readIndexName(a args, at string, v *constraints) (string, error) {
	name, present, err := a.text("IndexName")
	if err != nil {
		return "", err
	}
	if !present {
		v.notNull(at + "indexName")
		return "", nil
	}
	v.length(name, at+"indexName", tableNameMin, tableNameMax)
	if name != "" && !validName(name) {
		v.add("'"+name+"'", at+"indexName", namePattern)
	}
	return name, nil
}

// addIndexes checks the drafts against the table and puts them into its definition.
func (d *definition) addIndexes(l layout, drafts []indexDraft) error {
	for _, draft := range drafts {
		ix, err := d.newIndex(l, &draft)
		if err != nil {
			return err
		}
		d.LastIndex++
		ix.ID = d.LastIndex
		d.Indexes = append(d.Indexes, ix)
	}
	locals, nonKeys := 0, 0
	for _, ix := range d.Indexes {
		locals += btoi(ix.Local)
		nonKeys += len(ix.NonKey)
	}
	switch {
	case locals > localIndexesMax:
		return invalidValue("Number of LocalSecondaryIndexes exceeds per-table limit of %d", localIndexesMax)
	case len(d.Indexes)-locals > globalIndexesMax:
		return invalidValue("GlobalSecondaryIndex count exceeds the per-table limit of %d", globalIndexesMax)
	case nonKeys > nonKeyTotalMax:
		return invalidValue("Total number of NonKeyAttributes of all indexes exceeds the per-table limit of %d", nonKeyTotalMax)
	}
	return nil
}

// newIndex judges one draft in the service's order: keys, name, projection, capacity.
func (d *definition) newIndex(l layout, draft *indexDraft) (index, error) {
	ix := index{Name: draft.name, Local: draft.local, Projection: draft.projection, NonKey: draft.nonKey, OnDemand: draft.ceiling}
	if draft.local && d.Keys.Range.Name == "" {
		return ix, invalidValue("Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex")
	}
	var err error
	if ix.Keys, err = l.indexKeysOf(draft); err != nil {
		return ix, err
	}
	if draft.local {
		switch {
		case len(ix.Keys.Range) == 0:
			return ix, invalidValue("Index KeySchema does not have a range key for index: %s", draft.name)
		case ix.Keys.Hash[0] != d.Keys.Hash:
			return ix, invalidValue("Index KeySchema does not have the same leading hash key as table KeySchema for index: %s. "+
				"index hash key: %s, table hash key: %s", draft.name, ix.Keys.Hash[0].Name, d.Keys.Hash.Name)
		}
	}
	if slices.ContainsFunc(d.Indexes, func(other index) bool { return other.Name == draft.name }) {
		return ix, invalidValue("Duplicate index name: %s", draft.name)
	}
	switch {
	case draft.projection == "":
		return ix, invalidValue("Unknown ProjectionType: null")
	case draft.projection != projectInclude && draft.hasNonKey:
		return ix, invalidValue("ProjectionType is %s, but NonKeyAttributes is specified", draft.projection)
	case draft.projection == projectInclude && !draft.hasNonKey:
		return ix, invalidValue("ProjectionType is INCLUDE, but NonKeyAttributes is not specified")
	}
	for i, name := range draft.nonKey {
		if slices.Contains(draft.nonKey[:i], name) {
			return ix, invalidValue("Duplicate element in NonKeyAttributes: %s", name)
		}
	}
	return ix, d.capacityOf(&ix, draft)
}

// capacityOf takes a global index's own throughput, which has to fit the table's billing.
func (d *definition) capacityOf(ix *index, draft *indexDraft) error {
	switch {
	case draft.local:
		return nil
	case d.provisioned() && !draft.units.given:
		return invalidValue("ProvisionedThroughput is not specified for index: %s", draft.name)
	case d.provisioned() && draft.ceiling != nil:
		return draft.ceiling.provisioned(" for index: " + draft.name)
	case !d.provisioned() && draft.units.given:
		return invalidValue("ProvisionedThroughput should not be specified for index: %s when BillingMode is PAY_PER_REQUEST", draft.name)
	case !draft.units.given:
		return nil
	}
	ix.ReadUnits, ix.WriteUnits = *draft.units.read, *draft.units.write
	return draft.units.check()
}

// attributes are the definitions of all key attributes of the table and its indexes.
func (d *definition) attributes() []attributeDefinition {
	var list []attributeDefinition
	for _, ix := range append([]index{{Keys: tableKeys(d.Keys)}}, d.Indexes...) {
		for _, attr := range ix.Keys.attrs() {
			def := attributeDefinition{attr.Name, attr.Type.String()}
			if !slices.Contains(list, def) {
				list = append(list, def)
			}
		}
	}
	return list
}
