package bench

import (
	"context"
	"runtime"
	"syscall"
	"time"

	"dynaferry/internal/aws"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/item"
	"dynaferry/internal/sample"
)

// cpuSeconds is what this process has used so far.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return float64(time.Now().UnixNano()) / 1e9
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// loopSeconds is how long one side of a pair runs.
const loopSeconds = 0.5

// rate runs work, which does n things a call, for about loopSeconds of CPU and returns the things per CPU second.
func rate(n int, work func() error) (float64, error) {
	runtime.GC()
	if err := work(); err != nil { // warm
		return 0, err
	}
	start, done := cpuSeconds(), 0
	for {
		if err := work(); err != nil {
			return 0, err
		}
		done += n
		if used := cpuSeconds() - start; used >= loopSeconds {
			return float64(done) / used, nil
		}
	}
}

// fingerprint: canonical fingerprints from export lines, tokenizing included.
func (b *bench) fingerprint(context.Context) error {
	const n = 350 // as many as a chunk of the reader holds: tape and lines are as warm as in a run
	lines := sample.OrderLines(nil, 1, 0, n)
	var batch item.Batch
	var hasher item.Hasher
	var parser ddbjson.Parser
	best := 0.0
	for range b.o.Runs {
		r, err := rate(n, func() error {
			batch.Reset()
			batch.Src = item.GrowSlack(append(batch.Src, lines...))
			if _, _, err := parser.ParseLines(&batch, ddbjson.Wrapped, true, nil); err != nil {
				return err
			}
			var print item.Fingerprint
			for i := range batch.Rows {
				print.Add(hasher.Item(batch.Item(i)))
			}
			return nil
		})
		if err != nil {
			return err
		}
		best = max(best, r)
	}
	b.add(plain("fingerprint: items from export lines a CPU second", "M items/s", best/1e6, 1, 2, false))
	return nil
}

// scan: one page's way to items, against the SDK's own decoding of the same page.
func (b *bench) scan(ctx context.Context) error {
	const n = 1400 // about 1 MB
	c := aws.NewComparison(page(n), nil)
	return b.pairs("scan: pages to items against the SDK's decoding", 10, 20, n, func() error { return c.Scan(ctx, n) }, func() error { return c.ScanSDK(ctx, n) })
}

// batchWrite: the body of one BatchWriteItem of 25 items, against the SDK's own encoding.
func (b *bench) batchWrite(ctx context.Context) error {
	const n = 25
	var batch item.Batch
	var err error
	for i := range uint64(n) {
		from := len(batch.Src)
		batch.Src = item.WithSlack(sample.AppendOrder(batch.Src, 1, i))
		if err = ddbjson.Parse(&batch, from); err != nil {
			return err
		}
	}
	items := make([]item.Item, n)
	for i := range items {
		items[i] = batch.Item(i)
	}
	c := aws.NewComparison(nil, items)
	return b.pairs("batch write: items to request bodies against the SDK's encoding", 5, 10, n, func() error { return c.Body() }, func() error { return c.BodySDK(ctx) })
}

func (b *bench) pairs(name string, must, aim float64, n int, ours, reference func() error) error {
	var x, y []float64
	for range b.o.Runs {
		r, err := rate(n, reference)
		if err != nil {
			return err
		}
		o, err := rate(n, ours)
		if err != nil {
			return err
		}
		x, y = append(x, 1/o), append(y, 1/r)
	}
	row := bar(name, "x", "aws-sdk-go-v2", must, aim, false, x, y)
	row.Ours, row.Reference = 1/row.Ours, 1/row.Reference
	b.add(row)
	return nil
}

// page is a Scan reply of n orders.
func page(n int) []byte {
	body := []byte(`{"ConsumedCapacity":{"CapacityUnits":128.0,"TableName":"T"},"Count":1400,"Items":[`)
	for i := range uint64(n) {
		if i > 0 {
			body = append(body, ',')
		}
		body = sample.AppendOrder(body, 1, i)
	}
	return append(body, `],"LastEvaluatedKey":{"orderId":{"S":"x"}},"ScannedCount":1400}`...)
}
