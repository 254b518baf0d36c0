package aws

import (
	"encoding/json"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/item"
)

// storedItem takes the item out of a ConditionalCheckFailedException, in canonical form; nil when there is none
// (API PutItem, ReturnValuesOnConditionCheckFailure).
func storedItem(reply []byte) []byte {
	var r struct{ Item json.RawMessage }
	if json.Unmarshal(reply, &r) != nil || len(r.Item) == 0 {
		return nil
	}
	b := item.Batch{Src: item.WithSlack(r.Item)}
	if ddbjson.Parse(&b, 0) != nil {
		return nil
	}
	return item.AppendCanonical(nil, b.Item(0))
}
