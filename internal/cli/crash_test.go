package cli

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What is written while the kills happen: writers of single items and writers of transactions over two items, each over
// keys of its own, so that what one wrote last is known but for the write that was under way.
const (
	crashWriters     = 6
	crashTransactors = 2
	crashKeys        = 12
	crashAcksMax     = 400             // acknowledged writes before a kill
	crashRecovery    = 2 * time.Second // promised
	crashPatience    = 30 * time.Second
)

// crashKey is a key of the table: pk S, sk N.
type crashKey struct {
	writer, key int
	twin        bool // the second item of a transaction
}

func (k crashKey) pk() string {
	if k.twin {
		return fmt.Sprintf("twin %d", k.writer)
	}
	return fmt.Sprintf("writer %d", k.writer)
}

// crashItem is what a key holds after its n-th write; every fifth write deletes, so no two after each other do.
type crashItem struct {
	PK    struct{ S string } `json:"pk"`
	SK    struct{ N string } `json:"sk"`
	N     struct{ N string } `json:"n"`
	Class struct{ S string } `json:"class"`
	Fill  struct{ S string } `json:"fill"`
}

func crashState(k crashKey, n int) *crashItem {
	if n == 0 || n%5 == 4 {
		return nil
	}
	it := &crashItem{}
	it.PK.S, it.SK.N, it.N.N = k.pk(), strconv.Itoa(k.key), strconv.Itoa(n)
	it.Class.S = "class " + strconv.Itoa(n%3)
	it.Fill.S = strings.Repeat(string(rune('a'+n%26)), 50+n*131%900)
	return it
}

func sameCrashItem(a, b *crashItem) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

// crashWrite is the n-th write of a key as one member of TransactWriteItems; the name of the member tells the operation.
func crashWrite(k crashKey, n int) (operation string, arguments map[string]any) {
	it := crashState(k, n)
	key := map[string]any{"pk": map[string]string{"S": k.pk()}, "sk": map[string]string{"N": strconv.Itoa(k.key)}}
	switch {
	case it == nil:
		return "Delete", map[string]any{"TableName": "crash", "Key": key}
	case n%5 == 2:
		return "Update", map[string]any{"TableName": "crash", "Key": key, "UpdateExpression": "SET n = :n, #c = :c, fill = :f",
			"ExpressionAttributeNames":  map[string]string{"#c": "class"},
			"ExpressionAttributeValues": map[string]any{":n": it.N, ":c": it.Class, ":f": it.Fill}}
	}
	return "Put", map[string]any{"TableName": "crash", "Item": it}
}

// victim is a dynaferry local that will be killed.
type victim struct {
	t      *testing.T
	cmd    *exec.Cmd
	url    string
	client *http.Client
}

func startVictim(t *testing.T, dir string) (*victim, time.Duration) {
	t.Helper()
	exe, err := exec.LookPath("dynaferry")
	if err != nil {
		t.Fatal(err)
	}
	var problems bytes.Buffer
	v := &victim{t: t, cmd: exec.Command(exe, "local", "--dir", dir, "--json"), client: &http.Client{Timeout: crashPatience,
		Transport: &http.Transport{MaxIdleConnsPerHost: crashWriters + crashTransactors}}}
	v.cmd.Stderr = &problems
	pipe, err := v.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.kill)
	var world struct{ DynamoDB string }
	line, err := bufio.NewReader(pipe).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &world)
	}
	if err != nil {
		v.kill()
		t.Fatalf("dynaferry local did not come up: %v\n%s", err, problems.Bytes())
	}
	v.url = world.DynamoDB
	v.must("ListTables", map[string]any{}, nil)
	return v, time.Since(start)
}

func (v *victim) kill() {
	if v.cmd.ProcessState == nil {
		_ = v.cmd.Process.Kill()
		_ = v.cmd.Wait()
	}
	v.client.CloseIdleConnections()
}

