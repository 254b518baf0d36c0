package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/zeebo/xxh3"

	"dynaferry/internal/blob"
	"dynaferry/internal/delivery"
	"dynaferry/internal/fault"
	"dynaferry/internal/world"
)

// LambdaWish says what becomes of the batches of a Lambda function.
type LambdaWish struct {
	Dest     string // of files
	Delivery delivery.Settings
	Objects  blob.Settings
	Told     func(LambdaReport) // of each invocation; may be nil
}

// Lambda makes files of the batches that an event source mapping invokes a function with. A batch is a set of records: nothing is
// known of what lies between one and the next, so nothing is promised about gaps.
type Lambda struct {
	wish   LambdaWish
	dest   world.Location
	steps  *transforms
	deal   delivery.Options
	recent recentIDs
}

// LambdaReport is what became of one invocation.
type LambdaReport struct {
	Type    string   `json:"type"` // "lambda"
	Records int64    `json:"records"`
	Known   int64    `json:"known"`   // that are in files of an earlier invocation
	Dropped int64    `json:"dropped"` // by steps, or without a new image where these are asked for
	Refused int64    `json:"refused"` // dead letters
	Files   []string `json:"files"`   // below the destination, dead letters too
	Error   string   `json:"error,omitempty"`
}

// NewLambda opens the destination and makes the steps.
func NewLambda(ctx context.Context, env *Env, w LambdaWish) (*Lambda, error) {
	at, err := world.Parse(w.Dest)
	if err != nil {
		return nil, err
	}
	if w.Delivery.Steps, err = wholeSteps(w.Delivery.Steps); err != nil {
		return nil, err
	}
	if err := w.Delivery.Check(); err != nil {
		return nil, err
	}
	l := &Lambda{wish: w, steps: &transforms{env: env}}
	if l.dest, err = env.location(ctx, at, w.Objects); err != nil {
		return nil, err
	}
	l.deal = delivery.Options{Dir: l.dest.Prefix, Workers: env.workers(), MemoryBytes: env.Memory / 2}
	if len(w.Delivery.Steps) > 0 {
		made, err := l.steps.of(ctx, w.Delivery.Steps)
		if err != nil {
			return nil, err
		}
		l.deal.Transform = func([]string) (delivery.Transform, error) { return made, nil }
	}
	return l, nil
}

// Close ends the programs of steps.
func (l *Lambda) Close() { l.steps.close() }

// batchResponse is what Lambda reads with ReportBatchItemFailures: it goes on with each shard at the sequence number.
type batchResponse struct {
	Failures []batchItemFailure `json:"batchItemFailures"`
}

type batchItemFailure struct {
	Item string `json:"itemIdentifier"`
}

// Invoke implements aws.ServeLambda's handler. The files of a shard's records are all there or the shard failed, and is tried again
// from its first record by Lambda. When every shard of the batch failed that is an error of the function, which is tried again
// whatever the mapping says, and counted by its alarms.
func (l *Lambda) Invoke(ctx context.Context, event []byte) ([]byte, error) {
	ctx, cancel := beforeDeadline(ctx)
	defer cancel()
	batches, err := readEvent(event)
	if err != nil {
		return nil, err
	}
	report := LambdaReport{Type: "lambda", Files: []string{}}
	answer := batchResponse{Failures: []batchItemFailure{}}
	var failed []error
	for _, b := range batches {
		if err := l.deliver(ctx, b, &report); err != nil {
			answer.Failures = append(answer.Failures, batchItemFailure{b.first})
			failed = append(failed, fmt.Errorf("%s from %s on: %w", b.place(), b.first, err))
		}
	}
	if err = errors.Join(failed...); len(failed) == 1 {
		err = failed[0]
	}
	if err != nil {
		report.Error = err.Error()
	}
	if l.wish.Told != nil {
		l.wish.Told(report)
	}
	if len(failed) > 0 && len(failed) == len(batches) {
		return nil, err
	}
	return json.Marshal(answer)
}

// beforeDeadline leaves time to answer: an invocation that is cut off says nothing of what it had done.
func beforeDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	late := fault.Hint(fault.New(fault.Unavailable, "the function's time is nearly over"), "raise the function's timeout, or lower the batch size of its event source mapping")
	return context.WithDeadlineCause(ctx, end.Add(-min(time.Second, time.Until(end)/5)), late)
}

func (l *Lambda) deliver(ctx context.Context, b *lambdaBatch, report *LambdaReport) error {
	fresh := map[xxh3.Uint128]bool{}
	known := map[xxh3.Uint128]bool{}
	set := delivery.Set{Name: b.name(), Source: b.source, Shard: b.shard, At: b.at, Lines: b.lines, Known: func(id []byte) bool {
		sum := xxh3.Hash128(id)
		if l.recent.has(sum) {
			known[sum] = true
			return true
		}
		fresh[sum] = true
		return false
	}}
	done, err := delivery.Deliver(ctx, l.dest.Bucket, l.wish.Delivery, l.deal, set)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	for id := range fresh {
		l.recent.add(id)
	}
	report.Records += done.Records
	report.Known += int64(len(known))
	report.Dropped += done.Dropped
	report.Refused += done.Refused
	for _, f := range done.Files {
		report.Files = append(report.Files, f.Name)
	}
	return nil
}

// recentMax is how many event ids a process remembers: some minutes of a busy shard, a few MB.
const recentMax = 100_000

// recentIDs are of the records that this process made files of last. A process of a Lambda function usually gets its shard's
// retries itself.
type recentIDs struct {
	ids  map[xxh3.Uint128]bool
	ring []xxh3.Uint128
	next int
}

func (r *recentIDs) has(id xxh3.Uint128) bool { return r.ids[id] }

func (r *recentIDs) add(id xxh3.Uint128) {
	if r.ids == nil {
		r.ids = map[xxh3.Uint128]bool{}
	}
	if len(r.ring) < recentMax {
		r.ring = append(r.ring, id)
	} else {
		delete(r.ids, r.ring[r.next])
		r.ring[r.next] = id
		r.next = (r.next + 1) % recentMax
	}
	r.ids[id] = true
}
