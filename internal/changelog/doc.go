// Package changelog is the log of a table's changes: chains of immutable entries with a dense counter.
//
// It hides one decision: how changes are kept so that nothing is lost, doubled or skipped silently, whoever dies, freezes
// and wakes up. A Chain appends entry n+1 if it is absent, through commit; exactly one writer wins, and whoever meets an
// entry of another stops. The tail of a chain is the whole state of capture: a Chain opened anew knows for every shard
// where to go on. Readers walk entries, find a time or a key through the index, and check every byte that they use.
// The format is docs/formats/changelog.md, the reasons decision 0018.
//
// A Builder gathers records into compressed blocks beside the caller, and its draft becomes an entry when a Chain appends
// it. It knows where shards stand behind what was added, so that the next draft grows while one is being put.
//
// A log may hold a part of another (Info.Part); a Copier writes it, and whoever wants all that happened refuses it.
//
// Packages capture, delivery and above may use it; it imports feed, commit, blob, item and fault.
//
//	log, err := changelog.Create(ctx, bucket, "orders.log", changelog.Info{Stream: arn, Groups: 1})
//	chain, err := log.Chain(ctx, 0, processID, changelog.ChainOptions{})
//	_, err = chain.Append(ctx, &changelog.Draft{Kind: changelog.Fence, At: now})
//	build, err := changelog.NewBuilder(chain.State(), changelog.BuilderOptions{})
//	err = build.Begin(changelog.Shard{ID: shard.ID, Parents: shard.Parents})
//	err = build.Add(shard.ID, changelog.Record{Raw: line, Position: at, Micros: when, Key: changelog.KeyHash(key)})
//	entry, err := chain.Append(ctx, build.Cut()) // durable, or a typed error
//	for batch, err := range log.Read(ctx, changelog.Range{Poll: time.Second}) { ... }
package changelog
