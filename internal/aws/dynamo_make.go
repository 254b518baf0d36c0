package aws

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"dynaferry/internal/dynamo"
)

// throughput is what CreateTable takes of what DescribeTable tells.
type throughput struct {
	ReadCapacityUnits  int64
	WriteCapacityUnits int64
}

// ceiling bounds a table or an index on demand; -1 is how the service writes that there is none.
type ceiling struct {
	MaxReadRequestUnits  int64 `json:",omitempty"`
	MaxWriteRequestUnits int64 `json:",omitempty"`
}

func (c *ceiling) wanted() *ceiling {
	if c == nil || c.MaxReadRequestUnits <= 0 && c.MaxWriteRequestUnits <= 0 {
		return nil
	}
	return &ceiling{max(c.MaxReadRequestUnits, 0), max(c.MaxWriteRequestUnits, 0)}
}

// indexOf is an index, as both operations write it.
type indexOf struct {
	IndexName             string
	KeySchema             json.RawMessage
	Projection            json.RawMessage
	ProvisionedThroughput *throughput `json:",omitempty"`
	OnDemandThroughput    *ceiling    `json:",omitempty"`
}

// creation is CreateTable's request.
type creation struct {
	TableName              string
	AttributeDefinitions   json.RawMessage
	KeySchema              json.RawMessage
	BillingMode            string
	ProvisionedThroughput  *throughput      `json:",omitempty"`
	OnDemandThroughput     *ceiling         `json:",omitempty"`
	LocalSecondaryIndexes  []indexOf        `json:",omitempty"`
	GlobalSecondaryIndexes []indexOf        `json:",omitempty"`
	TableClass             string           `json:",omitempty"`
	SSESpecification       *tableEncryption `json:",omitempty"`
}

type tableEncryption struct {
	Enabled        bool
	SSEType        string `json:",omitempty"`
	KMSMasterKeyID string `json:"KMSMasterKeyId,omitempty"`
}

// newCreation makes the request for a table like the one that was described. Attributes that no key uses any more, as
// indexes were left out, may not be defined.
func newCreation(def *dynamo.Definition) (*creation, error) {
	var t struct {
		AttributeDefinitions                          []struct{ AttributeName, AttributeType string }
		KeySchema                                     json.RawMessage
		LocalSecondaryIndexes, GlobalSecondaryIndexes []indexOf
		SSEDescription                                *struct{ SSEType, KMSMasterKeyArn string }
		TableClassSummary                             struct{ TableClass string }
		OnDemandThroughput                            *ceiling
	}
	if err := json.Unmarshal(def.Table, &t); err != nil {
		return nil, fmt.Errorf("the description of table %s: %w", def.Name, err)
	}
	c := &creation{TableName: def.Name, KeySchema: t.KeySchema, BillingMode: def.BillingMode, LocalSecondaryIndexes: t.LocalSecondaryIndexes,
		GlobalSecondaryIndexes: t.GlobalSecondaryIndexes}
	provisioned := def.BillingMode == "PROVISIONED"
	if provisioned {
		c.ProvisionedThroughput = &throughput{def.ReadUnits, def.WriteUnits}
	} else {
		c.OnDemandThroughput = t.OnDemandThroughput.wanted()
	}
	used := map[string]bool{}
	use := func(keys json.RawMessage) error {
		var list []struct{ AttributeName string }
		err := json.Unmarshal(keys, &list)
		for _, k := range list {
			used[k.AttributeName] = true
		}
		return err
	}
	if err := use(t.KeySchema); err != nil {
		return nil, fmt.Errorf("the keys of table %s: %w", def.Name, err)
	}
	for _, list := range [][]indexOf{c.LocalSecondaryIndexes, c.GlobalSecondaryIndexes} {
		for i := range list {
			ix := &list[i]
			if err := use(ix.KeySchema); err != nil {
				return nil, fmt.Errorf("the keys of index %s: %w", ix.IndexName, err)
			}
			if ix.OnDemandThroughput = ix.OnDemandThroughput.wanted(); provisioned {
				ix.OnDemandThroughput = nil
			} else {
				ix.ProvisionedThroughput = nil
			}
		}
	}
	kept := t.AttributeDefinitions[:0]
	for _, a := range t.AttributeDefinitions {
		if used[a.AttributeName] {
			kept = append(kept, a)
		}
	}
	var err error
	if c.AttributeDefinitions, err = json.Marshal(kept); err != nil {
		return nil, err
	}
	if def.Has(dynamo.Class) {
		c.TableClass = t.TableClassSummary.TableClass
	}
	if def.Has(dynamo.Encryption) {
		c.SSESpecification = &tableEncryption{true, t.SSEDescription.SSEType, t.SSEDescription.KMSMasterKeyArn}
	}
	return c, nil
}

// Make implements dynamo.Control. A definition without description, as others than DescribeTable make, has keys and billing.
func (d *DynamoDB) Make(ctx context.Context, def *dynamo.Definition) (*dynamo.Table, error) {
	if len(def.Table) == 0 {
		return d.Create(ctx, def)
	}
	c, err := newCreation(def)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	err = d.call(ctx, &exchange{body: body}, def.Name, func(ctx context.Context, options func(*dynamodb.Options)) error {
		_, err := d.sdk.CreateTable(ctx, createInput(def), options)
		return err
	})
	if err != nil {
		return nil, err
	}
	return d.awaitActive(ctx, def.Name)
}
