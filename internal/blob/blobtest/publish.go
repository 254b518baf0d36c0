package blobtest

import (
	"fmt"
	"slices"
	"testing"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

// stagedSizes are below and above the smallest part, on which S3 takes different ways.
var stagedSizes = []int{0, 1, 4000, partMin - 1, partMin, partMin + 1_234_567}

func testPublish(t *testing.T, b blob.Bucket) {
	for _, size := range stagedSizes {
		for _, tail := range [][]byte{Bytes(700, 5), nil, Bytes(1, 6)} {
			staged, final := fmt.Sprintf("_state/s-%d-%d", size, len(tail)), fmt.Sprintf("data/p=1/f-%d-%d", size, len(tail))
			body := Bytes(size, uint64(size))
			before := put(t, b, staged, body, blob.PutOptions{})
			info, err := b.Publish(t.Context(), blob.Staged{Name: staged, Size: int64(size)}, tail, final, blob.PutOptions{})
			if err != nil {
				t.Fatalf("publish %d+%d bytes: %v", size, len(tail), err)
			}
			read := wantBytes(t, b, final, slices.Concat(body, tail))
			if info.ETag != read.ETag || info.Size != read.Size || info.Name != final {
				t.Errorf("publish says %+v, reading %+v", info, read)
			}
			after := wantBytes(t, b, staged, body) // the staged object stays as it was
			if after.ETag != before.ETag {
				t.Errorf("the staged object's ETag changed from %s to %s", before.ETag, after.ETag)
			}
			for listed, err := range b.List(t.Context(), staged, "") {
				if err != nil || listed.Size != int64(size) {
					t.Errorf("the staged object is listed as %+v, %v", listed, err)
				}
			}
			if err := b.Delete(t.Context(), staged); err != nil {
				t.Fatal(err)
			}
			wantBytes(t, b, final, slices.Concat(body, tail)) // and its end does not touch the final one
		}
	}
}

// testPublishPart publishes the beginning of an object with another end, twice over: what is published is a staged object
// like any other. The first object stays whole, whatever becomes of those made of it.
func testPublishPart(t *testing.T, b blob.Bucket) {
	for _, c := range []struct{ size, keep int }{
		{4000, 1}, {4000, 3999}, {4000, 4000}, {partMin + 2000, 1000}, {partMin + 2000, partMin - 1}, {partMin + 2000, partMin}, {partMin + 2000, partMin + 1999},
	} {
		for _, tail := range [][]byte{Bytes(700, 5), nil} {
			from := fmt.Sprintf("data/from-%d-%d-%d", c.size, c.keep, len(tail))
			body, more := Bytes(c.size, uint64(c.size)), Bytes(30, 9)
			before := put(t, b, from, body, blob.PutOptions{})
			staged := blob.Staged{Name: from, Size: int64(c.size), Keep: int64(c.keep)}
			for _, final := range []string{from + ".1", from + ".2"} {
				info, err := b.Publish(t.Context(), staged, tail, final, blob.PutOptions{Metadata: map[string]string{"id": final}})
				if err != nil {
					t.Fatalf("publish %d of %d bytes and %d: %v", c.keep, c.size, len(tail), err)
				}
				read := wantBytes(t, b, final, slices.Concat(body[:c.keep], tail))
				if info.ETag != read.ETag || info.Size != read.Size || read.Metadata["id"] != final {
					t.Errorf("publish says %+v, reading %+v", info, read)
				}
				staged = blob.Staged{Name: final, Size: info.Size, Keep: int64(c.keep)}
				tail = more
			}
			if after := wantBytes(t, b, from, body); after.ETag != before.ETag {
				t.Errorf("the first object's ETag changed from %s to %s", before.ETag, after.ETag)
			}
			if err := b.Delete(t.Context(), from, from+".1"); err != nil {
				t.Fatal(err)
			}
			wantBytes(t, b, from+".2", slices.Concat(body[:c.keep], more))
		}
	}
}

func testPublishAgain(t *testing.T, b blob.Bucket) {
	for _, size := range []int{4000, partMin + 99} {
		staged, final := fmt.Sprint("s", size), fmt.Sprint("f", size)
		body, tail := Bytes(size, 1), Bytes(500, 2)
		put(t, b, staged, body, blob.PutOptions{})
		mine := blob.PutOptions{Metadata: map[string]string{"id": "mine"}}
		if _, err := b.Publish(t.Context(), blob.Staged{Name: staged, Size: int64(size)}, tail, final, mine); err != nil {
			t.Fatal(err)
		}
		other := blob.PutOptions{Metadata: map[string]string{"id": "other"}}
		_, err := b.Publish(t.Context(), blob.Staged{Name: staged, Size: int64(size)}, Bytes(900, 3), final, other)
		wantIs(t, err, blob.ErrExists)
		info := wantBytes(t, b, final, slices.Concat(body, tail))
		if info.Metadata["id"] != "mine" {
			t.Errorf("the loser's metadata %v stands", info.Metadata)
		}
	}
}

// testPublishTwoTails publishes one staged object under several names: none may change another.
func testPublishTwoTails(t *testing.T, b blob.Bucket) {
	for _, size := range []int{4000, partMin + 99} {
		staged := fmt.Sprint("s", size)
		body := Bytes(size, 1)
		put(t, b, staged, body, blob.PutOptions{})
		tails := [][]byte{Bytes(500, 2), Bytes(900, 3), Bytes(10, 4), nil}
		for i, tail := range tails {
			final := fmt.Sprintf("f%d/%d", size, i)
			if _, err := b.Publish(t.Context(), blob.Staged{Name: staged, Size: int64(size)}, tail, final, blob.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			for j, before := range tails[:i+1] {
				wantBytes(t, b, fmt.Sprintf("f%d/%d", size, j), slices.Concat(body, before))
			}
		}
		wantBytes(t, b, staged, body)
	}
}

func testPublishRace(t *testing.T, b blob.Bucket) {
	for round, size := range []int{4000, partMin + 99, 4001} {
		staged := fmt.Sprint("race-s", round)
		body := Bytes(size, 1)
		put(t, b, staged, body, blob.PutOptions{})
		// Twelve committers, three final names, tails that differ: each final has one winner, and that one's bytes.
		const writers, finals = 12, 3
		errs := race(writers, func(i int) error {
			_, err := b.Publish(t.Context(), blob.Staged{Name: staged, Size: int64(size)}, Bytes(100+i, uint64(i)), fmt.Sprintf("race-f%d/%d", round, i%finals),
				blob.PutOptions{Metadata: map[string]string{"id": fmt.Sprint(i)}})
			return err
		})
		for final := range finals {
			var group []error
			for i := final; i < writers; i += finals {
				group = append(group, errs[i])
			}
			winner := final + finals*oneWinner(t, group)
			info := wantBytes(t, b, fmt.Sprintf("race-f%d/%d", round, final), slices.Concat(body, Bytes(100+winner, uint64(winner))))
			if info.Metadata["id"] != fmt.Sprint(winner) {
				t.Errorf("metadata %v, want the winner's %d", info.Metadata, winner)
			}
		}
		wantBytes(t, b, staged, body)
	}
}

func testPublishMisuse(t *testing.T, b blob.Bucket) {
	ctx := t.Context()
	_, err := b.Publish(ctx, blob.Staged{Name: "none", Size: 10}, nil, "final", blob.PutOptions{})
	wantIs(t, err, blob.ErrNotFound)
	for _, size := range []int{1000, partMin + 5} {
		put(t, b, "staged", Bytes(size, 1), blob.PutOptions{})
		for _, wrong := range []int{size - 1, size + 1, 0} {
			_, err := b.Publish(ctx, blob.Staged{Name: "staged", Size: int64(wrong)}, []byte("tail"), "final", blob.PutOptions{})
			if fault.KindOf(err) != fault.Corrupt {
				t.Errorf("a staged object of another size is published: %v", err)
			}
		}
	}
	for _, keep := range []int64{-1, partMin + 6} {
		_, err := b.Publish(ctx, blob.Staged{Name: "staged", Size: partMin + 5, Keep: keep}, nil, "final", blob.PutOptions{})
		if fault.KindOf(err) != fault.Bug {
			t.Errorf("%d of %d bytes are published: %v", keep, partMin+5, err)
		}
	}
	_, err = b.Publish(ctx, blob.Staged{Name: "staged", Size: partMin + 5}, nil, "final", ifMatch(`"x"`))
	if fault.KindOf(err) != fault.User || err == nil {
		t.Errorf("publish if-match: %v", err)
	}
	wantAbsent(t, b, "final")
}
