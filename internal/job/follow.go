package job

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/capture"
	"dynaferry/internal/changelog"
	"dynaferry/internal/commit"
	"dynaferry/internal/dataset"
	"dynaferry/internal/delivery"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
	"dynaferry/internal/step"
	"dynaferry/internal/world"
)

// logFolder is where a log stands beside what is delivered from it, below dataset.Hidden.
const logFolder = "log"

// FollowWish says what is followed, and where it goes.
type FollowWish struct {
	Source string // a table or a Kinesis stream
	Dest   string // "" only captures; also a stream that takes records, or Stdout
	Log    string // address of the change log; "" is beside files that are delivered

	EnableStream feed.View      // turns the stream of a table on that has none; "" does not
	Keys         item.KeySchema // of a Kinesis stream, which does not tell them
	Groups       uint32         // of a log that is made, 1 where it is 0; one that is there has its own
	Capture      capture.Options
	LogObjects   blob.Settings // how segments are stored

	// Redact are rules of step.Redaction: what they name is never in the log. None are those of the log that is there.
	Redact []string

	// Bootstrap puts a snapshot of the table beside what is delivered, by scan or by the service's own export; "" does not.
	Bootstrap string
	ReadUnits string        // of a scan, as Tuning has it
	Settle    time.Duration // how long after every shard is read a snapshot may begin: 60 s, which only suites shorten

	// From is where the delivery begins, once: now, trim-horizon, a time, or positions SHARD:NUMBER. None is all that is in the log.
	From     []string
	Delivery delivery.Settings
	Deliver  delivery.Options
	Objects  blob.Settings // how files are stored
	Stdout   io.Writer     // of the destination Stdout
	Newline  *bool         // whether records of a stream end with a line feed; nil is as is usual there

	// Idle ends the run when nothing came for so long and all that came is delivered; 0 goes on for ever.
	Idle time.Duration
}

// Follow is a follower that is ready to run.
type Follow struct {
	env    *Env
	wish   FollowWish
	client feed.Client
	stream *feed.Stream
	shards int
	log    *changelog.Log
	dest   *world.Location // of files, or with into the log's
	into   delivery.Sink   // nil of files
	// redaction is what happens to records before they are written; nil is nothing.
	redaction *step.Redaction
	bell      delivery.Bell

	rates     capture.Rates
	captured  capture.Metrics
	delivered delivery.Progress
	alarm     alarm
	booting   atomic.Bool
	began     time.Time
}

// NewFollow opens the source, the log and the destination, and makes what is missing of them. Nothing is read yet.
func NewFollow(ctx context.Context, env *Env, w FollowWish) (*Follow, error) {
	from, err := world.Parse(w.Source)
	if err != nil {
		return nil, err
	}
	if w.Dest == "" && w.Log == "" {
		return nil, fault.Hint(fault.New(fault.User, "follow needs a destination, or --log to capture alone"), "dynaferry follow %s s3://bucket/prefix", w.Source)
	}
	if w.Delivery.Steps, err = wholeSteps(w.Delivery.Steps); err != nil {
		return nil, err
	}
	if w.Capture.Writer == "" {
		w.Capture.Writer = commit.NewID(ctx, "writer").String()
	}
	f := &Follow{env: env, wish: w, began: time.Now()}
	if f.into, err = f.sink(ctx, from); err != nil {
		return nil, err
	}
	if err := f.wish.Delivery.Check(); err != nil {
		return nil, err
	}
	redaction, err := step.ParseRedaction(w.Redact)
	if err != nil {
		return nil, err
	}
	if err := f.checkFrom(); err != nil {
		return nil, err
	}
	keys, err := f.source(ctx, from)
	if err != nil {
		return nil, err
	}
	if err := redaction.CheckKeys(keys); err != nil {
		return nil, err
	}
	if err := f.checkBootstrap(from); err != nil {
		return nil, err
	}
	loc, err := f.places(ctx)
	if err != nil {
		return nil, err
	}
	if err := f.begins(ctx, from, loc, keys); err != nil {
		return nil, err
	}
	shards, err := f.client.Shards(ctx, f.stream.ARN, "")
	if err != nil {
		return nil, err
	}
	f.shards = len(shards)
	f.rates = capture.Derive(f.stream.Kinesis, f.wish.Capture)
	if w.Bootstrap != "" {
		f.booting.Store(true)
		f.wish.Capture.TipEvery = tipWhileBooting
	}
	return f, f.begin(ctx, shards)
}

