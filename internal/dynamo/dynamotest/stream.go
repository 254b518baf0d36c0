package dynamotest

import (
	"strings"
	"testing"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
)

// stream checks that a table's stream is turned on once, and found.
func stream(t *testing.T, tb *table) {
	made := tb.create(t, dynamo.Definition{})
	if s := made.Stream(); s != (dynamo.TableStream{}) {
		t.Fatalf("a new table has the stream %+v", s)
	}
	on, err := dynamo.EnableStream(t.Context(), tb.client, tb.name, "NEW_AND_OLD_IMAGES")
	if err != nil {
		t.Fatal(err)
	}
	s := on.Stream()
	if !s.Enabled || s.View != "NEW_AND_OLD_IMAGES" || !strings.Contains(s.ARN, ":table/"+tb.name+"/stream/") {
		t.Errorf("turned on: %+v", s)
	}
	again, err := dynamo.EnableStream(t.Context(), tb.client, tb.name, s.View)
	if err != nil || again.Stream() != s {
		t.Errorf("once more: %+v, %v", again, err)
	}
	if _, err := dynamo.EnableStream(t.Context(), tb.client, tb.name, "KEYS_ONLY"); fault.KindOf(err) != fault.Conflict || fault.HintOf(err) == "" {
		t.Errorf("with another view: %v", err)
	}
	if _, err := dynamo.EnableStream(t.Context(), tb.client, tb.name+"-not", s.View); fault.KindOf(err) != fault.NotFound {
		t.Errorf("of no table: %v", err)
	}
}
