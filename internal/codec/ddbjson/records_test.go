package ddbjson

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
)

func recordPage(text string) *feed.Page {
	return &feed.Page{Items: item.Batch{Src: item.WithSlack([]byte(text))}}
}

// TestCreationTimes: the unit by precision, else by magnitude, and whatever form a number has.
func TestCreationTimes(t *testing.T) {
	for _, c := range []struct {
		text, precision string
		want            int64
	}{
		{"1464804310", "", 1464804310_000000}, {"1.46480431E9", "", 1464804310_000000}, {"1.4648043105e9", "", 1464804310_500000},
		{"1464804310.1234567", "", 1464804310_123456}, {"1614603432364", "", 1614603432364_000}, {"1.614603432364E12", "", 1614603432364_000},
		{"1720740233012995", "", 1720740233012995}, {"1720740233012995", "MICROSECOND", 1720740233012995},
		{"1614603432364", "MILLISECOND", 1614603432364_000}, {"5", "MICROSECOND", 5}, {"5", "MILLISECOND", 5000}, {"5", "", 5_000000},
		{"0", "", 0}, {"9007199254740993", "", 9007199254740993}, {"1464804310.0000000000000000000000000001", "", 1464804310_000000},
	} {
		if got, err := creationMicros([]byte(c.text), []byte(c.precision)); err != nil || got != c.want {
			t.Errorf("%s %s: %d, %v; want %d", c.text, c.precision, got, err, c.want)
		}
	}
	for _, text := range []string{"-1", "1e100", "9999999999999999999", "{}", "", "tomorrow"} {
		if got, err := creationMicros([]byte(text), nil); fault.KindOf(err) != fault.Corrupt {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

// TestStreamRecords: what the service, DynamoDB Local and other clones write, and what they do not.
func TestStreamRecords(t *testing.T) {
	const full = `{"eventID":"1","eventName":"%s","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"x","dynamodb":{"ApproximateCreationDateTime":1.46480431E9,` +
		`"Keys":{"a":{"S":"k"}},"OldImage":{"a":{"S":"k"},"b":{"N":"1"}},"SequenceNumber":"%s","SizeBytes":41,"StreamViewType":"OLD_IMAGE"},"userIdentity":%s}`
	for name, c := range map[string]struct {
		text    string
		event   feed.Event
		seq     feed.Number
		service bool
	}{
		"ttl":                {fmt.Sprintf(full, "REMOVE", "300000000000000499659", `{"type":"Service","principalId":"dynamodb.amazonaws.com"}`), feed.Remove, "300000000000000499659", true},
		"ttl, API spelling":  {fmt.Sprintf(full, "REMOVE", "1", `{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"}`), feed.Remove, "1", true},
		"another service":    {fmt.Sprintf(full, "REMOVE", "1", `{"type":"Service","principalId":"other.amazonaws.com"}`), feed.Remove, "1", false},
		"a user":             {fmt.Sprintf(full, "MODIFY", "1", `{"type":"User","principalId":"dynamodb.amazonaws.com"}`), feed.Modify, "1", false},
		"null":               {fmt.Sprintf(full, "MODIFY", "1", `null`), feed.Modify, "1", false},
		"leading zeros":      {fmt.Sprintf(full, "INSERT", "000000000000000000042", `null`), feed.Insert, "42", false},
		"number zero":        {fmt.Sprintf(full, "INSERT", "000", `null`), feed.Insert, "", false},
		"an event to come":   {fmt.Sprintf(full, "RENAME", "1", `{"future":[1,{"a":null}]}`), 0, "1", false},
		"escapes in members": {strings.ReplaceAll(fmt.Sprintf(full, `REM\u004fVE`, "7", "null"), `"Keys"`, `"\u004beys"`), feed.Remove, "7", false},
	} {
		for _, spread := range []bool{false, true} {
			text := `{"NextShardIterator":"n\"1","Future":[1.5e3],"Records":[` + c.text + "," + c.text + `]}`
			want := c.text
			if spread {
				var lines bytes.Buffer
				if err := json.Indent(&lines, []byte(text), "", "\t"); err != nil {
					t.Fatal(err)
				}
				text = lines.String()
			}
			p := recordPage(text)
			if err := ParseRecords(p); err != nil || len(p.Records) != 2 || p.Next != `n"1` {
				t.Fatalf("%s: %d records, next %s, %v", name, len(p.Records), p.Next, err)
			}
			for _, r := range p.Records {
				if r.Event != c.event || r.Seq != c.seq || r.Service != c.service || string(r.Raw) != want || string(r.EventID) != "1" ||
					r.Micros != 1464804310_000000 || r.New != item.NoImage {
					t.Errorf("%s: %+v\n%s\n%s", name, r, r.Raw, want)
				}
				if keys, old := p.Items.Item(int(r.Keys)), p.Items.Item(int(r.Old)); string(keys.Raw()) != `{"a":{"S":"k"}}` || old.Count(0) != 2 {
					t.Errorf("%s: keys %s, old %s", name, keys.Raw(), old.Raw())
				}
			}
		}
	}
	for _, text := range []string{``, `{}`, `{"Records":null}`, `{"Records":[],"NextShardIterator":null}`} {
		p := recordPage(text)
		if err := ParseRecords(p); (err == nil) != (text != "") || len(p.Records) > 0 || p.Next != "" {
			t.Errorf("%s: %d records, %v", text, len(p.Records), err)
		}
	}
}

// TestKeptImages: images that are not to be kept are checked all the same, and are no rows; of a compacted entry it is known
// all the same whether there was one.
func TestKeptImages(t *testing.T) {
	const images = `"Keys":{"a":{"S":"k"}},"NewImage":{"a":{"S":"k"},"b":{"N":"1"}},"OldImage":{"a":{"S":"k"}}`
	const text = `{"Records":[{"eventName":"MODIFY","dynamodb":{"SequenceNumber":"1",` + images + `}},{"eventName":"MODIFY","dynamodb":{"SequenceNumber":"2",` + images + `}}]}`
	for _, c := range []struct {
		keep     feed.View
		now, old bool
		rows     int
	}{{"", true, true, 6}, {feed.BothImages, true, true, 6}, {feed.NewImage, true, false, 4}, {feed.OldImage, false, true, 4}, {feed.KeysOnly, false, false, 2}} {
		p := recordPage(text)
		p.Keep = c.keep
		if err := ParseRecords(p); err != nil || len(p.Records) != 2 || p.Items.Len() != c.rows {
			t.Fatalf("%q: %d records, %d rows, %v", c.keep, len(p.Records), p.Items.Len(), err)
		}
		for _, r := range p.Records {
			if (r.New != item.NoImage) != c.now || (r.Old != item.NoImage) != c.old || string(p.Items.Item(int(r.Keys)).Raw()) != `{"a":{"S":"k"}}` {
				t.Errorf("%q: %+v", c.keep, r)
			}
			if c.old && string(p.Items.Item(int(r.Old)).Raw()) != `{"a":{"S":"k"}}` {
				t.Errorf("%q: old %s", c.keep, p.Items.Item(int(r.Old)).Raw())
			}
		}
		bad := recordPage(strings.Replace(text, `{"N":"1"}`, `{"N":"x"}`, 1))
		if bad.Keep = c.keep; ParseRecords(bad) == nil {
			t.Errorf("%q: an image that is none passes", c.keep)
		}
		lines := recordPage("{" + images + "}\n" + `{"Keys":{"a":{"S":"k"}},"NewImage":null}` + "\n")
		if lines.Keep = c.keep; ParseLogRecords(lines, nil) != nil || lines.Records[0].Event != feed.Modify || lines.Records[1].Event != feed.Remove {
			t.Errorf("%q: of a compacted entry %+v", c.keep, lines.Records)
		}
	}
}

// TestNoStreamRecords: each is refused, with a place, and leaves nothing.
func TestNoStreamRecords(t *testing.T) {
	const good = `{"dynamodb":{"SequenceNumber":"1","Keys":{"a":{"S":"k"}}}}`
	for _, text := range []string{`{"Records":[{}]}`, `{"Records":[{"dynamodb":null}]}`, `{"Records":[{"dynamodb":{"SequenceNumber":"1x"}}]}`,
		`{"Records":[{"dynamodb":{"SequenceNumber":"1","SequenceNumber":"2"}}]}`, `{"Records":[{"dynamodb":{"SequenceNumber":"1"},"dynamodb":{}}]}`,
		`{"Records":[{"dynamodb":{"SequenceNumber":"1","Keys":{"a":{"S":"k"}},"Keys":{}}}]}`, `{"Records":[{"dynamodb":{"SequenceNumber":1}}]}`,
		`{"Records":[{"dynamodb":{"SequenceNumber":"1","Keys":{"a":{"S":"line` + "\n" + `break"}}}}]}`, `{"Records":[` + good + `]} x`,
		`{"Records":[{"dynamodb":{"SequenceNumber":"1","NewImage":{"a":{"N":"1e999"}}}}]}`, `{"Records":[` + good, `{"Records":[` + good + `,]}`,
		`{"Records":[{"dynamodb":{"SequenceNumber":"1","ApproximateCreationDateTime":-1}}]}`, `{"NextShardIterator":7}`} {
		p := recordPage(strings.Replace(text, "[{", "["+good+",{", 1))
		err := ParseRecords(p)
		if kind := fault.KindOf(err); kind != fault.Corrupt && kind != fault.User || len(p.Records)+p.Items.Len() > 0 {
			t.Errorf("%s: %d records, %v", text, len(p.Records), err)
		}
	}
}

// TestShardRecords: the envelope of Kinesis. feedtest has what is inside of it.
func TestShardRecords(t *testing.T) {
	const change = `{"eventName":"INSERT","tableName":"T","dynamodb":{"ApproximateCreationDateTime":1720740233012995,"Keys":{"a":{"B":"/+8="}},"ApproximateCreationDateTimePrecision":"MICROSECOND"}}`
	data := base64.StdEncoding.EncodeToString([]byte(change))
	escaped := strings.ReplaceAll(data, "J", `\u004a`)
	text := `{"MillisBehindLatest":1500,"ChildShards":[{"ShardId":"c","ParentShards":["p","q"],"HashKeyRange":{}}],"Records":[` +
		`{"Data":"` + data + `","PartitionKey":"k\n","SequenceNumber":"49590338271490256608559692538361571095921575989136588898","EncryptionType":"NONE"},` +
		`{"SequenceNumber":"7","Data":"` + escaped + `","ApproximateArrivalTimestamp":1.7E9},{"SequenceNumber":"8","Data":""}]}`
	p := recordPage(text)
	if err := ParseShardRecords(p); err != nil || len(p.Records) != 3 || p.Next != "" || p.Behind != 1500*time.Millisecond {
		t.Fatalf("%d records, behind %v, %v", len(p.Records), p.Behind, err)
	}
	if c := p.Children; len(c) != 1 || c[0].ID != "c" || len(c[0].Parents) != 2 {
		t.Errorf("children %v", c)
	}
	for i, r := range p.Records[:2] {
		if string(r.Raw) != change || r.Event != feed.Insert || string(r.Table) != "T" || r.Micros != 1720740233012995 ||
			string(p.Items.Item(int(r.Keys)).Raw()) != `{"a":{"B":"/+8="}}` {
			t.Errorf("record %d: %+v %s", i, r, r.Raw)
		}
	}
	if r := p.Records[0]; string(r.PartitionKey) != "k\n" || len(r.Seq) != 56 || r.Sub != 0 {
		t.Errorf("%+v", r)
	}
	if r := p.Records[1]; r.Arrived != 1.7e15 || p.Records[0].Arrived != 0 {
		t.Errorf("arrived at %d", r.Arrived)
	}
	if r := p.Records[2]; len(r.Raw) != 0 || r.Event != 0 || r.Keys != item.NoImage || r.Seq != "8" {
		t.Errorf("without data: %+v", r)
	}
	for _, text := range []string{`{"Records":[{"SequenceNumber":"7"}]}`, `{"Records":[{"Data":""}]}`, `{"MillisBehindLatest":"1"}`,
		`{"Records":[{"SequenceNumber":"7","Data":"A"}]}`, `{"Records":[{"SequenceNumber":"7","Data":"","Data":""}]}`, `{"ChildShards":7}`,
		`{"Records":[{"SequenceNumber":"7","Data":"","ApproximateArrivalTimestamp":"1"}]}`, `{"Records":[{"SequenceNumber":"7","Data":"","ApproximateArrivalTimestamp":1e99}]}`} {
		p := recordPage(text)
		if err := ParseShardRecords(p); fault.KindOf(err) != fault.Corrupt || len(p.Records) > 0 {
			t.Errorf("%s: %d records, %v", text, len(p.Records), err)
		}
	}
}

// TestClockSetBack: a service whose clock was set back tells a negative span, which is not the tip.
func TestClockSetBack(t *testing.T) {
	p := recordPage(`{"MillisBehindLatest":-37,"Records":[],"NextShardIterator":"n"}`)
	if err := ParseShardRecords(p); err != nil || p.Behind <= 0 {
		t.Errorf("behind %v, %v", p.Behind, err)
	}
}

// FuzzRecords: no reply panics, and what is accepted says of each record the same when it stands alone.
func FuzzRecords(f *testing.F) {
	f.Add([]byte(`{"Records":[{"eventName":"INSERT","dynamodb":{"SequenceNumber":"1","Keys":{"a":{"S":"k"}}}}]}`), false)
	f.Add([]byte(`{"Records":[{"SequenceNumber":"7","Data":"eyJldmVudE5hbWUiOiJJTlNFUlQiLCJkeW5hbW9kYiI6eyJLZXlzIjp7fX19","PartitionKey":"k"}]}`), true)
	f.Add([]byte("{\"Records\": [\r\n{\"dynamodb\": {\"SequenceNumber\": \"1\"}}]}"), false)
	f.Fuzz(func(t *testing.T, reply []byte, kinesis bool) {
		p := recordPage(string(reply))
		parse := ParseRecords
		if kinesis {
			parse = ParseShardRecords
		}
		if err := parse(p); err != nil {
			if len(p.Records)+p.Items.Len() > 0 {
				t.Errorf("%d records beside %v", len(p.Records), err)
			}
			return
		}
		for _, r := range p.Records {
			if r.Event != 0 && bytes.ContainsAny(r.Raw, "\r\n") {
				t.Errorf("%q spans lines", r.Raw)
			}
			if kinesis {
				continue
			}
			alone := recordPage(`{"Records":[` + string(r.Raw) + `]}`)
			if err := ParseRecords(alone); err != nil || len(alone.Records) != 1 {
				t.Fatalf("%s alone: %v", r.Raw, err)
			}
			a := alone.Records[0]
			if a.Event != r.Event || a.Seq != r.Seq || a.Micros != r.Micros || a.Service != r.Service || string(a.Raw) != string(r.Raw) {
				t.Errorf("%+v is %+v alone", r, a)
			}
			for _, image := range [][2]int32{{r.Keys, a.Keys}, {r.New, a.New}, {r.Old, a.Old}} {
				if (image[0] == item.NoImage) != (image[1] == item.NoImage) {
					t.Fatalf("%+v is %+v alone", r, a)
				}
				if image[0] != item.NoImage && !item.Equal(p.Items.Item(int(image[0])), alone.Items.Item(int(image[1]))) {
					t.Errorf("an image of %s differs alone", r.Raw)
				}
			}
		}
	})
}
