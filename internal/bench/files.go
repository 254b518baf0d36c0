package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"dynaferry/internal/sample"
)

// convert: a native export to typed Parquet, with MD5 checks and fingerprint on the clock, against unzipping it.
func (b *bench) convert(ctx context.Context) error {
	c, err := b.orders()
	if err != nil {
		return err
	}
	b.say("convert against gzip -dc, %d pairs", b.o.Runs)
	var ours, reference []float64
	var rss int64
	var bytes int64
	for range b.o.Runs {
		r, err := unzip(ctx, c)
		if err != nil {
			return err
		}
		o, report, err := b.converted(ctx, c, b.dir("out"))
		if err != nil {
			return err
		}
		if report.Items != int64(c.items) {
			return fmt.Errorf("converted %d of %d items", report.Items, c.items)
		}
		ours, reference = append(ours, o.cpu), append(reference, r.cpu)
		rss, bytes = max(rss, o.rss), report.Bytes
	}
	row := bar("convert: export to Parquet, CPU against gzip -dc", "x", "gzip -dc of the same files", 1.5, 0.9, true, ours, reference)
	row.Notes = map[string]float64{"itemsPerCPUSecond": float64(c.items) / median(ours), "outputBytes": float64(bytes), "rssBytes": float64(rss)}
	b.add(row)
	return nil
}

// mixed: items of four kinds with conflicts and rare attributes, per byte against the uniform ones; and how much of them
// the second round encodes again.
func (b *bench) mixed(ctx context.Context) error {
	uniform, err := b.orders()
	if err != nil {
		return err
	}
	b.say("making as many mixed items")
	c, err := makeCorpus(b.dir("mixed"), b.o.Items, sample.MixedLines)
	if err != nil {
		return err
	}
	var ours, reference []float64
	var recoded float64
	// A pair alone scatters by a tenth and more, which is what this row may differ by.
	for range 3 * b.o.Runs {
		u, _, err := b.converted(ctx, uniform, b.dir("out"))
		if err != nil {
			return err
		}
		m, report, err := b.converted(ctx, c, b.dir("out"))
		if err != nil {
			return err
		}
		ours, reference = append(ours, m.cpu/float64(c.bytes)), append(reference, u.cpu/float64(uniform.bytes))
		recoded = 100 * float64(report.Recoded) / float64(max(report.Bytes, 1))
	}
	b.add(bar("mixed items: CPU a byte against uniform ones", "x", "uniform orders", 1.3, 1.15, true, ours, reference))
	b.add(plain("mixed items: bytes encoded again in the second round", "%", recoded, 10, 3, true))
	return os.RemoveAll(c.dir)
}

// growth: ten times the data for at most ten and a half times the CPU, in memory that does not grow.
func (b *bench) growth(ctx context.Context) error {
	small, err := b.orders()
	if err != nil {
		return err
	}
	times := max(b.o.Growth, 2)
	b.say("making %d orders", times*b.o.Items)
	large, err := makeCorpus(b.dir("large"), times*b.o.Items, sample.OrderLines)
	if err != nil {
		return err
	}
	defer os.RemoveAll(large.dir)
	var ours, reference []float64
	var rss int64
	for range max(1, b.o.Runs/2) {
		s, _, err := b.converted(ctx, small, b.dir("out"))
		if err != nil {
			return err
		}
		l, _, err := b.converted(ctx, large, b.dir("out"))
		if err != nil {
			return err
		}
		ours, reference, rss = append(ours, l.cpu/float64(times)*10), append(reference, s.cpu), max(rss, l.rss)
	}
	b.add(bar(fmt.Sprintf("growth: CPU for 10x the items (measured at %dx)", times), "x", "the smaller corpus", 10.5, 10.2, true, ours, reference))
	b.add(plain(fmt.Sprintf("memory: resident at most, %d items", large.items), "MB", float64(rss)/1e6, 256, 150, true))
	return nil
}

// Parse reads a Result back, for comparing runs.
func Parse(data []byte) (*Result, error) {
	var r Result
	return &r, json.Unmarshal(data, &r)
}
