// Package changelog is the log of a table's changes: chains of immutable entries with a dense counter.
//
// It hides one decision: how changes are kept so that nothing is lost, doubled or skipped silently, whoever dies, freezes
// and wakes up. A Chain appends entry n+1 if it is absent, through commit; exactly one writer wins, and whoever meets an
// entry of another stops. The tail of a chain is the whole state of capture: a Chain opened anew knows for every shard
// where to go on. Readers walk entries, find a time or a key through the index, and check every byte that they use.
// The format is docs/formats/changelog.md, the reasons decision 0018.
//
// It imports feed, commit, blob, item and fault.
package changelog
