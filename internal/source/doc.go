// Package source opens anything that holds items: a table, a native export, a data set of ours, loose files, dead letters.
//
// It hides one decision: how a source is cut into units that tasks can read apart, and how each form of bytes becomes
// items again, and of incremental exports changes. Open looks what stands at an address and describes it (Info); Units cuts it; Source.Read streams one unit's
// items, checking on the way what the source promises of itself (MD5, counts, lengths).
//
// Windows of changes are a chain: Open refuses one that does not join each other and its base (ChainError, WithinError)
// before a file is read. Changer streams them.
//
// Invariants: a Source is made from its Spec alone, so that any process that has a plan can read its units. Units are in source
// order, which is what "last" and "first" mean when keys repeat. It imports world, dataset, manifest, the codecs and the ports.
//
//	src, err := source.Open(ctx, w, source.Spec{Address: "s3://b/exports/orders"})
//	for _, u := range src.Units(64 << 20) { r, err := src.Read(ctx, u, source.ReadOptions{}) ... }
package source
