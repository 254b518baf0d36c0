package faulty

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// Client is a dynamo.Client with faults. It may be used concurrently; calls are then counted as they come.
type Client struct {
	below dynamo.Client
	rules []rule

	mu     sync.Mutex
	rand   *rand.Rand
	calls  map[string]int
	faults map[string]int
	late   sync.WaitGroup
}

var _ dynamo.Client = (*Client)(nil)

// New decorates a client. seed draws the chances of random rules. An error of kind User names the plan's wrong line.
func New(below dynamo.Client, plan string, seed uint64) (*Client, error) {
	rules, err := parse(plan)
	if err != nil {
		return nil, err
	}
	return &Client{below: below, rules: rules, rand: rand.New(rand.NewPCG(seed, 2)), calls: map[string]int{},
		faults: map[string]int{}}, nil
}

// Faults returns how often each fault was done.
func (c *Client) Faults() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]int{}
	for name, n := range c.faults {
		out[name] = n
	}
	return out
}

// Calls returns how often each operation was called.
func (c *Client) Calls(operation string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[operation]
}

// Unwrap is for dynamo.Power.
func (c *Client) Unwrap() dynamo.Client { return c.below }

// Wait waits for the writes that late rules hold back.
func (c *Client) Wait() { c.late.Wait() }

// next counts a call and finds its rule; nil when it passes.
func (c *Client) next(operation string) *rule {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[operation]++
	for i := range c.rules {
		r := &c.rules[i]
		if !r.covers(operation, c.calls[operation]) || r.fault == "unprocessed" && operation != "batch" {
			continue
		}
		if r.chance < 1 && c.rand.Float64() >= r.chance {
			continue
		}
		if r.fault != "unprocessed" {
			c.faults[r.fault]++
		}
		return r
	}
	return nil
}

func unavailable(format string, args ...any) error {
	return fault.New(fault.Unavailable, format, args...)
}

// around runs one call under its rule. carry carries it out.
func (c *Client) around(ctx context.Context, operation, table string, r *rule, carry func(context.Context) error) error {
	if r == nil || r.fault == "unprocessed" {
		return carry(ctx)
	}
	switch r.fault {
	case "throttle":
		direction := dynamo.Write
		if operation == "scan" || operation == "get" {
			direction = dynamo.Read
		}
		return &dynamo.ThrottleError{Table: table, Code: "ThrottlingException", Message: "by plan",
			Reasons: []dynamo.Reason{{Limit: r.limit, Direction: direction}}}
	case "500":
		return unavailable("InternalServerError (by plan)")
	case "stall":
		timer := time.NewTimer(r.wait)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return unavailable("no answer in time: %w", ctx.Err())
		case <-timer.C:
			return carry(ctx)
		}
	case "late":
		c.late.Go(func() {
			time.Sleep(r.wait)
			_ = carry(context.WithoutCancel(ctx))
		})
		return unavailable("connection reset (by plan)")
	}
	if err := carry(ctx); err != nil {
		return err
	}
	switch r.fault {
	case "cut":
		return unavailable("broken reply: %w", io.ErrUnexpectedEOF)
	case "corrupt":
		return unavailable("broken reply: CRC32 differs (by plan)")
	}
	return unavailable("connection reset (by plan)")
}

// Describe implements dynamo.Client.
func (c *Client) Describe(ctx context.Context, table string) (out *dynamo.Table, err error) {
	err = c.around(ctx, "describe", table, c.next("describe"), func(ctx context.Context) (err error) {
		out, err = c.below.Describe(ctx, table)
		return err
	})
	return keep(out, err)
}

// Scan implements dynamo.Client.
func (c *Client) Scan(ctx context.Context, req *dynamo.ScanRequest, b *item.Batch) (out *dynamo.Page, err error) {
	err = c.around(ctx, "scan", req.Table, c.next("scan"), func(ctx context.Context) (err error) {
		out, err = c.below.Scan(ctx, req, b)
		return err
	})
	if err != nil {
		b.Reset() // what a broken reply held is nobody's to use
	}
	return keep(out, err)
}

// Get implements dynamo.Client.
func (c *Client) Get(ctx context.Context, table string, keys []item.Item, b *item.Batch) (out *dynamo.Page, err error) {
	err = c.around(ctx, "get", table, c.next("get"), func(ctx context.Context) (err error) {
		out, err = c.below.Get(ctx, table, keys, b)
		return err
	})
	if err != nil {
		b.Reset()
	}
	return keep(out, err)
}

// Write implements dynamo.Client. A late write uses the request after the call has returned, so it is copied.
func (c *Client) Write(ctx context.Context, req *dynamo.WriteRequest) (out *dynamo.WriteReply, err error) {
	r := c.next("write")
	if r != nil && r.fault == "late" {
		copied := *req
		copied.Item = req.Item.Clone()
		req = &copied
		return nil, c.around(ctx, "write", req.Table, r, func(ctx context.Context) error {
			_, err := c.below.Write(ctx, req)
			return err
		})
	}
	err = c.around(ctx, "write", req.Table, r, func(ctx context.Context) (err error) {
		out, err = c.below.Write(ctx, req)
		return err
	})
	return keep(out, err)
}