// errRefused is an answer of the server that is none of success: never expected, even when it is about to die.
var errRefused = errors.New("refused")

func (v *victim) call(operation string, arguments, answer any) error {
	body, err := json.Marshal(arguments)
	if err != nil {
		return err
	}
	stem := "DynamoDB_20120810."
	if slices.Contains([]string{"DescribeStream", "GetShardIterator", "GetRecords"}, operation) {
		stem = "DynamoDBStreams_20120810."
	} else if operation == "SplitShard" {
		stem = "DynaferryLocal."
	} else if operation == "CreateStream" {
		stem = "Kinesis_20131202."
	}
	req, err := http.NewRequest(http.MethodPost, v.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("X-Amz-Target", stem+operation)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
	res, err := v.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	reply, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s %s: %d %s", errRefused, operation, body, res.StatusCode, reply)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(reply, answer)
}

func (v *victim) must(operation string, arguments, answer any) {
	v.t.Helper()
	if err := v.call(operation, arguments, answer); err != nil {
		v.t.Fatal(err)
	}
}

// crash is a run of kills and what is known of the table.
type crash struct {
	t        *testing.T
	dir      string
	rng      *rand.Rand
	versions map[crashKey]int // acknowledged; after check, what is there
	told     map[crashKey]int // how far the stream has told
	after    map[string]string
	marks    []crashMark
	acked    int
}

// crashMark is a moment at which nothing was written, and the table then.
type crashMark struct {
	ms       int64
	versions map[crashKey]int
}

// TestCrash: dynaferry local is killed under load, again and again over one folder, at moments that a seed chooses. Each
// time it is back within 2 s, holds everything it acknowledged, has each transaction wholly or not at all, tells by its
// stream every change of every item once and in order, has the same items in its index as in its table, and exports the
// table as it was between earlier kills.
func TestCrash(t *testing.T) {
	rounds := 30
	if os.Getenv("DYNAFERRY_LONG") != "" {
		rounds = 300
	}
	if testing.Short() {
		rounds = 5
	}
	const seed = 4
	c := &crash{t: t, dir: t.TempDir(), rng: rand.New(rand.NewPCG(seed, seed)), versions: map[crashKey]int{}, told: map[crashKey]int{}, after: map[string]string{}}
	v, _ := startVictim(t, c.dir)
	c.create(v)
	var took []time.Duration
	for round := range rounds {
		c.load(v)
		next, recovery := startVictim(t, c.dir)
		v, took = next, append(took, recovery)
		c.check(v)
		c.index(v)
		c.stream(v)
		c.mark()
		if round%5 == 4 {
			c.export(v, c.marks[c.rng.IntN(len(c.marks))])
		}
		if t.Failed() {
			t.Fatalf("after %d kills, seed %d", round+1, seed)
		}
	}
	slices.Sort(took)
	median, worst := took[len(took)/2], took[len(took)-1]
	t.Logf("%d kills, %d acknowledged writes, back after %v (median), %v (worst)", rounds, c.acked, median, worst)
	// A machine that is busy otherwise may hold one start up, not half of them.
	if median > crashRecovery {
		t.Errorf("recovery took %v (median), %v is promised", median, crashRecovery)
	}
}

func (c *crash) create(v *victim) {
	var args map[string]any
	if err := json.Unmarshal([]byte(`{"TableName":"crash","BillingMode":"PAY_PER_REQUEST",
		"AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"sk","AttributeType":"N"},
			{"AttributeName":"class","AttributeType":"S"},{"AttributeName":"n","AttributeType":"N"}],
		"KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}],
		"GlobalSecondaryIndexes":[{"IndexName":"by-class","Projection":{"ProjectionType":"ALL"},
			"KeySchema":[{"AttributeName":"class","KeyType":"HASH"},{"AttributeName":"n","KeyType":"RANGE"}]}],
		"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"}}`), &args); err != nil {
		c.t.Fatal(err)
	}
	v.must("CreateTable", args, nil)
	v.must("UpdateContinuousBackups", map[string]any{"TableName": "crash",
		"PointInTimeRecoverySpecification": map[string]any{"PointInTimeRecoveryEnabled": true}}, nil)
}

// load lets the writers write until so many writes are acknowledged, kills, and keeps what was acknowledged.
func (c *crash) load(v *victim) {
	until := int64(c.rng.IntN(crashAcksMax))
	var acked atomic.Int64
	var mu sync.Mutex
	var writers sync.WaitGroup
	for w := range crashWriters + crashTransactors {
		rng := rand.New(rand.NewPCG(c.rng.Uint64(), uint64(w)))
		writers.Go(func() {
			for {
				k := crashKey{writer: w, key: rng.IntN(crashKeys)}
				mu.Lock()
				n := c.versions[k] + 1
				mu.Unlock()
				if err := c.write(v, k, n); err != nil {
					if errors.Is(err, errRefused) || acked.Load() < until {
						c.t.Errorf("before the kill: %v", err)
					}
					return
				}
				mu.Lock()
				c.versions[k] = n
				if twin := (crashKey{w, k.key, true}); w >= crashWriters {
					c.versions[twin] = n
				}
				c.acked++
				mu.Unlock()
				if acked.Add(1) > until {
					_ = v.cmd.Process.Kill() // as kill -9; the others are in the middle of something
				}
			}
		})
	}
	writers.Wait()
	v.kill()
}

// write does a key's n-th write, of the last writers together with the twin's.
func (c *crash) write(v *victim, k crashKey, n int) error {
	operation, args := crashWrite(k, n)
	if k.writer < crashWriters {
		return v.call(operation+"Item", args, nil)
	}
	twin := k
	twin.twin = true
	operation2, args2 := crashWrite(twin, n)
	return v.call("TransactWriteItems", map[string]any{"TransactItems": []any{map[string]any{operation: args}, map[string]any{operation2: args2}}}, nil)
}

// scan reads all items of the table, or of its index.
func (c *crash) scan(v *victim, index string) map[crashKey]*crashItem {
	items := map[crashKey]*crashItem{}
	args := map[string]any{"TableName": "crash"}
	if index != "" {
		args["IndexName"] = index
	}
	for {
		var page struct {
			Items            []*crashItem
			LastEvaluatedKey map[string]any
		}
		v.must("Scan", args, &page)
		for _, it := range page.Items {
			k, ok := it.key()
			if !ok || items[k] != nil {
				c.t.Fatalf("an item that nobody wrote, or twice: %+v", it)
			}
			items[k] = it
		}
		if page.LastEvaluatedKey == nil {
			return items
		}
		args["ExclusiveStartKey"] = page.LastEvaluatedKey
	}
}

// key reads a key back.
func (it *crashItem) key() (crashKey, bool) {
	kind, number, _ := strings.Cut(it.PK.S, " ")
	w, err1 := strconv.Atoi(number)
	k, err2 := strconv.Atoi(it.SK.N)
	return crashKey{w, k, kind == "twin"}, err1 == nil && err2 == nil && (kind == "twin" || kind == "writer")
}

// check: every key holds its last acknowledged write, or the one that was under way; of a transaction both or none.
func (c *crash) check(v *victim) {
	items := c.scan(v, "")
	for w := range crashWriters + crashTransactors {
		for key := range crashKeys {
			k := crashKey{writer: w, key: key}
			c.resolve(k, items[k])
			delete(items, k)
			if w >= crashWriters {
				twin := crashKey{w, key, true}
				c.resolve(twin, items[twin])
				delete(items, twin)
				if c.versions[k] != c.versions[twin] {
					c.t.Errorf("half of a transaction: write %d of %+v, %d of its twin", c.versions[k], k, c.versions[twin])
				}
			}
		}
	}
	if len(items) > 0 {
		c.t.Errorf("%d items that nobody wrote", len(items))
	}
}

func (c *crash) resolve(k crashKey, found *crashItem) {
	n := c.versions[k]
	switch {
	case sameCrashItem(found, crashState(k, n)):
	case sameCrashItem(found, crashState(k, n+1)):
		c.versions[k] = n + 1
	default:
		c.t.Errorf("%+v holds %+v, acknowledged was write %d: %+v", k, found, n, crashState(k, n))
	}
}

// index: the index has each item of the table, as it is, and no other.
func (c *crash) index(v *victim) {
	entries := c.scan(v, "by-class")
	for k, n := range c.versions {
		if !sameCrashItem(entries[k], crashState(k, n)) {
			c.t.Errorf("the index has %+v of %+v, write %d", entries[k], k, n)
		}
		delete(entries, k)
	}
	if len(entries) > 0 {
		c.t.Errorf("%d entries without an item", len(entries))
	}
}

// mark notes what the table is now, at a moment that lies between two writes.
func (c *crash) mark() {
	m := crashMark{time.Now().UnixMilli() + 1, map[crashKey]int{}}
	for k, n := range c.versions {
		m.versions[k] = n
	}
	c.marks = append(c.marks, m)
	for time.Now().UnixMilli() <= m.ms {
		// Two milliseconds at most: the next write must not bear the mark's time.
	}
}

// export: the table as it was at a mark.
func (c *crash) export(v *victim, m crashMark) {
	var table struct{ Table struct{ TableArn string } }
	v.must("DescribeTable", map[string]any{"TableName": "crash"}, &table)
	var export struct {
		ExportDescription struct{ ExportArn, ExportStatus, ExportManifest, FailureMessage string }
	}
	v.must("ExportTableToPointInTime", map[string]any{"TableArn": table.Table.TableArn, "S3Bucket": "lake",
		"ExportTime": json.Number(fmt.Sprintf("%d.%03d", m.ms/1000, m.ms%1000))}, &export)
	d := &export.ExportDescription
	arn := d.ExportArn
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	for deadline := time.Now().Add(crashPatience); d.ExportStatus == "IN_PROGRESS" && time.Now().Before(deadline); <-every.C {
		v.must("DescribeExport", map[string]any{"ExportArn": arn}, &export)
	}
	if d.ExportStatus != "COMPLETED" {
		c.t.Fatalf("export: %+v", d)
	}
	found := map[crashKey]*crashItem{}
	for _, it := range c.exported(arn) {
		k, _ := it.key()
		found[k] = it
	}
	for k, n := range m.versions {
		if !sameCrashItem(found[k], crashState(k, n)) {
			c.t.Errorf("the export at %d has %+v of %+v, then write %d", m.ms, found[k], k, n)
		}
		delete(found, k)
	}
	if len(found) > 0 {
		c.t.Errorf("%d items too many in the export at %d", len(found), m.ms)
	}
}

// exported reads an export's items from the folder that the S3 half keeps its objects in.
func (c *crash) exported(arn string) (items []*crashItem) {
	id := arn[strings.LastIndexByte(arn, '/')+1:]
	files, err := filepath.Glob(filepath.Join(c.dir, "s3", "buckets", "lake", "AWSDynamoDB", id, "data", "*.json.gz"))
	if err != nil || len(files) == 0 {
		c.t.Fatalf("no files of %s: %v", arn, err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			c.t.Fatal(err)
		}
		z, err := gzip.NewReader(f)
		for err == nil {
			var line struct{ Item *crashItem }
			dec := json.NewDecoder(z)
			for err = dec.Decode(&line); err == nil; err = dec.Decode(&line) {
				items = append(items, line.Item)
				line.Item = nil
			}
		}
		f.Close()
		if err != io.EOF {
			c.t.Fatalf("%s: %v", name, err)
		}
	}
	return items
}
