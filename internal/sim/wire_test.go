package sim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"dynaferry/internal/aws"
	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// wired is delivered with the clients of the cloud between the code and the services: signing, parsing, checksums, retries
// and pauses are those of every run.
func wired() Scenario {
	s := delivered()
	s.Name, s.Actor = "wire", overWire(s.Actor)
	return s
}

// overWire has an actor reach its ports through Session.Over the process's wire.
func overWire(run Actor) Actor {
	return func(ctx context.Context, env *Env) error {
		s, err := aws.Load(ctx, aws.Options{Endpoint: "http://127.0.0.1:9", Region: "eu-west-1", AccessKey: "a", SecretKey: "b"})
		if err != nil {
			return err
		}
		bucket, err := s.Over(env.Wire).S3(Bucket, "", aws.S3Options{})
		if err != nil {
			return err
		}
		own := *env
		own.Bucket = bucket
		if env.p.w.Plan.Kinesis {
			own.Feed, err = s.Over(env.Wire).Kinesis()
		} else {
			own.Feed, err = s.Over(env.Wire).Streams()
		}
		if err != nil {
			return err
		}
		own.part = func(name string) blob.Bucket {
			b, err := s.Over(env.Wire.Part(name)).S3(Bucket, "", aws.S3Options{})
			if err != nil {
				panic(err) // the one above was made of the same
			}
			return b
		}
		return run(ctx, &own)
	}
}

// TestWireStreams: over the wire both kinds of streams tell what they hold, and where it ends.
func TestWireStreams(t *testing.T) {
	for seed := range uint64(10) {
		inside(t, Plan{Seed: seed + 1, Kinesis: seed%2 == 1, Writes: 60, Keys: 5, Shards: 3, Splits: 10}, func(ctx context.Context, w *World, env *Env) error {
			time.Sleep(2 * time.Minute) // until all is listed
			return overWire(func(ctx context.Context, env *Env) error {
				d, err := env.Feed.Describe(ctx, env.Stream)
				if err != nil || d.ARN != env.Stream || d.Kinesis != w.Plan.Kinesis || !d.Open {
					return fmt.Errorf("the stream is %+v: %w", d, err)
				}
				shards, err := env.Feed.Shards(ctx, env.Stream, "")
				if err != nil || len(shards) != len(w.Table.Lines()) {
					return fmt.Errorf("%d shards are listed of %d: %w", len(shards), len(w.Table.Lines()), err)
				}
				for _, s := range shards {
					if err := sameRecords(ctx, w, env, s); err != nil {
						return err
					}
				}
				return trimmedOverWire(ctx, w, env, shards)
			})(ctx, env)
		})
	}
}

// trimmedOverWire: behind a record that is no longer kept a client says so, of Kinesis too, which does not.
func trimmedOverWire(ctx context.Context, w *World, env *Env, shards []feed.Shard) error {
	time.Sleep(25 * time.Hour)
	for _, s := range shards {
		if len(w.Table.Lines()[s.ID]) < 2 || s.Closed {
			continue
		}
		if _, err := env.Feed.Iterator(ctx, env.Stream, s.ID, feed.Position{Seq: "1"}); !errors.Is(err, feed.ErrTrimmed) {
			return fmt.Errorf("behind a trimmed record: %w", err)
		}
	}
	return nil
}

// TestWireDamage: a body that does not arrive as it was sent is never taken for a page, whether the service sends a checksum
// with it (DynamoDB) or leaves that to TLS (Kinesis).
func TestWireDamage(t *testing.T) {
	for _, kinesis := range []bool{false, true} {
		inside(t, Plan{Kinesis: kinesis, Writes: 20, Rates: map[Fault]int{Damaged: 50}}, func(ctx context.Context, w *World, env *Env) error {
			return overWire(func(ctx context.Context, env *Env) error {
				told := map[bool]int{}
				for range 100 {
					_, err := env.Feed.Shards(ctx, env.Stream, "")
					if told[err == nil]++; err != nil && fault.KindOf(err) != fault.Unavailable {
						return err
					}
				}
				if told[true] < 20 || told[false] < 20 {
					return fmt.Errorf("kinesis %v: damaged are %d of 100, half would be right", kinesis, told[false])
				}
				return nil
			})(ctx, env)
		})
	}
}

// wireSeedsCI is how many seeds every run of the tests tries at the wire. DYNAFERRY_LONG tries fifty times as many.
const wireSeedsCI = 1000

// TestWireSeeds: what holds at the ports holds at the wire. Every twentieth history is made twice, and is the same.
func TestWireSeeds(t *testing.T) {
	n := uint64(wireSeedsCI)
	switch {
	case *seedFlag > 0:
		n = *seedFlag
	case os.Getenv("DYNAFERRY_LONG") != "":
		n *= 50
	case testing.Short():
		n = 30
	}
	trySeeds(t, n, func(uint64) func() Scenario { return wired })
}
