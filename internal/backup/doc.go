// Package backup is the catalogue of a place of backups: which exports lie there, and the table at which times they make up.
//
// It hides one decision: how backups are written down and chosen. Each is one commit object below _dynaferry/backups, numbered
// densely, put when all of its data is there, and never changed: a backup is in the catalogue when it is whole, or not at all
// (docs/formats/backup.md). A base holds every item; further backups hold the changes of windows that touch, each with the
// table's definition as it was then. Points are the times that come of it: the moments of bases, and the ends of windows that
// join them without a hole.
//
// Invariants: what is chosen joins without hole or overlap, or is an error that names what is missing (HoleError). Nothing is ever deleted. Only package job imports it; it imports commit, blob, dynamo and fault.
//
//	c, err := backup.Load(ctx, bucket, "backups/orders")
//	choice, err := c.At(time.Time{}) // the latest
//	// choice.Base, choice.Windows and choice.Definition make the table
package backup
