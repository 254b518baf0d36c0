// Package delivery makes files in a bucket of what a change log holds, each change in exactly one of them, whoever dies,
// freezes and wakes up.
//
// It hides one decision: what a cut is. An Epoch, put if absent under a dense number, says which entries of the log are
// delivered together, how they are divided into spans, and by which Settings; files are functions of the epoch and the
// entries' bytes, and bear its number. So whoever finishes an epoch writes the same files under the same names, if they
// are absent, and readers of the plain prefix see whole files of decided epochs only. A restart finishes epoch N before it
// proposes N+1. Size, time and chance decide when an epoch is proposed, and nothing else.
//
// What a file depends on beside the entries is durable before the file is: the columns that it has (schemas/<N>), and what
// became of changes in steps that are not pure (outcomes/<N>/). The format is docs/formats/delivery.md, the reasons
// decision 0021.
//
// With Settings.Into the records of an epoch go to a Sink in the place of files, a stream or who reads stdout, each at least
// once; the epochs are the same and stand with the log.
//
// Package job uses it; it imports changelog, commit, column, the codecs, dataset, blob, feed, outlet, item, fault and planted.
//
//	err := delivery.Run(ctx, log, bucket, delivery.Settings{Form: delivery.Parquet, BufferBytes: 64 << 20},
//		delivery.Options{Dir: "orders", Interval: time.Second, Bell: bell}) // until ctx ends, or a typed error
package delivery
