package column

import (
	"slices"
	"testing"

	"dynaferry/internal/item"
)

// TestAttributesNamesNullOnlyOnes: an attribute that is only ever NULL has no column, and is still an attribute.
func TestAttributesNamesNullOnlyOnes(t *testing.T) {
	var b item.Batch
	w := item.NewBuilder(&b)
	w.Begin(1)
	w.Name("never")
	w.Null()
	w.Name("id")
	w.String([]byte("a"))
	w.Finish()
	var s Stats
	s.Observe(b.Item(0))
	if got := s.Attributes(); !slices.Equal(got, []string{"id", "never"}) {
		t.Errorf("attributes %q", got)
	}
	if fields := s.Schema(SchemaOptions{}).Fields; len(fields) != 1 || fields[0].Source != "id" {
		t.Errorf("%d columns", len(fields))
	}
	if got := s.Types("never")[item.NULL]; got != 1 {
		t.Errorf("%d NULLs", got)
	}
}
