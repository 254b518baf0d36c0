package local

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"dynaferry/internal/item"
)

// layout is what CreateTable says about keys, and throughput what it and UpdateTable say about capacity.
type layout struct {
	defs []attributeDefinition
	keys []keyElement
}

type throughput struct {
	given       bool
	read, write *int64
}

const (
	classStructure = "com.amazonaws.dynamodb.v20120810"
)

func (c *call) readLayout(v *constraints) (layout, error) {
	var l layout
	defs, present, err := c.readDefinitions(v)
	if err != nil {
		return l, err
	}
	if l.defs = defs; !present {
		v.notNull("attributeDefinitions")
	}
	l.keys, err = readKeys(c.args, "", v)
	return l, err
}

func (c *call) readDefinitions(v *constraints) (defs []attributeDefinition, present bool, err error) {
	list, present, err := c.args.list("AttributeDefinitions")
	if err != nil {
		return nil, present, err
	}
	for i, raw := range list {
		at := fmt.Sprintf("attributeDefinitions.%d.member.", i+1)
		name, kind, err := pair(v, raw, at, "attributeName", "attributeType", []string{"B", "N", "S"})
		if err != nil {
			return nil, present, err
		}
		defs = append(defs, attributeDefinition{name, kind})
	}
	return defs, present, nil
}

// readKeys reads the KeySchema of a table or an index, whose place in the request is at.
func readKeys(a args, at string, v *constraints) (keys []keyElement, err error) {
	list, present, err := a.list("KeySchema")
	if err != nil {
		return nil, err
	}
	at += "keySchema"
	if !present {
		v.notNull(at)
	}
	for i, raw := range list {
		name, kind, err := pair(v, raw, fmt.Sprintf("%s.%d.member.", at, i+1), "attributeName", "keyType", []string{"HASH", "RANGE"})
		if err != nil {
			return nil, err
		}
		keys = append(keys, keyElement{name, kind})
	}
	if present && len(keys) == 0 {
		v.add("'[]'", at, "Member must have length greater than or equal to 1")
	}
	if len(keys) > 2 && !strings.HasPrefix(at, "global") {
		var shown []string
		for _, k := range keys {
			shown = append(shown, fmt.Sprintf("KeySchemaElement(attributeName=%s, keyType=%s)", k.AttributeName, k.KeyType))
		}
		v.add("'["+strings.Join(shown, ", ")+"]'", at, "Member must have length less than or equal to 2")
	}
	return keys, nil
}

// pair reads {"AttributeName": name, <second>: one of a set}, the form of key elements and attribute definitions.
func pair(v *constraints, raw []byte, at, first, second string, set []string) (name, kind string, err error) {
	members, err := object(raw, classStructure)
	if err != nil {
		return "", "", err
	}
	name, present, err := members.text("AttributeName")
	if err != nil {
		return "", "", err
	}
	if present {
		v.length(name, at+first, 1, 255)
	} else {
		v.notNull(at + first)
	}
	kind, present, err = members.text(strings.ToUpper(second[:1]) + second[1:])
	if err != nil {
		return "", "", err
	}
	if !present {
		v.notNull(at + second)
	}
	if present && !slices.Contains(set, kind) {
		v.add("'"+kind+"'", at+second, "Member must satisfy enum value set: ["+strings.Join(set, ", ")+"]")
	}
	return name, kind, nil
}

// readThroughput reads the ProvisionedThroughput of a table or an index, whose place in the request is at.
func readThroughput(a args, at string, v *constraints) (throughput, error) {
	var t throughput
	members, present, err := a.object("ProvisionedThroughput", classStructure)
	if err != nil || !present {
		return t, err
	}
	t.given = true
	if t.write, err = members.integer("WriteCapacityUnits", "Long"); err != nil {
		return t, err
	}
	if t.read, err = members.integer("ReadCapacityUnits", "Long"); err != nil {
		return t, err
	}
	at += "provisionedThroughput."
	if t.write == nil {
		v.notNull(at + "writeCapacityUnits")
	}
	if t.read == nil {
		v.notNull(at + "readCapacityUnits")
	}
	v.atLeast(t.write, at+"writeCapacityUnits", 1)
	v.atLeast(t.read, at+"readCapacityUnits", 1)
	return t, nil
}

