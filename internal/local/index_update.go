package local

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"dynaferry/internal/local/store"
)

// indexChange is one member of GlobalSecondaryIndexUpdates.
type indexChange struct {
	create bool
	remove bool // neither: the throughput changes
	draft  indexDraft
}

// readIndexChanges reads GlobalSecondaryIndexUpdates.
func (c *call) readIndexChanges(v *constraints) (changes []indexChange, err error) {
	list, _, err := c.args.list("GlobalSecondaryIndexUpdates")
	if err != nil {
		return nil, err
	}
	for i, raw := range list {
		members, err := object(raw, classStructure)
		if err != nil {
			return nil, err
		}
		var ch *indexChange
		for _, verb := range []string{"Update", "Create", "Delete"} {
			body, given, err := members.object(verb, classStructure)
			if err != nil {
				return nil, err
			}
			if !given {
				continue
			}
			if ch != nil {
				return nil, invalidValue("Only one global secondary index action is allowed per GlobalSecondaryIndexUpdate object")
			}
			at := fmt.Sprintf("globalSecondaryIndexUpdates.%d.member.%s.", i+1, strings.ToLower(verb))
			ch = &indexChange{create: verb == "Create", remove: verb == "Delete"}
			if ch.create {
				ch.draft, err = c.readIndex(body, at, v)
			} else {
				err = c.readIndexUpdate(body, at, v, ch)
			}
			if err != nil {
				return nil, err
			}
		}
		if ch == nil {
			return nil, invalidValue("One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, " +
				"GlobalSecondaryIndexUpdate.Delete must not be null")
		}
		changes = append(changes, *ch)
	}
	return changes, nil
}

// readIndexUpdate reads an index's name, and its new throughput when it is not to go.
func (c *call) readIndexUpdate(a args, at string, v *constraints, ch *indexChange) (err error) {
	d := &ch.draft
	if d.name, err = readIndexName(a, at, v); err != nil || ch.remove {
		return err
	}
	if d.units, err = readThroughput(a, at, v); err != nil {
		return err
	}
	if a.get("WarmThroughput") != nil {
		return refused("warm throughput (the parameter WarmThroughput of the index %s)", d.name)
	}
	d.ceiling, err = readOnDemand(a, "index : "+d.name)
	return err
}

// checkIndexChanges refuses what cannot be done in one request.
func checkIndexChanges(changes []indexChange) error {
	seen, online := map[string]bool{}, 0
	for _, ch := range changes {
		if seen[ch.draft.name] {
			return invalidValue("Only one global secondary index update per index is allowed simultaneously. Index: %s", ch.draft.name)
		}
		seen[ch.draft.name] = true
		if online += btoi(ch.create || ch.remove); online > 1 {
			return &apiError{http.StatusBadRequest, nsDynamo + "LimitExceededException",
				"Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table", nil}
		}
	}
	return nil
}

// applyIndexes changes the indexes of the definition, which is the caller's own copy. l holds the AttributeDefinitions of
// the request.
func (d *definition) applyIndexes(l layout, changes []indexChange, now int64) error {
	d.Indexes = slices.Clone(d.Indexes)
	if len(changes) > 0 {
		d.Version = definitionVersion
	}
	for _, ch := range changes {
		at := slices.IndexFunc(d.Indexes, func(ix index) bool { return ix.Name == ch.draft.name && !ix.Local })
		var err error
		switch {
		case ch.create && slices.ContainsFunc(d.Indexes, func(ix index) bool { return ix.Name == ch.draft.name }):
			err = invalid("Attempting to create an index which already exists")
		case ch.create:
			err = d.createIndex(l, ch.draft)
		case at < 0 && slices.ContainsFunc(d.Indexes, func(ix index) bool { return ix.Name == ch.draft.name }):
			err = invalid("Cannot %s an index that is not a GlobalSecondaryIndex: %s", []string{"update", "delete"}[btoi(ch.remove)], ch.draft.name)
		case at < 0:
			err = notFound("Requested resource not found: Index %s for table %s", ch.draft.name, d.Name)
		case ch.remove:
			d.Indexes = slices.Delete(d.Indexes, at, at+1)
		default:
			err = d.updateIndex(&d.Indexes[at], &ch.draft, now)
		}
		if err != nil {
			return err
		}
	}
	for _, ix := range d.Indexes {
		if d.provisioned() && !ix.Local && ix.ReadUnits == 0 {
			return invalidValue("ProvisionedThroughput must be specified for index: %s", ix.Name)
		}
	}
	return nil
}

