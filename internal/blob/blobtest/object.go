package blobtest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

func testNames(t *testing.T, b blob.Bucket) {
	ctx := t.Context()
	for _, name := range []string{"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a\x00b", `a\b`, "a/..",
		strings.Repeat("x", 1025), "\xff"} {
		_, err := b.Put(ctx, name, nil, blob.PutOptions{})
		_, headErr := b.Head(ctx, name)
		_, _, getErr := b.Get(ctx, name, blob.ReadOptions{})
		_, createErr := b.Create(ctx, name, blob.PutOptions{})
		_, publishErr := b.Publish(ctx, blob.Staged{Name: "staged", Size: 1}, nil, name, blob.PutOptions{})
		deleteErr := b.Delete(ctx, name)
		for i, err := range []error{err, headErr, getErr, createErr, publishErr, deleteErr} {
			if fault.KindOf(err) != fault.User || err == nil {
				t.Errorf("name %.40q, method %d: %v, want an error of kind user", name, i, err)
			}
		}
	}
}

func testPutGetHead(t *testing.T, b blob.Bucket) {
	begin := time.Now()
	for _, size := range []int{0, 1, 1000, 1 << 20, 3<<20 + 17} {
		name := "dir/object-" + strconv.Itoa(size)
		body := Bytes(size, uint64(size))
		stored := put(t, b, name, body, blob.PutOptions{})
		read := wantBytes(t, b, name, body)
		head, err := b.Head(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range []blob.Info{read, head} {
			if info.ETag != stored.ETag || info.Name != name || info.Size != int64(size) {
				t.Errorf("put said %+v, reading says %+v", stored, info)
			}
			if age := info.Modified.Sub(begin); age < -time.Minute || age > time.Minute {
				t.Errorf("%s was modified at %v", name, info.Modified)
			}
		}
	}
	_, err := b.Head(t.Context(), "dir/none")
	wantIs(t, err, blob.ErrNotFound)
	_, _, err = b.Get(t.Context(), "dir/none", blob.ReadOptions{})
	wantIs(t, err, blob.ErrNotFound)
	_, err = b.Head(t.Context(), "dir") // a prefix is no object
	wantIs(t, err, blob.ErrNotFound)
	_, _, err = b.Get(t.Context(), "dir/object-1/below", blob.ReadOptions{})
	wantIs(t, err, blob.ErrNotFound)
	if _, _, err := blob.ReadAll(t.Context(), b, "dir/object-1000", 999); fault.KindOf(err) != fault.Limit {
		t.Errorf("an object above the bound is read: %v", err)
	}
}

func testPutReplaces(t *testing.T, b blob.Bucket) {
	first := put(t, b, "a", []byte("one"), blob.PutOptions{})
	second := put(t, b, "a", []byte("two"), blob.PutOptions{})
	if first.ETag == second.ETag {
		t.Error("two contents have one ETag")
	}
	wantBytes(t, b, "a", []byte("two"))
}

func testPutIfAbsent(t *testing.T, b blob.Bucket) {
	ctx := t.Context()
	put(t, b, "a/b", []byte("first"), ifAbsent())
	for _, noRetry := range []bool{false, true} {
		o := ifAbsent()
		o.NoRetry = noRetry
		_, err := b.Put(ctx, "a/b", []byte("second"), o)
		wantIs(t, err, blob.ErrExists)
	}
	wantBytes(t, b, "a/b", []byte("first"))
	if err := b.Delete(ctx, "a/b"); err != nil {
		t.Fatal(err)
	}
	put(t, b, "a/b", []byte("third"), ifAbsent()) // a deleted name is free again
}

func testPutIfMatch(t *testing.T, b blob.Bucket) {
	ctx := t.Context()
	first := put(t, b, "a", []byte("first"), blob.PutOptions{})
	second := put(t, b, "a", []byte("second"), ifMatch(first.ETag))
	_, err := b.Put(ctx, "a", []byte("third"), ifMatch(first.ETag))
	wantIs(t, err, blob.ErrChanged)
	wantBytes(t, b, "a", []byte("second"))
	put(t, b, "a", []byte("fourth"), ifMatch(second.ETag))
	_, err = b.Put(ctx, "none", []byte("x"), ifMatch(first.ETag))
	wantIs(t, err, blob.ErrChanged)
	wantAbsent(t, b, "none")
}

func testConditions(t *testing.T, b blob.Bucket) {
	_, err := b.Put(t.Context(), "a", nil, blob.PutOptions{Condition: blob.Condition{IfAbsent: true, IfMatch: `"x"`}})
	if fault.KindOf(err) != fault.User || err == nil {
		t.Errorf("if-absent with if-match: %v", err)
	}
	for name, value := range map[string]string{"Upper": "x", "sp ace": "x", "a": "tab\t", "b": " x", "c": "ü", "": "x"} {
		_, err := b.Put(t.Context(), "a", nil, blob.PutOptions{Metadata: map[string]string{name: value}})
		if fault.KindOf(err) != fault.User || err == nil {
			t.Errorf("metadata %q=%q: %v", name, value, err)
		}
	}
	_, err = b.Put(t.Context(), "a", nil, blob.PutOptions{Metadata: map[string]string{"a": strings.Repeat("x", 3000)}})
	if fault.KindOf(err) != fault.Limit {
		t.Errorf("large metadata: %v", err)
	}
	wantAbsent(t, b, "a")
}

func testRaceIfAbsent(t *testing.T, b blob.Bucket) {
	for round := range 3 {
		name := fmt.Sprintf("race/%d", round)
		errs := race(20, func(i int) error {
			o := ifAbsent()
			o.NoRetry = i%2 == 0
			_, err := b.Put(t.Context(), name, Bytes(10_000+i, uint64(i)), o)
			return err
		})
		winner := oneWinner(t, errs)
		wantBytes(t, b, name, Bytes(10_000+winner, uint64(winner)))
	}
}

// testRaceIfMatch counts with compare-and-swap: a lost update makes the sum too small.
func testRaceIfMatch(t *testing.T, b blob.Bucket) {
	const writers, increments = 8, 5
	put(t, b, "counter", []byte("0"), blob.PutOptions{})
	errs := race(writers, func(int) error {
		for done := 0; done < increments; {
			data, info, err := blob.ReadAll(t.Context(), b, "counter", 100)
			if errors.Is(err, blob.ErrChanged) {
				continue
			}
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(string(data))
			if err != nil {
				return err
			}
			_, err = b.Put(t.Context(), "counter", []byte(strconv.Itoa(n+1)), ifMatch(info.ETag))
			switch {
			case err == nil:
				done++
			case !errors.Is(err, blob.ErrChanged):
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
	wantBytes(t, b, "counter", []byte(strconv.Itoa(writers*increments)))
}

func testRanges(t *testing.T, b blob.Bucket) {
	body := Bytes(100_000, 1)
	info := put(t, b, "r", body, blob.PutOptions{})
	put(t, b, "empty", nil, blob.PutOptions{})
	for _, c := range []struct {
		name                 string
		offset, length       int64
		wantStart, wantBytes int
	}{
		{"r", 0, 0, 0, 100_000}, {"r", 0, 1, 0, 1}, {"r", 99_999, 0, 99_999, 1}, {"r", 99_999, 1, 99_999, 1},
		{"r", 10, 20, 10, 20}, {"r", 99_990, 100, 99_990, 10}, {"r", -8, 0, 99_992, 8}, {"r", -8, 3, 99_992, 3},
		{"r", -8, 100, 99_992, 8}, {"r", -200_000, 0, 0, 100_000}, {"r", -200_000, 5, 0, 5},
		{"r", 100_000, 0, 0, 0}, {"r", 100_000, 5, 0, 0}, {"r", 1 << 40, 0, 0, 0}, {"r", 1 << 40, 7, 0, 0},
		{"empty", 0, 0, 0, 0}, {"empty", -5, 0, 0, 0}, {"empty", 0, 5, 0, 0}, {"empty", 3, 0, 0, 0},
	} {
		r, got, err := b.Get(t.Context(), c.name, blob.ReadOptions{Offset: c.offset, Length: c.length})
		if err != nil {
			t.Errorf("range %+v: %v", c, err)
			continue
		}
		data, err := readAll(r)
		if err != nil || !bytes.Equal(data, body[c.wantStart:c.wantStart+c.wantBytes]) {
			t.Errorf("range %+v: %d bytes, %v", c, len(data), err)
		}
		if c.name == "r" && (got.Size != 100_000 || got.ETag != info.ETag) {
			t.Errorf("range %+v describes %+v", c, got)
		}
	}
	r, _, err := b.Get(t.Context(), "r", blob.ReadOptions{IfMatch: info.ETag, Offset: 5, Length: 5})
	if err != nil {
		t.Fatal(err)
	}
	if data, err := readAll(r); err != nil || !bytes.Equal(data, body[5:10]) {
		t.Errorf("range of a version: %v", err)
	}
	put(t, b, "r", body[:10], blob.PutOptions{})
	_, _, err = b.Get(t.Context(), "r", blob.ReadOptions{IfMatch: info.ETag})
	wantIs(t, err, blob.ErrChanged)
}

// testReadVersion replaces an object while it is read: the reader ends with the old bytes or says so, never with a mixture.
func testReadVersion(t *testing.T, b blob.Bucket) {
	old, fresh := Bytes(6<<20, 1), Bytes(6<<20, 2)
	put(t, b, "v", old, blob.PutOptions{})
	r, _, err := b.Get(t.Context(), "v", blob.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 1000)
	if _, err := r.Read(head[:1]); err != nil {
		t.Fatal(err)
	}
	put(t, b, "v", fresh, blob.PutOptions{})
	rest, err := readAll(r)
	if err == nil && !bytes.Equal(rest, old[1:]) {
		t.Fatalf("a reader saw a mixture of two versions (%d bytes)", len(rest))
	}
	if err != nil && !errors.Is(err, blob.ErrChanged) {
		t.Fatalf("the reader ended with %v", err)
	}
	wantBytes(t, b, "v", fresh)
}

// OddNames are names that break what does not escape them. None is a prefix of another's folder.
var OddNames = []string{"a b", "a+b", "a%2Fb", "a%b", "a%00", "a?b=c", "a#b", "a&b", "a;b", "a,b", "a:b", "a@b", "a=b", "a~b",
	"a'b", `a"b`, "a<b>", "a*b", "a|b", "a^b", "a`b", "a{b}", "a[b]", "a$b", "a!b", "(a)", ".hidden", "...", "..a", "a..",
	"a.", "a ", " a", "-", "~", "_SUCCESS", "ü", "u\u0308", "日本語", "😀", "a\u2028b", "line\nbreak", "tab\tx", "ret\rurn", "\x7fdel",
	"year=2026/month=11/day=23/x", "a\u00a0b", "CON", "aux.txt", strings.Repeat("x", 200),
	strings.Repeat("y", 180) + "/" + strings.Repeat("z", 180) + "/" + strings.Repeat("w", 180)}

func testOddNames(t *testing.T, b blob.Bucket) {
	for i, name := range OddNames {
		put(t, b, "odd/"+name, []byte(strconv.Itoa(i)), ifAbsent())
	}
	var want []string
	for i, name := range OddNames {
		info := wantBytes(t, b, "odd/"+name, []byte(strconv.Itoa(i)))
		if info.Name != "odd/"+name {
			t.Errorf("%q is called %q", name, info.Name)
		}
		want = append(want, "odd/"+name)
	}
	slices.Sort(want)
	if got := names(t, b, "odd/", ""); !slices.Equal(got, want) {
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("list shows %q where %q is due (%d of %d names)", got[i], want[i], len(got), len(want))
			}
		}
		t.Fatalf("list shows %d of %d names", len(got), len(want))
	}
	for _, name := range OddNames[:12] { // each as a place to start from and as a prefix
		got := names(t, b, "odd/"+name, "")
		if !slices.Contains(got, "odd/"+name) {
			t.Errorf("prefix %q shows %q", name, got)
		}
		if slices.Contains(names(t, b, "odd/", "odd/"+name), "odd/"+name) {
			t.Errorf("after %q shows it", name)
		}
	}
	if err := b.Delete(t.Context(), want...); err != nil {
		t.Fatal(err)
	}
	if got := names(t, b, "", ""); len(got) > 0 {
		t.Errorf("after the deletion of all: %q", got)
	}
}

// testControlName: XML has no way to write most control characters, so a list may have to fail on such a key; it may not
// show another name in its place, nor nothing.
func testControlName(t *testing.T, b blob.Bucket) {
	put(t, b, "c/\x01x", []byte("x"), blob.PutOptions{})
	wantBytes(t, b, "c/\x01x", []byte("x"))
	n := 0
	for info, err := range b.List(t.Context(), "c/", "") {
		n++
		if err == nil && info.Name != "c/\x01x" {
			t.Errorf("the list shows %q", info.Name)
		}
		if err != nil && fault.KindOf(err) != fault.Unsupported {
			t.Errorf("the list ends with %v", err)
		}
	}
	if n != 1 {
		t.Errorf("%d answers for one key", n)
	}
}

func testMetadata(t *testing.T, b blob.Bucket) {
	meta := map[string]string{"write-id": "3f2a", "empty": "", "text": `a "b" = c; d, e`, "digits-9": "0123456789"}
	o := blob.PutOptions{Metadata: meta, ContentType: "application/vnd.apache.parquet"}
	check := func(how, name string) {
		t.Helper()
		head, err := b.Head(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		r, got, err := b.Get(t.Context(), name, blob.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		for _, info := range []blob.Info{head, got} {
			for key, value := range meta {
				if info.Metadata[key] != value {
					t.Errorf("%s: metadata %s is %q, want %q", how, key, info.Metadata[key], value)
				}
			}
			if len(info.Metadata) != len(meta) {
				t.Errorf("%s: metadata %v, want %v", how, info.Metadata, meta)
			}
		}
	}
	put(t, b, "put", []byte("x"), o)
	check("put", "put")
	u, err := b.Create(t.Context(), "multi", o)
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Part(t.Context(), 1, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Complete(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("multipart", "multi")
	for _, size := range []int{100, 6 << 20} {
		staged, final := fmt.Sprintf("staged-%d", size), fmt.Sprintf("final-%d", size)
		put(t, b, staged, Bytes(size, 1), blob.PutOptions{Metadata: map[string]string{"of": "staged"}})
		if _, err := b.Publish(t.Context(), blob.Staged{Name: staged, Size: int64(size)}, []byte("tail"), final, o); err != nil {
			t.Fatal(err)
		}
		check("publish", final)
		head, err := b.Head(t.Context(), staged)
		if err != nil || head.Metadata["of"] != "staged" || len(head.Metadata) != 1 {
			t.Errorf("the staged object's metadata became %v, %v", head.Metadata, err)
		}
	}
	plain := put(t, b, "plain", []byte("x"), blob.PutOptions{})
	if len(plain.Metadata) != 0 {
		t.Errorf("an object without metadata has %v", plain.Metadata)
	}
}

func testDelete(t *testing.T, b blob.Bucket) {
	all := numbered("d/%04d", 30)
	for _, name := range all {
		put(t, b, name, []byte("x"), blob.PutOptions{})
	}
	put(t, b, "d/keep", []byte("x"), blob.PutOptions{})
	if err := b.Delete(t.Context(), append(all, "d/none", "none/at/all", "d")...); err != nil {
		t.Fatal(err)
	}
	if got := names(t, b, "", ""); !slices.Equal(got, []string{"d/keep"}) {
		t.Errorf("left: %q", got)
	}
	if err := b.Delete(t.Context()); err != nil {
		t.Error(err)
	}
}

func testCancelled(t *testing.T, b blob.Bucket) {
	put(t, b, "a", []byte("x"), blob.PutOptions{})
	ctx := cancelled(t)
	_, putErr := b.Put(ctx, "b", []byte("x"), blob.PutOptions{})
	_, headErr := b.Head(ctx, "a")
	_, _, getErr := b.Get(ctx, "a", blob.ReadOptions{})
	_, publishErr := b.Publish(ctx, blob.Staged{Name: "a", Size: 1}, []byte("x"), "c", blob.PutOptions{})
	var listErr error
	for _, listErr = range b.List(ctx, "", "") {
		break
	}
	for i, err := range []error{putErr, headErr, getErr, publishErr, listErr} {
		if !errors.Is(err, ctx.Err()) {
			t.Errorf("method %d under a cancelled context: %v", i, err)
		}
	}
	wantAbsent(t, b, "b")
	wantAbsent(t, b, "c")
}
