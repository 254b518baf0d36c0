// Package upstream speaks to the DynamoDB endpoint that a local one stands in front of, and follows its streams.
//
// It hides one decision: how the shards of a stream become runs of records whose order, completeness and time can be relied
// on: parents before children, closed shards to their end, iterators that expire, pages that are empty in mid-shard, and
// what proves that a shard has passed a time. Nothing here knows where records go.
//
// Invariants: a position moves only when its caller says that what it stands behind is kept; a record is never older than
// what its shard had passed before it; what cannot be read without a hole is a Gap, and never skipped.
//
// Packages local/shadow and local import it.
//
//	c := upstream.New(upstream.Options{URL: endpoint, Transport: carrier.Transport(), Sign: carrier.Sign})
//	s := c.Follow(streamARN, nil, upstream.Cautious)
//	err := s.Read(ctx)                                    // at most a page of every shard
//	for _, shard := range s.Shards() {
//		run := shard.Run(math.MaxInt64, 100)
//		keep(run, shard.Behind(len(run)))                  // in one commit
//		shard.Advance(len(run))
//	}
//	s.PassedMs()                                          // everything written before is kept
package upstream
