// Package shadow keeps copies of an upstream's tables in a store, with the times of the upstream's writes, by following
// their streams (docs/decisions/0016-upstream.md).
//
// It hides one decision: how a copy begins, goes on and ends so that its history in the store can be believed. The store's
// clock is a Clock, which stands at the time that all tables followed have provably passed: what is applied next bears it.
//
// Invariants: a position and the items it stands behind are one commit, so that a process killed anywhere neither loses
// a change nor makes one twice; any record of a key beats the scan that the copy begins with; a time before Since or not yet
// passed is never answered for; a gap ends a copy for good, with its reason, and touches nothing.
//
// Package local imports it, and gives it the keys and the form of items.
//
//	clock := shadow.NewClock(time.Now)
//	s, err := store.Open(store.Options{Clock: clock.Now})
//	k, err := shadow.Open(s, shadow.Options{Client: client, Clock: clock})
//	err = k.Begin(id, shadow.Source{Table: "Orders", Stream: arn}, form)
//	go k.Run(ctx)
//	err = k.Wait(ctx, id, ms)                             // the state before ms is there, or never will be
package shadow
