package folder

import (
	"testing"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/blobtest"
)

func open(t *testing.T, o Options) *Folder {
	t.Helper()
	f, err := Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestSuite(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Bucket { return open(t, Options{NoSync: true}) })
}

func TestSuiteSidecars(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Bucket { return open(t, Options{NoSync: true, Sidecars: true}) })
}
