package local

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// envelope is a record of a table in Kinesis.
type envelope struct {
	AwsRegion, EventID, EventName, RecordFormat, TableName, EventSource string
	UserIdentity                                                        *struct{ PrincipalId, Type string }
	Dynamodb                                                            struct {
		ApproximateCreationDateTime          int64
		ApproximateCreationDateTimePrecision string
		Keys, NewImage, OldImage             map[string]map[string]any
	}
}

const streamChanges = "arn:aws:kinesis:eu-central-1:000000000000:stream/changes"

// readKinesis reads all of a stream, shard by shard, as envelopes.
func readKinesis(t testing.TB, db *DB, stream string) (list []envelope) {
	t.Helper()
	var shards struct{ Shards []struct{ ShardId string } }
	unmarshal(t, must(t, db, "Kinesis.ListShards", `{"StreamName":"`+stream+`"}`), &shards)
	for _, shard := range shards.Shards {
		var it struct{ ShardIterator string }
		unmarshal(t, must(t, db, "Kinesis.GetShardIterator",
			`{"StreamName":"`+stream+`","ShardId":"`+shard.ShardId+`","ShardIteratorType":"TRIM_HORIZON"}`), &it)
		for token := it.ShardIterator; token != ""; {
			var page struct {
				NextShardIterator string
				Records           []struct{ Data string }
			}
			unmarshal(t, must(t, db, "Kinesis.GetRecords", `{"ShardIterator":"`+token+`"}`), &page)
			for _, r := range page.Records {
				text, err := base64.StdEncoding.DecodeString(r.Data)
				var e envelope
				if err == nil {
					err = json.Unmarshal(text, &e)
				}
				if err != nil {
					t.Fatal(r.Data, err)
				}
				list = append(list, e)
			}
			if token = page.NextShardIterator; len(page.Records) == 0 {
				break
			}
		}
	}
	return list
}

func startFeed(t testing.TB, db *DB, precision string) {
	t.Helper()
	must(t, db, "Kinesis.CreateStream", `{"StreamName":"changes","ShardCount":2}`)
	must(t, db, "EnableKinesisStreamingDestination", `{"TableName":"hash","StreamArn":"`+streamChanges+
		`","EnableKinesisStreamingConfiguration":{"ApproximateCreationDateTimePrecision":"`+precision+`"}}`)
}

func count(t testing.TB, db *DB, key, n int) {
	t.Helper()
	must(t, db, "UpdateItem", fmt.Sprintf(`{"TableName":"hash","Key":{"pk":{"S":"%d"}},"UpdateExpression":"ADD n :n",`+
		`"ExpressionAttributeValues":{":n":{"N":"%d"}}}`, key, n))
}