// source finds the stream, and what its records' keys are. Of a table whose stream is to be turned on it tells what that will be.
func (f *Follow) source(ctx context.Context, at world.Address) (keys item.KeySchema, err error) {
	if at.Scheme == world.DynamoDB {
		if keys, err = f.table(ctx, at); err != nil {
			return keys, err
		}
	}
	if f.stream == nil {
		if err := f.describe(ctx, at); err != nil {
			return keys, err
		}
	}
	if f.stream.Kinesis {
		keys = f.wish.Keys
	}
	return keys, f.views(at)
}

func (f *Follow) describe(ctx context.Context, at world.Address) (err error) {
	var name string
	if f.client, name, err = f.env.World.Feed(ctx, at); err == nil {
		f.stream, err = f.client.Describe(ctx, name)
	}
	return err
}

// table tells the keys, and where the table has no stream, what it gets.
func (f *Follow) table(ctx context.Context, at world.Address) (keys item.KeySchema, err error) {
	client, err := f.env.World.Client(ctx, at)
	if err != nil {
		return keys, err
	}
	t, err := dynamo.Describe(ctx, client, at.Host)
	if err != nil || t.Stream().Enabled {
		if err == nil {
			keys = t.Keys
		}
		return keys, err
	}
	switch {
	case f.wish.EnableStream == "":
		err := fault.New(fault.NotFound, "table %s has no stream", at.Host)
		return keys, fault.Hint(err, "add --enable-stream new-and-old, or: aws dynamodb update-table --table-name %s --stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES", at.Host)
	case f.env.DryRun:
		return t.Keys, fault.New(fault.NotFound, "table %s has no stream yet; it would be turned on", at.Host)
	}
	f.stream = &feed.Stream{Table: at.Host, View: f.wish.EnableStream}
	return t.Keys, nil
}

// turnOn makes the stream that the table gets. All else that a follower needs was looked at before: a run that cannot start changes
// nothing of the table.
func (f *Follow) turnOn(ctx context.Context, at world.Address) error {
	client, err := f.env.World.Client(ctx, at)
	if err != nil {
		return err
	}
	if _, err := dynamo.EnableStream(ctx, client, at.Host, string(f.wish.EnableStream)); err != nil {
		return err
	}
	f.env.say("turned on the stream of %s with %s", at.Host, f.wish.EnableStream)
	return f.describe(ctx, at)
}

// views refuses what the stream's records cannot give, and tells what is lost.
func (f *Follow) views(at world.Address) error {
	v := f.stream.View
	if f.wish.Dest != "" && !v.HasNew() && f.wish.Delivery.Images == delivery.New {
		err := fault.New(fault.User, "the stream of %s has the view %s: its records do not tell what items became", at.Host, v)
		return fault.Hint(err, "make it anew with NEW_AND_OLD_IMAGES, or deliver --images changes")
	}
	switch {
	case v == feed.KeysOnly:
		f.env.say("warning: the stream's view is KEYS_ONLY: the log knows which items changed, and nothing of what they hold; it can be neither replayed nor reverted")
	case v == feed.OldImage:
		f.env.say("warning: the stream's view is OLD_IMAGE: the log does not know what items became; it cannot be replayed")
	case v == feed.NewImage:
		f.env.say("warning: the stream's view is NEW_IMAGE: what was before is lost; nothing can be reverted, nor archived after TTL took it")
	}
	return nil
}