// unitsMax is what the service's model takes for a capacity, far above what any account may have.
const unitsMax = 1_000_000_000_000

func (t throughput) check() error {
	if t.read != nil && *t.read > unitsMax {
		return invalid("Given value %d for ReadCapacityUnits is out of bounds", *t.read)
	}
	if t.write != nil && *t.write > unitsMax {
		return invalid("Given value %d for WriteCapacityUnits is out of bounds", *t.write)
	}
	return nil
}

// readOnDemand reads OnDemandThroughput: ceilings for a table or index on demand, -1 takes one away. of is what complaints
// call it: table, or index : NAME.
func readOnDemand(a args, of string) (*onDemandCeiling, error) {
	members, present, err := a.object("OnDemandThroughput", classStructure)
	if err != nil || !present {
		return nil, err
	}
	read, err := members.integer("MaxReadRequestUnits", "Long")
	if err != nil {
		return nil, err
	}
	write, err := members.integer("MaxWriteRequestUnits", "Long")
	if err != nil {
		return nil, err
	}
	ceiling := new(onDemandCeiling)
	for _, v := range []struct {
		from *int64
		to   *int64
		name string
	}{{read, &ceiling.Read, "MaxReadRequestUnits"}, {write, &ceiling.Write, "MaxWriteRequestUnits"}} {
		if v.from == nil {
			continue
		}
		if *v.from != -1 && *v.from < 1 {
			return nil, invalidValue("Requested %s for OnDemandThroughput for %s is outside of valid range", v.name, of)
		}
		*v.to = *v.from
	}
	return ceiling, nil
}

// provisioned refuses ceilings of what is not on demand; of is empty, or says which index.
func (o *onDemandCeiling) provisioned(of string) error {
	name := "MaxReadRequestUnits"
	if o.Read == 0 && o.Write != 0 {
		name = "MaxWriteRequestUnits"
	}
	return invalidValue("%s for OnDemandThroughput%s cannot be specified when the table BillingMode is PROVISIONED", name, of)
}

const (
	saysNeither = "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST"
	saysBoth    = "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED"
)

// unservedOfTables are the parameters of CreateTable and UpdateTable that we refuse when they ask for something.
var unservedOfTables = []struct{ name, what string }{
	{"ReplicaUpdates", "global tables"},
	{"MultiRegionConsistency", "global tables"},
	{"GlobalTableWitnessUpdates", "global tables"},
	{"GlobalTableSettingsReplicationMode", "global tables"},
	{"ResourcePolicy", "resource policies"},
	{"WarmThroughput", "warm throughput"},
}

// refuseUnserved refuses by name what CreateTable and UpdateTable may ask for and we do not do.
func (c *call) refuseUnserved() error {
	for _, p := range unservedOfTables {
		if c.args.get(p.name) != nil {
			return refused("%s (the parameter %s)", p.what, p.name)
		}
	}
	return nil
}

// createName is tableName for CreateTable, which has its own words for a missing name.
func (c *call) createName() (string, error) {
	name, present, err := c.args.text("TableName")
	if err != nil {
		return "", err
	}
	if !present {
		return "", invalid("The parameter 'TableName' is required but was not present in the request")
	}
	if strings.HasPrefix(name, "arn:") {
		return tableOfARN(name)
	}
	v := constraints{}
	if name != "" && !validName(name) {
		v.add("'"+name+"'", "tableName", namePattern)
	}
	v.length(name, "tableName", tableNameMin, tableNameMax)
	return name, v.err()
}

