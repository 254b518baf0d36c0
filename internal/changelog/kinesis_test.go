package changelog

import (
	"testing"

	"dynaferry/internal/feed"
)

// TestAppendKinesis: a line is docs/formats/changelog.md's, whatever the payload is, and tells its position.
func TestAppendKinesis(t *testing.T) {
	at := feed.Position{Seq: "49", Sub: 2}
	for _, c := range []struct {
		name string
		r    feed.Record
		want string
	}{
		{"a change", feed.Record{Raw: []byte(`{"eventName": "INSERT"}`), Event: feed.Insert, PartitionKey: []byte("AF09"), Arrived: 1_479_322_300_128_000},
			`{"kinesis":{"sequenceNumber":"49","subSequenceNumber":2,"partitionKey":"AF09","approximateArrivalTimestamp":1479322300.128},"data":{"eventName": "INSERT"}}`},
		{"somebody's JSON, over lines", feed.Record{Raw: []byte("[1,\r\n2]"), PartitionKey: []byte("a\"\n"), Arrived: 1_500_000},
			`{"kinesis":{"sequenceNumber":"49","subSequenceNumber":2,"partitionKey":"a\"\n","approximateArrivalTimestamp":1.5},"data":[1,2]}`},
		{"no JSON", feed.Record{Raw: []byte("Hello\n")},
			`{"kinesis":{"sequenceNumber":"49","subSequenceNumber":2,"partitionKey":"","approximateArrivalTimestamp":0},"base64":"SGVsbG8K"}`},
	} {
		c.r.Position = at
		got := AppendKinesis(nil, &c.r)
		if string(got) != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.name, got, c.want)
		}
		if p, err := PositionOf(got); err != nil || p != at {
			t.Errorf("%s: stands at %v: %v", c.name, p, err)
		}
	}
}
