// Package blob is the port to object stores: named immutable objects in a bucket, written whole, read by range.
//
// It hides one decision: what we may rely on in a store. Implementations are blob/folder (a local directory) and the S3
// wing in package aws; blob/blobtest is the suite that each passes, blob/faulty the decorator that breaks them by plan.
//
// Names are slash-separated, relative to the bucket's root, never empty, at most 1,024 bytes, without empty, "."
// or ".." segments, NUL or backslash (CheckName). A name is a key of S3 and a path below the folder; where a file
// system cannot hold it the folder refuses by name.
//
// It imports fault alone.
package blob
