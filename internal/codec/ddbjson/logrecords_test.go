package ddbjson

import (
	"fmt"
	"strings"
	"testing"

	"dynaferry/internal/codec"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
)

// TestLogRecords: what a change log keeps, of each kind, and what becomes of lines that are broken.
func TestLogRecords(t *testing.T) {
	const keys, image = `"Keys":{"a":{"S":"k"}}`, `{"a":{"S":"k"},"n":{"N":"1"}}`
	stream := `{"eventID":"1","eventName":"MODIFY","dynamodb":{"ApproximateCreationDateTime":1464804310,` + keys + `,"NewImage":` + image + `,"OldImage":` + image +
		`,"SequenceNumber":"300"},"userIdentity":null}`
	payload := `{"eventID":"2","eventName":"INSERT","tableName":"T","dynamodb":{"ApproximateCreationDateTime":1720740233012995,` + keys + `,"NewImage":` + image + `}}`
	kinesis := func(data string) string {
		return `{"kinesis":{"sequenceNumber":"49","subSequenceNumber":2,"partitionKey":"p","approximateArrivalTimestamp":1.5},` + data + `}`
	}
	compacted := `{"Metadata":{"WriteTimestampMicros":{"N":"77"}},` + keys
	cases := []struct {
		line   string
		raw    string // "" is the line
		event  feed.Event
		at     string
		micros int64
		images string // which there are
	}{
		{stream, "", feed.Modify, "300", 1464804310_000000, "kno"},
		{kinesis(`"data":` + payload), payload, feed.Insert, "49.2", 1720740233012995, "kn"},
		{kinesis(`"data":{"other":[1,{"Keys":2}]}`), `{"other":[1,{"Keys":2}]}`, 0, "49.2", 0, ""},
		{kinesis(`"data":"text"`), `"text"`, 0, "49.2", 0, ""},
		{kinesis(`"base64":"AAEC"`), "", 0, "49.2", 0, ""},
		{compacted + `,"NewImage":` + image + `}`, "", feed.Modify, "", 77, "kn"},
		{compacted + `,"OldImage":` + image + `}`, "", feed.Remove, "", 77, "ko"},
		{`{"eventName":"INSERT"}`, "", 0, "", 0, ""},
	}
	var text strings.Builder
	for i, c := range cases {
		fmt.Fprintln(&text, c.line)
		if i == 2 {
			fmt.Fprintln(&text, `{"eventName":"INSERT","dynamodb":{`+keys+`,"NewImage":{"a":{"N":"x"}}}}`)
			fmt.Fprintln(&text, `no JSON`)
		}
	}
	page := recordPage(text.String())
	var rejected []int64
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(ParseLogRecords(page, func(r codec.Reject) error {
		rejected = append(rejected, r.Place.Line)
		if got := text.String()[r.Place.Offset:][:len(r.Raw)]; got != string(r.Raw) || r.Err == nil {
			t.Errorf("%q is told as %q, %v", r.Raw, got, r.Err)
		}
		return nil
	}))
	if fmt.Sprint(rejected) != "[4 5]" {
		t.Errorf("rejected are %v", rejected)
	}
	if len(page.Records) != len(cases) {
		t.Fatalf("%d records", len(page.Records))
	}
	for i, c := range cases {
		r := page.Records[i]
		images := ""
		for name, row := range map[string]int32{"k": r.Keys, "n": r.New, "o": r.Old} {
			if row != item.NoImage {
				images += name
				if id, ok := page.Items.Item(int(row)).Get("a"); !ok || string(page.Items.Item(int(row)).Text(id)) != "k" {
					t.Errorf("%s: an image without its key", c.line)
				}
			}
		}
		for _, name := range c.images {
			if !strings.ContainsRune(images, name) || len(images) != len(c.images) {
				t.Errorf("%s: images %q", c.line, images)
			}
		}
		raw := c.raw
		if raw == "" {
			raw = c.line
		}
		at := ""
		if !r.Position.IsZero() {
			at = r.Position.String()
		}
		if string(r.Raw) != raw || r.Event != c.event || at != c.at || r.Micros != c.micros {
			t.Errorf("%s: %q, event %d at %q, %d", c.line, r.Raw, r.Event, at, r.Micros)
		}
	}
	if err := ParseLogRecords(recordPage(stream+"\n{\n"), nil); fault.KindOf(err) != fault.Corrupt {
		t.Errorf("without rejects: %v", err)
	}
}
