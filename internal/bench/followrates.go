package bench

import (
	"context"
	"errors"
	"math"
	"os"
	"time"
)

// What followers are measured under.
const (
	followShards   = 64
	followMany     = 1000 // shards, for memory
	followRecords  = 583  // of a page of the ready stream, about
	followInterval = "1s"
)

// follow-log: a table's changes into the log, from ready pages and into our own S3 on the same cores.
func (b *bench) followLog(ctx context.Context) error {
	return b.followRate(ctx, "follow: changes captured to the log", 150_000, 250_000, "records_total", "dynamodb://"+readyTable, "--log", "s3://lake/log")
}

// parquetFiles follows into Parquet.
var parquetFiles = []string{"dynamodb://" + readyTable, "s3://lake/files", "--format", "parquet", "--buffer-interval", followInterval}

// follow-parquet: the same, and from the log into Parquet.
func (b *bench) followParquet(ctx context.Context) error {
	return b.followRate(ctx, "follow: changes end to end to Parquet in S3", 80_000, 150_000, "delivered_records_total", parquetFiles...)
}

// followRun is one follower's way through a ready stream.
type followRun struct {
	rate, peak              float64 // records/s, MB
	follower, stream, store float64 // CPU seconds
	seconds                 float64
	records                 int
}

// runFollow runs a follower until the counter says that all of the stream has arrived.
func (b *bench) runFollow(ctx context.Context, stream ReadyStream, counter string, args []string) (run followRun, err error) {
	if err := os.RemoveAll(b.dir("follow")); err != nil {
		return run, err
	}
	w, err := b.serveReady(ctx, "follow", stream)
	if err != nil {
		return run, err
	}
	defer func() { err = errors.Join(err, w.stop(), os.RemoveAll(b.dir("follow"))) }()
	served, stored := w.cpu()
	f, err := b.follow(ctx, w.environ, args...)
	if err != nil {
		return run, err
	}
	if err := f.until(ctx, counter, float64(w.records)); err != nil {
		return run, errors.Join(err, f.end())
	}
	run.seconds, run.records = time.Since(f.opened).Seconds(), w.records
	run.rate, run.peak = float64(w.records)/run.seconds, f.peak
	run.follower = cpuOf(f.cmd.Process.Pid)
	run.stream, run.store = w.cpu()
	run.stream -= served
	run.store -= stored
	return run, f.end()
}

// followRate takes the best of the runs. Beside it stands what a record costs each process: on a machine that does
// something else, too, that tells more than the rate; perTwoCores is what they would carry if they did nothing else.
func (b *bench) followRate(ctx context.Context, name string, must, aim float64, counter string, args ...string) error {
	stream := ReadyStream{Shards: followShards, Pages: max(b.o.Items/followShards/followRecords, 1)}
	var best Row
	spread := [2]float64{math.Inf(1), 0}
	for range b.o.Runs {
		run, err := b.runFollow(ctx, stream, counter, args)
		if err != nil {
			return err
		}
		spread = [2]float64{min(spread[0], run.rate), max(spread[1], run.rate)}
		if run.rate < spread[1] {
			continue
		}
		best = plain(name, "records/s", run.rate, must, aim, false)
		micros := 1e6 / float64(run.records)
		all := run.follower + run.stream + run.store
		best.Notes = map[string]float64{"records": float64(run.records), "shards": float64(stream.Shards), "followerCPUus": run.follower * micros,
			"streamCPUus": run.stream * micros, "storeCPUus": run.store * micros, "cores": all / run.seconds,
			"perTwoCores": 2 * float64(run.records) / all, "peakMB": run.peak}
	}
	best.Spread = spread
	b.add(best)
	return nil
}

// follow-memory: as many shards as a large table has, all of them behind by pages of 1 MB.
func (b *bench) followMemory(ctx context.Context) error {
	stream := ReadyStream{Shards: followMany, Pages: 1}
	if b.o.Items < followMany*followRecords { // a small run
		stream.Shards = followShards
	}
	run, err := b.runFollow(ctx, stream, "delivered_records_total", parquetFiles)
	if err != nil {
		return err
	}
	r := plain("follow: resident at most, every shard behind by pages of 1 MB", "MB", run.peak, 256, 128, true)
	r.Notes = map[string]float64{"shards": float64(stream.Shards), "records": float64(run.records), "recordsPerSecond": run.rate}
	b.add(r)
	return nil
}
