package source

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/blob/folder"
	"dynaferry/internal/changelog"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
	"dynaferry/internal/world"
)

// kinesisLines are records of a Kinesis stream that others write to as well: changes, what is JSON and no change or only looks like one, and
// what is neither.
var kinesisLines = []string{
	`{"kinesis":{"sequenceNumber":"49001","partitionKey":"p"},"data":{"eventName":"INSERT","eventID":"1","dynamodb":{"ApproximateCreationDateTime":1772359200000,"Keys":{"id":{"S":"a"}},"NewImage":{"id":{"S":"a"}}}}}`,
	`{"kinesis":{"sequenceNumber":"49002","subSequenceNumber":1,"partitionKey":"p"},"data":{"dynamodb":5}}`,
	`{"kinesis":{"sequenceNumber":"49002","subSequenceNumber":2,"partitionKey":"p"},"data":["no","change"]}`,
	`{"kinesis":{"sequenceNumber":"49003","partitionKey":"p"},"base64":"AAE="}`,
	`{"kinesis":{"sequenceNumber":"49004","partitionKey":"p"},"data":{"eventName":"REMOVE","eventID":"2","dynamodb":{"ApproximateCreationDateTime":1772359260000,"Keys":{"id":{"S":"a"}}}}}`,
}

// TestLoggedLines: a window of a log gives its lines as they stand, also those that are no changes as long as no filter asks for changes.
func TestLoggedLines(t *testing.T) {
	at := filepath.Join(t.TempDir(), "log")
	begun := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	keep(t, at, begun)
	for name, c := range map[string]struct {
		spec LogSpec
		want []int // of the lines
	}{
		"all":           {LogSpec{}, []int{0, 1, 2, 3, 4}},
		"the first":     {LogSpec{To: begun.Add(time.Second)}, []int{0, 1, 2, 3}},
		"the last":      {LogSpec{From: begun}, []int{4}},
		"what was put":  {LogSpec{Ops: []string{OpPut}}, []int{0}},
		"of a key":      {LogSpec{Key: []byte(`{"id":{"S":"a"}}`)}, []int{0, 4}},
		"of no key":     {LogSpec{Key: []byte(`{"id":{"S":"b"}}`)}, nil},
		"by expression": {LogSpec{Where: `op == "REMOVE"`}, []int{4}},
	} {
		opened, err := Open(t.Context(), world.New(), Spec{Address: at, Log: &c.spec})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		src := opened.(Logged)
		var got, want []string
		for e, err := range src.Entries(t.Context(), src.Info().Log.Copies[0], 0, 1<<20) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			err := e.Records(func(p *changelog.Part, r changelog.Record) error {
				got = append(got, fmt.Sprintf("%v %s", r.Position, r.Raw))
				if p.Source.ID != "shard" || (r.Key != 0) != strings.Contains(string(r.Raw), "eventID") {
					t.Errorf("%s: %s of shard %s has the key %d", name, r.Raw, p.Source.ID, r.Key)
				}
				return nil
			})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		for _, n := range c.want {
			position, err := changelog.PositionOf([]byte(kinesisLines[n]))
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprintf("%v %s", position, kinesisLines[n]))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if changes := changesOf(t, src); changes != strings.Count(strings.Join(want, ""), "eventID") {
			t.Errorf("%s: %d changes are read", name, changes)
		}
	}
}

// changesOf counts what a replay into a table would apply.
func changesOf(t *testing.T, src Source) (n int) {
	for _, u := range src.(Changer).ChangeUnits() {
		in, err := src.(Changer).Changes(t.Context(), u, ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		for b := (item.Changes{}); in.ReadChanges(&b) == nil; {
			n += len(b.List)
		}
	}
	return n
}

// keep writes the lines into a log, as capture would have.
func keep(t *testing.T, at string, begun time.Time) {
	t.Helper()
	bucket, err := folder.Open(at, folder.Options{})
	if err != nil {
		t.Fatal(err)
	}
	log, err := changelog.Create(t.Context(), bucket, "", changelog.Info{Stream: "arn:aws:kinesis:us-east-1:000000000000:stream/s", Kinesis: true, View: feed.BothImages,
		Keys: item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.S}}})
	if err != nil {
		t.Fatal(err)
	}
	chain, err := log.Chain(t.Context(), 0, "w", changelog.ChainOptions{})
	if err != nil {
		t.Fatal(err)
	}
	build, err := changelog.NewBuilder(chain.State(), changelog.BuilderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := build.Begin(changelog.Shard{ID: "shard"}); err != nil {
		t.Fatal(err)
	}
	for i, line := range kinesisLines {
		position, err := changelog.PositionOf([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		micros := begun.Add(time.Duration(i/4) * time.Minute).UnixMicro()
		r := changelog.Record{Raw: []byte(line), Position: position, Micros: micros}
		if strings.Contains(line, "eventID") {
			r.Key = changelog.KeyHash(keyOf(t, log, `{"id":{"S":"a"}}`))
		}
		if err := build.Add("shard", r); err != nil {
			t.Fatal(err)
		}
	}
	if err := build.Tip("shard", begun.Add(time.Hour).UnixMicro()); err != nil {
		t.Fatal(err)
	}
	d := build.Cut()
	d.At = begun.Add(time.Hour).UnixMicro()
	if _, err := chain.Append(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// keyOf is a key in canonical form.
func keyOf(t *testing.T, log *changelog.Log, text string) []byte {
	t.Helper()
	b := item.Batch{Src: item.WithSlack([]byte(text))}
	if err := ddbjson.Parse(&b, 0); err != nil {
		t.Fatal(err)
	}
	key, err := log.Keys.AppendKey(nil, b.Item(0))
	if err != nil {
		t.Fatal(err)
	}
	return key
}