// Create implements dynamo.Client.
func (c *Client) Create(ctx context.Context, def *dynamo.Definition) (out *dynamo.Table, err error) {
	err = c.around(ctx, "create", def.Name, c.next("create"), func(ctx context.Context) (err error) {
		out, err = c.below.Create(ctx, def)
		return err
	})
	return keep(out, err)
}

// Delete implements dynamo.Client.
func (c *Client) Delete(ctx context.Context, table string) error {
	return c.around(ctx, "delete", table, c.next("delete"), func(ctx context.Context) error {
		return c.below.Delete(ctx, table)
	})
}

// BatchWrite implements dynamo.Client.
func (c *Client) BatchWrite(ctx context.Context, req *dynamo.BatchWriteRequest) (*dynamo.BatchWriteReply, error) {
	r := c.next("batch")
	if r != nil && r.fault == "late" {
		req = cloned(req)
		return nil, c.around(ctx, "batch", req.Table, r, func(ctx context.Context) error {
			_, err := c.below.BatchWrite(ctx, req)
			return err
		})
	}
	left := &dynamo.BatchWriteReply{}
	if r != nil && r.fault == "unprocessed" {
		left = r.leave(req)
		n := len(left.UnprocessedPuts) + len(left.UnprocessedDeletes)
		if n > 0 {
			c.mu.Lock()
			c.faults["unprocessed"] += n
			c.mu.Unlock()
		}
		if n > 0 && n == len(req.Puts)+len(req.Deletes) { // the service makes an exception of this
			limit := r.limit
			if r.attr != "" {
				limit = dynamo.KeyRange
			}
			return nil, &dynamo.ThrottleError{Table: req.Table, Code: "ProvisionedThroughputExceededException",
				Message: "by plan", Reasons: []dynamo.Reason{{Limit: limit, Direction: dynamo.Write}}}
		}
	}
	var out *dynamo.BatchWriteReply
	err := c.around(ctx, "batch", req.Table, r, func(ctx context.Context) (err error) {
		out, err = c.part(ctx, req, left)
		return err
	})
	return keep(out, err)
}

// part writes what is not left and maps the indexes of the part's reply back.
func (c *Client) part(ctx context.Context, req *dynamo.BatchWriteRequest, left *dynamo.BatchWriteReply) (
	*dynamo.BatchWriteReply, error) {
	puts, putAt := without(req.Puts, left.UnprocessedPuts)
	deletes, deleteAt := without(req.Deletes, left.UnprocessedDeletes)
	below, err := c.below.BatchWrite(ctx, &dynamo.BatchWriteRequest{Table: req.Table, Puts: puts, Deletes: deletes})
	if err != nil {
		return nil, err
	}
	out := &dynamo.BatchWriteReply{Units: below.Units, UnprocessedPuts: left.UnprocessedPuts,
		UnprocessedDeletes: left.UnprocessedDeletes}
	for _, i := range below.UnprocessedPuts {
		out.UnprocessedPuts = append(out.UnprocessedPuts, putAt[i])
	}
	for _, i := range below.UnprocessedDeletes {
		out.UnprocessedDeletes = append(out.UnprocessedDeletes, deleteAt[i])
	}
	return out, nil
}

func without(items []item.Item, left []int) (kept []item.Item, at []int) {
	out := map[int]bool{}
	for _, i := range left {
		out[i] = true
	}
	for i, it := range items {
		if !out[i] {
			kept, at = append(kept, it), append(at, i)
		}
	}
	return kept, at
}

// leave picks the members that come back: those with the key, or the last ones.
func (r *rule) leave(req *dynamo.BatchWriteRequest) *dynamo.BatchWriteReply {
	left := &dynamo.BatchWriteReply{}
	if r.attr != "" {
		left.UnprocessedPuts = r.having(req.Puts)
		left.UnprocessedDeletes = r.having(req.Deletes)
		return left
	}
	total := len(req.Puts) + len(req.Deletes)
	for i := max(0, total-r.count); i < total; i++ {
		if i < len(req.Puts) {
			left.UnprocessedPuts = append(left.UnprocessedPuts, i)
		} else {
			left.UnprocessedDeletes = append(left.UnprocessedDeletes, i-len(req.Puts))
		}
	}
	return left
}

func (r *rule) having(items []item.Item) []int {
	var found []int
	for i, it := range items {
		if at, ok := it.Get(r.attr); ok && (it.Tape[at].Type == item.S || it.Tape[at].Type == item.N) &&
			string(it.Text(at)) == r.key {
			found = append(found, i)
		}
	}
	return found
}

func cloned(req *dynamo.BatchWriteRequest) *dynamo.BatchWriteRequest {
	out := &dynamo.BatchWriteRequest{Table: req.Table}
	for _, it := range req.Puts {
		out.Puts = append(out.Puts, it.Clone())
	}
	for _, it := range req.Deletes {
		out.Deletes = append(out.Deletes, it.Clone())
	}
	return out
}

// keep drops a result that stands beside an error: its answer never came.
func keep[T any](out *T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	if out == nil {
		return nil, errors.New("faulty: no result")
	}
	return out, nil
}
