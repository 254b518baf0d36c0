package codectest

import (
	"errors"
	"io"
	"strings"
	"testing"

	"dynaferry/internal/codec"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// sample reads an input with bad records and compares what is read, what is rejected and how the stream ends.
func (c Codec) sample(t *testing.T, s Sample) {
	var rejects []codec.Reject
	r := c.Reader(strings.NewReader(s.Input), func(reject codec.Reject) error {
		if reject.Err == nil || fault.KindOf(reject.Err) == fault.Bug {
			t.Errorf("reject of kind %v: %v", fault.KindOf(reject.Err), reject.Err)
		}
		if len(reject.Raw) == 0 || !strings.Contains(s.Input, string(reject.Raw)) {
			t.Errorf("raw bytes %q are not of the input", reject.Raw)
		}
		if place := fault.PlaceOf(reject.Err); place != reject.Place {
			t.Errorf("place %+v, but the error says %+v", reject.Place, place)
		}
		rejects = append(rejects, reject)
		return nil
	})
	var items []string
	var err error
	for b := (&item.Batch{}); err == nil; {
		if err = r.Read(b); err == nil {
			for i := range b.Rows {
				items = append(items, string(item.AppendCanonical(nil, b.Item(i))))
			}
		}
	}
	switch {
	case s.Ends == "" && err != io.EOF:
		t.Errorf("ends with %v", err)
	case s.Ends != "" && (!strings.Contains(err.Error(), s.Ends) || fault.KindOf(err) != fault.Corrupt):
		t.Errorf("ends with %v of kind %v, want %q", err, fault.KindOf(err), s.Ends)
	}
	if len(items) != len(s.Items) {
		t.Errorf("read %q", items)
	}
	for i := range min(len(items), len(s.Items)) {
		if want := Canonical(Parse(s.Items[i])); items[i] != want {
			t.Errorf("item %d: got %s, want %s", i, items[i], want)
		}
	}
	for i, reject := range rejects {
		t.Logf("reject %d: %v", i, reject.Err)
	}
	if len(rejects) != len(s.Rejects) {
		t.Fatalf("%d rejects, want %d", len(rejects), len(s.Rejects))
	}
	for i, want := range s.Rejects {
		got := rejects[i].Place
		if got.Line != want.Line || got.Path != want.Path || want.Offset != 0 && got.Offset != want.Offset {
			t.Errorf("reject %d at line %d, byte %d, path %q; want %d, %d, %q", i, got.Line, got.Offset, got.Path,
				want.Line, want.Offset, want.Path)
		}
	}
}

// rejectsStop: an error of Rejects is Read's error, and so is the first bad record when there is no Rejects.
func (c Codec) rejectsStop(t *testing.T) {
	stop := errors.New("enough")
	for _, s := range c.Samples {
		if len(s.Rejects) == 0 {
			continue
		}
		for _, rejects := range []codec.Rejects{nil, func(codec.Reject) error { return stop }} {
			r := c.Reader(strings.NewReader(s.Input), rejects)
			var err error
			for b := (&item.Batch{}); err == nil; {
				err = r.Read(b)
			}
			if rejects != nil && !errors.Is(err, stop) {
				t.Errorf("%s: %v after Rejects said to stop", s.Name, err)
			}
			if rejects == nil && (err == io.EOF || fault.PlaceOf(err).Line != s.Rejects[0].Line) {
				t.Errorf("%s: %v without Rejects", s.Name, err)
			}
			if again := r.Read(&item.Batch{}); again == nil || again.Error() != err.Error() {
				t.Errorf("%s: %v after %v", s.Name, again, err)
			}
		}
	}
}
