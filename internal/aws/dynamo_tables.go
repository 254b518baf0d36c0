package aws

import (
	"context"
	"encoding/json"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// definitionVersion is the version of dynamo.Definition that Describe writes.
const definitionVersion = 1

// description is DescribeTable's Table object, as far as jobs use it.
type description struct {
	TableName, TableArn, TableID, TableStatus string
	AttributeDefinitions                      []struct{ AttributeName, AttributeType string }
	KeySchema                                 []struct{ AttributeName, KeyType string }
	ProvisionedThroughput                     struct{ ReadCapacityUnits, WriteCapacityUnits float64 }
	BillingModeSummary                        *struct{ BillingMode string }
	OnDemandThroughput                        *struct{ MaxReadRequestUnits, MaxWriteRequestUnits float64 }
	ItemCount, TableSizeBytes                 int64
	CreationDateTime                          moment
}

// Describe implements dynamo.Client.
func (d *DynamoDB) Describe(ctx context.Context, table string) (*dynamo.Table, error) {
	x := &exchange{}
	err := d.call(ctx, x, table, func(ctx context.Context, options func(*dynamodb.Options)) error {
		_, err := d.sdk.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table}, options)
		return err
	})
	if err != nil {
		return nil, err
	}
	var reply struct{ Table json.RawMessage }
	var desc description
	if err := json.Unmarshal(x.reply, &reply); err != nil {
		return nil, brokenReply(err)
	}
	if err := json.Unmarshal(reply.Table, &desc); err != nil {
		return nil, brokenReply(err)
	}
	t, err := desc.table()
	if err != nil {
		return nil, err
	}
	t.Raw = append(json.RawMessage{}, reply.Table...)
	t.Definition.Table = t.Raw
	return t, nil
}

func (desc *description) table() (*dynamo.Table, error) {
	t := &dynamo.Table{Name: desc.TableName, ARN: desc.TableArn, ID: desc.TableID, Status: desc.TableStatus, Created: desc.CreationDateTime.time(),
		Items: desc.ItemCount, Bytes: desc.TableSizeBytes}
	typesOf := map[string]item.Type{}
	for _, a := range desc.AttributeDefinitions {
		t, err := item.ParseType(a.AttributeType)
		if err != nil {
			return nil, brokenReply(err)
		}
		typesOf[a.AttributeName] = t
	}
	for _, k := range desc.KeySchema {
		attr := item.KeyAttr{Name: k.AttributeName, Type: typesOf[k.AttributeName]}
		if k.KeyType == "HASH" {
			t.Keys.Hash = attr
		} else {
			t.Keys.Range = attr
		}
	}
	if err := t.Keys.Check(); err != nil {
		return nil, brokenReply(err)
	}
	read, write := desc.ProvisionedThroughput.ReadCapacityUnits, desc.ProvisionedThroughput.WriteCapacityUnits
	t.Provisioned = desc.BillingModeSummary == nil && read > 0 ||
		desc.BillingModeSummary != nil && desc.BillingModeSummary.BillingMode == "PROVISIONED"
	mode := types.BillingModePayPerRequest
	if t.Provisioned {
		mode = types.BillingModeProvisioned
		t.ReadUnits, t.WriteUnits = read, write
	}
	if o := desc.OnDemandThroughput; o != nil && !t.Provisioned {
		// -1 is how the service writes "no maximum".
		t.MaxReadUnits, t.MaxWriteUnits = max(0, o.MaxReadRequestUnits), max(0, o.MaxWriteRequestUnits)
	}
	t.Definition = dynamo.Definition{Version: definitionVersion, Name: t.Name, Keys: t.Keys, BillingMode: string(mode),
		ReadUnits: int64(t.ReadUnits), WriteUnits: int64(t.WriteUnits)}
	return t, nil
}

// pollFirst and pollMost space the questions while a table changes: local worlds answer at once, AWS takes seconds.
const (
	pollFirst = 10 * time.Millisecond
	pollMost  = 3 * time.Second
	// pollFor bounds the wait: AWS creates and deletes tables within a minute.
	pollFor = 10 * time.Minute
)

// Create implements dynamo.Client.
func (d *DynamoDB) Create(ctx context.Context, def *dynamo.Definition) (*dynamo.Table, error) {
	if err := def.Keys.Check(); err != nil {
		return nil, err
	}
	in := createInput(def)
	err := d.call(ctx, &exchange{}, def.Name, func(ctx context.Context, options func(*dynamodb.Options)) error {
		_, err := d.sdk.CreateTable(ctx, in, options)
		return err
	})
	if err != nil {
		return nil, err
	}
	return d.awaitActive(ctx, def.Name)
}

// createInput is the definition in the service's words.
func createInput(def *dynamo.Definition) *dynamodb.CreateTableInput {
	in := &dynamodb.CreateTableInput{TableName: &def.Name, BillingMode: types.BillingMode(def.BillingMode)}
	if def.BillingMode == "" {
		in.BillingMode = types.BillingModePayPerRequest
	}
	for i, a := range def.Keys.Attrs() {
		role := []types.KeyType{types.KeyTypeHash, types.KeyTypeRange}[i]
		in.KeySchema = append(in.KeySchema, types.KeySchemaElement{AttributeName: sdk.String(a.Name), KeyType: role})
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: sdk.String(a.Name),
			AttributeType: types.ScalarAttributeType(a.Type.String())})
	}
	if in.BillingMode == types.BillingModeProvisioned {
		in.ProvisionedThroughput = &types.ProvisionedThroughput{ReadCapacityUnits: &def.ReadUnits,
			WriteCapacityUnits: &def.WriteUnits}
	}
	return in
}

// Delete implements dynamo.Client.
func (d *DynamoDB) Delete(ctx context.Context, table string) error {
	err := d.call(ctx, &exchange{}, table, func(ctx context.Context, options func(*dynamodb.Options)) error {
		_, err := d.sdk.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &table}, options)
		return err
	})
	if err != nil {
		return err
	}
	_, err = d.await(ctx, table, func(_ *dynamo.Table, err error) (bool, error) {
		if fault.KindOf(err) == fault.NotFound {
			return true, nil
		}
		return false, err
	})
	return err
}

// await asks until the table is as wanted. A failed question is asked again.
func (d *DynamoDB) await(ctx context.Context, table string, done func(*dynamo.Table, error) (bool, error)) (
	*dynamo.Table, error) {
	deadline := time.Now().Add(pollFor)
	for wait := pollFirst; ; wait = min(2*wait, pollMost) {
		t, err := d.Describe(ctx, table)
		ok, err := done(t, err)
		if ok || err != nil && !fault.Retryable(err) {
			return t, err
		}
		if time.Now().After(deadline) {
			return nil, fault.New(fault.Unavailable, "table %s has not changed within %s", table, pollFor)
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}
