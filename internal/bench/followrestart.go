package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/folder"
	"dynaferry/internal/changelog"
	"dynaferry/internal/feed"
)

const (
	restartEntries = 100_000 // of the log
	restartStream  = 20 * time.Millisecond
	restartPages   = 2 // that the log begins with
)

// follow-restart: how soon a follower that is started again has a new record in a log of many entries, with a store and a
// stream that are far away. The log is begun by a follower and made long beside its server, in the folder that it serves.
func (b *bench) followRestart(ctx context.Context) (err error) {
	first := ReadyStream{Shards: followShards, Pages: restartPages, Open: true}
	w, err := b.serveReady(ctx, "restart", first)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	args := []string{"dynamodb://" + readyTable, "--log", "s3://lake/log"}
	f, err := b.follow(ctx, w.environ, args...)
	if err != nil {
		return err
	}
	if err := errors.Join(f.until(ctx, "records_total", float64(w.records)), f.end()); err != nil {
		return err
	}
	entries := uint64(min(restartEntries, max(b.o.Items/2, 300)))
	if err := growLog(ctx, filepath.Join(w.store.Config.Dir, "buckets", "lake"), entries); err != nil {
		return err
	}
	more := ReadyStream{Shards: followShards, Pages: restartPages + 2 + int(entries)/followShards/followRecords, Delay: restartStream, Open: true}
	if err := w.serveStream(ctx, more); err != nil {
		return err
	}
	store, err := newSlowStore(ctx, w.store.Endpoint, storeDelay)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.close()) }()
	f, err = b.follow(ctx, append(slices.Clone(w.environ), "AWS_ENDPOINT_URL_S3="+store.URL), args...)
	if err != nil {
		return err
	}
	opened := store.calls.Load()
	if err := f.until(ctx, "records_total", 1); err != nil {
		return errors.Join(err, f.end())
	}
	took, calls := time.Since(f.begun), store.calls.Load()
	for _, r := range []Row{
		plain("follow: restart to the first new record in a long log", "s", took.Seconds(), 2, 1, true),
		plain("follow: calls of the store until then", "calls", float64(calls), 50, 50, true),
	} {
		r.Notes = map[string]float64{"entries": float64(entries), "storeDelayMillis": float64(storeDelay.Milliseconds()),
			"streamDelayMillis": float64(restartStream.Milliseconds()), "openedSeconds": f.opened.Sub(f.begun).Seconds(), "openedCalls": float64(opened)}
		b.add(r)
	}
	return f.end()
}

// growLog appends entries of one record each to the log in a folder, until it has so many.
func growLog(ctx context.Context, dir string, entries uint64) error {
	at, err := folder.Open(dir, folder.Options{NoSync: true})
	if err != nil {
		return err
	}
	defer at.Close()
	log, err := changelog.Open(ctx, plainFiles{at, dir}, "log")
	if err != nil {
		return err
	}
	chain, err := log.Chain(ctx, 0, "bench", changelog.ChainOptions{})
	if err != nil {
		return err
	}
	build, err := changelog.NewBuilder(chain.State(), changelog.BuilderOptions{})
	if err != nil {
		return err
	}
	if _, err := chain.Append(ctx, &changelog.Draft{Kind: changelog.Fence, At: time.Now().UnixMicro()}); err != nil {
		return err
	}
	shards := chain.State().Shards()
	s := ReadyStream{page: makeReadyPage()}
	first := restartPages * s.page.records
	for n := 0; chain.State().N < entries; n++ {
		shard := shards[n%len(shards)]
		now := time.Now().UnixMicro()
		// Behind the last record that the first follower captured, whose number tells where the shard stands.
		number := feed.Number(fmt.Sprintf("1%0*d", seqDigits, s.sequence(first+n/len(shards))))
		raw := fmt.Appendf(nil, `{"eventName":"MODIFY","dynamodb":{"ApproximateCreationDateTime":%d,"Keys":{"orderId":{"S":"o-%d"}},"SequenceNumber":%q}}`, now/1e6, n, number)
		if err := build.Add(shard.ID, changelog.Record{Raw: raw, Position: feed.Position{Seq: number}, Micros: now, Key: uint64(n) + 1}); err != nil {
			return err
		}
		draft := build.Cut()
		draft.At = now
		if _, err := chain.Append(ctx, draft); err != nil {
			return err
		}
	}
	return nil
}

// plainFiles is a folder whose new objects are files and nothing else, as the server of the folder would find any file.
type plainFiles struct {
	blob.Bucket
	dir string
}

// Put makes a file if it is absent, which is all that a log asks for.
func (p plainFiles) Put(_ context.Context, name string, body []byte, _ blob.PutOptions) (blob.Info, error) {
	path := filepath.Join(p.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return blob.Info{}, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return blob.Info{}, blob.ErrExists
	}
	if err != nil {
		return blob.Info{}, err
	}
	_, err = file.Write(body)
	return blob.Info{Name: name, Size: int64(len(body))}, errors.Join(err, file.Close())
}
