package local

import (
	"fmt"
	"strings"

	"dynaferry/internal/expression"
	"dynaferry/internal/item"
	"dynaferry/internal/local/store"
)

// transaction is a TransactWriteItems on its way.
type transaction struct {
	consumed consumption
	metrics  bool   // ReturnItemCollectionMetrics
	token    string // ClientRequestToken, "" without one
	requests []expression.Request
	deeds    []deed
	records  []record
	bytes    int // of all items it makes
}

var actions = []*verb{&verbCheck, &verbPut, &verbDelete, &verbUpdate}

// tokenMax is how long a ClientRequestToken may be (API reference).
const tokenMax = 36

func (c *call) transactWriteItems() error {
	tx, err := c.readTransaction()
	if err != nil {
		return err
	}
	reasons, err := c.prepareAll(tx)
	if err != nil {
		return err
	}
	if failed(reasons) {
		return cancelled(reasons)
	}
	return c.commit(tx)
}

// readTransaction reads and checks what needs no table.
func (c *call) readTransaction() (*transaction, error) {
	tx, v := &transaction{}, &constraints{}
	var err error
	if tx.consumed, err = c.readConsumed(v); err != nil {
		return nil, err
	}
	metrics, _, err := c.args.text("ReturnItemCollectionMetrics")
	if err != nil {
		return nil, err
	}
	v.oneOf(metrics, "returnItemCollectionMetrics", "SIZE", "NONE")
	token, given, err := c.args.text("ClientRequestToken")
	if err != nil {
		return nil, err
	}
	if given {
		v.length(token, "clientRequestToken", 1, tokenMax)
	}
	tx.token, tx.metrics = token, metrics == "SIZE"
	members, err := c.transactItems(classTransaction+"WriteItem", v)
	if err != nil {
		return nil, err
	}
	tx.deeds, tx.records = make([]deed, len(members)), make([]record, len(members))
	tx.requests = make([]expression.Request, len(members))
	for i, m := range members {
		if err := c.readAction(tx, i, m, v); err != nil {
			return nil, err
		}
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	return tx, c.compileAll(tx)
}

// readAction reads the n-th member, which holds one action.
func (c *call) readAction(tx *transaction, n int, m args, v *constraints) error {
	var body args
	d := &tx.deeds[n]
	for _, verb := range actions {
		members, given, err := m.object(verb.name, classStructure)
		switch {
		case err != nil:
			return err
		case given && d.verb != nil:
			return invalid("TransactItems can only contain one of Check, Put, Update or Delete")
		case given:
			d.verb, body = verb, members
		}
	}
	if d.verb == nil {
		return invalid("Invalid Request: TransactWriteRequest should contain Delete or Put or Update request")
	}
	at := fmt.Sprintf("transactItems.%d.member.%s%s.", n+1, strings.ToLower(d.name[:1]), d.name[1:])
	var err error
	if d.settings.table, err = memberTable(body, at, v); err != nil {
		return err
	}
	onFailure, _, err := body.text("ReturnValuesOnConditionCheckFailure")
	if err != nil {
		return err
	}
	v.oneOf(onFailure, at+"returnValuesOnConditionCheckFailure", "ALL_OLD", "NONE")
	d.settings.consumed = tx.consumed
	d.values, d.onFailure, d.subject = returnNone, returned(onFailure), &tx.records[n]
	for verb, needs := range map[*verb]string{&verbUpdate: "UpdateExpression", &verbCheck: "ConditionExpression"} {
		if d.verb == verb && body.get(needs) == nil {
			v.notNull(at + strings.ToLower(needs[:1]) + needs[1:])
		}
	}
	raw := body.get(d.verb.subject)
	if raw == nil {
		v.notNull(at + strings.ToLower(d.verb.subject))
		return nil
	}
	if err := d.subject.parse(&c.batch, raw); err != nil {
		return err
	}
	for _, name := range d.wording.legacy {
		if body.get(name) != nil {
			return refused("the parameter %s in transactions, as the service does not", name)
		}
	}
	tx.requests[n], err = c.expressions(body, d.wording)
	return err
}

// compileAll judges values, sizes and expressions, a member after the other.
func (c *call) compileAll(tx *transaction) (err error) {
	for i := range tx.deeds {
		d := &tx.deeds[i]
		if d.subject.err != nil {
			return d.subject.err
		}
		if d.verb == &verbPut {
			size := d.subject.size
			if size > item.ItemBytesMax {
				return invalid(saysTooLarge)
			}
			tx.bytes += size
		}
		if d.compiled, err = compile(tx.requests[i]); err != nil {
			return err
		}
	}
	if tx.bytes > transactBytesMax {
		return invalid(saysPayload, tx.bytes)
	}
	return nil
}

// prepareAll finds the tables and keys. What is wrong with a member's key is a reason to cancel.
func (c *call) prepareAll(tx *transaction) (reasons []error, err error) {
	for i := range tx.deeds {
		if tx.deeds[i].table, err = c.table(tx.deeds[i].settings.table); err != nil {
			return nil, err
		}
	}
	reasons, targets := make([]error, len(tx.deeds)), make([]target, len(tx.deeds))
	for i := range tx.deeds {
		d := &tx.deeds[i]
		if err := d.prepare(); err != nil && !ofMember(err) {
			return nil, err
		} else if err != nil {
			reasons[i] = err
		}
		targets[i] = target{d.table.id, d.key}
	}
	return reasons, distinctTargets(targets)
}

// commit does all or nothing in one commit of the store, the mark of its token included.
func (c *call) commit(tx *transaction) error {
	if reasons := c.throttledMembers(tx); failed(reasons) {
		return cancelled(reasons)
	}
	writes := make([]store.Write, len(tx.deeds), len(tx.deeds)+1+tokenSweepMax)
	for i := range tx.deeds {
		writes[i] = c.write(&tx.deeds[i])
		if tx.deeds[i].verb == &verbUpdate {
			writes[i].Decide = c.weighed(tx, &tx.deeds[i], writes[i].Decide)
		}
	}
	var mark *tokenMark
	if tx.token != "" {
		var err error
		if mark, err = c.markToken(tx.token); err != nil {
			return err
		}
		writes = append(writes, mark.writes...)
	}
	results, err := c.db.store.UpdateMany(c.ctx, writes, true)
	if err != nil {
		return err
	}
	if mark != nil && mark.seen {
		return c.replay(tx, mark)
	}
	reasons := make([]error, len(tx.deeds))
	for i := range tx.deeds {
		reasons[i] = results[i].Err
		d := &tx.deeds[i]
		c.charge(d, results[i].Commit.OldSize, transactFactor)
		if reasons[i] != nil && answer(reasons[i]).Status != 400 {
			return reasons[i] // the store's, not the item's
		}
	}
	if tx.bytes > transactBytesMax {
		return invalid(saysPayload, tx.bytes)
	}
	if failed(reasons) {
		return cancelled(reasons)
	}
	if mark != nil {
		c.db.tokens.done(mark)
	}
	return c.replyTransaction(tx)
}

// weighed adds what an update makes to the transaction's size, which must not exceed 4 MB.
func (c *call) weighed(tx *transaction, d *deed, decide store.Decide) store.Decide {
	return func(old []byte) (store.Op, []byte, error) {
		op, raw, err := decide(old)
		if tx.bytes += d.newSize; err == nil && tx.bytes > transactBytesMax {
			err = invalid(saysPayload, tx.bytes)
		}
		return op, raw, err
	}
}

// throttledMembers tells which members throttling does not let pass.
func (c *call) throttledMembers(tx *transaction) []error {
	reasons := make([]error, len(tx.deeds))
	for i := range tx.deeds {
		reasons[i] = c.mayWrite(tx.deeds[i].table)
	}
	return reasons
}

func (c *call) replyTransaction(tx *transaction) error {
	b := &bill{kind: "Write"}
	for i := range tx.deeds {
		b.add(tx.deeds[i].table, tx.deeds[i].units)
	}
	c.bill(tx.consumed, b)
	if tx.metrics {
		var m collections
		for i := range tx.deeds {
			if tx.deeds[i].verb != &verbCheck {
				if err := m.add(tx.deeds[i].table, tx.deeds[i].subject.Item); err != nil {
					return err
				}
			}
		}
		if err := c.collectionMap(&m); err != nil {
			return err
		}
	}
	return c.finish()
}

// replay answers a transaction whose token has been used: with success when it is the same, and with what reading its
// items costs.
func (c *call) replay(tx *transaction, mark *tokenMark) error {
	if mark.differs {
		return &apiError{400, nsDynamo + "IdempotentParameterMismatchException",
			"The ClientRequestToken was used with other TransactItems within the last 10 minutes", nil}
	}
	b := &bill{kind: "Read"}
	for i := range tx.deeds {
		d := &tx.deeds[i]
		raw, _, err := c.db.store.Get(d.table.id, d.key)
		if err != nil {
			return err
		}
		b.add(d.table, units{base: transactFactor * item.ReadUnits(size(raw), true)})
	}
	for i, t := range b.tables {
		c.didRead(t, b.units[i])
	}
	c.bill(tx.consumed, b)
	return c.finish()
}
