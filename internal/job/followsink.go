package job

import (
	"bufio"
	"cmp"
	"context"
	"iter"
	"time"

	"dynaferry/internal/delivery"
	"dynaferry/internal/fault"
	"dynaferry/internal/outlet"
	"dynaferry/internal/world"
)

// Stdout is the destination of a follower whose records are lines for a program that reads them.
const Stdout = "-"

// What is waited for before records go into a sink: who reads streams waits for a second and not for a file to be full. What is
// sent again after a crash is at most what these let grow.
const (
	sinkInterval    = time.Second
	sinkBufferBytes = 4 << 20
)

// sink tells whether the destination takes records, and opens it: nil is a place for files.
func (f *Follow) sink(ctx context.Context, from world.Address) (delivery.Sink, error) {
	w := &f.wish
	if w.Dest == "" {
		return nil, nil
	}
	var to delivery.Sink
	name, bare := "stdout", false
	if w.Dest == Stdout {
		to = &lineSink{bufio.NewWriterSize(w.Stdout, 1<<20)}
	} else {
		at, err := world.Parse(w.Dest)
		if err != nil || at.Scheme != world.Kinesis && at.Scheme != world.Firehose {
			return nil, err
		}
		if at.Scheme == from.Scheme && at.Host == from.Host {
			return nil, fault.New(fault.User, "%s is what is followed: it would never end", at)
		}
		client, stream, err := f.env.World.Outlet(ctx, at)
		if err != nil {
			return nil, err
		}
		to = streamSink{client, stream}
		name, bare = string(at.Scheme)+"-"+at.Host, at.Scheme == world.Kinesis
		w.Dest = at.String()
	}
	if w.Log == "" {
		return nil, fault.Hint(fault.New(fault.User, "%s has no place for the change log, and one on this host alone would be lost with it", w.Dest), "add --log s3://bucket/prefix")
	}
	w.Delivery.Into = w.Dest
	w.Delivery.Name = cmp.Or(w.Delivery.Name, name)
	w.Delivery.Bare = bare
	if w.Newline != nil {
		w.Delivery.Bare = !*w.Newline
	}
	w.Delivery.BufferBytes = cmp.Or(w.Delivery.BufferBytes, sinkBufferBytes)
	w.Deliver.Interval = cmp.Or(w.Deliver.Interval, sinkInterval)
	return to, nil
}

// streamSink puts records into a stream of AWS.
type streamSink struct {
	client outlet.Client
	stream string
}

func (s streamSink) Limits() outlet.Limits { return s.client.Limits() }

func (s streamSink) Send(ctx context.Context, records iter.Seq[outlet.Record]) error {
	return outlet.Send(ctx, s.client, s.stream, records, outlet.Options{})
}

// lineSink writes records to who reads them. They have arrived when they are written and nothing of them waits in memory.
type lineSink struct{ w *bufio.Writer }

func (s *lineSink) Limits() outlet.Limits { return outlet.Limits{} }

func (s *lineSink) Send(ctx context.Context, records iter.Seq[outlet.Record]) error {
	for r := range records {
		if ctx.Err() != nil {
			return ctx.Err() // what is cut short comes again
		}
		if _, err := s.w.Write(r.Data); err != nil {
			return closed(err)
		}
	}
	if err := s.w.Flush(); err != nil {
		return closed(err)
	}
	return nil
}

// closed says that nobody reads any more.
func closed(err error) error {
	return fault.Hint(fault.New(fault.User, "write records: %w", err), "the same command goes on with what was not written")
}
