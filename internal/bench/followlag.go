package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"dynaferry/internal/aws"
	"dynaferry/internal/blob"
	"dynaferry/internal/sample"
)

const (
	storeDelay    = 20 * time.Millisecond // added to each call of the store
	lagItems      = 5_000                 // that are written over and over
	lagRate       = 2_000                 // writes a second
	lagSeconds    = 12
	lagWarm       = 2 * time.Second // from the first write; what was written before is not counted
	lagEvery      = 20 * time.Millisecond
	lagConnection = 8
	lagPatience   = time.Minute
)

// follow-lag: from the begin of a write in a table to when a listing of the bucket shows the file that holds it.
func (b *bench) followLags(ctx context.Context) (err error) {
	s, err := b.serveWorld(ctx, "lag")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if _, err := s.once(ctx, "CreateTable", fmt.Sprintf(localCreate, localStream)); err != nil {
		return err
	}
	s.stream = true
	if _, err := s.fill(ctx, lagItems); err != nil {
		return err
	}
	store, err := newSlowStore(ctx, s.store, storeDelay)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.close()) }()
	f, err := b.follow(ctx, append(slices.Clone(s.environment), "AWS_ENDPOINT_URL_S3="+store.URL), "dynamodb://"+localTable, "s3://lake/lag",
		"--log", "s3://lake/log", "--freshness", "1s", "--buffer-interval", followInterval, "--format", "json", "--compression", "none", "--images", "new")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.end()) }()
	if err := f.until(ctx, "delivered_records_total", lagItems); err != nil {
		return err
	}
	w := &lagWatch{}
	if w.bucket, err = openStore(ctx, s); err != nil {
		return err
	}
	many := lagSeconds * lagRate
	if b.o.Items < 100_000 { // a small run
		many = lagRate / 2
	}
	if err := b.followLag(ctx, s, w, fmt.Sprintf("at %d writes/s", lagRate), many, time.Second/lagRate); err != nil {
		return err
	}
	few, apart := 3, 20*time.Second
	switch {
	case b.o.Long:
		few, apart = 5, time.Minute
	case b.o.Items < 100_000:
		few, apart = 2, time.Second
	}
	return b.followLag(ctx, s, w, "of writes far apart", few, apart)
}

// followLag writes, watches, and adds two rows.
func (b *bench) followLag(ctx context.Context, s *served, w *lagWatch, name string, n int, apart time.Duration) error {
	w.seen = make(map[int64]time.Time, n)
	begin := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		_, err := s.together(ctx, min(lagConnection, n), n, time.Duration(n)*apart+time.Minute, func(c *rawConn, call int) (int, error) {
			if err := until(ctx, begin.Add(time.Duration(call)*apart)); err != nil {
				return 0, err
			}
			at := time.Now()
			image := sample.AppendOrder(append(make([]byte, 0, 1024), `{"TableName":"orders","Item":`...), uint64(at.UnixNano()), uint64(s.spread(call)))
			image = fmt.Appendf(image[:len(image)-1], `,"sent":{"N":"%d"}}}`, at.UnixNano())
			if apart >= time.Second { // by then a connection was closed
				_, err := s.once(ctx, "PutItem", string(image))
				return 1, err
			}
			_, err := c.post(s.head("PutItem"), image)
			return 1, err
		})
		return err
	})
	group.Go(func() error { return w.watch(ctx, n, begin.Add(time.Duration(n)*apart+lagPatience)) })
	if err := group.Wait(); err != nil {
		return err
	}
	var lags []float64
	for sent, seen := range w.seen {
		at := time.Unix(0, sent)
		if n <= lagRate || at.Sub(begin) > lagWarm {
			lags = append(lags, seen.Sub(at).Seconds())
		}
	}
	slices.Sort(lags)
	for _, p := range []struct {
		name      string
		at        float64
		must, aim float64
	}{{"p50", 0.5, 1.5, 1}, {"p99", 0.99, 4, 2}} {
		r := plain("follow: from a write to visible in the bucket, "+name+", "+p.name, "s", quantile(lags, p.at), p.must, p.aim, true)
		r.Spread = [2]float64{lags[0], lags[len(lags)-1]}
		r.Notes = map[string]float64{"writes": float64(n), "secondsApart": apart.Seconds(), "storeDelayMillis": float64(storeDelay.Milliseconds())}
		b.add(r)
	}
	return nil
}

// quantile takes the least of sorted values that so many are not above.
func quantile(sorted []float64, q float64) float64 {
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func until(ctx context.Context, at time.Time) error {
	select {
	case <-time.After(time.Until(at)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// openStore opens the bucket of a local world, past what makes it slow.
func openStore(ctx context.Context, s *served) (blob.Bucket, error) {
	o := aws.Options{Region: "us-east-1", Endpoint: s.store}
	for _, pair := range s.environment {
		switch name, value, _ := strings.Cut(pair, "="); name {
		case "AWS_ACCESS_KEY_ID":
			o.AccessKey = value
		case "AWS_SECRET_ACCESS_KEY":
			o.SecretKey = value
		}
	}
	client, err := aws.Load(ctx, o)
	if err != nil {
		return nil, err
	}
	return client.S3("lake", "", aws.S3Options{})
}

// lagWatch lists a bucket again and again, and reads what is new in it.
type lagWatch struct {
	bucket blob.Bucket
	last   string
	seen   map[int64]time.Time // by what a record says when it was sent
}

var sentStamp = regexp.MustCompile(`"sent":(\d+)`)

// watch ends when n writes were seen.
func (w *lagWatch) watch(ctx context.Context, n int, deadline time.Time) error {
	for len(w.seen) < n {
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d writes became visible", len(w.seen), n)
		}
		fresh := map[string]time.Time{}
		for info, err := range w.bucket.List(ctx, "lag/changes-", w.last) {
			if err != nil {
				return err
			}
			fresh[info.Name] = time.Now()
		}
		for _, name := range slices.Sorted(maps.Keys(fresh)) {
			if err := w.read(ctx, name, fresh[name]); err != nil {
				return err
			}
			w.last = name
		}
		if err := until(ctx, time.Now().Add(lagEvery)); err != nil {
			return err
		}
	}
	return nil
}

func (w *lagWatch) read(ctx context.Context, name string, at time.Time) error {
	body, _, err := w.bucket.Get(ctx, name, blob.ReadOptions{})
	if err != nil {
		return err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	for line := range bytes.Lines(text) {
		if found := sentStamp.FindSubmatch(line); found != nil {
			sent, err := strconv.ParseInt(string(found[1]), 10, 64)
			if err != nil {
				return err
			}
			w.seen[sent] = at
		}
	}
	return nil
}
