package local

import (
	"bytes"
	"fmt"
	"strings"

	"dynaferry/internal/item"
	"dynaferry/internal/local/store"
)

// The bounds of transactions (API reference).
const (
	transactItemsMax = 100
	transactBytesMax = 4 << 20
)

const (
	saysTwice        = "Transaction request cannot include multiple operations on one item"
	saysPayload      = "Transaction payload size cannot exceed 4MB. Payload Size: %d"
	saysCancelled    = "Transaction cancelled, please refer cancellation reasons for specific reasons ["
	classTransaction = "com.amazonaws.dynamodb.v20120810.Transact"
)

// transactItems reads TransactItems: between 1 and 100 objects. class is the service's name for one.
func (c *call) transactItems(class string, v *constraints) ([]args, error) {
	raws, present, err := c.args.list("TransactItems")
	if err != nil {
		return nil, err
	}
	switch n := len(raws); {
	case !present:
		v.notNull("transactItems")
	case n == 0:
		v.add("'[]'", "transactItems", "Member must have length greater than or equal to 1")
	case n > transactItemsMax:
		shown := strings.TrimSuffix(strings.Repeat(class+", ", n), ", ")
		v.add("'["+shown+"]'", "transactItems",
			fmt.Sprintf("Member must have length less than or equal to %d", transactItemsMax))
		return nil, nil
	}
	list := make([]args, len(raws))
	for i, raw := range raws {
		if list[i], err = object(raw, classStructure); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// readConsumed reads ReturnConsumedCapacity.
func (c *call) readConsumed(v *constraints) (consumption, error) {
	consumed, _, err := c.args.text("ReturnConsumedCapacity")
	v.oneOf(consumed, "returnConsumedCapacity", consumedSet...)
	return consumptions[consumed], err
}

// memberTable reads the table that a member of a transaction names.
func memberTable(a args, at string, v *constraints) (string, error) {
	name, present, err := a.text("TableName")
	if err != nil {
		return "", err
	}
	if !present {
		v.notNull(at + "tableName")
		return "", nil
	}
	return checkName(name)
}

// target is the item that a member of a transaction is about.
type target struct {
	table store.TableID
	key   store.Key
}

// distinctTargets refuses an item that a transaction names twice. Members without a key are left out: theirs was wrong.
func distinctTargets(targets []target) error {
	seen := make(map[string]bool, len(targets))
	var joined []byte
	for _, t := range targets {
		if t.key.Hash == nil {
			continue
		}
		joined = fmt.Appendf(joined[:0], "%d.%d.%s%s", t.table, len(t.key.Hash), t.key.Hash, t.key.Range)
		if seen[string(joined)] {
			return invalid(saysTwice)
		}
		seen[string(joined)] = true
	}
	return nil
}

// ofMember tells whether the service reports a complaint about one member's key as that member's reason to cancel. An
// empty key value ends the request instead.
func ofMember(err error) bool {
	return err != nil && !strings.HasPrefix(plain(err), "One or more parameter values are not valid.")
}

// cancelled is the error of a transaction that was not done: a reason for each member, in their order.
func cancelled(reasons []error) *apiError {
	e := &apiError{400, nsDynamo + "TransactionCanceledException", "", []byte(`,"CancellationReasons":[`)}
	codes := make([]string, len(reasons))
	for i, err := range reasons {
		if i > 0 {
			e.Extra = append(e.Extra, ',')
		}
		codes[i] = "None"
		if err == nil {
			e.Extra = append(e.Extra, `{"Code":"None"}`...)
			continue
		}
		why := answer(err)
		codes[i] = reasonCode(why)
		e.Extra = append(e.Extra, `{"Code":"`+codes[i]+`"`...)
		if item, found := bytes.CutPrefix(why.Extra, []byte(`,"Item":`)); found {
			e.Extra = append(append(e.Extra, `,"Item":`...), item...)
		}
		e.Extra = item.AppendString(append(e.Extra, `,"Message":`...), []byte(why.Message))
		e.Extra = append(e.Extra, '}')
	}
	e.Extra = append(e.Extra, ']')
	e.Message = saysCancelled + strings.Join(codes, ", ") + "]"
	return e
}

// reasonCode is the code of a member's reason for what would be the error of an operation of its own.
func reasonCode(e *apiError) string {
	_, name, _ := strings.Cut(e.Type, "#")
	switch name {
	case "ConditionalCheckFailedException":
		return "ConditionalCheckFailed"
	case "ProvisionedThroughputExceededException":
		return "ProvisionedThroughputExceeded"
	case "ThrottlingException":
		return "ThrottlingError"
	}
	return "ValidationError"
}

// failed tells whether any member has a reason.
func failed(reasons []error) bool {
	for _, err := range reasons {
		if err != nil {
			return true
		}
	}
	return false
}

// bill adds up what a request costs, by table in the order they first came.
type bill struct {
	kind   string // Read or Write for transactions, whose replies tell the units of their kind too
	tables []*table
	units  []units
}

func (b *bill) add(t *table, u units) {
	for i := range b.tables {
		if b.tables[i].id == t.id {
			b.units[i].add(u)
			return
		}
	}
	b.tables, b.units = append(b.tables, t), append(b.units, u.times(1)) // times copies
}

// bill writes ConsumedCapacity as a list.
func (c *call) bill(how consumption, b *bill) {
	if how == consumedNone {
		return
	}
	c.member("ConsumedCapacity")
	c.out = append(c.out, '[')
	for i, t := range b.tables {
		if i > 0 {
			c.out = append(c.out, ',')
		}
		c.out = appendConsumed(c.out, t, b.units[i], how, b.kind)
	}
	c.out = append(c.out, ']')
}

// transactFactor is how much more a transaction costs than the same operations alone: each item is prepared and committed.
const transactFactor = 2
