package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/changelog"
	"dynaferry/internal/commit"
	"dynaferry/internal/dataset"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/plan"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// A bootstrap puts a snapshot of the table below the destination, while capture runs, and says when the snapshot and the log
// together tell the table: docs/formats/delivery.md, "Snapshot". Its decisions are two commit objects: when capture was known
// to read every shard (T0), and that all up to the snapshot's end is in the log. In between it is an export like any other, which
// goes on where it was when it is killed, however long it takes.

// The ways of a bootstrap.
const (
	bootstrapScan   = "scan"
	bootstrapExport = "export"
)

// Names below the destination.
const (
	snapshotFolder    = "snapshot"
	bootstrapBegan    = "bootstrap/began"
	bootstrapFinished = "bootstrap/finished"
)

// settleDefault is how long after T0 a snapshot may begin: what was written before a shard was read, and comes into the stream late,
// is in the table by then.
const settleDefault = 60 * time.Second

// tipWhileBooting is how often idle shards are noted in the log while somebody waits for them.
const tipWhileBooting = 10 * time.Second

// Bootstrapped is what a bootstrap came to: the body of the commit object that publishes it.
type Bootstrapped struct {
	Format   int       `json:"format"`
	Kind     string    `json:"kind"` // scan or export
	T0       time.Time `json:"t0"`   // the last shard's first reply, by the service's clock
	Snapshot string    `json:"snapshot,omitempty"`
	Version  int       `json:"version,omitempty"` // of the data set Snapshot
	Start    time.Time `json:"start,omitzero"`    // each item is of a time between Start and End
	End      time.Time `json:"end,omitzero"`
	Items    int64     `json:"items"`
	Entries  []uint64  `json:"entries,omitempty"` // by group: up to here the log has all of before End
}

const bootstrapFormat = 1

// checkBootstrap refuses what cannot be made whole.
func (f *Follow) checkBootstrap(from world.Address) error {
	wish := func(format string, args ...any) error { return fault.New(fault.User, "--bootstrap: "+format, args...) }
	switch {
	case f.wish.Bootstrap == "":
		return nil
	case f.wish.Bootstrap != bootstrapScan && f.wish.Bootstrap != bootstrapExport:
		return wish("%q: it is %s or %s", f.wish.Bootstrap, bootstrapScan, bootstrapExport)
	case from.Scheme != world.DynamoDB:
		return wish("%s is no table", from)
	case f.wish.Dest == "" || f.into != nil:
		return wish("a snapshot lies below a destination of files")
	case !f.stream.View.HasNew():
		return fault.Hint(wish("the stream's view is %s: its records do not tell what items became", f.stream.View), "make the stream anew with NEW_AND_OLD_IMAGES")
	case len(f.wish.From) > 0:
		return wish("--from leaves changes out that the snapshot needs")
	}
	return nil
}

// hidden is a name of ours below the destination.
func (f *Follow) hidden(name string) string { return path.Join(f.dest.Prefix, dataset.Hidden, name) }

// bootstrap runs until the snapshot is published.
func (f *Follow) bootstrap(ctx context.Context) error {
	b, err := f.bootstrapped(ctx, bootstrapFinished)
	if err != nil || b != nil {
		return err
	}
	if b, err = f.bootstrapped(ctx, bootstrapBegan); err == nil && b == nil {
		b, err = f.beginBootstrap(ctx)
	}
	if err != nil {
		return err
	}
	if b.Kind != f.wish.Bootstrap {
		return fault.Hint(fault.New(fault.Conflict, "the bootstrap of %s was begun by %s", f.wish.Dest, b.Kind), "go on with --bootstrap %s", b.Kind)
	}
	r, p, err := f.snapshot(ctx, b)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	f.env.say("the snapshot of %d items is there; waiting until the log has all up to %s", b.Items, timeText(b.End))
	if b.Entries, err = f.reached(ctx, b.End); err != nil {
		return err
	}
	result, err := commit.Put(ctx, f.dest.Bucket, f.hidden(bootstrapFinished), marshal(b), commit.Options{})
	if err != nil {
		return err
	}
	f.env.say("bootstrapped: %s as of %s to %s, and the log from there on", b.Snapshot, timeText(b.Start), timeText(b.End))
	if result.Won {
		return Tell(ctx, r.State, p)
	}
	return nil
}

