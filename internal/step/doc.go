// Package step is what happens to items on their way: filters, renamed, dropped, masked, computed or looked-up
// attributes, and programs of the user's own, as a chain of small settings that is the same for every verb.
//
// It hides one decision: how a line of text becomes a function from an item to an item. A Chain is parsed once, from
// the texts that are part of a plan's settings, and says before anything is read whether it is Pure, and what becomes of a key
// (Keys, KeepsKeys). A Runner applies it to batches: of items (Items), or of changes with both images (Changes).
//
// Invariants: an item that no step touches is not copied. What a step makes of an item is an item like any other:
// canonical where the step wrote it, the rest byte for byte as it came. A number is compared and computed in decimal,
// exactly; what would have to be rounded is refused. A step never loses an item silently: it passes, it is dropped by a
// setting that says so and counted, or it is refused with the step and the reason, and the caller puts it aside. Keys of
// secrets are references (env:NAME, file:PATH); neither settings nor errors hold one. Redaction is the same for the raw
// records of a stream, before they are logged, and never fails open.
//
// It stands above codec and below job; it opens no address: what lookup joins from comes through Env.Open.
//
//	chain, err := step.Parse([]string{"filter price > 10", "rename id=order_id", "mask card last=4"})
//	r, err := chain.Start(ctx, step.Env{})
//	err = r.Items(ctx, batch, func(f step.Refusal) error { return deadLetter(f) })
package step
