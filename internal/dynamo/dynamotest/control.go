package dynamotest

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// control checks that what a table is beside its items can be told, made and set, each again without effect.
func control(t *testing.T, tb *table) {
	c, ok := dynamo.Power[dynamo.Control](tb.client)
	if !ok {
		t.Fatal("no Control")
	}
	like := tb.create(t, dynamo.Definition{})
	bare, err := c.Settings(t.Context(), like)
	if err != nil || bare.TTL != "" || bare.PITR || len(bare.Tags) > 0 || bare.Policy != "" || !bare.Scaling.Empty() {
		t.Fatalf("settings of a new table: %+v, %v", bare, err)
	}
	def := described(t, like)
	if err := tb.client.Delete(t.Context(), tb.name); err != nil {
		t.Fatal(err)
	}
	made, err := c.Make(t.Context(), &def)
	if err != nil {
		t.Fatal(err)
	}
	if made.ID == like.ID && like.ID != "" || made.Keys != like.Keys || made.Status != "ACTIVE" {
		t.Errorf("made: %+v", made)
	}
	if got := indexesOf(t, made.Raw); !reflect.DeepEqual(got, []string{"byNumber KEYS_ONLY", "byDay INCLUDE [n]"}) {
		t.Errorf("indexes: %q", got)
	}
	if _, err := c.Make(t.Context(), &def); fault.KindOf(err) != fault.Conflict {
		t.Errorf("made again: %v", err)
	}
	tb.set(t, c, made, &def)
	again, err := tb.client.Describe(t.Context(), tb.name)
	if err != nil {
		t.Fatal(err)
	}
	if bare := again.Definition; !bare.Has(dynamo.Stream) || !bare.Has(dynamo.Indexes) || bare.Has(dynamo.Class) || bare.ARN() != made.ARN {
		t.Errorf("described: %s", again.Raw)
	}
	if tb.o.Bucket != "" {
		tb.restore(t, c)
	}
}

