package delivery

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dynaferry/internal/changelog"
	"dynaferry/internal/feed"
	"dynaferry/internal/sample"
)

// benchLog is a log of n records of about 1.8 KB with both images, as 64 shards give them.
func benchLog(b *testing.B, n int) (*changelog.Log, int64) {
	b.Helper()
	bucket := newMemory()
	log, err := changelog.Create(b.Context(), bucket, "", changelog.Info{Stream: "arn:stream/1", Table: "Orders", View: feed.BothImages, Groups: 1})
	must(b, err)
	chain, err := log.Chain(b.Context(), 0, "w", changelog.ChainOptions{})
	must(b, err)
	build, err := changelog.NewBuilder(chain.State(), changelog.BuilderOptions{})
	must(b, err)
	const shards = 64
	for s := range shards {
		must(b, build.Begin(changelog.Shard{ID: fmt.Sprint("shard-", s)}))
	}
	bytes := int64(0)
	for i := range n {
		old, now := sample.AppendOrder(nil, 1, uint64(i)), sample.AppendOrder(nil, 2, uint64(i))
		raw := fmt.Appendf(nil, `{"eventID":"%032x","eventName":"MODIFY","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"eu-west-1",`+
			`"dynamodb":{"ApproximateCreationDateTime":%d,"Keys":{"orderId":{"S":"o-%010d"}},"NewImage":%s,"OldImage":%s,"SequenceNumber":"7%029d",`+
			`"SizeBytes":1800,"StreamViewType":"NEW_AND_OLD_IMAGES"}}`, i, 1_700_000_000+i/1000, i, now, old, i)
		must(b, build.Add(fmt.Sprint("shard-", i/512%shards), changelog.Record{Raw: raw, Micros: int64(1_700_000_000+i/1000) * 1e6,
			Position: feed.Position{Seq: feed.Number(fmt.Sprintf("7%029d", i))}, Key: changelog.KeyHash(fmt.Append(nil, i))}))
		if bytes += int64(len(raw)) + 1; build.Full() {
			_, err := chain.Append(b.Context(), build.Cut())
			must(b, err)
		}
	}
	_, err = chain.Append(b.Context(), build.Cut())
	must(b, err)
	return log, bytes
}

// BenchmarkDeliver is all of delivery but the store: read, unpack, parse, shape, shred, encode, compress.
//
// The bar is 80,000 records a second end to end on two cores with capture beside it, 150,000 is the aim: of 2 s of CPU in
// each second capture takes about 0.8 at 150,000, so 8 µs a record are what delivery may take. The bound: zstd unpacks
// 1.8 KB in 1.8 µs, parsing it takes 1.5 µs, shredding one image of 750 bytes 1.5 µs and encoding its columns about as much.
func BenchmarkDeliver(b *testing.B) {
	const records = 60_000
	log, bytes := benchLog(b, records)
	for _, s := range []Settings{
		{Form: Parquet, Images: Changes}, {Form: Parquet, Images: New}, {Form: Parquet, Images: Both},
		{Form: Parquet, Images: Changes, Prefix: "!{timestamp:yyyy/MM/dd/HH}/!{partitionKeyFromQuery:region}/", Partition: []PartitionKey{{"region", []string{"region"}}}},
		{Form: DynamoDBJSON, Compression: "zstd"}, {Form: DynamoDBJSON}, {Form: JSON, Compression: "zstd"}, {Form: CSV, Compression: "zstd"},
	} {
		b.Run(fmt.Sprintf("%s-%s-%s-%d", s.Form, s.Images, s.Compression, len(s.Partition)), func(b *testing.B) {
			b.SetBytes(bytes)
			b.ReportAllocs()
			busy, rounds := cpu(), 0
			for b.Loop() {
				rounds++
				must(b, Run(b.Context(), log, newMemory(), s, Options{Once: true}))
			}
			used := (cpu() - busy).Seconds()
			b.ReportMetric(float64(rounds*records)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(used*1e6/float64(rounds*records), "CPU-µs/record")
		})
	}
}

// cpu is this process's CPU time, the measure that a busy machine does not distort.
func cpu() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
