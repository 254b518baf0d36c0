package dataset

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/folder"
	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
)

func newBucket(t *testing.T) blob.Bucket {
	t.Helper()
	b, err := folder.Open(t.TempDir(), folder.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func load(t *testing.T, b blob.Bucket) *Set {
	t.Helper()
	s, err := Load(t.Context(), b, "lake/orders")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func names(s *Set) []string {
	var names []string
	for _, f := range s.Files {
		names = append(names, f.Name)
	}
	return names
}

// A history adds and removes; readers see what is shown and no more.
func TestHistory(t *testing.T) {
	b := newBucket(t)
	if s := load(t, b); s.Head != -1 || s.Next() != 0 || s.Last != nil {
		t.Errorf("an empty place: %+v", s)
	}
	decide := func(plan string, add, remove []string) Version {
		v := Version{Plan: plan, Form: "parquet", Removed: remove}
		s := load(t, b)
		v.Number = s.Next()
		for _, name := range add {
			v.Added = append(v.Added, File{Name: name, Items: 1})
		}
		stands, won, err := s.Decide(t.Context(), v)
		if err != nil || !won {
			t.Fatal(won, err)
		}
		return stands
	}
	show := func(v Version) {
		if err := load(t, b).Show(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	show(decide("p0", []string{"a", "b"}, nil))
	show(decide("p1", []string{"c"}, []string{"a"}))
	v := decide("p2", []string{"d", "a"}, []string{"b"})
	if s := load(t, b); s.Head != 1 || !slices.Equal(names(s), []string{"b", "c"}) || len(s.Open) != 1 || s.Next() != 3 {
		t.Errorf("decided, not shown: head %d, files %v, open %d", s.Head, names(s), len(s.Open))
	}
	show(v)
	if s := load(t, b); s.Head != 2 || !slices.Equal(names(s), []string{"c", "d", "a"}) || s.Last.Plan != "p2" {
		t.Errorf("head %d, files %v", s.Head, names(s))
	}
}

// A history that began in format 1 goes on, also in the middle of a version; what it showed is found under the old name.
func TestOldHistory(t *testing.T) {
	b := newBucket(t)
	put := func(name, body string) {
		t.Helper()
		if _, err := commit.Put(t.Context(), b, "lake/orders/_dynaferry/versions/"+name, []byte(body), commit.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	const v0 = `{"format":1,"number":0,"plan":"p0","created":"2025-01-01T00:00:00Z","form":"json","added":[{"name":"a","size":%s,"items":1}],"items":1,"fingerprint":""}`
	put("00000000.decided", fmt.Sprintf(v0, "0"))
	put("00000000.json", fmt.Sprintf(v0, "7"))
	put("00000001.decided", `{"format":1,"number":1,"plan":"p1","created":"2025-01-01T00:00:00Z","form":"json","added":[{"name":"b","size":0,"items":1}],"items":1,"fingerprint":""}`)
	s := load(t, b)
	if s.Head != 0 || len(s.Open) != 1 || len(s.Files) != 1 || s.Files[0].Size != 7 {
		t.Fatalf("head %d, open %d, files %+v", s.Head, len(s.Open), s.Files)
	}
	if err := s.Show(t.Context(), s.Open[0]); err != nil {
		t.Fatal(err)
	}
	// The version that began it still takes part.
	if _, err := b.Head(t.Context(), "lake/orders/_dynaferry/versions/00000001.json"); err != nil {
		t.Errorf("a version of format 1 is shown as the version of then sees it: %v", err)
	}
	s = load(t, b)
	v, won, err := s.Decide(t.Context(), Version{Number: s.Next(), Plan: "p2", Added: []File{{Name: "c"}}})
	if err != nil || !won || v.Number != 2 {
		t.Fatal(v, won, err)
	}
	if err := s.Show(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	if s := load(t, b); s.Head != 2 || !slices.Equal(names(s), []string{"a", "b", "c"}) {
		t.Errorf("head %d, files %v", s.Head, names(s))
	}
	if got, err := load(t, b).Version(t.Context(), 0); err != nil || got.Added[0].Size != 7 {
		t.Errorf("version 0: %+v, %v", got, err)
	}
}

// A file that gets columns is removed, and added under a name that does not grow from version to version.
func TestWidened(t *testing.T) {
	for _, c := range []struct {
		name    string
		version int
		want    string
	}{
		{"part-00001-000-0123456789abcdef0123-000000.parquet", 3, "part-00001-000-0123456789abcdef0123-000000-v3.parquet"},
		{"part-00001-000-0123456789abcdef0123-000000-v3.parquet", 12, "part-00001-000-0123456789abcdef0123-000000-v12.parquet"},
		{"region=eu-v2/part-0.parquet", 0, "region=eu-v2/part-0-v0.parquet"},
	} {
		if got := Widened(c.name, c.version); got != c.want {
			t.Errorf("%s in version %d is %s, want %s", c.name, c.version, got, c.want)
		}
	}
	b := newBucket(t)
	s := load(t, b)
	v := Version{Number: 0, Plan: "p", Removed: []string{"a"}, Added: []File{{Name: "a-v0", From: "a"}, {Name: "b"}}}
	if v.Widens() != 1 {
		t.Errorf("%d files are carried over", v.Widens())
	}
	if stands, won, err := s.Decide(t.Context(), v); err != nil || !won || stands.Added[0].From != "a" {
		t.Error(stands, won, err)
	}
	v.Number, v.Removed = 1, nil
	if _, _, err := s.Decide(t.Context(), v); fault.KindOf(err) != fault.Corrupt {
		t.Errorf("a file is carried over and stays: %v", err)
	}
}

// Of plans that decide one number at once, one wins, and all learn which.
func TestOneDecides(t *testing.T) {
	b := newBucket(t)
	plans := make([]string, 10)
	var wait sync.WaitGroup
	for i := range plans {
		wait.Go(func() {
			s, err := Load(t.Context(), b, "lake/orders")
			if err != nil {
				t.Error(err)
				return
			}
			stands, won, err := s.Decide(t.Context(), Version{Number: 0, Plan: string(rune('a' + i))})
			if err != nil || won != (stands.Plan == string(rune('a'+i))) {
				t.Error(won, stands.Plan, err)
			}
			plans[i] = stands.Plan
		})
	}
	wait.Wait()
	for _, p := range plans {
		if p != plans[0] {
			t.Fatalf("plans %v", plans)
		}
	}
}

func TestDamaged(t *testing.T) {
	b := newBucket(t)
	s := load(t, b)
	for _, name := range []string{"../../x", "/x", "a//b"} {
		if _, _, err := s.Decide(t.Context(), Version{Number: 0, Plan: "p", Added: []File{{Name: name}}}); fault.KindOf(err) != fault.Corrupt {
			t.Errorf("a file %q: %v", name, err)
		}
		b.Delete(t.Context(), s.decided(0))
	}
	if _, _, err := s.Decide(t.Context(), Version{Number: 1, Plan: "p"}); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(t.Context(), b, "lake/orders"); fault.KindOf(err) != fault.Corrupt {
		t.Errorf("a hole in the history: %v", err)
	}
}

func TestForeign(t *testing.T) {
	b := newBucket(t)
	for _, name := range []string{"_SUCCESS", "_dynaferry/plans/x/plan", "sub/.hidden"} {
		if _, err := b.Put(t.Context(), "lake/orders/"+name, nil, blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if name, err := load(t, b).Foreign(t.Context()); err != nil || name != "" {
		t.Errorf("%q, %v", name, err)
	}
	if _, err := b.Put(t.Context(), "lake/orders/sub/data.csv", nil, blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if name, err := load(t, b).Foreign(t.Context()); err != nil || name != "sub/data.csv" {
		t.Errorf("%q, %v", name, err)
	}
}

// Any value becomes one path segment that blob takes, and comes back.
func TestSegments(t *testing.T) {
	for _, c := range [][2]string{{"eu-west-1", "region=eu-west-1"}, {"a/b", "region=a%2Fb"}, {"..", "region=%2E%2E"}, {"", "region=" + NullPartition},
		{"50%", "region=50%25"}, {"a=b:c", "region=a%3Db%3Ac"}, {"日本", "region=日本"}} {
		if got := Segment("region", c[0]); got != c[1] {
			t.Errorf("%q became %q, want %q", c[0], got, c[1])
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		column, value := rapid.StringN(1, 20, 60).Draw(t, "column"), rapid.StringN(1, 40, 120).Draw(t, "value")
		segment := Segment(column, value)
		if strings.ContainsAny(segment, "/\\\x00") || len(segment) <= SegmentBytesMax && blob.CheckName("x/"+segment+"/y") != nil {
			t.Fatalf("%q is no segment", segment)
		}
		c, v, ok := ParseSegment(segment)
		if !ok || c != column || v != value {
			t.Fatalf("%q became %q and came back as %q, %q", []string{column, value}, segment, c, v)
		}
	})
	for _, bad := range []string{"none", "a=%G0", "a=%2"} {
		if _, _, ok := ParseSegment(bad); ok {
			t.Errorf("%q is no partition", bad)
		}
	}
}