// Every change arrives once and in its item's order, also when the table's own stream is turned on and off meanwhile, its
// shards split, and the world is stopped and started in between. Microseconds tell the order.
func TestFeed(t *testing.T) {
	dir := t.TempDir()
	open := func() *DB {
		db, err := Open(Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open()
	must(t, db, "CreateTable", createHash)
	count(t, db, 0, 100) // before the destination: not told
	startFeed(t, db, "MICROSECOND")
	const rounds, keys = 240, 6
	for i := range rounds {
		count(t, db, i%keys, 1)
		switch {
		case i == 50:
			must(t, db, "UpdateTable", `{"TableName":"hash","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}}`)
		case i == 100:
			arn := latestStream(t, db, "hash")
			must(t, db, "Local.SplitShard", `{"StreamArn":"`+arn+`","ShardId":"`+describeShards(t, db, arn)[0].ShardId+`"}`)
		case i == 150:
			must(t, db, "UpdateTable", `{"TableName":"hash","StreamSpecification":{"StreamEnabled":false}}`)
		case i%40 == 0:
			if err := db.feedAll(t.Context()); err != nil {
				t.Fatal(err)
			}
		case i == 77 || i == 177:
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			db = open()
		}
	}
	must(t, db, "DeleteTable", `{"TableName":"hash"}`) // what is left goes there
	next, last, seen := map[string]int{"0": 100}, map[string]int64{}, map[string]bool{}
	list := readKinesis(t, db, "changes")
	for _, e := range list {
		key := e.Dynamodb.Keys["pk"]["S"].(string)
		next[key]++
		if got := e.Dynamodb.NewImage["n"]["N"]; got != fmt.Sprint(next[key]) || seen[e.EventID] ||
			e.Dynamodb.ApproximateCreationDateTime <= last[key] || e.Dynamodb.ApproximateCreationDateTimePrecision != "MICROSECOND" {
			t.Fatalf("item %s: %+v where %d was due, after time %d", key, e, next[key], last[key])
		}
		seen[e.EventID], last[key] = true, e.Dynamodb.ApproximateCreationDateTime
	}
	if len(list) != rounds {
		t.Errorf("%d records of %d", len(list), rounds)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// On request changes come as untidily as the service may send them: none is missing, some come twice and as they were.
func TestFeedDisorder(t *testing.T) {
	db := newDB(t, Options{KinesisDisorder: true, Clock: time.Now})
	must(t, db, "CreateTable", createHash)
	startFeed(t, db, "MICROSECOND")
	for i := range 120 {
		count(t, db, i%3, 1)
	}
	if err := db.feedAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen, last, behind, twice := map[string]int64{}, map[string]int64{}, 0, 0
	for _, e := range readKinesis(t, db, "changes") {
		at := e.Dynamodb.ApproximateCreationDateTime
		if before, ok := seen[e.EventID]; ok {
			twice++
			if before != at {
				t.Errorf("%s came with %d and %d", e.EventID, before, at)
			}
		}
		key := e.Dynamodb.Keys["pk"]["S"].(string)
		if at < last[key] {
			behind++
		}
		seen[e.EventID], last[key] = at, at
	}
	if len(seen) != 120 || twice == 0 || behind == 0 {
		t.Errorf("%d changes, %d twice, %d out of order", len(seen), twice, behind)
	}
}

// A stream that throttles, or is gone for a while, gets everything in the end.
func TestFeedWaits(t *testing.T) {
	var now atomic.Int64 // in s
	db := newDB(t, Options{Throttle: true, NoSync: true, Clock: func() time.Time { return epoch.Add(time.Duration(now.Load()) * time.Second) }})
	must(t, db, "CreateTable", createHash)
	startFeed(t, db, "MILLISECOND")
	for i := range 100 {
		var puts []string
		for k := range 25 {
			puts = append(puts, fmt.Sprintf(`{"PutRequest":{"Item":{"pk":{"S":"%d"},"n":{"N":"%d"}}}}`, k, i))
		}
		must(t, db, "BatchWriteItem", `{"RequestItems":{"hash":[`+strings.Join(puts, ",")+`]}}`)
	}
	distinct := func() int {
		seen := map[string]bool{}
		now.Add(2) // reading is throttled, too
		for _, e := range readKinesis(t, db, "changes") {
			seen[e.EventID] = true
		}
		return len(seen)
	}
	if err := db.feedAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := distinct(); got == 0 || got >= 2500 {
		t.Errorf("%d changes in the first second", got)
	}
	for range 20 {
		now.Add(2)
		if err := db.feedAll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := distinct(); got != 2500 {
		t.Errorf("%d changes of 2500 in the end", got)
	}
	must(t, db, "Kinesis.DeleteStream", `{"StreamName":"changes"}`)
	count(t, db, 0, 1)
	if err := db.feedAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, db, "Kinesis.CreateStream", `{"StreamName":"changes","ShardCount":2}`)
	if err := db.feedAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := distinct(); got != 1 {
		t.Errorf("%d changes in the new stream", got)
	}
}

const feedKillEnv = "DYNAFERRY_LOCAL_FEED_DIR"

const feedVictimKeys = 12

// feedVictim counts up items of a streamed table that feeds Kinesis, splits shards meanwhile, and tells what was acknowledged.
func feedVictim(dir string) {
	db, err := Open(Options{Dir: dir})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("open")
	go func() {
		for {
			if err := db.feedAll(context.Background()); err != nil {
				fmt.Println("error", err)
				os.Exit(1)
			}
		}
	}()
	var out sync.Mutex
	for w := range 4 {
		go func() {
			for {
				key := w + 4*rand.IntN(feedVictimKeys/4)
				status, reply := post(db, "UpdateItem", fmt.Sprintf(`{"TableName":"hash","Key":{"pk":{"S":"%d"}},"UpdateExpression":"ADD n :n",`+
					`"ExpressionAttributeValues":{":n":{"N":"1"}},"ReturnValues":"UPDATED_NEW"}`, key))
				var made struct {
					Attributes struct{ N struct{ N string } }
				}
				if status != 200 || json.Unmarshal([]byte(reply), &made) != nil {
					fmt.Println("error", reply)
					os.Exit(1)
				}
				out.Lock()
				fmt.Println("ack", key, made.Attributes.N.N)
				out.Unlock()
			}
		}()
	}
	go func() {
		for {
			for _, n := range db.streams.notes.list() {
				shards, _ := db.store.Shards(n.ID)
				for i := range shards {
					if shards[i].Closed.IsZero() {
						_ = db.follow(n, shards[i].ID, len(shards) < 12)
						time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
					}
				}
			}
		}
	}()
	select {}
}

// Killed again and again under load, the streams of the next start tell every acknowledged change, each item's in order
// and without a gap, and Kinesis has heard of each at least once.
func TestFeedKill(t *testing.T) {
	rounds := 4
	if testing.Short() {
		rounds = 1
	}
	dir := t.TempDir()
	open := func() *DB {
		db, err := Open(Options{Dir: dir, FullPages: true})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open()
	must(t, db, "CreateTable", createStreamed)
	startFeed(t, db, "MICROSECOND")
	arn := latestStream(t, db, "hash")
	acked := map[string]int{}
	for range rounds {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		runFeedVictim(t, dir, acked)
		db = open()
		next := map[string]int{}
		for _, r := range readStream(t, db, arn) {
			key := r.Dynamodb.Keys["pk"]["S"].(string)
			if next[key]++; r.Dynamodb.NewImage["n"]["N"] != fmt.Sprint(next[key]) {
				t.Fatalf("item %s: %v where %d was due", key, r.Dynamodb.NewImage, next[key])
			}
		}
		for key, n := range acked {
			if next[key] < n {
				t.Errorf("item %s: the stream tells %d changes, %d were acknowledged", key, next[key], n)
			}
		}
		if err := db.feedAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		heard := map[string]int{}
		for _, e := range readKinesis(t, db, "changes") {
			key := e.Dynamodb.Keys["pk"]["S"].(string)
			if e.Dynamodb.NewImage["n"]["N"] == fmt.Sprint(heard[key]+1) {
				heard[key]++ // others are those that a crash made come twice
			}
		}
		for key, n := range next {
			if heard[key] != n {
				t.Errorf("item %s: Kinesis has heard of %d changes of %d", key, heard[key], n)
			}
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// runFeedVictim runs the process until it has acknowledged some writes, kills it, and notes what it acknowledged.
func runFeedVictim(t *testing.T, dir string, acked map[string]int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), feedKillEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	writes, limit := 0, 200+rand.IntN(300)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var key string
		var n int
		if strings.HasPrefix(lines.Text(), "error") {
			t.Error(lines.Text())
		}
		if _, err := fmt.Sscanf(lines.Text(), "ack %s %d", &key, &n); err == nil {
			acked[key] = max(acked[key], n)
			if writes++; writes == limit {
				_ = cmd.Process.Kill()
			}
		}
	}
	_ = cmd.Wait()
	if writes < limit {
		t.Fatalf("the process ended by itself after %d writes", writes)
	}
}
