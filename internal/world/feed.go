package world

import (
	"context"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/outlet"
)

// Feed opens what tells the changes of an address: the Kinesis stream, or the stream of the table. stream is what the
// client's methods take for it. NotFound when the table has no stream that records come to.
func (w *World) Feed(ctx context.Context, at Address) (c feed.Client, stream string, err error) {
	s, err := w.session(ctx, at.options())
	if err != nil {
		return nil, "", err
	}
	switch at.Scheme {
	case Kinesis:
		c, err = s.Kinesis()
		stream = at.Host
	case DynamoDB:
		if stream, err = w.streamOf(ctx, at); err != nil {
			return nil, "", err
		}
		c, err = s.Streams()
	default:
		return nil, "", fault.New(fault.User, "%s is neither a table nor a stream", at)
	}
	if err != nil {
		return nil, "", err
	}
	if w.WrapFeed != nil {
		c = w.WrapFeed(c)
	}
	return c, stream, nil
}

// streamOf is the ARN of a table's stream.
func (w *World) streamOf(ctx context.Context, at Address) (string, error) {
	tables, err := w.Client(ctx, at)
	if err != nil {
		return "", err
	}
	t, err := dynamo.Describe(ctx, tables, at.Host)
	if err != nil {
		return "", err
	}
	if s := t.Stream(); s.Enabled {
		return s.ARN, nil
	}
	err = fault.New(fault.NotFound, "table %s has no stream", at.Host)
	return "", fault.Hint(err, "aws dynamodb update-table --table-name %s --stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES", at.Host)
}

// Outlet opens the Firehose or Kinesis stream of an address to put records into. stream is what the client takes for it. It makes
// no request: whether the stream is there shows with the first record.
func (w *World) Outlet(ctx context.Context, at Address) (c outlet.Client, stream string, err error) {
	s, err := w.session(ctx, at.options())
	if err != nil {
		return nil, "", err
	}
	switch at.Scheme {
	case Kinesis:
		c, err = s.Kinesis()
	case Firehose:
		c, err = s.Firehose()
	default:
		return nil, "", fault.New(fault.User, "%s is no stream that takes records", at)
	}
	if err != nil {
		return nil, "", err
	}
	return c, at.Host, nil
}
