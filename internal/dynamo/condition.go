package dynamo

import (
	"bytes"

	"dynaferry/internal/item"
)

// ConditionError is ErrCondition with the item that made the condition fail.
type ConditionError struct {
	// Stored is the table's item in canonical DynamoDB JSON; nil when the service did not tell, or there is none.
	Stored []byte
}

// Error is ErrCondition's text.
func (e *ConditionError) Error() string { return ErrCondition.Error() }

// Unwrap makes errors.Is(err, ErrCondition) true.
func (e *ConditionError) Unwrap() error { return ErrCondition }

// Holds tells whether the table's item is this very item.
func (e *ConditionError) Holds(it item.Item) bool {
	return e.Stored != nil && bytes.Equal(e.Stored, item.AppendCanonical(nil, it))
}
