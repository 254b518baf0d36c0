package sim

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// tableClient is a process's view of the table itself. It is for reading: what writes it, is the history.
type tableClient struct {
	t *Table
	p *Process
}

func (c *tableClient) Describe(ctx context.Context, table string) (*dynamo.Table, error) {
	err := c.t.send(ctx, c.p, "describe-table", table, func(*rand.Rand) error { return known(table) })
	if err != nil {
		return nil, err
	}
	return &dynamo.Table{Name: TableName, ARN: "arn:aws:dynamodb:eu-west-1:123456789012:table/Orders", Status: "ACTIVE", Keys: keys}, nil
}

func known(table string) error {
	if table != TableName {
		return fault.New(fault.NotFound, "no table %s", table)
	}
	return nil
}

// Scan reads what stands there at the moment at which the request arrives, whether it asks for that or not.
func (c *tableClient) Scan(ctx context.Context, req *dynamo.ScanRequest, b *item.Batch) (*dynamo.Page, error) {
	b.Reset()
	page := &dynamo.Page{}
	err := c.t.send(ctx, c.p, "scan", req.Table, func(r *rand.Rand) error {
		if err := known(req.Table); err != nil {
			return err
		}
		if req.Filter != "" || req.Projection != "" {
			return fault.New(fault.Unsupported, "filters and projections are not simulated")
		}
		after, err := startKey(req.Start)
		if err != nil {
			return err
		}
		segments := max(1, req.Segments)
		left := 1 + r.IntN(cmp.Or(req.Limit, 10))
		for _, key := range slices.Sorted(maps.Keys(c.t.items)) {
			if place(key)%segments != req.Segment || key <= after {
				continue
			}
			if left--; left < 0 {
				page.Last = []byte(keyJSON(after))
				break
			}
			c.t.append(b, key)
			after = key
			page.Scanned++
		}
		page.Received = time.Now()
		page.Units, page.Bytes = float64(page.Scanned), len(b.Src)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

func startKey(start []byte) (string, error) {
	if start == nil {
		return "", nil
	}
	var key struct {
		ID struct{ S string } `json:"id"`
	}
	if err := json.Unmarshal(start, &key); err != nil || key.ID.S == "" {
		return "", fault.New(fault.User, "%q is no key to start from", start)
	}
	return key.ID.S, nil
}

func (t *Table) append(b *item.Batch, key string) {
	build := item.NewBuilder(b)
	build.Begin(uint32(b.Len()))
	build.Name("id")
	build.String([]byte(key))
	build.Name("v")
	build.Int(int64(t.items[key]))
	build.Finish()
}

func (c *tableClient) Get(ctx context.Context, table string, keys []item.Item, b *item.Batch) (*dynamo.Page, error) {
	b.Reset()
	err := c.t.send(ctx, c.p, "get-items", table, func(*rand.Rand) error {
		for _, k := range keys {
			key, err := startKey(item.AppendCompact(nil, k))
			if err != nil {
				return err
			}
			if c.t.items[key] > 0 {
				c.t.append(b, key)
			}
		}
		return known(table)
	})
	if err != nil {
		return nil, err
	}
	return &dynamo.Page{Scanned: b.Len(), Units: float64(len(keys)), Bytes: len(b.Src), Received: time.Now()}, nil
}

var errReadOnly = fault.New(fault.Unsupported, "a simulated table is written by its history alone")

func (c *tableClient) BatchWrite(context.Context, *dynamo.BatchWriteRequest) (*dynamo.BatchWriteReply, error) {
	return nil, errReadOnly
}

func (c *tableClient) Write(context.Context, *dynamo.WriteRequest) (*dynamo.WriteReply, error) {
	return nil, errReadOnly
}

func (c *tableClient) Create(context.Context, *dynamo.Definition) (*dynamo.Table, error) {
	return nil, errReadOnly
}

func (c *tableClient) Delete(context.Context, string) error { return errReadOnly }
