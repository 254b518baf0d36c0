package changelog

import (
	"fmt"
	"testing"

	"dynaferry/internal/feed"
	"dynaferry/internal/sample"
)

// benchRecords are ready records of about 1.8 KB with both images, as 64 shards give them.
func benchRecords(n int) (records []Record, bytes int) {
	for i := range n {
		old, now := sample.AppendOrder(nil, 1, uint64(i)), sample.AppendOrder(nil, 2, uint64(i))
		raw := fmt.Appendf(nil, `{"eventID":"%032x","eventName":"MODIFY","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"eu-west-1",`+
			`"dynamodb":{"ApproximateCreationDateTime":%d,"Keys":{"id":{"S":"%d"}},"NewImage":%s,"OldImage":%s,"SequenceNumber":"%030d","SizeBytes":1800,`+
			`"StreamViewType":"NEW_AND_OLD_IMAGES"}}`, i, 1_700_000_000+i/1000, i, now, old, 700_000_000_000+i)
		records = append(records, Record{Raw: raw, Position: feed.Position{Seq: feed.Number(fmt.Sprintf("7%029d", i))},
			Micros: int64(1_700_000_000+i/1000) * 1e6, Key: KeyHash(fmt.Append(nil, i))})
		bytes += len(raw) + 1
	}
	return records, bytes
}

// BenchmarkBuilder is the log's part of capture, without the put: copy, check, filter, compress, cut.
//
// The bar is 150,000 records a second of 1.8 KB on two cores for the whole of capture, 270 MB/s. The bound: zstd's
// fastest level packs such lines with 400 to 600 MB/s on a core, all else moves each byte twice and adds 0.1 µs a record;
// so two cores that do nothing else reach 400,000 records.
func BenchmarkBuilder(b *testing.B) {
	const shards = 64
	records, bytes := benchRecords(8192)
	build, err := NewBuilder(newState(0), BuilderOptions{})
	if err != nil {
		b.Fatal(err)
	}
	ids := make([]string, shards)
	for i := range ids {
		ids[i] = fmt.Sprintf("shardId-%020d", i)
		if err := build.Begin(Shard{ID: ids[i]}); err != nil {
			b.Fatal(err)
		}
	}
	// Positions must rise: each round has a higher first digit block, made before the clock runs.
	seqs := make([]feed.Number, len(records))
	round, packed := 0, 0
	b.SetBytes(int64(bytes))
	b.ReportAllocs()
	for b.Loop() {
		round++
		b.StopTimer()
		for i := range seqs {
			seqs[i] = feed.Number(fmt.Sprintf("%d%09d", 100_000_000+round, i))
		}
		b.StartTimer()
		for i := range records {
			r := records[i]
			r.Seq = seqs[i]
			// Pages come whole: 512 records of a shard, then the next shard.
			if err := build.Add(ids[i/512%shards], r); err != nil {
				b.Fatal(err)
			}
			if build.Full() {
				packed += len(build.Cut().body)
			}
		}
	}
	packed += len(build.Cut().body)
	total := float64(b.N) * float64(len(records))
	b.ReportMetric(total/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(bytes)/float64(len(records)), "B/record")
	b.ReportMetric(float64(b.N)*float64(bytes)/float64(packed), "ratio")
}
