package blobtest

import (
	"slices"
	"testing"

	"dynaferry/internal/blob"
)

func testListOrder(t *testing.T, b blob.Bucket) {
	// The order of whole names, not of segments: "." sorts before "/", "0" after it.
	all := []string{"a-b", "a.b", "a.b.c/x", "a/b", "a/b.c", "a/c/d", "a/c/e", "a/c.d", "a0", "aa", "b/a", "Z", "_x"}
	for _, name := range all {
		put(t, b, name, []byte(name), blob.PutOptions{})
	}
	slices.Sort(all)
	for _, prefix := range []string{"", "a", "a/", "a/c", "a/c/", "a.", "a.b.c/", "b/a", "nothing", "a/nothing/", "Z"} {
		for _, after := range append([]string{"", "a", "a/", "a/c", "a/c/zz", "zzz"}, all...) {
			var want []string
			for _, name := range all {
				if len(name) >= len(prefix) && name[:len(prefix)] == prefix && name > after {
					want = append(want, name)
				}
			}
			if got := names(t, b, prefix, after); !slices.Equal(got, want) {
				t.Errorf("prefix %q after %q: %q, want %q", prefix, after, got, want)
			}
		}
	}
	for info, err := range b.List(t.Context(), "a/", "") {
		if err != nil {
			t.Fatal(err)
		}
		head, err := b.Head(t.Context(), info.Name)
		if err != nil || info.Size != head.Size || info.ETag != head.ETag || info.Modified.Unix() != head.Modified.Unix() {
			t.Errorf("list says %+v, head %+v, %v", info, head, err)
		}
	}
	for _, err := range b.List(t.Context(), "", "") { // a caller may stop
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	for _, prefix := range []string{"/", "../", "a/../", "a//", "a/./b"} {
		for _, err := range b.List(t.Context(), prefix, "") {
			if err == nil {
				t.Errorf("prefix %q is listed", prefix)
			}
			break
		}
	}
}

func testListPages(t *testing.T, b blob.Bucket) {
	all := numbered("pages/k+%04d é", 1_105) // more than a page of 1,000, with names that need escapes
	errs := race(8, func(w int) error {
		for i := w; i < len(all); i += 8 {
			if _, err := b.Put(t.Context(), all[i], nil, blob.PutOptions{}); err != nil {
				return err
			}
		}
		return nil
	})
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, b, "pages/", ""); !slices.Equal(got, all) {
		t.Errorf("list shows %d of %d names or another order", len(got), len(all))
	}
	if got := names(t, b, "pages/", all[50]); !slices.Equal(got, all[51:]) {
		t.Errorf("list after the 51st shows %d names", len(got))
	}
	if err := b.Delete(t.Context(), all...); err != nil { // more than one request may name
		t.Fatal(err)
	}
	if got := names(t, b, "", ""); len(got) != 0 {
		t.Errorf("%d names are left", len(got))
	}
}
