package job

import (
	"encoding/json"
	"testing"

	"dynaferry/internal/plan"
)

// What a plan of format 1 was found by: settings with the budget among them, and nothing that came later.
func TestSettingsBefore(t *testing.T) {
	tuning := Tuning{ReadUnits: "50", WriteUnits: "70"}
	for _, c := range []struct {
		before json.RawMessage
		want   string
	}{
		{(&Copy{Dest: "/d", Form: "json", Tuning: tuning}).before(),
			`{"dest":"/d","form":"json","compression":"","into":"","onNew":"","targetBytes":0,"taskBytes":0,"readUnits":"50"}`},
		{Import{Table: "dynamodb://Orders", TableID: "id", Mode: ModePut, Dedupe: "last", Tuning: tuning}.before(),
			`{"table":"dynamodb://Orders","mode":"put","dedupe":"last","writeUnits":"70"}`},
		{(&Verify{Buckets: 1, Limit: 2, Tuning: tuning}).before(), `{"buckets":1,"limit":2,"readUnits":"50"}`},
		{(&Verify{Buckets: 1, Limit: 2}).before(), `{"buckets":1,"limit":2}`},
	} {
		var got, want any
		if err := json.Unmarshal(c.before, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(err)
		}
		if string(marshal(got)) != string(marshal(want)) {
			t.Errorf("%s, want %s", c.before, c.want)
		}
	}
}

func TestRetune(t *testing.T) {
	p := &plan.Plan{ID: "p", Tuning: json.RawMessage(`{"readUnits":"10","writeUnits":"20","form":"json"}`)}
	for _, c := range []struct {
		given Tuning
		want  Tuning
		ok    bool
	}{
		{Tuning{}, Tuning{"10", "20"}, true},
		{Tuning{ReadUnits: "50%"}, Tuning{"50%", "20"}, true},
		{Tuning{WriteUnits: "lots"}, Tuning{"50%", "20"}, false},
	} {
		err := Retune(p, c.given)
		got, parseErr := tuningOf(p)
		if (err == nil) != c.ok || parseErr != nil || got != c.want {
			t.Errorf("%+v: %+v, %v, %v; want %+v", c.given, got, err, parseErr, c.want)
		}
	}
}
