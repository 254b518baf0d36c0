package aws

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"sync"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/item"
)

// body is a request's body under construction and memory for its reply.
type body struct {
	bytes []byte
	reply []byte
	sent  bool
}

// pooledBytesMax keeps one odd 16 MB batch from staying in memory for ever.
const pooledBytesMax = 2 << 20

type bodyPool struct{ pool sync.Pool }

var bodies = &bodyPool{pool: sync.Pool{New: func() any { return new(body) }}}

func (p *bodyPool) get() *body {
	b := p.pool.Get().(*body)
	b.bytes, b.sent = b.bytes[:0], false
	return b
}

// put takes a body back unless somebody may still read it.
func (p *bodyPool) put(b *body) {
	if !b.sent {
		b.bytes = nil
	}
	if cap(b.bytes) <= pooledBytesMax && cap(b.reply) <= pooledBytesMax {
		p.pool.Put(b)
	}
}

func (b *body) text(s string) { b.bytes = append(b.bytes, s...) }

func (b *body) quoted(s string) { b.bytes = item.AppendString(b.bytes, []byte(s)) }

func (b *body) member(name, value string) {
	if value != "" {
		b.text(name)
		b.quoted(value)
	}
}

// scan writes a Scan's body (API Scan).
func (b *body) scan(r *dynamo.ScanRequest) {
	b.text(`{"TableName":`)
	b.quoted(r.Table)
	b.text(`,"ReturnConsumedCapacity":"TOTAL"`)
	if r.Segments > 1 {
		b.text(`,"Segment":` + strconv.Itoa(r.Segment) + `,"TotalSegments":` + strconv.Itoa(r.Segments))
	}
	if r.Start != nil {
		b.text(`,"ExclusiveStartKey":`)
		b.bytes = append(b.bytes, r.Start...)
	}
	if r.Limit > 0 {
		b.text(`,"Limit":` + strconv.Itoa(r.Limit))
	}
	if r.Consistent {
		b.text(`,"ConsistentRead":true`)
	}
	b.member(`,"FilterExpression":`, r.Filter)
	b.member(`,"ProjectionExpression":`, r.Projection)
	b.placeholders(r.Names, r.Values)
	b.text("}")
}

func (b *body) placeholders(names map[string]string, values map[string]item.Value) {
	for i, key := range slices.Sorted(maps.Keys(names)) {
		b.text([...]string{`,`, `,"ExpressionAttributeNames":{`}[first(i)])
		b.quoted(key)
		b.text(":")
		b.quoted(names[key])
	}
	if len(names) > 0 {
		b.text("}")
	}
	if len(values) > 0 {
		b.text(`,"ExpressionAttributeValues":`)
		b.bytes = item.AppendMap(b.bytes, values)
	}
}

func first(i int) int {
	if i == 0 {
		return 1
	}
	return 0
}

// get writes a BatchGetItem's body (API BatchGetItem).
func (b *body) get(table string, keys []item.Item) {
	b.text(`{"ReturnConsumedCapacity":"TOTAL","RequestItems":{`)
	b.quoted(table)
	b.text(`:{"ConsistentRead":true,"Keys":[`)
	for i, key := range keys {
		if i > 0 {
			b.text(",")
		}
		b.bytes = append(b.bytes, key.Raw()...)
	}
	b.text(`]}}}`)
}

// again asks for what a reply left unprocessed, in the form it came.
func (b *body) again(unprocessed []byte) {
	b.bytes = append([]byte(`{"ReturnConsumedCapacity":"TOTAL","RequestItems":`), unprocessed...)
	b.text("}")
}

// batchWrite writes a BatchWriteItem's body from the items' raw bytes (API BatchWriteItem): the whole encoding is
// copying.
func (b *body) batchWrite(r *dynamo.BatchWriteRequest) {
	b.text(`{"ReturnConsumedCapacity":"TOTAL","RequestItems":{`)
	b.quoted(r.Table)
	comma := `:[`
	for _, it := range r.Puts {
		b.text(comma)
		b.text(`{"PutRequest":{"Item":`)
		b.bytes = append(b.bytes, it.Raw()...)
		b.text(`}}`)
		comma = `,`
	}
	for _, it := range r.Deletes {
		b.text(comma)
		b.text(`{"DeleteRequest":{"Key":`)
		b.bytes = append(b.bytes, it.Raw()...)
		b.text(`}}`)
		comma = `,`
	}
	if comma != `,` {
		b.text(comma)
	}
	b.text(`]}}`)
}

// write writes a PutItem's or DeleteItem's body.
func (b *body) write(r *dynamo.WriteRequest) {
	b.text(`{"ReturnConsumedCapacity":"TOTAL","TableName":`)
	b.quoted(r.Table)
	if r.Delete {
		b.text(`,"Key":`)
	} else {
		b.text(`,"Item":`)
	}
	b.bytes = append(b.bytes, r.Item.Raw()...)
	if r.Condition != "" {
		b.member(`,"ConditionExpression":`, r.Condition)
		b.text(`,"ReturnValuesOnConditionCheckFailure":"ALL_OLD"`)
	}
	b.placeholders(r.Names, r.Values)
	b.text("}")
}

// consumed is the ConsumedCapacity of one table.
type consumed struct{ CapacityUnits float64 }

func consumedOne(reply []byte) (float64, error) {
	var r struct{ ConsumedCapacity consumed }
	if err := json.Unmarshal(reply, &r); err != nil {
		return 0, brokenReply(err)
	}
	return r.ConsumedCapacity.CapacityUnits, nil
}
