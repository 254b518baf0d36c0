package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"dynaferry/internal/item"
)

// tableNameMin and tableNameMax bound a table's name (API reference, TableName).
const (
	tableNameMin = 3
	tableNameMax = 255
	arnMax       = 1024

	namePattern   = "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
	saysTableName = "Invalid table/index name.  Table/index names must be between 3 and 255 characters long, " +
		"and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'"
)

func validName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c|0x20 < 'a' || c|0x20 > 'z' {
			if (c < '0' || c > '9') && c != '_' && c != '.' && c != '-' {
				return false
			}
		}
	}
	return name != ""
}

// tableName returns the table a request is about, by name or ARN. The service judges it before everything else.
func (c *call) tableName() (string, error) {
	name, present, err := c.args.text("TableName")
	if err != nil {
		return "", err
	}
	if !present {
		v := constraints{}
		v.notNull("tableName")
		return "", v.err()
	}
	return checkName(name)
}

func checkName(name string) (string, error) {
	v := constraints{}
	if strings.HasPrefix(name, "arn:") {
		if len(name) > arnMax {
			v.length(name, "tableName", 1, arnMax)
			return "", v.err()
		}
		return tableOfARN(name)
	}
	v.length(name, "tableName", 1, tableNameMax)
	if name != "" && !validName(name) {
		v.add("'"+name+"'", "tableName", namePattern)
	}
	if err := v.err(); err != nil {
		return "", err
	}
	if len(name) < tableNameMin {
		return "", invalid(saysTableName)
	}
	return name, nil
}

// tableOfARN returns the table's name in arn:aws:dynamodb:region:account:table/NAME, whatever Region and account say.
func tableOfARN(arn string) (string, error) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) == 6 && parts[0] == "arn" && (parts[2] == "dynamodb" || parts[1] == "scylla") {
		name, ok := strings.CutPrefix(parts[5], "table/")
		if ok && len(name) >= tableNameMin && len(name) <= tableNameMax && validName(name) {
			return name, nil
		}
	}
	return "", invalid("Invalid TableArn: Invalid ResourceArn provided as input %s", arn)
}

// table finds a table for a request about items.
func (c *call) table(name string) (*table, error) {
	if c.db.relay != nil {
		return c.db.relay.table(c.ctx, name)
	}
	c.db.mu.RLock()
	t := c.db.tables[name]
	c.db.mu.RUnlock()
	if t == nil {
		return nil, notFound("Requested resource not found")
	}
	return t, nil
}

// missing is told in place of err when err says that there is no such table; an upstream may not answer at all.
func missing(err error, told *apiError) error {
	if isMissing(err) {
		return told
	}
	return err
}

func isMissing(err error) bool {
	var e *apiError
	return errors.As(err, &e) && e.Type == nsDynamo+"ResourceNotFoundException"
}

// taken tells whether there is a table of the name, or one in making.
func (c *call) taken(name string) (bool, error) {
	if c.db.inMaking(name) != nil {
		return true, nil
	}
	_, err := c.table(name)
	if isMissing(err) {
		return false, nil
	}
	return err == nil, err
}

// named finds the table of a request about tables, whose complaint names it.
func (c *call) named() (*table, error) {
	name, err := c.tableName()
	if err != nil {
		return nil, err
	}
	if c.db.inMaking(name) != nil {
		return nil, inMakingError(name)
	}
	t, err := c.table(name)
	if err != nil {
		return nil, notFound("Requested resource not found: Table: %s not found", name)
	}
	return t, nil
}

// replyWhole makes v the reply.
func (c *call) replyWhole(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write a reply: %w", err)
	}
	c.out = append(c.out, text...)
	return nil
}

// replyJSON makes v, under the given member, the reply.
func (c *call) replyJSON(member string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", member, err)
	}
	c.out = append(c.out, '{')
	c.out = item.AppendString(c.out, []byte(member))
	c.out = append(c.out, ':')
	c.out = append(append(c.out, text...), '}')
	return nil
}

func (c *call) replyTable(member string, t *table, status string) error {
	d, err := c.describe(t, status)
	if err != nil {
		return err
	}
	return c.replyJSON(member, d)
}

func (c *call) describeTable() error {
	if name, err := c.tableName(); err == nil {
		if t := c.db.inMaking(name); t != nil {
			return c.replyTable("Table", t, statusCreating)
		}
	}
	t, err := c.named()
	if err != nil {
		return err
	}
	return c.replyTable("Table", t, "ACTIVE")
}

func (c *call) deleteTable() error {
	c.db.change.Lock()
	defer c.db.change.Unlock()
	t, err := c.named()
	if err != nil {
		return err
	}
	if t.def.Protected {
		return invalid("Resource cannot be deleted as it is currently protected against deletion. " +
			"Disable deletion protection first.")
	}
	if err := c.replyTable("TableDescription", t, "DELETING"); err != nil {
		return err
	}
	if err := c.db.finishFeed(c.ctx, t); err != nil {
		return err
	}
	if err := c.db.keepDeleted(t); err != nil {
		return err
	}
	if err := c.db.store.DropTable(t.id); err != nil {
		return err
	}
	c.db.mu.Lock()
	delete(c.db.tables, t.def.Name)
	c.db.mu.Unlock()
	return nil
}

// listMax is the service's bound, and default, of names in one reply of ListTables.
const listMax = 100

func (c *call) listTables() error {
	limit, err := c.args.integer("Limit", "Integer")
	if err != nil {
		return err
	}
	after, present, err := c.args.text("ExclusiveStartTableName")
	if err != nil {
		return err
	}
	v := constraints{}
	if present {
		v.length(after, "exclusiveStartTableName", tableNameMin, tableNameMax)
		if !validName(after) {
			v.add("'"+after+"'", "exclusiveStartTableName", namePattern)
		}
	}
	v.atLeast(limit, "limit", 1)
	v.atMost(limit, "limit", listMax)
	if err := v.err(); err != nil {
		return err
	}
	names := c.db.names()
	at, found := slices.BinarySearch(names, after)
	if found {
		at++
	}
	names = names[at:]
	n := listMax
	if limit != nil {
		n = int(*limit)
	}
	reply := struct {
		TableNames             []string
		LastEvaluatedTableName string `json:",omitempty"`
	}{TableNames: names[:min(n, len(names))]}
	if n < len(names) {
		reply.LastEvaluatedTableName = names[n-1]
	}
	text, err := json.Marshal(reply)
	c.out = append(c.out, text...)
	return err
}

// names are the tables' names, sorted.
func (db *DB) names() []string {
	db.mu.RLock()
	defer db.mu.RUnlock()
	names := make([]string, 0, len(db.tables)+len(db.fills))
	for name := range db.tables {
		names = append(names, name)
	}
	for name := range db.fills {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (c *call) describeLimits() error {
	c.out = append(c.out, `{"AccountMaxReadCapacityUnits":80000,"AccountMaxWriteCapacityUnits":80000,`+
		`"TableMaxReadCapacityUnits":40000,"TableMaxWriteCapacityUnits":40000}`...)
	return nil
}

func (c *call) describeEndpoints() error {
	c.out = append(c.out, `{"Endpoints":[{"Address":`...)
	c.out = item.AppendString(c.out, []byte(c.host))
	c.out = append(c.out, `,"CachePeriodInMinutes":1440}]}`...)
	return nil
}
