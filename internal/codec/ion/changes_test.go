package ion

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"dynaferry/internal/codec"
	"dynaferry/internal/item"
)

func gotChanges(t testing.TB, r codec.ChangeReader) (all []string, err error) {
	t.Helper()
	b := &item.Changes{}
	for {
		if err := r.ReadChanges(b); err != nil {
			return all, err
		}
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

const changeLines = `$ion_1_0 {Record:{Keys:{PK:"a"},Metadata:{WriteTimestampMicros:1684374845117899.},OldImage:{PK:"a",n:1.},NewImage:{PK:"a",n:2.,t:$dynamodb_SS::["x"]}}}
 $ion_1_0 {Record:{Metadata:{WriteTimestampMicros:1684374845117900,More:[{a:1}]},Extra:{b:[2]},Keys:{PK:"b"},NewImage:null}}
$ion_1_0 {Item:{PK:"c"}}
$ion_1_0 {Record:{Metadata:{WriteTimestampMicros:1.}}}
$ion_1_0 {Record:{Keys:{PK:"d"},NewImage:{PK:"d",deep:{x:2e0}}}}
$ion_1_0 {Record:{Keys:{PK:"e"},Keys:{PK:"f"}}}
$ion_1_0 {Record:{Keys:{},NewImage:{PK:"d"}}}
$ion_1_0 {Record:{Keys:{PK:"g"}}}
`

func TestChangeReader(t *testing.T) {
	want := []string{`1 1684374845117899 {"PK":{"S":"a"}} {"PK":{"S":"a"},"n":{"N":"2"},"t":{"SS":["x"]}} {"PK":{"S":"a"},"n":{"N":"1"}}`,
		`2 1684374845117900 {"PK":{"S":"b"}} - -`, `8 0 {"PK":{"S":"g"}} - -`}
	wantRefused := []string{"line 3 at byte 287: ion: the record is an item, as full exports have them, not a change",
		"line 4 at byte 356: ion: the change has no Keys", "line 5 at byte 414, attribute deep.x: ion: a float has no DynamoDB type",
		`line 6 at byte 454: ion: the record has two fields "Keys"`, "line 7 at byte 515: ion: the change's Keys are empty"}
	for _, source := range []io.Reader{strings.NewReader(changeLines), iotest.OneByteReader(strings.NewReader(changeLines))} {
		var refused []string
		r := NewChangeReader(source, ReaderOptions{Rejects: func(r codec.Reject) error {
			refused = append(refused, r.Err.Error())
			return nil
		}})
		all, err := gotChanges(t, r)
		if err != io.EOF || fmt.Sprint(all) != fmt.Sprint(want) || fmt.Sprint(refused) != fmt.Sprint(wantRefused) {
			t.Fatalf("%v\n got %q\nwant %q\n got %q\nwant %q", err, all, want, refused, wantRefused)
		}
	}
}

// FuzzChanges wants no panic, and the same changes however the stream comes.
func FuzzChanges(f *testing.F) {
	f.Add([]byte(changeLines))
	f.Fuzz(func(t *testing.T, data []byte) {
		read := func(in io.Reader) string {
			all, err := gotChanges(t, NewChangeReader(in, ReaderOptions{Rejects: func(codec.Reject) error { return nil }}))
			return fmt.Sprint(all, err)
		}
		if whole, cut := read(strings.NewReader(string(data))), read(iotest.OneByteReader(strings.NewReader(string(data)))); whole != cut {
			t.Fatalf("%s, cut: %s", whole, cut)
		}
	})
}
