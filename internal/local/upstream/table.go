package upstream

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"dynaferry/internal/fault"
)

// Table is what DescribeTable tells of a table, as far as a restore needs it.
type Table struct {
	TableName             string
	TableStatus           string
	TableArn              string
	TableId               string
	CreationDateTime      float64
	AttributeDefinitions  []Attribute
	KeySchema             []KeyElement
	ProvisionedThroughput Throughput
	BillingModeSummary    struct{ BillingMode string }
	OnDemandThroughput    *OnDemand
	LocalSecondaryIndexes []Index

	GlobalSecondaryIndexes []Index
	StreamSpecification    struct {
		StreamEnabled  bool
		StreamViewType string
	}
	LatestStreamArn string
}

// Attribute, KeyElement, Throughput, OnDemand and Index are parts of a table in the service's words, for reading and
// writing alike.
type (
	Attribute  struct{ AttributeName, AttributeType string }
	KeyElement struct{ AttributeName, KeyType string }
	Throughput struct{ ReadCapacityUnits, WriteCapacityUnits int64 }
	OnDemand   struct{ MaxReadRequestUnits, MaxWriteRequestUnits int64 }
	Index      struct {
		IndexName  string
		KeySchema  []KeyElement
		Projection struct {
			ProjectionType   string
			NonKeyAttributes []string `json:",omitempty"`
		}
		ProvisionedThroughput *Throughput `json:",omitempty"`
		OnDemandThroughput    *OnDemand   `json:",omitempty"`
	}
)

// CreatedMs is when the table was made: with the name it tells a table from another of the name.
func (t *Table) CreatedMs() int64 { return int64(t.CreationDateTime * 1000) }

// Describe asks for a table. One that is not there, or going, is an error of kind NotFound.
func (c *Client) Describe(ctx context.Context, name string) (*Table, error) {
	var reply struct{ Table *Table }
	if err := c.Call(ctx, "DescribeTable", map[string]string{"TableName": name}, &reply); err != nil {
		return nil, err
	}
	if reply.Table == nil || reply.Table.TableStatus == "DELETING" {
		return nil, fault.New(fault.NotFound, "table %s of the upstream is not there", name)
	}
	return reply.Table, nil
}

// imagesBoth is the view of a stream that can be followed.
const imagesBoth = "NEW_AND_OLD_IMAGES"

// EnsureStream sees to it that the table has a stream that can be followed, and turns one on when it has none. A stream of
// another view is refused: it may be somebody's, and turning it off would end it for its readers.
func (c *Client) EnsureStream(ctx context.Context, t *Table) (*Table, error) {
	view := t.StreamSpecification.StreamViewType
	if t.StreamSpecification.StreamEnabled && view != imagesBoth {
		err := fault.New(fault.User, "the stream of table %s shows %s, and following it needs %s", t.TableName, view, imagesBoth)
		return nil, fault.Hint(err, "turn the stream off with UpdateTable (StreamEnabled false), then try again")
	}
	if !t.StreamSpecification.StreamEnabled {
		in := map[string]any{"TableName": t.TableName,
			"StreamSpecification": map[string]any{"StreamEnabled": true, "StreamViewType": imagesBoth}}
		var reply struct{ TableDescription Table }
		if err := c.Call(ctx, "UpdateTable", in, &reply); err != nil {
			return nil, fmt.Errorf("turn on the stream of table %s: %w", t.TableName, err)
		}
	}
	return c.awaited(ctx, t.TableName, func(t *Table) bool { return t.TableStatus == "ACTIVE" && t.LatestStreamArn != "" })
}

// awaited polls until a table is as wanted; ctx bounds the wait.
func (c *Client) awaited(ctx context.Context, name string, is func(*Table) bool) (*Table, error) {
	const pollEvery = 200 * time.Millisecond
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		t, err := c.Describe(ctx, name)
		if err == nil && is(t) {
			return t, nil
		}
		if err != nil && fault.KindOf(err) != fault.NotFound {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fault.New(fault.Unavailable, "table %s of the upstream does not become ready: %w", name, ctx.Err())
		case <-ticker.C:
		}
	}
}

// NewTable is CreateTable's request.
type NewTable struct {
	TableName              string
	AttributeDefinitions   []Attribute
	KeySchema              []KeyElement
	BillingMode            string
	ProvisionedThroughput  *Throughput `json:",omitempty"`
	OnDemandThroughput     *OnDemand   `json:",omitempty"`
	LocalSecondaryIndexes  []Index     `json:",omitempty"`
	GlobalSecondaryIndexes []Index     `json:",omitempty"`
}

// Create makes a table and waits until it is there. Its error is the upstream's answer.
func (c *Client) Create(ctx context.Context, n *NewTable) (*Table, error) {
	var reply struct{ TableDescription Table }
	if err := c.Call(ctx, "CreateTable", n, &reply); err != nil {
		return nil, err
	}
	return c.awaited(ctx, n.TableName, func(t *Table) bool { return t.TableStatus == "ACTIVE" })
}

// Delete takes a table away that we made.
func (c *Client) Delete(ctx context.Context, name string) error {
	return c.Call(ctx, "DeleteTable", map[string]string{"TableName": name}, &struct{}{})
}

// Put writes items, raw DynamoDB JSON of distinct keys and at most 25, and tries again what the upstream leaves over or
// throttles, until ctx ends.
func (c *Client) Put(ctx context.Context, table string, items []json.RawMessage) error {
	type request struct {
		PutRequest struct{ Item json.RawMessage }
	}
	left := make([]request, len(items))
	for i, raw := range items {
		left[i].PutRequest.Item = raw
	}
	for wait := firstWait; len(left) > 0; wait = min(2*wait, lastWait) {
		var reply struct{ UnprocessedItems map[string][]request }
		err := c.Call(ctx, "BatchWriteItem", map[string]any{"RequestItems": map[string]any{table: left}}, &reply)
		if err != nil && !fault.Retryable(err) {
			return err
		}
		if err == nil {
			left = reply.UnprocessedItems[table]
		}
		if len(left) > 0 && !pause(ctx, wait) {
			return fault.New(fault.Unavailable, "put %d items into table %s of the upstream: %w", len(left), table, context.Cause(ctx))
		}
	}
	return nil
}

const (
	firstWait = 50 * time.Millisecond
	lastWait  = 5 * time.Second
)

// pause waits, and tells whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Scan reads a page of a consistent scan; after is what the page before returned, nil at first and nil again at the end.
func (c *Client) Scan(ctx context.Context, table string, after json.RawMessage) (items []json.RawMessage, next json.RawMessage, err error) {
	in := map[string]any{"TableName": table, "ConsistentRead": true}
	if after != nil {
		in["ExclusiveStartKey"] = after
	}
	var reply struct {
		Items            []json.RawMessage
		LastEvaluatedKey json.RawMessage
	}
	err = c.Call(ctx, "Scan", in, &reply)
	return reply.Items, reply.LastEvaluatedKey, err
}