// described is what DescribeTable would tell of a table like another, with indexes, and settings beside.
func described(t *testing.T, like *dynamo.Table) dynamo.Definition {
	t.Helper()
	def := like.Definition
	var members map[string]json.RawMessage
	if err := json.Unmarshal(like.Raw, &members); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"AttributeDefinitions": `[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"sk","AttributeType":"N"},{"AttributeName":"n","AttributeType":"N"},
			{"AttributeName":"day","AttributeType":"S"},{"AttributeName":"unused","AttributeType":"S"}]`,
		"LocalSecondaryIndexes": `[{"IndexName":"byNumber","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"n","KeyType":"RANGE"}],
			"Projection":{"ProjectionType":"KEYS_ONLY"},"IndexSizeBytes":5,"ItemCount":1,"IndexArn":"x"}]`,
		"GlobalSecondaryIndexes": `[{"IndexName":"byDay","KeySchema":[{"AttributeName":"day","KeyType":"HASH"}],"Projection":{"ProjectionType":"INCLUDE","NonKeyAttributes":["n"]},
			"IndexStatus":"ACTIVE","ProvisionedThroughput":{"NumberOfDecreasesToday":0,"ReadCapacityUnits":0,"WriteCapacityUnits":0},"ItemCount":1,"IndexArn":"x"}]`,
		"StreamSpecification": `{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}`,
	} {
		members[name] = json.RawMessage(text)
	}
	var err error
	if def.Table, err = json.Marshal(members); err != nil {
		t.Fatal(err)
	}
	def.Settings = &dynamo.Settings{TTL: "expires", PITR: true, Tags: []dynamo.Tag{{Key: "team", Value: "ships"}, {Key: "aws:cloudformation:stack-name", Value: "none of ours"}},
		Policy: fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"dynamodb:GetItem","Resource":"%s"}]}`, like.ARN)}
	return def
}

// set sets everything twice, and reads it again. What the counterpart does not have is Unsupported both ways.
func (tb *table) set(t *testing.T, c dynamo.Control, made *dynamo.Table, def *dynamo.Definition) {
	t.Helper()
	lacks := map[dynamo.Setting]bool{}
	for range 2 {
		for _, s := range dynamo.SettingsAfter {
			err := c.Set(t.Context(), made, def, s)
			if fault.KindOf(err) == fault.Unsupported {
				lacks[s] = true
			} else if err != nil {
				t.Errorf("set %s: %v", s, err)
			}
		}
	}
	got, err := c.Settings(t.Context(), made)
	if err != nil {
		t.Fatal(err)
	}
	for s := range lacks {
		if !slices.ContainsFunc(got.Untold, func(u dynamo.UntoldSetting) bool { return u.Setting == s && u.Reason != "" }) {
			t.Errorf("%s cannot be set, and is not among what is untold: %+v", s, got.Untold)
		}
	}
	want := *def.Settings
	want.Tags, want.PITR, want.Untold, want.PITRDays = want.Tags[:1], !lacks[dynamo.PITR], got.Untold, got.PITRDays
	if lacks[dynamo.Policy] {
		want.Policy = ""
	}
	if lacks[dynamo.Tags] {
		want.Tags = nil
	}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("settings %+v, want %+v", *got, want)
	}
}

// restore has the service make a table as another was.
func (tb *table) restore(t *testing.T, c dynamo.Control) {
	t.Helper()
	n, _ := dynamo.Power[dynamo.Native](tb.client)
	if _, err := tb.client.BatchWrite(t.Context(), &dynamo.BatchWriteRequest{Table: tb.name, Puts: []item.Item{makeItem(t, "pk", "a", "sk", 1)}}); err != nil {
		t.Fatal(err)
	}
	var at time.Time
	for deadline := time.Now().Add(nativeWithin); ; time.Sleep(50 * time.Millisecond) {
		b, err := n.Backups(t.Context(), tb.name)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%+v, %v", b, err)
		}
		if at = b.Latest.Truncate(time.Second); !at.Before(b.Earliest) && at.After(b.Earliest.Add(time.Second)) {
			break
		}
	}
	name := tb.name + "-then"
	t.Cleanup(func() { _ = tb.client.Delete(context.Background(), name) })
	first, err := c.RestoreTo(t.Context(), tb.name, name, at)
	for deadline := time.Now().Add(nativeWithin); err == nil && first.Status == "CREATING" && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		first, err = tb.client.Describe(t.Context(), name)
	}
	if err != nil || first.Status != "ACTIVE" || first.Definition.Has(dynamo.Stream) || !first.Definition.Has(dynamo.Indexes) {
		t.Fatalf("restored: %+v, %v", first, err)
	}
	if again, err := c.RestoreTo(t.Context(), tb.name, name, at); err != nil || again.ID != first.ID {
		t.Errorf("the same again: %+v, %v", again, err)
	}
	if _, err := c.RestoreTo(t.Context(), tb.name, name, at.Add(-time.Second)); fault.KindOf(err) != fault.Conflict {
		t.Errorf("another time under its name: %v", err)
	}
	refused(t, "a time long ago", dynamo.CodeInvalidRestoreTime, fault.User, func() error {
		_, err := c.RestoreTo(t.Context(), tb.name, name+"-never", at.Add(-40*24*time.Hour))
		return err
	})
}

// indexesOf names the indexes of a described table with what they project.
func indexesOf(t *testing.T, raw json.RawMessage) []string {
	t.Helper()
	type index struct {
		IndexName  string
		Projection struct {
			ProjectionType   string
			NonKeyAttributes []string
		}
	}
	var d struct{ LocalSecondaryIndexes, GlobalSecondaryIndexes []index }
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, ix := range append(d.LocalSecondaryIndexes, d.GlobalSecondaryIndexes...) {
		text := ix.IndexName + " " + ix.Projection.ProjectionType
		if len(ix.Projection.NonKeyAttributes) > 0 {
			text += fmt.Sprintf(" %v", ix.Projection.NonKeyAttributes)
		}
		names = append(names, text)
	}
	return names
}
