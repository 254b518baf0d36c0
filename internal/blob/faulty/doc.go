// Package faulty is a blob.Bucket that breaks by plan: a decorator for tests of what stands above a bucket.
//
// It hides one decision: how a fault is written down. A plan is text, one rule a line or between semicolons:
//
//	put#3: 503                    the third Put fails and does nothing
//	put#5: lost                   the fifth is carried out, its answer is lost
//	publish(*.parquet)#1: lost    counted among the calls whose name matches (path.Match; * also crosses slashes)
//	get#2: cut 100                the body ends with an error after 100 bytes
//	get#4: flip 17                byte 17 of the body arrives with a bit flipped
//	put#7: late 2s                fails at once, and is carried out two seconds later
//	list#1: slow 1s               waits before it is carried out
//	call#40: crash before         the 40th call of all, whatever it is: Options.Crash runs
//	complete#1: crash after       carried out, then Options.Crash runs
//	part#*: 503                   every one; also #2-5 and #3+
//
// Operations: head get put create part complete abort publish list delete, and call for any. Faults: 403 404 412 429
// 500 503 (an error of that kind), full (no space), lost, late D, slow D, cut N, flip N, crash before|after.
//
// Calls are counted from 1 for each rule among those that match it, across goroutines in the order they begin. It
// imports blob and fault; only tests, and verbs run for tests, use it.
//
//	plan, err := faulty.Parse("put#3: 503; publish#1: lost")
//	b := faulty.New(bucket, plan, faulty.Options{})
package faulty