// places opens where the log and the files go, and asks the stores for what a follower relies on.
func (f *Follow) places(ctx context.Context) (loc world.Location, err error) {
	var at world.Address
	if f.wish.Dest != "" && f.into == nil {
		if at, err = world.Parse(f.wish.Dest); err != nil {
			return loc, err
		}
		dest, err := f.env.location(ctx, at, f.wish.Objects)
		if err != nil {
			return loc, err
		}
		if err := blob.ProbeConditional(ctx, dest.Bucket, path.Join(dest.Prefix, dataset.Hidden)); err != nil {
			return loc, err
		}
		f.dest = &dest
		at = at.Join(dataset.Hidden).Join(logFolder)
	}
	if f.wish.Log != "" {
		if at, err = world.Parse(f.wish.Log); err != nil {
			return loc, err
		}
	}
	if loc, err = f.env.location(ctx, at, f.wish.LogObjects); err != nil {
		return loc, err
	}
	if f.into != nil {
		f.dest = &loc
	}
	return loc, blob.ProbeConditional(ctx, loc.Bucket, loc.Prefix)
}

// begins makes what is missing of the stream and the log, in this order, after all that can be known before.
func (f *Follow) begins(ctx context.Context, from world.Address, loc world.Location, keys item.KeySchema) error {
	info := changelog.Info{Stream: f.stream.ARN, Kinesis: f.stream.Kinesis, Table: f.stream.Table, Keys: keys, View: f.stream.View,
		Groups: f.wish.Groups, Redact: f.wish.Redact, Created: f.began.UTC().Truncate(time.Second)}
	log, err := changelog.Find(ctx, loc.Bucket, loc.Prefix, info)
	if err != nil {
		return err
	}
	rules := f.wish.Redact
	if log != nil {
		rules = log.Redact
	}
	if f.redaction, err = startRedaction(rules, keys); err != nil {
		return err
	}
	if f.redaction != nil {
		if f.wish.Bootstrap != "" {
			err := fault.New(fault.User, "--bootstrap: a snapshot would hold what the log's rules of --redact keep out")
			return fault.Hint(err, "export the table with --step 'drop …' and 'hash …' beside the follower")
		}
		f.wish.Capture.Redact = f.redaction.Record
	}
	if f.client == nil {
		if err := f.turnOn(ctx, from); err != nil {
			return err
		}
		info.Stream = f.stream.ARN
	}
	f.log, err = changelog.Create(ctx, loc.Bucket, loc.Prefix, info)
	return err
}

// Start tells what is about to happen, and what it costs.
func (f *Follow) Start() FollowStart {
	return FollowStart{Type: "follow-start", Stream: f.stream.ARN, View: f.stream.View, Shards: f.shards, Log: f.log.URL(), Destination: f.wish.Dest,
		Freshness: f.rates.Freshness.Seconds(), ReadBudget: f.rates.ReadBudget, MonthUSD: f.rates.MonthUSD(f.shards)}
}

// FollowStart is the first line of a follower.
type FollowStart struct {
	Type        string    `json:"type"` // "follow-start"
	Stream      string    `json:"stream"`
	View        feed.View `json:"view"`
	Shards      int       `json:"shards"`
	Log         string    `json:"log"`
	Destination string    `json:"destination,omitempty"`
	Freshness   float64   `json:"freshnessSeconds"` // from a write to the log
	ReadBudget  int       `json:"callsPerHour"`     // of an idle shard
	MonthUSD    float64   `json:"idleMonthUSD"`     // of reading these shards while they are idle, beyond the free tier
}

// String is the line for people.
func (s FollowStart) String() string {
	kind := "DynamoDB"
	if strings.HasPrefix(s.Stream, "arn:aws:kinesis") {
		kind = "Kinesis"
	}
	return fmt.Sprintf("%s stream of %d shards, %s; in the log within %v of a write, which is %d calls an hour of an idle shard, about $%.2f a month",
		kind, s.Shards, s.View, time.Duration(s.Freshness*float64(time.Second)), s.ReadBudget, s.MonthUSD)
}

// errIdle ends a run that was to end when nothing comes.
var errIdle = errors.New("nothing came for a while")
