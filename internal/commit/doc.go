// Package commit writes commit objects: small objects whose existence under one name is a decision.
//
// It hides one decision: what a lost answer to a conditional put means. A conditional put is not idempotent under retry:
// the first try lands, its answer is lost, the retry meets PreconditionFailed against its own object. So this package
// alone writes such objects. It turns retries below it off, puts a random write id into the body and the metadata, and
// on anything doubtful reads the object back. An empty read-back proves nothing (the put may still land), so it sends
// the same bytes with the same id to the same name again, until it knows who won or the deadline passes.
//
// Invariants: Put returns Won, Lost, or an error; an error of kind Unknown means the outcome could not be learnt and the
// caller stops, deletes nothing, and exits 75. Every object is an envelope with format, write id and checksum, so a
// damaged or foreign object is an error of kind Corrupt with its name. See docs/formats/commit-object.md.
//
// Packages plan and above may use it; it imports blob, fault and planted.
//
//	res, err := commit.Put(ctx, bucket, "plans/1/results/7.0", body, commit.Options{})
//	if err == nil && !res.Won { use(res.Body) } // somebody else's decision stands
package commit
