// Package plan is the engine contract: plan → tasks → commit, with all state in a bucket.
//
// It hides one decision: how work that may be run, killed, doubled and resumed anywhere still happens once. An engine is
// asked for one thing: run this command for every i, at least once, until it exits 0. Everything else is here:
//
//	<state>/plans/<planId>/plan            immutable description, put last when a plan is made
//	<state>/plans/<planId>/tasks           one line a task
//	<state>/plans/<planId>/results/<i>.<g> put if absent: the first attempt of generation g wins
//	<state>/plans/<planId>/reopened/<i>.<g> put by the commit alone: generation g of task i is open, and why
//	<state>/plans/<planId>/poisoned/…      notes of why attempts can never pass, for the commit to say
//	<state>/plans/<planId>/sealed          the generations that count, fixed by the first commit that found them whole
//	<state>/plans/<planId>/staged/…        data and side objects of attempts, named by attempt
//	<state>/plans/<planId>/commit          the end: committed, superseded by a second round, or given up
//	<state>/plans/<planId>/told            somebody was told how it ended
//
// planId is the hash of (verb, source identity, settings, format version) and a dense number that is the nonce: number n+1
// is drawn only when the plan of number n has a commit object and its outcome was told. Tuning is no part of it. So there
// is at most one unfinished plan of equal settings at a state root, two processes that start at once meet in the same plan,
// and a run resumes what a dead one left.
//
// Job is what a verb implements; Run is the local pool, the first engine; RunTask and Commit are what any other engine
// calls. Formats are in docs/formats/plan.md. It imports commit, blob and fault.
package plan
