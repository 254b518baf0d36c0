package dynamo_test

import (
	"context"
	"testing"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/dynamo/faulty"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// made is a service of which only tables are asked.
type made struct {
	dynamo.Client
	tables map[string]*dynamo.Table
}

func (m *made) Describe(_ context.Context, name string) (*dynamo.Table, error) {
	if t, ok := m.tables[name]; ok {
		return t, nil
	}
	return nil, fault.New(fault.NotFound, "no table %s", name)
}

func (m *made) Create(_ context.Context, def *dynamo.Definition) (*dynamo.Table, error) {
	if _, ok := m.tables[def.Name]; ok {
		return nil, fault.New(fault.Conflict, "table %s exists", def.Name)
	}
	m.tables[def.Name] = &dynamo.Table{Name: def.Name, Keys: def.Keys}
	return m.tables[def.Name], nil
}

func (m *made) Scan(_ context.Context, _ *dynamo.ScanRequest, b *item.Batch) (*dynamo.Page, error) {
	b.Reset()
	return &dynamo.Page{}, nil
}

// One lost answer before a job is no reason to send its user away.
func TestPatient(t *testing.T) {
	for _, rule := range []string{"describe#1-2: 500", "describe#1: lost", "describe#1: throttle", "create#1: lost", "create#1: 500",
		"scan#1: lost", "scan#1-2: throttle"} {
		t.Run(rule, func(t *testing.T) {
			c, err := faulty.New(&made{tables: map[string]*dynamo.Table{}}, rule, 1)
			if err != nil {
				t.Fatal(err)
			}
			def := &dynamo.Definition{Name: "Orders", Keys: item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.S}}}
			if _, err := dynamo.Describe(t.Context(), c, "Orders"); fault.KindOf(err) != fault.NotFound {
				t.Errorf("before it is there: %v", err)
			}
			if _, err := dynamo.Create(t.Context(), c, def); err != nil {
				t.Errorf("create: %v", err)
			}
			if table, err := dynamo.Describe(t.Context(), c, "Orders"); err != nil || table.Keys != def.Keys {
				t.Errorf("describe: %v, %v", table, err)
			}
			if empty, err := dynamo.Empty(t.Context(), c, "Orders"); err != nil || !empty {
				t.Errorf("empty: %v, %v", empty, err)
			}
		})
	}
	if _, err := dynamo.Create(t.Context(), &made{tables: map[string]*dynamo.Table{"Orders": {}}}, &dynamo.Definition{Name: "Orders"}); fault.KindOf(err) != fault.Conflict {
		t.Errorf("somebody else's table is taken for ours: %v", err)
	}
}
