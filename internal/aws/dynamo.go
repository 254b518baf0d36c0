package aws

import (
	"context"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// DynamoDB is a dynamo.Client over the SDK. Request bodies are written by us straight from items' raw bytes and reply
// bodies are taken before the SDK decodes them; endpoints, signing and errors are the SDK's. It may be used
// concurrently.
type DynamoDB struct {
	sdk    *dynamodb.Client
	region string
	creds  sdk.CredentialsProvider
	logs   beside // of imports
	scaler beside // of provisioned throughput
}

var _ dynamo.Client = (*DynamoDB)(nil)

// DynamoDB opens the tables of the session's account, Region and endpoint. It makes no request.
func (s *Session) DynamoDB() (*DynamoDB, error) {
	cfg, err := s.DynamoDBConfig()
	if err != nil {
		return nil, err
	}
	client := dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) {
		o.BaseEndpoint = cfg.BaseEndpoint
		o.Retryer = sdk.NopRetryer{}
		// The raw path checks the CRC itself, over bytes it has in hand.
		o.DisableValidateResponseChecksum = true
		o.EnableAcceptEncodingGzip = false
		o.EndpointDiscovery.EnableEndpointDiscovery = sdk.EndpointDiscoveryDisabled
	})
	return &DynamoDB{sdk: client, region: cfg.Region, creds: cfg.Credentials, logs: newLogs(s, cfg.BaseEndpoint),
		scaler: newScaler(s, cfg.BaseEndpoint)}, nil
}

// Scan implements dynamo.Client. The reply's body becomes b.Src. Filter and Projection are the service's.
func (d *DynamoDB) Scan(ctx context.Context, req *dynamo.ScanRequest, b *item.Batch) (*dynamo.Page, error) {
	body := bodies.get()
	defer bodies.put(body)
	body.scan(req)
	b.Reset()
	x := &exchange{body: body.bytes, reply: b.Src}
	err := d.call(ctx, x, req.Table, func(ctx context.Context, options func(*dynamodb.Options)) error {
		_, err := d.sdk.Scan(ctx, &dynamodb.ScanInput{TableName: &req.Table}, options)
		return err
	})
	b.Src = x.reply
	body.sent = x.sent
	if err != nil {
		b.Reset()
		return nil, err
	}
	page, err := x.page(b)
	if err != nil {
		return nil, err
	}
	if page.Units == 0 && page.Scanned > 0 {
		page.Units = item.ReadUnits(page.Bytes, req.Consistent) // a clone that does not count
	}
	return page, nil
}

// page parses the reply in b.Src.
func (x *exchange) page(b *item.Batch) (*dynamo.Page, error) {
	parsed, err := ddbjson.ParsePage(b)
	if err != nil {
		b.Reset()
		if !x.checked {
			return nil, fault.New(fault.Unavailable, "broken reply: %w", plain(err))
		}
		return nil, err
	}
	page := &dynamo.Page{Scanned: max(parsed.Scanned, b.Len()), Units: parsed.Units, Bytes: len(b.Src), Received: x.received}
	if parsed.Last != nil {
		page.Last = append([]byte{}, parsed.Last...)
	}
	return page, nil
}

// plain drops an error's kind, so that another can be given.
func plain(err error) error { return plainError{err} }

type plainError struct{ err error }

func (e plainError) Error() string { return e.err.Error() }

// getRoundsMax bounds the rounds of one Get: the service returns at most 16 MB at once, a few rounds for 100 items.
const getRoundsMax = 8

// Get implements dynamo.Client. Keys that did not fit the reply's 16 MB are asked for again; keys that the service left
// out for their rate make a *dynamo.ThrottleError.
func (d *DynamoDB) Get(ctx context.Context, table string, keys []item.Item, b *item.Batch) (*dynamo.Page, error) {
	body := bodies.get()
	defer bodies.put(body)
	body.get(table, keys)
	b.Reset()
	total := &dynamo.Page{}
	part := b
	for range getRoundsMax {
		x := &exchange{body: body.bytes, reply: part.Src}
		err := d.call(ctx, x, table, func(ctx context.Context, options func(*dynamodb.Options)) error {
			_, err := d.sdk.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
				RequestItems: map[string]types.KeysAndAttributes{}}, options)
			return err
		})
		part.Src, body.sent = x.reply, x.sent
		if err != nil {
			b.Reset()
			return nil, err
		}
		parsed, err := ddbjson.ParsePage(part)
		if err != nil {
			b.Reset()
			return nil, fault.New(fault.Unavailable, "broken reply: %w", plain(err))
		}
		total.Units += parsed.Units
		total.Bytes += len(part.Src)
		total.Received = x.received
		got := part.Len()
		if part != b {
			w := item.NewBuilder(b)
			for i := range got {
				appendItem(w, part.Item(i), uint32(b.Len()))
			}
		}
		total.Scanned = b.Len()
		if parsed.Unprocessed == nil {
			return total, nil
		}
		if got == 0 {
			break
		}
		body.again(parsed.Unprocessed)
		part = &item.Batch{}
	}
	b.Reset()
	return nil, &dynamo.ThrottleError{Table: table, Code: "UnprocessedKeys", Message: "the service left keys unprocessed",
		Reasons: []dynamo.Reason{{Limit: dynamo.Provisioned, Direction: dynamo.Read}}}
}

func appendItem(w *item.Builder, it item.Item, line uint32) {
	w.Begin(line)
	for at := 1; at < len(it.Tape); at += 1 + int(it.Tape[at+1].Skip) {
		w.RawName(it, at)
		w.Raw(it, at+1)
	}
	w.Finish()
}

// BatchWrite implements dynamo.Client.
func (d *DynamoDB) BatchWrite(ctx context.Context, req *dynamo.BatchWriteRequest) (*dynamo.BatchWriteReply, error) {
	body := bodies.get()
	defer bodies.put(body)
	body.batchWrite(req)
	x := &exchange{body: body.bytes, reply: body.reply[:0]}
	err := d.call(ctx, x, req.Table, func(ctx context.Context, options func(*dynamodb.Options)) error {
		_, err := d.sdk.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{
			RequestItems: map[string][]types.WriteRequest{}}, options)
		return err
	})
	body.reply, body.sent = x.reply, x.sent
	if err != nil {
		return nil, err
	}
	return batchWriteReply(req, x.reply)
}

// Write implements dynamo.Client.
func (d *DynamoDB) Write(ctx context.Context, req *dynamo.WriteRequest) (*dynamo.WriteReply, error) {
	body := bodies.get()
	defer bodies.put(body)
	body.write(req)
	x := &exchange{body: body.bytes, reply: body.reply[:0]}
	none := map[string]types.AttributeValue{}
	err := d.call(ctx, x, req.Table, func(ctx context.Context, options func(*dynamodb.Options)) (err error) {
		if req.Delete {
			_, err = d.sdk.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &req.Table, Key: none}, options)
		} else {
			_, err = d.sdk.PutItem(ctx, &dynamodb.PutItemInput{TableName: &req.Table, Item: none}, options)
		}
		return err
	})
	body.reply, body.sent = x.reply, x.sent
	if err != nil {
		return nil, err
	}
	units, err := consumedOne(x.reply)
	return &dynamo.WriteReply{Units: units}, err
}

// received is when a reply came, by the service's clock when it told.
func receivedAt(date string) time.Time {
	if t, err := time.Parse(time.RFC1123, date); err == nil {
		return t.UTC()
	}
	return time.Now().UTC()
}
