package dynamo

import (
	"context"
	"encoding/json"
	"time"

	"dynaferry/internal/item"
)

// Client speaks to the tables of one account, Region and endpoint. Methods may be called concurrently, send their
// request once, and return errors with a fault.Kind: NotFound for a missing table, Throttled as *ThrottleError,
// Unavailable for 5xx and broken or corrupted answers (the CRC of a reply is checked), Permission, User for what the
// service calls a ValidationException.
type Client interface {
	// Describe returns the table's description. NotFound.
	Describe(ctx context.Context, table string) (*Table, error)

	// Scan reads one page into b, which it resets first. The page's items stay valid until b is reset.
	Scan(ctx context.Context, req *ScanRequest, b *item.Batch) (*Page, error)

	// Get reads single items by key, consistently, into b in any order; missing ones are left out. At most 100 keys.
	Get(ctx context.Context, table string, keys []item.Item, b *item.Batch) (*Page, error)

	// BatchWrite puts and deletes up to 25 members without condition. A member the service did not take is in
	// Unprocessed. Keys must be distinct.
	BatchWrite(ctx context.Context, req *BatchWriteRequest) (*BatchWriteReply, error)

	// Write puts or deletes one item under a condition. A condition that does not hold is a
	// *ConditionError, which is ErrCondition, with the item that stands there where the service tells.
	Write(ctx context.Context, req *WriteRequest) (*WriteReply, error)

	// Create makes a table from a definition and returns once it is ACTIVE. Conflict when it exists.
	Create(ctx context.Context, def *Definition) (*Table, error)

	// Delete removes a table and returns once it is gone. Only tests and the demo call it.
	Delete(ctx context.Context, table string) error
}

// Table is what DescribeTable says, as far as jobs use it; Raw is the whole answer's Table object for backups.
type Table struct {
	Name, ARN, ID string
	Status        string
	Created       time.Time // zero where the service does not tell
	Keys          item.KeySchema
	Definition    Definition
	Items         int64 // refreshed by the service about every 6 h: an estimate
	Bytes         int64
	Provisioned   bool
	ReadUnits     float64 // provisioned; 0 on demand
	WriteUnits    float64
	MaxReadUnits  float64 // on-demand ceiling asked for, 0 when none
	MaxWriteUnits float64
	Raw           json.RawMessage
}

// Definition is what CreateTable needs, and what is stored beside exported data (docs/formats/definition.md).
type Definition struct {
	Version     int             `json:"version"`
	Name        string          `json:"name"`
	Keys        item.KeySchema  `json:"keys"`
	BillingMode string          `json:"billingMode"` // PAY_PER_REQUEST or PROVISIONED
	ReadUnits   int64           `json:"readUnits,omitempty"`
	WriteUnits  int64           `json:"writeUnits,omitempty"`
	Table       json.RawMessage `json:"table,omitempty"` // DescribeTable's answer it was taken from
	// Settings are what that does not tell; nil where they were not asked for.
	Settings *Settings `json:"settings,omitempty"`
}

// ScanRequest asks for one page of one segment.
type ScanRequest struct {
	Table              string
	Segment, Segments  int    // Segments 0 or 1: no parallel scan
	Start              []byte // LastEvaluatedKey of the page before as DynamoDB JSON, nil at the start
	Limit              int    // items evaluated at most, 0: the service's 1 MB
	Consistent         bool
	Filter, Projection string
	Names              map[string]string
	Values             map[string]item.Value
}

// Page is the rest of a reply beside its items.
type Page struct {
	Last     []byte // LastEvaluatedKey as DynamoDB JSON; nil at the end of the segment
	Scanned  int    // items evaluated before the filter
	Units    float64
	Bytes    int // size of the reply body
	Received time.Time
}

// BatchWriteRequest is up to 25 members of one table. Puts[i] and Deletes[i] are raw DynamoDB JSON maps: whole items and keys.
type BatchWriteRequest struct {
	Table   string
	Puts    []item.Item
	Deletes []item.Item
}

// BatchWriteReply names what was not taken, by index into Puts and Deletes.
type BatchWriteReply struct {
	UnprocessedPuts    []int
	UnprocessedDeletes []int
	Units              float64
}

// WriteRequest puts Item, or deletes the item with the key Item when Delete is set, if Condition holds ("" always does).
type WriteRequest struct {
	Table     string
	Item      item.Item
	Delete    bool
	Condition string
	Names     map[string]string
	Values    map[string]item.Value
}

// WriteReply tells what a write used.
type WriteReply struct{ Units float64 }
