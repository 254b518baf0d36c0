package delivery

import (
	"slices"
	"strings"
	"testing"

	"dynaferry/internal/fault"
)

// TestDeliverSet: a set is in files once, however often it is delivered, in every form; what is known is left out.
func TestDeliverSet(t *testing.T) {
	w := newLog(t, 1)
	w.orders(0, 20)
	set := Set{Name: "1-20-abc", Source: "arn:stream/1", Lines: []byte(strings.Join(w.lines, "\n") + "\n" + w.lines[3] + "\nno JSON\n")}
	for _, s := range forms() {
		s.BufferBytes = 0
		dst := newMemory()
		done, err := Deliver(t.Context(), dst, s, Options{Dir: ""}, set)
		must(t, err)
		first := objects(t, dst, false)
		if n := rows(t, s, dst); n != 20 || done.Records != 21 || done.Refused != 1 || len(done.Files) != len(first)+1 {
			t.Errorf("%s: %d rows, %+v", s.Form, n, done)
		}
		for name := range objects(t, dst, true) {
			if name != "_dynaferry/dead-letters/changes-1-20-abc.dead" {
				t.Errorf("%s: there is %s", s.Form, name)
			}
		}
		must2(Deliver(t.Context(), dst, s, Options{}, set))(t)
		same(t, "again", objects(t, dst, false), first)

		other, part := newMemory(), set
		part.Known = func(id []byte) bool { return slices.Contains([]string{"e1", "e2"}, string(id)) }
		must2(Deliver(t.Context(), other, s, Options{}, part))(t)
		if n := rows(t, s, other); n != 18 {
			t.Errorf("%s: %d rows, of which two were known", s.Form, n)
		}
		part.Known = func([]byte) bool { return true }
		other = newMemory()
		part.Lines = []byte(w.lines[0] + "\n")
		must2(Deliver(t.Context(), other, s, Options{}, part))(t)
		if n := len(objects(t, other, false)) + len(objects(t, other, true)); n != 0 {
			t.Errorf("%s: %d objects of a set that is known", s.Form, n)
		}
	}
	impure := Options{Transform: func([]string) (Transform, error) { return &flaky{}, nil }}
	if _, err := Deliver(t.Context(), newMemory(), Settings{Form: CSV, Steps: []string{"x"}}, impure, set); fault.KindOf(err) != fault.Unsupported {
		t.Errorf("CSV of steps that are not pure: %v", err)
	}
}

func must2(_ *Done, err error) func(testing.TB) {
	return func(t testing.TB) { t.Helper(); must(t, err) }
}
