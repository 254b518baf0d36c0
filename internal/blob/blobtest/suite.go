package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

// Open makes an empty bucket that is gone after the test.
type Open func(t *testing.T) blob.Bucket

// Run runs the whole suite, each part on an empty bucket.
func Run(t *testing.T, open Open) {
	for _, part := range []struct {
		name string
		test func(t *testing.T, b blob.Bucket)
	}{
		{"names", testNames},
		{"put get head", testPutGetHead},
		{"put replaces", testPutReplaces},
		{"put if absent", testPutIfAbsent},
		{"put if match", testPutIfMatch},
		{"conditions make sense", testConditions},
		{"race if absent", testRaceIfAbsent},
		{"race if match", testRaceIfMatch},
		{"ranges", testRanges},
		{"read of a version", testReadVersion},
		{"odd names", testOddNames},
		{"control name", testControlName},
		{"list order", testListOrder},
		{"list pages", testListPages},
		{"metadata", testMetadata},
		{"multipart", testMultipart},
		{"multipart order", testMultipartOrder},
		{"multipart conditions", testMultipartConditions},
		{"multipart misuse", testMultipartMisuse},
		{"unfinished", testUnfinished},
		{"publish", testPublish},
		{"publish a part", testPublishPart},
		{"publish again", testPublishAgain},
		{"publish two tails", testPublishTwoTails},
		{"publish race", testPublishRace},
		{"publish misuse", testPublishMisuse},
		{"delete", testDelete},
		{"cancelled", testCancelled},
		{"writer", testWriter},
		{"reader at", testReaderAt},
		{"probe", testProbe},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, open(t)) })
	}
}

// Bytes are size bytes that compress badly and differ by seed.
func Bytes(size int, seed uint64) []byte {
	b := make([]byte, size)
	src := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), 7})
	src.Read(b)
	return b
}

func put(t *testing.T, b blob.Bucket, name string, body []byte, o blob.PutOptions) blob.Info {
	t.Helper()
	info, err := b.Put(t.Context(), name, body, o)
	if err != nil {
		t.Fatalf("put %s: %v", name, err)
	}
	if info.Name != name || info.Size != int64(len(body)) || info.ETag == "" {
		t.Fatalf("put %s of %d bytes describes %+v", name, len(body), info)
	}
	return info
}

func get(t *testing.T, b blob.Bucket, name string) ([]byte, blob.Info) {
	t.Helper()
	data, info, err := blob.ReadAll(t.Context(), b, name, 1<<30)
	if err != nil {
		t.Fatalf("get %s: %v", name, err)
	}
	return data, info
}

func wantBytes(t *testing.T, b blob.Bucket, name string, want []byte) blob.Info {
	t.Helper()
	data, info := get(t, b, name)
	if !bytes.Equal(data, want) {
		t.Fatalf("%s has %d bytes, want %d, or they differ", name, len(data), len(want))
	}
	if info.Size != int64(len(want)) {
		t.Fatalf("%s has size %d, want %d", name, info.Size, len(want))
	}
	return info
}

func wantAbsent(t *testing.T, b blob.Bucket, name string) {
	t.Helper()
	if _, err := b.Head(t.Context(), name); !errors.Is(err, blob.ErrNotFound) {
		t.Fatalf("%s should be absent: %v", name, err)
	}
}

func wantIs(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
	if kind := fault.KindOf(err); kind == fault.Bug {
		t.Fatalf("error %v has no kind", err)
	}
}

func names(t *testing.T, b blob.Bucket, prefix, after string) []string {
	t.Helper()
	var got []string
	for info, err := range b.List(t.Context(), prefix, after) {
		if err != nil {
			t.Fatalf("list %q: %v", prefix, err)
		}
		got = append(got, info.Name)
	}
	return got
}

func ifAbsent() blob.PutOptions { return blob.PutOptions{Condition: blob.Condition{IfAbsent: true}} }

func ifMatch(etag string) blob.PutOptions {
	return blob.PutOptions{Condition: blob.Condition{IfMatch: etag}}
}

// race runs n writers at once and returns how each ended.
func race(n int, write func(i int) error) []error {
	errs := make([]error, n)
	start, done := make(chan struct{}), make(chan struct{})
	for i := range n {
		go func() {
			<-start
			errs[i] = write(i)
			done <- struct{}{}
		}()
	}
	close(start)
	for range n {
		<-done
	}
	return errs
}

// oneWinner returns the index of the only nil error; all others must be ErrExists.
func oneWinner(t *testing.T, errs []error) int {
	t.Helper()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner < 0:
			winner = i
		case err == nil:
			t.Fatalf("writers %d and %d both won", winner, i)
		case !errors.Is(err, blob.ErrExists):
			t.Fatalf("loser %d: %v", i, err)
		}
	}
	if winner < 0 {
		t.Fatal("nobody won")
	}
	return winner
}

func cancelled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func readAll(r io.ReadCloser) ([]byte, error) {
	defer r.Close()
	return io.ReadAll(r)
}

func numbered(format string, n int) []string {
	all := make([]string, n)
	for i := range n {
		all[i] = fmt.Sprintf(format, i)
	}
	return all
}
