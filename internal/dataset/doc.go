// Package dataset is the log of a data set of plain files: which files belong to it, with which schema, since when.
//
// It hides one decision: how files that any reader may glob get one history. Below <dest>/_dynaferry/versions stand, with a
// dense counter n:
//
//	<n>.decided  put if absent by commit.Put: fixes what version n adds and removes; exactly one plan wins n
//	<n>.shown    the manifest, put when all of that is visible: readers of ours see version n from then on
//
// A file that gets columns is removed, and added under another name (File.From). Everything between the two is a
// roll-forward that any process may repeat. Formats are in docs/formats/dataset.md.
// It imports commit, blob, item and fault.
package dataset
