package local

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/item"
	"dynaferry/internal/local/upstream"
)

// ends are a local DynamoDB in front of another one, and the clock of both.
type ends struct {
	t     *testing.T
	ahead atomic.Int64 // ns
	up    *Instance
	front *Instance
	opts  Options // of front
	lake  string  // the folder of the bucket "lake"
}

func (p *ends) clock() time.Time { return time.Now().Add(time.Duration(p.ahead.Load())) }

// pass moves the clock.
func (p *ends) pass(d time.Duration) { p.ahead.Add(int64(d)) }

func newEnds(t *testing.T, up Options) *ends {
	p := &ends{t: t}
	up.Clock, up.NoSync = p.clock, true
	var err error
	if p.up, err = Start(context.Background(), up); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.up.Close() })
	b := buckets{t.TempDir()}
	p.lake = filepath.Join(b.dir, "lake")
	if err := os.Mkdir(p.lake, 0o777); err != nil {
		t.Fatal(err)
	}
	client, err := upstream.New(upstream.Options{URL: p.up.URL})
	if err != nil {
		t.Fatal(err)
	}
	p.opts = Options{Dir: t.TempDir(), NoSync: true, Bucket: b.open, Upstream: client, UpstreamLag: 100 * time.Millisecond, Clock: p.clock}
	p.open()
	t.Cleanup(func() {
		if err := p.front.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *ends) open() {
	p.t.Helper()
	var err error
	if p.front, err = Start(context.Background(), p.opts); err != nil {
		p.t.Fatal(err)
	}
}

func (p *ends) restart() {
	p.t.Helper()
	if err := p.front.Close(); err != nil {
		p.t.Fatal(err)
	}
	p.open()
}

func (p *ends) must(op, body string) string {
	p.t.Helper()
	return must(p.t, p.front.DB, op, body)
}

// refused is what an answer other than 200 says.
func (p *ends) refused(op, body string) string {
	p.t.Helper()
	status, reply := post(p.front.DB, op, body)
	if status == http.StatusOK {
		p.t.Fatalf("%s %s: %s", op, body, reply)
	}
	return reply
}

const (
	enablePITR  = `{"TableName":"tab","PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":true}}`
	disablePITR = `{"TableName":"tab","PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":false}}`
	tabARN      = `"TableArn":"arn:aws:dynamodb:eu-central-1:000000000000:table/tab"`
)

// recovery turns continuous backups on, until they are available.
func (p *ends) recovery() {
	p.t.Helper()
	body := p.must("UpdateContinuousBackups", enablePITR)
	if !strings.Contains(body, `"PointInTimeRecoveryStatus":"ENABLED"`) || !strings.Contains(body, `"Available":true`) {
		p.t.Fatal(body)
	}
}

// export asks for one and waits until it is done.
func (p *ends) export(params string) exportRecord {
	p.t.Helper()
	id := taskIDs.FindString(p.must("ExportTableToPointInTime", `{`+tabARN+`,"S3Bucket":"lake"`+params+`}`))
	return p.exported(id)
}

func (p *ends) exported(id string) exportRecord {
	p.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		if e := p.front.DB.journal.exports.get(id); e.Status != statusInProgress {
			return *e
		}
		if time.Now().After(deadline) {
			s, _ := p.front.DB.relay.keeper.Status(p.front.DB.relay.followed("tab").id)
			p.t.Fatalf("the export is not done: %+v", s)
		}
		time.Sleep(5 * time.Millisecond) // for what goes on by itself
	}
}

