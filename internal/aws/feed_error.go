package aws

import (
	"context"
	"fmt"
	"net/http"

	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// feedError turns an SDK error of a stream's client into the port's. what names the stream or the shard.
func feedError(ctx context.Context, what, list string, err error) error {
	a, err := answered(ctx, what, err)
	if err != nil {
		return err
	}
	switch a.code {
	case "ExpiredIteratorException":
		return fmt.Errorf("%s: %w", what, feed.ErrExpired)
	case "TrimmedDataAccessException":
		return fmt.Errorf("%s: %w", what, feed.ErrTrimmed)
	case "ResourceNotFoundException":
		return fault.Hint(fault.New(fault.NotFound, "%s: %s", what, a.message), "%s", list)
	case "LimitExceededException", "ProvisionedThroughputExceededException", "ThrottlingException", "Throttling",
		"RequestLimitExceeded", "TooManyRequestsException", "KMSThrottlingException":
		return fault.New(fault.Throttled, "%s: %w", what, a)
	case "UnknownOperationException":
		return fault.New(fault.Unsupported, "%s: the endpoint does not have this operation: %w", what, a)
	case "InternalServerError", "InternalFailure", "InternalFailureException", "ServiceUnavailable", "ServiceUnavailableException",
		"ExpiredNextTokenException", "ResourceInUseException":
		return fault.New(fault.Unavailable, "%s: %w", what, a)
	case "KMSAccessDeniedException", "KMSDisabledException", "KMSInvalidStateException", "KMSNotFoundException", "KMSOptInRequired":
		return fault.Hint(fault.New(fault.Permission, "%s: %w", what, a), "allow kms:Decrypt on the stream's key, and see that it is enabled")
	}
	if kind, hint := permission(a.code); kind != fault.Bug {
		return fault.Hint(fault.New(kind, "%s: %w", what, a), "%s", hint)
	}
	switch {
	case a.status == http.StatusTooManyRequests:
		return fault.New(fault.Throttled, "%s: %w", what, a)
	case a.status == 401 || a.status == 403:
		return fault.Hint(fault.New(fault.Permission, "%s: %w", what, a), "%s", hintDenied)
	case a.status >= 400 && a.status < 500 && a.code != "":
		return fault.New(fault.User, "%s: %w", what, a)
	}
	return fault.New(fault.Unavailable, "%s: %w", what, a)
}

// readPage carries out a GetRecords with the page's memory for its reply, and parses it.
func readPage(p *feed.Page, carry func(*exchange) error, parse func(*feed.Page) error) error {
	p.Reset()
	x := &exchange{reply: p.Items.Src}
	err := carry(x)
	p.Items.Src = x.reply
	if err == nil {
		p.Date, p.Bytes = x.received, len(x.reply)
		if err = parse(p); err == nil {
			return nil
		}
		if !x.checked {
			err = brokenReply(err)
		}
	}
	p.Reset()
	return err
}

// pagesMax bounds the pages of one listing: a million shards.
const pagesMax = 10_000

// shardReply is a shard as DescribeStream and ListShards show it.
type shardReply struct {
	ShardId, ParentShardId, AdjacentParentShardId string
	SequenceNumberRange                           struct{ EndingSequenceNumber string }
}

func (s *shardReply) shard() feed.Shard {
	out := feed.Shard{ID: s.ShardId, Closed: s.SequenceNumberRange.EndingSequenceNumber != ""}
	for _, parent := range []string{s.ParentShardId, s.AdjacentParentShardId} {
		if parent != "" {
			out.Parents = append(out.Parents, parent)
		}
	}
	return out
}
