package aws

import (
	"bytes"
	"encoding/json"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// brokenReply is a reply with a good status that is no answer to what was asked; the request may have been carried out.
func brokenReply(err error) error {
	return fault.New(fault.Unavailable, "broken reply: %w", plain(err))
}

// unprocessedItems is the part of a BatchWriteItem's reply that matters.
type writeReply struct {
	UnprocessedItems map[string][]struct {
		PutRequest    *struct{ Item json.RawMessage }
		DeleteRequest *struct{ Key json.RawMessage }
	}
	ConsumedCapacity []consumed
}

// batchWriteReply finds the members that a reply left unprocessed. The service sends their items back, in an order and
// a form of its own, so they are compared in canonical form.
func batchWriteReply(req *dynamo.BatchWriteRequest, body []byte) (*dynamo.BatchWriteReply, error) {
	var r writeReply
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, brokenReply(err)
	}
	reply := &dynamo.BatchWriteReply{}
	for _, c := range r.ConsumedCapacity {
		reply.Units += c.CapacityUnits
	}
	puts, deletes := map[string]bool{}, map[string]bool{}
	for _, members := range r.UnprocessedItems {
		for _, m := range members {
			var err error
			switch {
			case m.PutRequest != nil:
				err = addCanonical(puts, m.PutRequest.Item)
			case m.DeleteRequest != nil:
				err = addCanonical(deletes, m.DeleteRequest.Key)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	reply.UnprocessedPuts = indexes(puts, req.Puts)
	reply.UnprocessedDeletes = indexes(deletes, req.Deletes)
	if len(reply.UnprocessedPuts) < len(puts) || len(reply.UnprocessedDeletes) < len(deletes) {
		return nil, fault.New(fault.Unavailable, "broken reply: UnprocessedItems holds members that were not sent")
	}
	return reply, nil
}

func addCanonical(to map[string]bool, raw json.RawMessage) error {
	b := &item.Batch{Src: item.WithSlack(bytes.TrimSpace(raw))}
	if err := ddbjson.Parse(b, 0); err != nil {
		return brokenReply(err)
	}
	to[string(item.AppendCanonical(nil, b.Item(0)))] = true
	return nil
}

func indexes(left map[string]bool, members []item.Item) []int {
	if len(left) == 0 {
		return nil
	}
	var found []int
	var canonical []byte
	for i, it := range members {
		canonical = item.AppendCanonical(canonical[:0], it)
		if left[string(canonical)] {
			found = append(found, i)
		}
	}
	return found
}