// bootstrapped reads one of the two decisions; nil when it is not made.
func (f *Follow) bootstrapped(ctx context.Context, name string) (*Bootstrapped, error) {
	body, err := commit.Read(ctx, f.dest.Bucket, f.hidden(name))
	if errors.Is(err, blob.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return f.parseBootstrap(name, body)
}

func (f *Follow) parseBootstrap(name string, body []byte) (*Bootstrapped, error) {
	b := new(Bootstrapped)
	if err := json.Unmarshal(body, b); err != nil || b.Format != bootstrapFormat {
		return nil, fault.At(fault.New(fault.Corrupt, "it is no bootstrap of format %d: %v", bootstrapFormat, err), fault.Place{File: f.hidden(name)})
	}
	return b, nil
}

// beginBootstrap decides T0.
func (f *Follow) beginBootstrap(ctx context.Context) (*Bootstrapped, error) {
	at := path.Join(f.dest.Prefix, snapshotFolder)
	if set, err := dataset.Load(ctx, f.dest.Bucket, at); err != nil {
		return nil, err
	} else if set.Head >= 0 || len(set.Open) > 0 {
		return nil, fault.Hint(fault.New(fault.Conflict, "%s holds a data set that no bootstrap made", at), "move it away, or follow into another place")
	}
	shards, err := f.allRead(ctx)
	if err != nil {
		return nil, err
	}
	b := &Bootstrapped{Format: bootstrapFormat, Kind: f.wish.Bootstrap}
	if b.T0, err = f.lastDate(ctx, shards); err != nil {
		return nil, err
	}
	result, err := commit.Put(ctx, f.dest.Bucket, f.hidden(bootstrapBegan), marshal(b), commit.Options{})
	if err != nil {
		return nil, err
	}
	return f.parseBootstrap(bootstrapBegan, result.Body)
}

// bootEvery is how often it is looked how far the log is, by whoever waits for it.
const bootEvery = 250 * time.Millisecond

// allRead waits until the log knows every shard of the stream, so that a later life that finds one trimmed knows that it lacks
// something. It returns them.
func (f *Follow) allRead(ctx context.Context) ([]feed.Shard, error) {
	for {
		shards, err := f.client.Shards(ctx, f.stream.ARN, "")
		if err == nil && len(shards) > 0 {
			missing := map[string]int{}
			err = f.eachState(ctx, func(s *changelog.State) {
				for _, shard := range s.Unseen(shards) {
					missing[shard.ID]++
				}
				if s.N == 0 {
					missing[""] = int(f.log.Groups) // nothing is read yet
				}
			})
			all := err == nil
			for _, n := range missing {
				all = all && n < int(f.log.Groups)
			}
			if all {
				return shards, nil
			}
		}
		if err != nil && !fault.Retryable(err) {
			return nil, err
		}
		if err := pauseFor(ctx, bootEvery); err != nil {
			return nil, err
		}
	}
}

// lastDate asks each shard once, and is the latest of the service's times: whole seconds.
func (f *Follow) lastDate(ctx context.Context, shards []feed.Shard) (last time.Time, err error) {
	for i := range shards {
		now, err := f.serviceNow(ctx, shards[i:i+1])
		if err != nil {
			return last, err
		}
		if now.After(last) {
			last = now
		}
	}
	return last, nil
}

// settled waits until a snapshot may begin, by the service's clock.
func (f *Follow) settled(ctx context.Context, b *Bootstrapped) (from time.Time, err error) {
	settle := f.wish.Settle
	if settle == 0 {
		settle = settleDefault
	}
	from = b.T0.Add(settle)
	for {
		shards, err := f.client.Shards(ctx, f.stream.ARN, "")
		if err != nil {
			return from, err
		}
		now, err := f.serviceNow(ctx, shards)
		if err != nil {
			return from, err
		}
		if !now.Before(from) {
			return from, nil
		}
		f.env.progress("the snapshot begins in %v, when all of before is in the stream", from.Sub(now))
		if err := pauseFor(ctx, min(from.Sub(now), 5*time.Second)); err != nil {
			return from, err
		}
	}
}

// snapshot makes the data set, or goes on making it, and tells of which time it is.
func (f *Follow) snapshot(ctx context.Context, b *Bootstrapped) (*Request, *plan.Plan, error) {
	from, err := f.settled(ctx, b)
	if err != nil {
		return nil, nil, err
	}
	dest, err := world.Parse(f.wish.Dest)
	if err != nil {
		return nil, nil, err
	}
	b.Snapshot = dest.Join(snapshotFolder).String()
	env := *f.env
	env.State = ""
	r, err := f.exporting(ctx, &env, b.Snapshot, from)
	if err != nil {
		return nil, nil, err
	}
	_, p, err := Execute(ctx, &env, r)
	if err != nil {
		return nil, nil, err
	}
	src, err := source.Open(ctx, f.env.World, source.Spec{Address: b.Snapshot})
	if err != nil {
		return nil, nil, err
	}
	set, err := dataset.Load(ctx, f.dest.Bucket, path.Join(f.dest.Prefix, snapshotFolder))
	if err != nil {
		return nil, nil, err
	}
	shows := src.Info().Shows
	if shows == nil {
		return nil, nil, fault.New(fault.Corrupt, "%s does not tell of which time its items are", b.Snapshot)
	}
	b.Version, b.Start, b.End, b.Items = set.Head, shows.Start.UTC(), shows.End.UTC(), src.Info().Items
	if b.Kind == bootstrapExport && b.Start.Before(from) {
		return nil, nil, fault.New(fault.Conflict, "the service exported %s as of %s; %s or later was needed", f.stream.Table, timeText(b.Start), timeText(from))
	}
	return r, p, nil
}

// exporting is the export: by scan, strongly consistent, or the service's own, as of the first moment that counts. It is of Parquet,
// which keeps every value exact whatever form changes are delivered in.
func (f *Follow) exporting(ctx context.Context, env *Env, dest string, from time.Time) (*Request, error) {
	set := Copy{Dest: dest, Form: source.Parquet, Steps: f.wish.Delivery.Steps, Objects: f.wish.Objects, Tuning: Tuning{ReadUnits: f.wish.ReadUnits}}
	if f.wish.Delivery.Columns != nil {
		set.Pinned = marshal(f.wish.Delivery.Columns)
	}
	if f.wish.Bootstrap == bootstrapScan {
		return NewCopy(ctx, env, "export", source.Spec{Address: f.wish.Source, Consistent: true}, set)
	}
	native := NativeExport{Dest: dest, Form: source.Parquet, At: from.UTC().Format(time.RFC3339), Copy: &set, Told: true}
	return NewNativeExport(ctx, env, f.wish.Source, native, false)
}

// reached waits until all of before a time is in the log, and says up to which entries.
func (f *Follow) reached(ctx context.Context, t time.Time) ([]uint64, error) {
	for {
		entries, passed := make([]uint64, 0, f.log.Groups), true
		err := f.eachState(ctx, func(s *changelog.State) {
			passed = passed && s.Passed(t.UnixMicro())
			entries = append(entries, s.N)
		})
		if err == nil && passed {
			return entries, nil
		}
		if err != nil && !fault.Retryable(err) {
			return nil, err
		}
		if err := pauseFor(ctx, bootEvery); err != nil {
			return nil, err
		}
	}
}

// eachState gives where each group of the log stands.
func (f *Follow) eachState(ctx context.Context, take func(*changelog.State)) error {
	for group := range f.log.Groups {
		tail, err := f.log.Tail(ctx, group)
		if err != nil {
			return err
		}
		s, err := f.log.StateAt(ctx, group, tail)
		if err != nil {
			return err
		}
		take(s)
	}
	return nil
}
