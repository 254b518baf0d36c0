// Package intake reads what ImportTable imports: the objects below a prefix, as items.
//
// It hides one decision: what the service takes and what it skips. A line that is no item ends its object there and counts
// as one error (as the service was measured to do, against its documentation); a value that breaks a rule costs its item
// alone; blank lines and empty objects are nothing. Which items a table takes is package local's work.
//
// Invariants: an object is read as a stream, in bounded memory; an object that changes while it is read ends the import
// (ErrChanged of blob); the error log is written where no import looks (LogFolder). Package local imports it. It imports
// blob, the codecs and item.
//
//	err := intake.Read(ctx, bucket, info, intake.Options{Format: intake.JSON}, func(p intake.Piece) error { ... })
package intake