func (c *call) createTable() error {
	name, err := c.createName()
	if err != nil {
		return err
	}
	def := &definition{Version: definitionVersion, Name: name, ID: uuid(), Billing: billingProvisioned}
	if err := c.readCreate(def); err != nil {
		return err
	}
	c.db.change.Lock()
	defer c.db.change.Unlock()
	if taken, err := c.taken(name); err != nil || taken {
		return cmp.Or(err, error(inUse("Table already exists: %s", name)))
	}
	now := c.db.now()
	def.CreatedMs = millis(now)
	if !def.provisioned() {
		def.Changes.OnDemandMs = def.CreatedMs
	}
	if err := c.db.beginWished(def); err != nil {
		return err
	}
	text, err := json.Marshal(def)
	if err != nil {
		return fmt.Errorf("write the definition of %s: %w", name, err)
	}
	id, err := c.db.store.CreateTable(text, name, def.settings())
	if err != nil {
		return err
	}
	t := newTable(def, id, nil, now)
	c.db.mu.Lock()
	c.db.tables[name] = t
	c.db.mu.Unlock()
	return c.replyTable("TableDescription", t, "CREATING")
}

// readCreate fills the definition from CreateTable's parameters and checks them in the service's order: constraints of
// the model, billing, keys; then what we do not serve; then tags.
func (c *call) readCreate(def *definition) error {
	v := &constraints{}
	layout, err := c.readLayout(v)
	if err != nil {
		return err
	}
	drafts, err := c.readIndexes(v)
	if err != nil {
		return err
	}
	units, err := readThroughput(c.args, "", v)
	if err != nil {
		return err
	}
	billing, present, err := c.args.text("BillingMode")
	if err != nil {
		return err
	}
	if present {
		v.oneOf(billing, "billingMode", billingProvisioned, billingOnDemand)
		def.Billing = billing
	}
	class, _, err := c.args.text("TableClass")
	if err != nil {
		return err
	}
	v.oneOf(class, "tableClass", "STANDARD", "STANDARD_INFREQUENT_ACCESS")
	if err := v.err(); err != nil {
		return err
	}
	def.Class = class
	switch {
	case def.provisioned() && !units.given:
		return invalidValue(saysBoth)
	case !def.provisioned() && units.given:
		return invalidValue(saysNeither)
	}
	if err := units.check(); err != nil {
		return err
	}
	if units.given {
		def.ReadUnits, def.WriteUnits = *units.read, *units.write
	}
	if def.Keys, err = layout.schema(len(drafts) > 0); err != nil {
		return err
	}
	if err := layout.checkUsed(drafts); err != nil {
		return err
	}
	if err := def.addIndexes(layout, drafts); err != nil {
		return err
	}
	if err := c.refuseUnserved(); err != nil {
		return err
	}
	return c.readCreateRest(def)
}

func (c *call) readCreateRest(def *definition) error {
	protect, err := c.args.flag("DeletionProtectionEnabled")
	if err != nil {
		return err
	}
	def.Protected = protect != nil && *protect
	if def.OnDemand, err = readOnDemand(c.args, "table"); err != nil {
		return err
	}
	if def.OnDemand != nil && def.provisioned() {
		return def.OnDemand.provisioned("")
	}
	if def.wish, err = c.readStream(streamOfNew); err != nil {
		return err
	}
	sse, err := c.readSSE("SSESpecification")
	if err != nil {
		return err
	}
	def.encrypt(sse, c.region)
	list, present, err := c.args.list("Tags")
	if err != nil || !present {
		return err
	}
	def.Tags, err = readTags(list, nil)
	return err
}

// schema checks keys and definitions against each other, in the service's words.
func (l layout) schema(indexes bool) (item.KeySchema, error) {
	var schema item.KeySchema
	if len(l.defs) < len(l.keys) {
		return schema, invalid("Invalid KeySchema: Some index key attribute have no definition")
	}
	types := map[string]bool{}
	for _, d := range l.defs {
		if types[d.AttributeName] {
			return schema, invalid("Attribute Name is duplicated: %s", d.AttributeName)
		}
		types[d.AttributeName] = true
	}
	schema, err := l.keysOf(l.keys)
	if err != nil {
		return schema, err
	}
	if !indexes && len(l.defs) != len(l.keys) {
		return schema, invalidValue("Number of attributes in KeySchema does not exactly match " +
			"number of attributes defined in AttributeDefinitions")
	}
	return schema, nil
}

