package job

import (
	"context"
	"encoding/json"

	"dynaferry/internal/fault"
	"dynaferry/internal/plan"
)

// resultOf reads what the i-th task of a plan came to.
func resultOf[T any](ctx context.Context, c *plan.Committing, i int) (*T, error) {
	r, err := c.Results.Result(ctx, i)
	if err != nil {
		return nil, err
	}
	return bodyOf[T](r)
}

// bodyOf reads the body of a result.
func bodyOf[T any](r plan.Result) (*T, error) {
	body := new(T)
	if err := json.Unmarshal(r.Body, body); err != nil {
		return nil, fault.New(fault.Corrupt, "result of task %d: %w", r.Index, err)
	}
	return body, nil
}
