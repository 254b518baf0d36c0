// Package blobtest is the suite that every blob.Bucket passes: each method, and each promise of its comments.
//
// It hides one decision: what "behaves like a bucket" means, as tests a stranger can read. An implementation's test file
// is a factory and one call:
//
//	func TestSuite(t *testing.T) {
//		blobtest.Run(t, func(t *testing.T) blob.Bucket { return openEmpty(t) })
//	}
//
// Only tests import it.
package blobtest