// keysOf is the schema of a table's or a local index's keys.
func (l layout) keysOf(keys []keyElement) (schema item.KeySchema, err error) {
	var names []string
	for _, k := range keys {
		names = append(names, k.AttributeName)
	}
	for n, k := range keys {
		attr, defined := l.find(k.AttributeName)
		if !defined {
			return schema, l.undefined(names)
		}
		*[]*item.KeyAttr{&schema.Hash, &schema.Range}[n] = attr
	}
	if keys[0].KeyType != "HASH" {
		return schema, invalid("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
	}
	if len(keys) == 2 {
		if keys[1].KeyType != "RANGE" {
			return schema, invalid("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")
		}
		if names[0] == names[1] {
			return schema, invalid("Both the Hash Key and the Range Key element in the KeySchema have the same name")
		}
	}
	return schema, nil
}

// indexKeysOf is the schema of an index's keys. Those of a global one may have several attributes in each part.
func (l layout) indexKeysOf(draft *indexDraft) (keys indexKeys, err error) {
	if draft.local {
		schema, err := l.keysOf(draft.keys)
		return tableKeys(schema), err
	}
	names, seen := []string{}, map[string]bool{}
	counts := map[string]int{}
	for _, k := range draft.keys {
		names = append(names, k.AttributeName)
		counts[k.KeyType]++
	}
	for _, k := range draft.keys {
		attr, defined := l.find(k.AttributeName)
		switch {
		case !defined:
			return keys, l.undefined(names)
		case k.KeyType == "HASH" && len(keys.Range) > 0:
			return keys, invalidValue("All HASH key attributes must precede RANGE key attributes in the KeySchema")
		case counts[k.KeyType] > keyPartMax:
			return keys, invalidValue("The KeySchema exceeds the maximum allowed number of %s key attributes", k.KeyType)
		case seen[k.AttributeName]:
			return keys, invalid("The KeySchema contains multiple key attributes with the same name")
		case k.KeyType == "RANGE" && len(keys.Hash) == 0:
			return keys, invalid("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
		}
		seen[k.AttributeName] = true
		part := map[string]*[]item.KeyAttr{"HASH": &keys.Hash, "RANGE": &keys.Range}[k.KeyType]
		*part = append(*part, attr)
	}
	return keys, nil
}

// find returns an attribute as it was defined.
func (l layout) find(name string) (attr item.KeyAttr, defined bool) {
	for _, d := range l.defs {
		if d.AttributeName == name {
			t, err := item.ParseType(d.AttributeType)
			return item.KeyAttr{Name: name, Type: t}, err == nil
		}
	}
	return attr, false
}

func (l layout) undefined(names []string) error {
	return invalidValue("Some index key attributes are not defined in AttributeDefinitions. "+
		"Keys: [%s], AttributeDefinitions: [%s]", strings.Join(names, ", "), l.defined())
}

// checkUsed refuses definitions of attributes that are in no key, before it looks at anything else of the indexes. Keys that
// are not defined are their index's own fault.
func (l layout) checkUsed(drafts []indexDraft) error {
	keys := slices.Clone(l.keys)
	for _, d := range drafts {
		keys = append(keys, d.keys...)
	}
	var names []string
	for _, k := range keys {
		if _, defined := l.find(k.AttributeName); defined && !slices.Contains(names, k.AttributeName) {
			names = append(names, k.AttributeName)
		}
	}
	if len(names) == len(l.defs) {
		return nil
	}
	return invalidValue("Some AttributeDefinitions are not used. AttributeDefinitions: [%s], keys used: [%s]",
		l.defined(), strings.Join(names, ", "))
}

func (l layout) defined() string {
	var names []string
	for _, d := range l.defs {
		names = append(names, d.AttributeName)
	}
	return strings.Join(names, ", ")
}
