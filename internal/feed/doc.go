// Package feed is the port to a table's changes as they happen: DynamoDB Streams and Kinesis Data Streams.
//
// It hides one decision: what the rest of the program may rely on from a stream. A Client lists shards with their
// lineage, opens an iterator behind a position and reads pages; each record comes as the bytes that the service sent,
// with the few facts beside it that capture needs. Order is that of a shard alone; that a child's records come after
// its parents' is for the reader to see to. What package aws implements, feedtest describes as a suite.
//
// Retrying: a Client sends each call once. Throttled and Unavailable are the caller's to repeat; ErrExpired asks for
// another iterator behind the last position; ErrTrimmed says that records behind a position are gone for good.
//
// It imports item, fault and planted.
//
//	shards, err := client.Shards(ctx, stream, "")
//	it, err := client.Iterator(ctx, stream, shards[0].ID, feed.Position{})
//	for it != "" {
//		err := client.Read(ctx, it, 1000, &page)
//		it = page.Next
//	}
package feed
