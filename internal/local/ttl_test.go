package local

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// What has expired goes, and nothing else: not strings, not the far past, not what changed at the last moment. The
// stream tells who deleted.
func TestTTLSweep(t *testing.T) {
	now := epoch
	db := newDB(t, Options{FullPages: true, Clock: func() time.Time { return now }})
	must(t, db, "CreateTable", createStreamed)
	put := func(key, ends string) {
		must(t, db, "PutItem", fmt.Sprintf(`{"TableName":"hash","Item":{"pk":{"S":"%s"},"ends":%s}}`, key, ends))
	}
	second := func(d time.Duration) string { return fmt.Sprintf(`{"N":"%d"}`, now.Add(d).Unix()) }
	put("before", second(-time.Second)) // there before TTL is on
	must(t, db, "UpdateTimeToLive", `{"TableName":"hash","TimeToLiveSpecification":{"AttributeName":"ends","Enabled":true}}`)
	put("over", second(-time.Second))
	put("fraction", strings.Replace(second(-time.Minute), `"}`, `.5"}`, 1))
	put("now", second(0))
	put("soon", second(time.Minute))
	put("text", strings.Replace(second(-time.Minute), "N", "S", 1))
	put("ancient", second(-6*365*24*time.Hour))
	put("negative", `{"N":"-5"}`)
	put("zero", `{"N":"0"}`)
	put("huge", `{"N":"9E+120"}`)
	put("extended", second(-time.Second))
	put("extended", second(time.Hour))
	must(t, db, "PutItem", `{"TableName":"hash","Item":{"pk":{"S":"none"}}}`)
	sweep := func() {
		t.Helper()
		if err := db.sweepTTL(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (keys string) {
		for _, key := range []string{"before", "over", "fraction", "now", "soon", "text", "ancient", "negative", "zero", "huge", "extended", "none"} {
			if strings.Contains(must(t, db, "GetItem", `{"TableName":"hash","Key":{"pk":{"S":"`+key+`"}}}`), "Item") {
				keys += key + " "
			}
		}
		return keys
	}
	sweep()
	if got, want := left(), "now soon text ancient negative zero huge extended none "; got != want {
		t.Errorf("left: %s\nwant: %s", got, want)
	}
	now = now.Add(30 * time.Minute)
	sweep()
	if got, want := left(), "text ancient negative zero huge extended none "; got != want {
		t.Errorf("after half an hour: %s\nwant: %s", got, want)
	}
	must(t, db, "DeleteItem", `{"TableName":"hash","Key":{"pk":{"S":"none"}}}`)
	must(t, db, "UpdateTimeToLive", `{"TableName":"hash","TimeToLiveSpecification":{"AttributeName":"ends","Enabled":false}}`)
	now = now.Add(2 * time.Hour)
	sweep()
	if got, want := left(), "text ancient negative zero huge extended "; got != want {
		t.Errorf("with TTL off: %s\nwant: %s", got, want)
	}
	must(t, db, "UpdateTimeToLive", `{"TableName":"hash","TimeToLiveSpecification":{"AttributeName":"ends","Enabled":true}}`)
	sweep()
	if got, want := left(), "text ancient negative zero huge "; got != want {
		t.Errorf("on again: %s\nwant: %s", got, want)
	}
	service := map[string]bool{}
	for _, r := range readStream(t, db, latestStream(t, db, "hash")) {
		if r.EventName == "REMOVE" {
			service[r.Dynamodb.Keys["pk"]["S"].(string)] = r.UserIdentity != nil && r.UserIdentity.Type == "Service"
		}
	}
	if len(service) != 7 || service["none"] || !service["over"] || !service["before"] || !service["extended"] {
		t.Errorf("who deleted: %v", service)
	}
}

// A table too large to be indexed before the answer is ENABLING until the sweeper has done so, a restart between included.
func TestTTLLargeTable(t *testing.T) {
	dir, now := t.TempDir(), epoch
	open := func() *DB {
		db, err := Open(Options{Dir: dir, NoSync: true, Clock: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open()
	must(t, db, "CreateTable", createHash)
	for from := 0; from < 300; from += 25 {
		var puts []string
		for i := from; i < from+25; i++ {
			puts = append(puts, fmt.Sprintf(`{"PutRequest":{"Item":{"pk":{"S":"%d"},"ends":{"N":"%d"}}}}`, i, now.Unix()+int64(i%2)*1000))
		}
		must(t, db, "BatchWriteItem", `{"RequestItems":{"hash":[`+strings.Join(puts, ",")+`]}}`)
	}
	def := *db.tables["hash"].def // as if it were large
	def.TTL = &timeToLive{Attribute: "ends", Enabled: true, Uses: 1}
	if _, err := db.redefine(db.tables["hash"], &def); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open()
	if got := must(t, db, "DescribeTimeToLive", `{"TableName":"hash"}`); !strings.Contains(got, "ENABLING") {
		t.Error(got)
	}
	now = now.Add(time.Minute)
	for range 2 {
		if err := db.sweepTTL(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := must(t, db, "DescribeTimeToLive", `{"TableName":"hash"}`); !strings.Contains(got, "ENABLED") {
		t.Error(got)
	}
	if got := must(t, db, "Scan", `{"TableName":"hash","Select":"COUNT"}`); !strings.Contains(got, `"Count":150`) {
		t.Error(got)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTTLStrictTimes(t *testing.T) {
	now := epoch
	db := newDB(t, Options{StrictTimes: true, Clock: func() time.Time { return now }})
	must(t, db, "CreateTable", createHash)
	must(t, db, "UpdateTimeToLive", `{"TableName":"hash","TimeToLiveSpecification":{"AttributeName":"ends","Enabled":true}}`)
	off := `{"TableName":"hash","TimeToLiveSpecification":{"AttributeName":"ends","Enabled":false}}`
	if status, reply := post(db, "UpdateTimeToLive", off); status != 400 || !strings.Contains(reply, "multiple times within a fixed interval") {
		t.Error(status, reply)
	}
	now = now.Add(time.Hour)
	must(t, db, "UpdateTimeToLive", off)
}
