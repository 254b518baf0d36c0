package dynamo

import (
	"context"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// patience bounds the questions before a job: longer than a hiccup, shorter than a person waits for the news that an
// endpoint is wrong.
const patience = 8 * time.Second

// Describe is Client.Describe, asked again for a while when the answer is lost, broken or a throttle.
func Describe(ctx context.Context, c Client, table string) (t *Table, err error) {
	err = patiently(ctx, func(ctx context.Context) error {
		t, err = c.Describe(ctx, table)
		return err
	})
	return t, err
}

// Create is Client.Create, tried again likewise. A try whose answer was lost may have made the table: what stands then is
// taken for it.
func Create(ctx context.Context, c Client, def *Definition) (t *Table, err error) {
	doubtful := false
	// No deadline of one try: the service takes its time to make a table, and Create waits for that.
	g := NewGovernor(GovernorOptions{RetryFor: patience, TryTimeout: createTimeout})
	err = g.Do(ctx, 1, func(ctx context.Context) (float64, error) {
		t, err = c.Create(ctx, def)
		if doubtful && fault.KindOf(err) == fault.Conflict {
			t, err = c.Describe(ctx, def.Name)
		}
		doubtful = doubtful || fault.Retryable(err)
		return 0, err
	})
	return t, err
}

// createTimeout is more than Create itself waits.
const createTimeout = 15 * time.Minute

// Empty tells whether the table holds no item at all, likewise.
func Empty(ctx context.Context, c Client, table string) (empty bool, err error) {
	var b item.Batch
	err = patiently(ctx, func(ctx context.Context) error {
		page, err := c.Scan(ctx, &ScanRequest{Table: table, Limit: 1, Consistent: true}, &b)
		empty = err == nil && b.Len() == 0 && page.Last == nil
		return err
	})
	return empty, err
}

func patiently(ctx context.Context, call func(context.Context) error) error {
	g := NewGovernor(GovernorOptions{RetryFor: patience})
	return g.Do(ctx, 1, func(ctx context.Context) (float64, error) { return 0, call(ctx) })
}
