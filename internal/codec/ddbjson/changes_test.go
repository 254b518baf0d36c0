package ddbjson

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"dynaferry/internal/codec"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// gotChanges is what a ChangeReader yields, each change as line µs keys new old.
func gotChanges(t testing.TB, r codec.ChangeReader) (all []string, err error) {
	t.Helper()
	b := &item.Changes{}
	for {
		if err := r.ReadChanges(b); err != nil {
			if len(b.List) != 0 {
				t.Fatalf("%d changes come with %v", len(b.List), err)
			}
			return all, err
		}
		checkTape(t, &b.Batch)
		for i, c := range b.List {
			image := func(it item.Item, ok bool) string {
				if !ok {
					return "-"
				}
				return string(it.Raw())
			}
			all = append(all, fmt.Sprintf("%d %d %s %s %s", b.FirstLine+int64(c.Line), c.Micros, b.Key(i).Raw(), image(b.New(i)), image(b.Old(i))))
		}
	}
}

const changeLines = `{"Metadata":{"WriteTimestampMicros":{"N":"1746609560577628"}},"Keys":{"PK":{"S":"c1"}},"OldImage":{"PK":{"S":"c1"},"n":{"N":"1"}},"NewImage":{"PK":{"S":"c1"},"n":{"N":"2"}}}

{"Metadata":{"WriteTimestampMicros":"1746609560577629"},"Keys":{"PK":{"S":"c2"}}}
 { "Keys" : {"PK":{"S":"c3"}} , "More":[1,{"a":null}], "NewImage": {"PK":{"S":"c3"}}, "OldImage":null , "Metadata":{"WriteTimestampMicros":1.7e15,"x":1} }
{"Item":{"PK":{"S":"c4"}}}
{"Metadata":{},"Keys":{}}
{"Keys":{"PK":{"S":"c5"}},"Keys":{"PK":{"S":"c6"}}}
{"Keys":{"PK":{"S":"c7"}},"NewImage":{"n":{"N":"x"}}}
{"Keys":{"PK":{"S":"c8"}},"Metadata":{"WriteTimestampMicros":{"N":"-1"}}}
{"Keys":{"PK":{"S":"c9"}}
}
{"Keys":{"PK":{"S":"d1"}}}`

func TestChangeReader(t *testing.T) {
	want := []string{`1 1746609560577628 {"PK":{"S":"c1"}} {"PK":{"S":"c1"},"n":{"N":"2"}} {"PK":{"S":"c1"},"n":{"N":"1"}}`,
		`3 1746609560577629 {"PK":{"S":"c2"}} - -`, `4 1700000000000000 {"PK":{"S":"c3"}} {"PK":{"S":"c3"}} -`, `12 0 {"PK":{"S":"d1"}} - -`}
	wantRefused := []string{"5 the line is an item, as full exports have them, not a change", "6 the change's Keys are empty",
		`7 duplicate member "Keys"`, "8 attribute n: The parameter cannot be converted to a numeric value: x", `9 "-1" is no time in microseconds`,
		"10 unexpected end, want '}'", "11 unexpected '}', want '{'"}
	for chunk := 1; chunk < 500; chunk += 3 {
		for _, source := range []io.Reader{strings.NewReader(changeLines), iotest.OneByteReader(strings.NewReader(changeLines))} {
			var refused []string
			r := NewChangeReader(source, ReaderOptions{ChunkBytes: chunk, Rejects: func(r codec.Reject) error {
				refused = append(refused, fmt.Sprintf("%d %v", r.Place.Line, r.Err))
				return nil
			}})
			all, err := gotChanges(t, r)
			if err != io.EOF || fmt.Sprint(all) != fmt.Sprint(want) || fmt.Sprint(refused) != fmt.Sprint(wantRefused) {
				t.Fatalf("chunks of %d: %v\n got %q\nwant %q\n got %q\nwant %q", chunk, err, all, want, refused, wantRefused)
			}
		}
	}
	_, err := gotChanges(t, NewChangeReader(strings.NewReader(changeLines), ReaderOptions{}))
	if place := fault.PlaceOf(err); fault.KindOf(err) != fault.Corrupt || place.Line != 5 || place.Offset != int64(strings.Index(changeLines, `{"Item"`)) {
		t.Fatalf("without rejects: %v at %+v", err, place)
	}
}

// FuzzChanges wants no panic, and the same changes however the stream is cut.
func FuzzChanges(f *testing.F) {
	f.Add([]byte(changeLines))
	f.Fuzz(func(t *testing.T, data []byte) {
		read := func(chunk int) string {
			r := NewChangeReader(strings.NewReader(string(data)), ReaderOptions{ChunkBytes: chunk, Rejects: func(codec.Reject) error { return nil }})
			all, err := gotChanges(t, r)
			return fmt.Sprint(all, err)
		}
		if whole, cut := read(0), read(7); whole != cut {
			t.Fatalf("%s, cut: %s", whole, cut)
		}
	})
}
