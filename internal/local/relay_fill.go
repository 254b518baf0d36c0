package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/local/upstream"
)

// createWait bounds the making of a table at the upstream.
const createWait = time.Minute

// putMax is BatchWriteItem's bound on items.
const putMax = 25

// refusal puts an error of ours about a request into the words of an answer.
func refusal(err error) error {
	if fault.KindOf(err) != fault.User {
		return err
	}
	text := err.Error()
	if hint := fault.HintOf(err); hint != "" {
		text += ". " + hint
	}
	return invalid("%s", text)
}

// makeUpstream makes the upstream's table that t is the placeholder of, and notes that it was made. One that is there, and was
// not before, is what an earlier process made and had no time to note.
func (db *DB) makeUpstream(ctx context.Context, t *table) (*table, error) {
	ctx, cancel := context.WithTimeout(ctx, createWait)
	defer cancel()
	made, err := db.relay.client.Create(ctx, creation(t.def))
	if upstream.Is(err, "ResourceInUseException") {
		made, err = db.adopt(ctx, t)
	}
	if err != nil {
		return nil, err
	}
	def := *t.def
	filling := *def.Filling
	filling.MadeMs = made.CreatedMs()
	def.Filling = &filling
	changed, err := db.rewrite(t, &def, def.settings())
	if err != nil {
		return nil, err
	}
	db.mu.Lock()
	db.fills[def.Name] = changed
	db.mu.Unlock()
	return changed, nil
}

// adopt returns the upstream's table of t's name if it can be the one that was made for it: empty, and not older.
func (db *DB) adopt(ctx context.Context, t *table) (*upstream.Table, error) {
	told, err := db.relay.client.Describe(ctx, t.def.Name)
	if err != nil {
		return nil, err
	}
	def, err := definitionOf(told)
	if err != nil {
		return nil, err
	}
	items, next, err := db.relay.client.Scan(ctx, t.def.Name, nil)
	if err != nil {
		return nil, err
	}
	const clocks = 2000 // ms that two clocks may be apart
	if def.Keys != t.def.Keys || len(items) > 0 || next != nil || told.CreatedMs() < t.def.CreatedMs-clocks {
		return nil, inUse("Table already exists: %s", t.def.Name)
	}
	return told, nil
}

// creation is CreateTable's request for a definition.
func creation(d *definition) *upstream.NewTable {
	elements := func(list []keyElement) (out []upstream.KeyElement) {
		for _, e := range list {
			out = append(out, upstream.KeyElement(e))
		}
		return out
	}
	n := &upstream.NewTable{TableName: d.Name, BillingMode: d.Billing, KeySchema: elements(elementsOf(tableKeys(d.Keys)))}
	for _, a := range d.attributes() {
		n.AttributeDefinitions = append(n.AttributeDefinitions, upstream.Attribute(a))
	}
	units := func(read, write int64) *upstream.Throughput {
		if !d.provisioned() {
			return nil
		}
		return &upstream.Throughput{ReadCapacityUnits: read, WriteCapacityUnits: write}
	}
	ceiling := func(c *onDemandCeiling) *upstream.OnDemand {
		if c == nil {
			return nil
		}
		none := func(n int64) int64 { // no ceiling
			if n == 0 {
				return -1
			}
			return n
		}
		return &upstream.OnDemand{MaxReadRequestUnits: none(c.Read), MaxWriteRequestUnits: none(c.Write)}
	}
	n.ProvisionedThroughput, n.OnDemandThroughput = units(d.ReadUnits, d.WriteUnits), ceiling(d.OnDemand)
	for _, ix := range d.Indexes {
		out := upstream.Index{IndexName: ix.Name, KeySchema: elements(elementsOf(ix.Keys))}
		out.Projection.ProjectionType, out.Projection.NonKeyAttributes = ix.Projection, ix.NonKey
		if ix.Local {
			n.LocalSecondaryIndexes = append(n.LocalSecondaryIndexes, out)
			continue
		}
		out.ProvisionedThroughput, out.OnDemandThroughput = units(ix.ReadUnits, ix.WriteUnits), ceiling(ix.OnDemand)
		n.GlobalSecondaryIndexes = append(n.GlobalSecondaryIndexes, out)
	}
	return n
}

// fillUpstream puts items into the upstream's table of a placeholder, which it makes if nobody has.
func (db *DB) fillUpstream(ctx context.Context, t *table) (*bulk, error) {
	if t.def.Filling.MadeMs == 0 {
		db.change.Lock()
		_, err := db.makeUpstream(ctx, t)
		db.change.Unlock()
		if err != nil {
			return nil, err
		}
	}
	return newBulk(ctx, func(ctx context.Context, items []keyed) error {
		for part := range slices.Chunk(items, putMax) {
			raws := make([]json.RawMessage, len(part))
			for i, it := range part {
				raws[i] = it.raw
			}
			if err := db.relay.client.Put(ctx, t.def.Name, raws); err != nil {
				return fmt.Errorf("fill the upstream's table %s: %w", t.def.Name, err)
			}
		}
		return nil
	}), nil
}

// unmake takes the upstream's table of a placeholder away if it is the one that was made for it.
func (r *relay) unmake(t *table) error {
	ctx, cancel := context.WithTimeout(context.Background(), createWait)
	defer cancel()
	if t.def.Filling.MadeMs == 0 {
		return nil
	}
	told, err := r.client.Describe(ctx, t.def.Name)
	switch {
	case fault.KindOf(err) == fault.NotFound:
		return nil
	case err != nil:
		return err
	case told.CreatedMs() != t.def.Filling.MadeMs:
		return nil // somebody else's
	}
	if err := r.client.Delete(ctx, t.def.Name); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