// filled waits until a table is what it was made for.
func (p *ends) filled(name string) {
	p.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for p.front.DB.inMaking(name) != nil {
		if time.Now().After(deadline) {
			p.t.Fatalf("table %s is not filled", name)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// scan is a table of the upstream's, canonical and sorted.
func (p *ends) scan(table string) []string {
	p.t.Helper()
	var reply struct{ Items []json.RawMessage }
	if err := json.Unmarshal([]byte(must(p.t, p.up.DB, "Scan", `{"TableName":"`+table+`"}`)), &reply); err != nil {
		p.t.Fatal(err)
	}
	all := []string{}
	for _, raw := range reply.Items {
		all = append(all, canonical(p.t, string(raw)))
	}
	slices.Sort(all)
	return all
}

func (p *ends) full(e exportRecord) []string {
	p.t.Helper()
	if e.Status != statusCompleted {
		p.t.Fatalf("%+v", e.Failure)
	}
	all := []string{}
	for _, raw := range readExport(p.t, p.lake, "AWSDynamoDB/"+e.ID+"/manifest-summary.json") {
		all = append(all, canonical(p.t, raw))
	}
	slices.Sort(all)
	return all
}

func (p *ends) same(what string, got, want []string) {
	p.t.Helper()
	if !slices.Equal(got, want) {
		p.t.Fatalf("%s: %d items in place of %d\n got %q\nwant %q", what, len(got), len(want), got, want)
	}
}

// moment is the table at a time that no write is near.
type moment struct {
	ms    int64
	items []string
}

func (p *ends) moment() moment {
	p.t.Helper()
	p.pass(3 * time.Second)
	m := moment{p.clock().UnixMilli(), p.scan("tab")}
	p.pass(3 * time.Second)
	return m
}

// write does random writes through either end.
func (p *ends) write(rng *rand.Rand, n int) {
	p.t.Helper()
	for range n {
		db := []*DB{p.up.DB, p.front.DB}[rng.IntN(2)]
		key := fmt.Sprintf(`"p":{"S":"p%d"},"s":{"N":"%d"}`, rng.IntN(30), rng.IntN(4))
		if rng.IntN(4) == 0 {
			must(p.t, db, "DeleteItem", `{"TableName":"tab","Key":{`+key+`}}`)
		} else {
			must(p.t, db, "PutItem", fmt.Sprintf(`{"TableName":"tab","Item":{%s,"v":{"N":"%d"},"t":{"S":"<é>"}}}`, key, rng.IntN(1000)))
		}
	}
}

// reshard splits or rolls one of the open shards of the table's stream.
func (p *ends) reshard(rng *rand.Rand) {
	p.t.Helper()
	db := p.up.DB
	for _, s := range db.store.Streams() {
		shards, err := db.store.Shards(s.ID)
		if err != nil {
			p.t.Fatal(err)
		}
		shard := shards[rng.IntN(len(shards))]
		change := []func(_ uint32) error{func(id uint32) error { return db.store.SplitShard(s.ID, id) }, func(id uint32) error { return db.store.RollShard(s.ID, id) }}
		if shard.Closed.IsZero() {
			if err := change[rng.IntN(2)](shard.ID); err != nil {
				p.t.Fatal(err)
			}
		}
	}
}

// What is not ours reaches the upstream as it is and comes back as it is, refusals and checksums included.
func TestUpstreamForwards(t *testing.T) {
	p := newEnds(t, Options{})
	p.must("CreateTable", createModel)
	p.must("PutItem", `{"TableName":"tab","Item":{"p":{"S":"<a>"},"s":{"N":"1.50"}}}`)
	for _, r := range [][2]string{
		{"DynamoDB_20120810.DescribeTable", `{"TableName":"tab"}`},
		{"DynamoDB_20120810.GetItem", ` {"TableName":"tab", "Key":{"p":{"S":"<a>"},"s":{"N":"1.5"}}}`},
		{"DynamoDB_20120810.GetItem", `{"TableName":"none","Key":{"p":{"S":"a"}}}`},
		{"DynamoDB_20120810.TransactWriteItems", `{"TransactItems":[{"ConditionCheck":{"TableName":"tab","Key":{"p":{"S":"x"},"s":{"N":"1"}},"ConditionExpression":"attribute_exists(p)"}}]}`},
		{"DynamoDB_20120810.ExecuteStatement", `{"Statement":"SELECT * FROM tab"}`},
		{"DynamoDBStreams_20120810.ListStreams", `{}`},
		{"Kinesis_20131202.ListStreams", `{}`},
		{"Nothing.Known", `no json`},
	} {
		type answer struct {
			status    int
			body, crc string
		}
		var answers []answer
		for _, url := range []string{p.up.URL, p.front.URL} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(r[1]))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", strings.Replace(signature, "eu-central-1", "us-east-1", 1)) // the Region that is signed for
			req.Header.Set("X-Amz-Target", r[0])
			got, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(got.Body)
			if err != nil {
				t.Fatal(err)
			}
			got.Body.Close()
			answers = append(answers, answer{got.StatusCode, string(body), got.Header.Get("X-Amz-Crc32")})
		}
		if answers[0] != answers[1] {
			t.Errorf("%v:\n%+v\n%+v", r, answers[0], answers[1])
		}
	}
	req := request("ListTables", "{}")
	req.Header.Del("Authorization")
	w := httptest.NewRecorder()
	if p.front.DB.ServeHTTP(w, req); !strings.Contains(w.Body.String(), "MissingAuthenticationToken") {
		t.Error(w.Body)
	}
	if body := p.must("DescribeEndpoints", `{}`); strings.Contains(body, strings.TrimPrefix(p.up.URL, "http://")) {
		t.Error("clients are led around us: " + body)
	}
	if err := p.up.Close(); err != nil {
		t.Fatal(err)
	}
	for _, op := range []string{"ListTables", "DescribeContinuousBackups"} {
		status, body := post(p.front.DB, op, `{"TableName":"tab"}`)
		if status != http.StatusServiceUnavailable || !strings.Contains(body, "the upstream "+p.up.URL+" does not answer") {
			t.Errorf("%s: %d %s", op, status, body)
		}
	}
}

// The history of an upstream's table: full and incremental exports, restores and backups show it as it was at their times, written
// through either end, over shards that split and roll, pages that are empty in mid-shard, and a restart.
func TestUpstreamPast(t *testing.T) {
	p := newEnds(t, Options{})
	rng := rand.New(rand.NewPCG(16, 1))
	must(t, p.up.DB, "CreateTable", createModel)
	p.write(rng, 60)
	for _, op := range []string{"ExportTableToPointInTime", "RestoreTableToPointInTime"} {
		if body := p.refused(op, `{`+tabARN+`,"S3Bucket":"lake","SourceTableName":"tab","TargetTableName":"new","UseLatestRestorableTime":true}`); !strings.Contains(body, "PointInTimeRecoveryUnavailable") {
			t.Error(body)
		}
	}
	p.recovery()
	now := p.scan("tab")
	p.same("export of now", p.full(p.export("")), now)
	moments := []moment{p.moment()}
	for n := range 4 {
		p.write(rng, 40)
		p.reshard(rng)
		p.write(rng, 40)
		moments = append(moments, p.moment())
		if n == 2 {
			p.restart()
		}
	}
	for i, m := range moments {
		p.same(fmt.Sprintf("export of moment %d", i), p.full(p.export(fmt.Sprintf(`,"ExportTime":%d.%03d`, m.ms/1000, m.ms%1000))), m.items)
	}
	from, to := moments[1], moments[3]
	e := p.export(fmt.Sprintf(`,"ExportType":"INCREMENTAL_EXPORT","IncrementalExportSpecification":{"ExportFromTime":%d.%03d,"ExportToTime":%d.%03d}`,
		from.ms/1000, from.ms%1000, to.ms/1000, to.ms%1000))
	if e.Status != statusCompleted {
		t.Fatalf("%+v", e.Failure)
	}
	lake, err := p.opts.Bucket(t.Context(), "lake")
	if err != nil {
		t.Fatal(err)
	}
	p.window(readChanges(t, lake, "AWSDynamoDB/"+e.ID+"/manifest-summary.json"), from, to)

	m := moments[2]
	body := p.must("RestoreTableToPointInTime", fmt.Sprintf(`{"SourceTableName":"tab","TargetTableName":"then","RestoreDateTime":%d.%03d}`, m.ms/1000, m.ms%1000))
	if !strings.Contains(body, `"TableStatus":"CREATING"`) {
		t.Error(body)
	}
	p.filled("then")
	p.same("restore", p.scan("then"), m.items)
	if body := p.must("DescribeTable", `{"TableName":"then"}`); !strings.Contains(body, `"TableStatus":"ACTIVE"`) {
		t.Error(body)
	}
	if body := p.refused("RestoreTableToPointInTime", `{"SourceTableName":"tab","TargetTableName":"then","UseLatestRestorableTime":true}`); !strings.Contains(body, "TableAlreadyExists") {
		t.Error(body)
	}
	p.backup("tab", "again", p.scan("tab"))
}

// backup takes a backup of a table, and restores it.
func (p *ends) backup(table, into string, want []string) {
	p.t.Helper()
	id := taskIDs.FindString(p.must("CreateBackup", `{"TableName":"`+table+`","BackupName":"whole"}`))
	deadline := time.Now().Add(time.Minute)
	for p.front.DB.journal.backups.get(id).Status != statusAvailable {
		if time.Now().After(deadline) {
			p.t.Fatal("the backup is not taken")
		}
		time.Sleep(5 * time.Millisecond)
	}
	arn := `"BackupArn":"arn:aws:dynamodb:eu-central-1:000000000000:table/` + table + `/backup/` + id + `"`
	if body := p.must("DescribeBackup", `{`+arn+`}`); !strings.Contains(body, fmt.Sprintf(`"ItemCount":%d`, len(want))) {
		p.t.Error(body)
	}
	p.must("RestoreTableFromBackup", `{"TargetTableName":"`+into+`",`+arn+`}`)
	p.filled(into)
	p.same("restored backup", p.scan(into), want)
	p.must("DeleteBackup", `{`+arn+`}`)
}

// A table without continuous backups is followed for as long as a backup needs it.
func TestUpstreamBackup(t *testing.T) {
	p := newEnds(t, Options{FullPages: true})
	must(t, p.up.DB, "CreateTable", createModel)
	p.write(rand.New(rand.NewPCG(3, 1)), 50)
	p.backup("tab", "copy", p.scan("tab"))
	p.front.DB.crew.done.Wait()
	if p.front.DB.relay.followed("tab") != nil {
		t.Error("the table is followed still")
	}
	if body := p.must("DescribeContinuousBackups", `{"TableName":"tab"}`); !strings.Contains(body, `"PointInTimeRecoveryStatus":"DISABLED"`) {
		t.Error(body)
	}
}

// An import makes the upstream's table and puts the items there; without a bucket there is none afterwards.
func TestUpstreamImport(t *testing.T) {
	p := newEnds(t, Options{})
	if err := os.MkdirAll(filepath.Join(p.lake, "in"), 0o777); err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for i := range 120 {
		fmt.Fprintf(&lines, `{"Item":{"p":{"S":"i%d"},"s":{"N":"%d"}}}`+"\n", i, i)
	}
	if err := os.WriteFile(filepath.Join(p.lake, "in", "part"), []byte(lines.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	p.must("ImportTable", `{"ClientToken":"a","S3BucketSource":{"S3Bucket":"lake","S3KeyPrefix":"in/"},"InputFormat":"DYNAMODB_JSON","TableCreationParameters":`+createModel+`}`)
	p.filled("tab")
	if got := p.scan("tab"); len(got) != 120 {
		t.Errorf("%d items", len(got))
	}
	if body := p.must("ListImports", `{}`); !strings.Contains(body, statusCompleted) {
		t.Error(body)
	}
	p.must("ImportTable", `{"ClientToken":"b","S3BucketSource":{"S3Bucket":"none"},"InputFormat":"DYNAMODB_JSON","TableCreationParameters":`+strings.Replace(createModel, `"tab"`, `"other"`, 1)+`}`)
	p.filled("other")
	if body := p.refused("DescribeTable", `{"TableName":"other"}`); !strings.Contains(body, "ResourceNotFound") {
		t.Error(body)
	}
}

// A stream of another view is somebody's: it is left as it is, and the answer says what to do.
func TestUpstreamOtherView(t *testing.T) {
	p := newEnds(t, Options{})
	must(t, p.up.DB, "CreateTable", strings.TrimSuffix(createModel, "}")+`,"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}}`)
	if body := p.refused("UpdateContinuousBackups", enablePITR); !strings.Contains(body, "shows KEYS_ONLY, and following it needs NEW_AND_OLD_IMAGES. turn the stream off") {
		t.Error(body)
	}
}

// What cannot be followed without a hole ends the recovery by name, and turning it on again begins it anew.
func TestUpstreamGaps(t *testing.T) {
	stream := func(on string) string {
		return `{"TableName":"tab","StreamSpecification":{"StreamEnabled":` + on + `}}`
	}
	for reason, break_ := range map[string]func(p *ends){
		"deleted and made again": func(p *ends) {
			must(p.t, p.up.DB, "DeleteTable", `{"TableName":"tab"}`)
			must(p.t, p.up.DB, "CreateTable", createModel)
		},
		"another one turned on": func(p *ends) {
			must(p.t, p.up.DB, "UpdateTable", stream("false"))
			must(p.t, p.up.DB, "UpdateTable", stream(`true,"StreamViewType":"NEW_AND_OLD_IMAGES"`))
		},
		"turned off": func(p *ends) { must(p.t, p.up.DB, "UpdateTable", stream("false")) },
		"nothing of it was read since": func(p *ends) {
			if err := p.front.Close(); err != nil {
				p.t.Fatal(err)
			}
			p.pass(25 * time.Hour)
			p.open()
		},
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel() // they wait for most of their time
			p := newEnds(t, Options{})
			must(t, p.up.DB, "CreateTable", createModel)
			p.recovery()
			break_(p)
			deadline := time.Now().Add(30 * time.Second)
			for {
				if body := p.must("DescribeContinuousBackups", `{"TableName":"tab"}`); strings.Contains(body, "DISABLED") {
					if !strings.Contains(body, reason) || !strings.Contains(body, `"Available":false`) {
						t.Error(body)
					}
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("the gap was not seen")
				}
				time.Sleep(5 * time.Millisecond)
			}
			body := p.refused("ExportTableToPointInTime", `{`+tabARN+`,"S3Bucket":"lake"}`)
			if !strings.Contains(body, "PointInTimeRecoveryUnavailableException") || !strings.Contains(body, reason) || !strings.Contains(body, "with UpdateContinuousBackups") {
				t.Error(body)
			}
			p.write(rand.New(rand.NewPCG(5, 1)), 10)
			p.recovery()
			p.same("the new base", p.full(p.export("")), p.scan("tab"))
			p.must("UpdateContinuousBackups", disablePITR)
			if body := p.must("DescribeContinuousBackups", `{"TableName":"tab"}`); !strings.Contains(body, "DISABLED") || strings.Contains(body, "Dynaferry") {
				t.Error(body)
			}
		})
	}
}

// window checks the records of an incremental export, as readChanges returns them, between two moments: both images of each,
// its time, and that no change is missing.
func (p *ends) window(changes map[string]string, from, to moment) {
	p.t.Helper()
	was, is := p.byKey(from.items), p.byKey(to.items)
	for key, change := range changes {
		micros, images, _ := strings.Cut(change, " ")
		ms, err := strconv.ParseInt(micros, 10, 64)
		if ms /= 1000; err != nil || ms < from.ms || ms >= to.ms {
			p.t.Errorf("a change of %s in a window from %d to %d", micros, from.ms, to.ms)
		}
		if want := was[key] + " " + is[key]; images != want {
			p.t.Errorf("change of %s:\n%q\nwant\n%q", key, images, want)
		}
	}
	maps.Copy(was, is)
	for key := range was {
		if _, told := changes[key]; !told && p.byKey(from.items)[key] != is[key] {
			p.t.Errorf("the change of %s is missing", key)
		}
	}
}

// byKey are canonical items by their canonical key.
func (p *ends) byKey(items []string) map[string]string {
	p.t.Helper()
	all := map[string]string{}
	for _, text := range items {
		it, err := ddbjson.ParseItem([]byte(text))
		if err != nil {
			p.t.Fatal(err)
		}
		values := it.Map()
		key, err := item.FromMap(map[string]item.Value{"p": values["p"], "s": values["s"]})
		if err != nil {
			p.t.Fatal(err)
		}
		all[string(item.AppendCanonical(nil, key))] = text
	}
	return all
}

// A folder is of one kind.
func TestUpstreamFolder(t *testing.T) {
	p := newEnds(t, Options{})
	must(t, p.up.DB, "CreateTable", createModel)
	p.recovery()
	if err := p.front.Close(); err != nil {
		t.Fatal(err)
	}
	opts := p.opts
	opts.Upstream = nil
	if db, err := Open(opts); err == nil || !strings.Contains(err.Error(), "its table tab is the other kind") {
		t.Error(db, err)
	}
	p.open()
}

// What was asked for and not done goes on after a restart: an export, and a restore, whose table is CREATING until then.
func TestUpstreamGoesOn(t *testing.T) {
	p := newEnds(t, Options{FullPages: true})
	must(t, p.up.DB, "CreateTable", createModel)
	p.write(rand.New(rand.NewPCG(8, 1)), 80)
	p.recovery()
	want := p.scan("tab")
	id := taskIDs.FindString(p.must("ExportTableToPointInTime", `{`+tabARN+`,"S3Bucket":"lake"}`))
	p.must("RestoreTableToPointInTime", `{"SourceTableName":"tab","TargetTableName":"then","UseLatestRestorableTime":true}`)
	if body := p.must("DescribeTable", `{"TableName":"then"}`); !strings.Contains(body, `"TableStatus":"CREATING"`) {
		t.Error(body)
	}
	if body := p.refused("DeleteTable", `{"TableName":"then"}`); !strings.Contains(body, "ResourceInUse") {
		t.Error(body)
	}
	p.restart() // both wait for the copy to pass the time of the request
	p.same("export", p.full(p.exported(id)), want)
	p.filled("then")
	p.same("restore", p.scan("then"), want)
}

// A table that an earlier process made for a restore, and had no time to note, is taken; any other of the name is not.
func TestUpstreamAdopts(t *testing.T) {
	p := newEnds(t, Options{})
	must(t, p.up.DB, "CreateTable", createModel)
	told, err := p.opts.Upstream.Describe(t.Context(), "tab")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(d *definition)
		taken  bool
	}{
		{"made for it", func(*definition) {}, true},
		{"older", func(d *definition) { d.CreatedMs += 60_000 }, false},
		{"of other keys", func(d *definition) { d.Keys.Hash.Type = item.N }, false},
		{"with items", func(*definition) { p.write(rand.New(rand.NewPCG(1, 1)), 20) }, false},
	} {
		def, err := definitionOf(told)
		if err != nil {
			t.Fatal(err)
		}
		def.Filling = &filling{}
		c.change(def)
		made, err := p.front.DB.makeFilled(t.Context(), def)
		if (err == nil) != c.taken || err != nil && !strings.Contains(err.Error(), "Table already exists: tab") {
			t.Errorf("%s: %v", c.name, err)
		}
		if p.front.DB.inMaking("tab") != nil != c.taken {
			t.Errorf("%s: in making %t", c.name, !c.taken)
		}
		if made != nil {
			if made.def.Filling.MadeMs != told.CreatedMs() {
				t.Errorf("%+v", made.def.Filling)
			}
			if err := p.front.DB.discard(made); err != nil {
				t.Fatal(err)
			}
		}
	}
}