// createIndex adds an index that is still to be filled. Attributes that are keys already need no new definition.
func (d *definition) createIndex(l layout, draft indexDraft) error {
	for _, known := range d.attributes() {
		at := slices.IndexFunc(l.defs, func(a attributeDefinition) bool { return a.AttributeName == known.AttributeName })
		if at < 0 {
			l.defs = append(l.defs, known)
		} else if l.defs[at] != known {
			return invalidValue("Attribute %s is defined with type %s, but is of type %s in the keys of the table",
				known.AttributeName, l.defs[at].AttributeType, known.AttributeType)
		}
	}
	if err := d.addIndexes(l, []indexDraft{draft}); err != nil {
		return err
	}
	d.Indexes[len(d.Indexes)-1].Filling = true
	return nil
}

func (d *definition) updateIndex(ix *index, draft *indexDraft, now int64) error {
	if draft.ceiling == nil && !draft.units.given {
		return invalidValue("One of ProvisionedThroughput or OnDemandThroughput must be specified for index: %s", ix.Name)
	}
	if draft.ceiling != nil {
		if d.provisioned() {
			return draft.ceiling.provisioned(" for index: " + ix.Name)
		}
		ix.OnDemand = ix.OnDemand.with(draft.ceiling)
	}
	if !draft.units.given {
		return nil
	}
	if !d.provisioned() {
		return invalidValue("Neither ReadCapacityUnits nor WriteCapacityUnits can be specified for index: %s when BillingMode is PAY_PER_REQUEST", ix.Name)
	}
	read, write := *draft.units.read, *draft.units.write
	if read == ix.ReadUnits && write == ix.WriteUnits {
		return invalid("The provisioned throughput for the index %s will not change. The requested value equals the current value. "+
			"Current ReadCapacityUnits provisioned for the index: %d. Requested ReadCapacityUnits: %d. "+
			"Current WriteCapacityUnits provisioned for the index: %d. Requested WriteCapacityUnits: %d. "+
			"Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits.",
			ix.Name, ix.ReadUnits, read, ix.WriteUnits, write)
	}
	ix.Changes = ix.Changes.after(ix.ReadUnits, ix.WriteUnits, read, write, now)
	ix.ReadUnits, ix.WriteUnits, ix.OnDemand = read, write, nil
	return draft.units.check()
}

// fillWait is how long UpdateTable waits for a new index to be filled before it answers. A larger table's goes on after it.
const fillWait = 200 * time.Millisecond

// fillIndexes fills the indexes of a table that are not yet, beside everything else; the channel is closed when that is done.
func (db *DB) fillIndexes(t *table) <-chan struct{} {
	done := make(chan struct{})
	db.crew.start(func(ctx context.Context) {
		defer close(done)
		for _, ix := range t.def.Indexes {
			if ix.Filling {
				_ = db.fillIndex(ctx, t, ix.ID) // when the store has stopped the index stays CREATING, and the next Open goes on
			}
		}
	})
	return done
}

// fillIndex fills one index and opens it to readers. What Close or a crash interrupts goes on with the next Open; a table
// or index that is dropped meanwhile needs no more.
func (db *DB) fillIndex(ctx context.Context, t *table, id store.IndexID) error {
	if err := db.store.BuildIndex(ctx, t.id, id, nil); err != nil {
		return err
	}
	db.change.Lock()
	defer db.change.Unlock()
	db.mu.RLock()
	now := db.tables[t.def.Name]
	db.mu.RUnlock()
	if now == nil || now.id != t.id {
		return nil
	}
	def := *now.def
	def.Indexes = slices.Clone(def.Indexes)
	for i := range def.Indexes {
		if def.Indexes[i].ID == id {
			def.Indexes[i].Filling = false
		}
	}
	_, err := db.redefine(now, &def)
	return err
}

// busy is nil unless an index of the table is being filled, which no other change of indexes may meet.
func (t *table) busy() error {
	if slices.ContainsFunc(t.def.Indexes, func(ix index) bool { return ix.Filling }) {
		return inUse("Attempt to change a resource which is still in use: Table is being updated: %s", t.def.Name)
	}
	return nil
}
