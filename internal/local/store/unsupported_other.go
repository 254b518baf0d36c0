//go:build !unix

package store

// isNotSupported: where files cannot be allocated ahead, nothing tries to.
func isNotSupported(error) bool { return false }
