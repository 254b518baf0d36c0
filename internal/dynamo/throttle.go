package dynamo

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"dynaferry/internal/fault"
)

// ErrCondition is returned by Client.Write when the condition does not hold: somebody else's item stays.
var ErrCondition = fault.New(fault.Conflict, "the conditional request failed")

// Limit names what a throttled request ran into, as far as reactions differ.
type Limit string

// The limits, in the service's words (API ThrottlingReason, the part behind Table or Index and Read or Write).
const (
	// KeyRange is one partition's or one hot key's limit: spread, or slow that segment only; the table has room elsewhere.
	KeyRange Limit = "KeyRangeThroughputExceeded"
	// Provisioned is the table's or index's provisioned capacity: lower the rate.
	Provisioned Limit = "ProvisionedThroughputExceeded"
	// MaxOnDemand is the ceiling that the owner set on an on-demand table: stay below it.
	MaxOnDemand Limit = "MaxOnDemandThroughputExceeded"
	// Account is the account's limit in the Region, or too many control requests: everything backs off.
	Account Limit = "AccountLimitExceeded"
	// Replication is a concurrent write to the same item in another Region of a strongly consistent global table: retry.
	Replication Limit = "ReplicatedWriteConflict"
)

// Direction tells reads from writes.
type Direction string

// The two directions, as ThrottlingReasons write them.
const (
	Read  Direction = "Read"
	Write Direction = "Write"
)

// Reason is one of an answer's ThrottlingReasons, taken apart.
type Reason struct {
	Limit     Limit
	Direction Direction // "" when the answer does not tell
	Index     bool      // an index's limit, not the table's
	Resource  string    // ARN of the table or index; "" when the answer does not tell
}

// ParseReason takes a ThrottlingReason apart: TableReadKeyRangeThroughputExceeded, IndexWriteAccountLimitExceeded.
// What it does not know counts as Provisioned, whose reaction suits any limit.
func ParseReason(reason, resource string) Reason {
	r := Reason{Limit: Provisioned, Resource: resource}
	rest, index := strings.CutPrefix(reason, "Index")
	r.Index = index
	rest = strings.TrimPrefix(rest, "Table")
	for _, d := range []Direction{Read, Write} {
		if after, ok := strings.CutPrefix(rest, string(d)); ok {
			r.Direction, rest = d, after
		}
	}
	switch limit := Limit(rest); limit {
	case KeyRange, MaxOnDemand, Account, Replication:
		r.Limit = limit
	}
	return r
}

// ThrottleError is a request that the service refused for its rate. Nothing of it was carried out. Its fault kind is
// Throttled.
type ThrottleError struct {
	Table   string
	Code    string // the service's error code, for instance ProvisionedThroughputExceededException
	Message string
	Reasons []Reason      // at least one
	Retry   time.Duration // least wait that the service asked for, 0 for none
}

// Limit is the limit to react to: the widest one named.
func (e *ThrottleError) Limit() Limit {
	for _, limit := range []Limit{Account, MaxOnDemand, Provisioned, KeyRange} {
		for _, r := range e.Reasons {
			if r.Limit == limit {
				return limit
			}
		}
	}
	return Replication
}

// ResourceARN is the first table or index named, or "".
func (e *ThrottleError) ResourceARN() string {
	for _, r := range e.Reasons {
		if r.Resource != "" {
			return r.Resource
		}
	}
	return ""
}

// Error names the table, the limits and the service's message.
func (e *ThrottleError) Error() string {
	var limits []string
	for _, r := range e.Reasons {
		text := string(r.Direction) + string(r.Limit)
		if r.Index {
			text = "Index" + text
		}
		limits = append(limits, text)
	}
	text := fmt.Sprintf("table %s throttled (%s)", e.Table, strings.Join(limits, ", "))
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// Unwrap gives the error its kind and hint.
func (e *ThrottleError) Unwrap() error {
	return &fault.Error{Kind: fault.Throttled, Hint: e.hint(), Err: errors.New(e.Code)}
}

func (e *ThrottleError) hint() string {
	units := "--read-units or --write-units"
	for _, r := range e.Reasons {
		switch r.Direction {
		case Read:
			units = "--read-units"
		case Write:
			units = "--write-units"
		}
	}
	switch e.Limit() {
	case KeyRange:
		return "one partition is hot: retry later, or write in another key order"
	case MaxOnDemand:
		return "the table's OnDemandThroughput setting caps it: raise MaxReadRequestUnits or MaxWriteRequestUnits, or lower " +
			units
	case Account:
		return "the account's limit in this Region is reached: ask for a higher quota, or lower " + units
	}
	return "lower " + units + ", or raise the table's capacity"
}
