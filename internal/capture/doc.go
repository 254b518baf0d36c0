// Package capture carries a stream into the change log: every record once, in order, or a gap that says so.
//
// It hides one decision: how a stream that forgets is read so that its log does not. Run reads each shard from its oldest
// record, a child after its parents' end, and appends what it read to the chain of the shard's group. Where it stands is
// the tail of that chain and nothing else: whoever opens the chain goes on there, whoever loses the race for an entry
// stops. Leases spread groups over processes and save work; nothing rests on them.
//
// How it moves: a group is one loop that alone knows where its shards stand. What takes time runs beside it: at most so
// many pages at once are read into buffers that all groups share, one draft is being put while the next one grows, and
// lists are asked for. Each hands back what the loop has to do. When drafts wait no page is begun: memory does not grow.
//
// What it promises: nothing is told as captured before Append returned. Answers that may be better later are asked for
// again for ever, with pauses; those that will not be end Run with a typed error. A gap is an entry of its own, is told
// with its cure (GapError), and capture goes on behind it.
//
// What it leaves to readers: Kinesis may deliver an item's changes in another order and twice. Doubles within
// seenRecords of each other are dropped here, as long as the process lives; order by version is the reader's.
//
// Package job uses it; it imports changelog, commit, blob, feed, item, fault and planted, and knows neither cloud nor clock:
// the service's time comes with its pages.
//
//	log, err := changelog.Create(ctx, bucket, "orders.log", changelog.Info{Stream: arn, Keys: keys, View: view, Groups: 1})
//	fmt.Println(capture.Derive(kinesis, o))   // what a quiet shard costs
//	err = capture.Run(ctx, log, client, arn, o) // until ctx ends: nil, and all that was read is in the log
package capture
