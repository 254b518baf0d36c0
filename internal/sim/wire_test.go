package sim

import (
	"context"
	"os"
	"testing"

	"dynaferry/internal/aws"
	"dynaferry/internal/blob"
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
		streams, err := s.Over(env.Wire).Streams()
		if err != nil {
			return err
		}
		own := *env
		own.Bucket, own.Feed = bucket, streams
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
	trySeeds(t, n, func(uint64) func() Scenario { return wired }, func(p *Plan) { p.Kinesis = false })
}
