package local

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/item"
	"dynaferry/internal/manifest"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

const createModel = `{"TableName":"tab","AttributeDefinitions":[{"AttributeName":"p","AttributeType":"S"},` +
	`{"AttributeName":"s","AttributeType":"N"}],"KeySchema":[{"AttributeName":"p","KeyType":"HASH"},` +
	`{"AttributeName":"s","KeyType":"RANGE"}],"BillingMode":"PAY_PER_REQUEST"}`

// pastModel is a local DynamoDB beside the history that its table should have.
type pastModel struct {
	*player
	dir      string // of the bucket
	rng      *rand.Rand
	versions map[string][]version // by key, as JSON
}

type version struct {
	ms  int64
	raw string // canonical; "": there is no item
}

func canonical(t testing.TB, raw string) string {
	t.Helper()
	it, err := ddbjson.ParseItem([]byte(raw))
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return string(item.AppendCanonical(nil, it))
}

func newPastModel(t *testing.T, seed uint64) *pastModel {
	w := &pastModel{player: newPlayer(t), rng: rand.New(rand.NewPCG(seed, 1)), versions: map[string][]version{}}
	w.dir = strings.TrimPrefix(w.bucket.URL(), "file://")
	must(t, w.db, "CreateTable", createModel)
	must(t, w.db, "UpdateContinuousBackups", `{"TableName":"tab","PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":true}}`)
	w.now = w.now.Add(time.Second)
	return w
}

// write does one random write and notes it.
func (w *pastModel) write() {
	w.t.Helper()
	key := fmt.Sprintf(`{"p":{"S":"p%d"},"s":{"N":"%d"}}`, w.rng.IntN(9), w.rng.IntN(5))
	rest := strings.TrimPrefix(key, "{")
	var raw string
	switch w.rng.IntN(4) {
	case 0:
		must(w.t, w.db, "DeleteItem", `{"TableName":"tab","Key":`+key+`}`)
	case 1: // spaces and numbers in other forms than the normal one
		raw = fmt.Sprintf(`{ "v" : {"N":"%d.50"} ,"l":{"L":[ {"NULL":true},{"BOOL":false}]}, %s`, w.rng.IntN(1000), rest)
		must(w.t, w.db, "PutItem", `{"TableName":"tab","Item":`+raw+`}`)
	default:
		raw = fmt.Sprintf(`{"v":{"N":"%d"},"t":{"S":"é\n%s"},"b":{"B":"AAE="},%s`, w.rng.IntN(1000), strings.Repeat("x", w.rng.IntN(200)), rest)
		must(w.t, w.db, "BatchWriteItem", `{"RequestItems":{"tab":[{"PutRequest":{"Item":`+raw+`}}]}}`)
	}
	if raw != "" {
		raw = canonical(w.t, raw)
	}
	if last, _ := w.before(key, w.now.UnixMilli()+1); raw != "" || last != "" { // deleting nothing is no change
		w.versions[key] = append(w.versions[key], version{w.now.UnixMilli(), raw})
	}
	if w.rng.IntN(3) == 0 {
		w.now = w.now.Add(time.Duration(w.rng.IntN(900)) * time.Millisecond)
	}
}

// before is a key's item as all writes before ms have left it, and the last of them.
func (w *pastModel) before(key string, ms int64) (raw string, last int64) {
	for _, v := range w.versions[key] {
		if v.ms < ms {
			raw, last = v.raw, v.ms
		}
	}
	return raw, last
}

func (w *pastModel) state(ms int64) []string {
	var all []string
	for key := range w.versions {
		if raw, _ := w.before(key, ms); raw != "" {
			all = append(all, raw)
		}
	}
	slices.Sort(all)
	return all
}

// export asks for an export, waits for it and returns its description.
func (w *pastModel) export(params string) (d exportDescription) {
	w.t.Helper()
	body := must(w.t, w.db, "ExportTableToPointInTime",
		`{"TableArn":"arn:aws:dynamodb:eu-central-1:000000000000:table/tab","S3Bucket":"lake"`+params+`}`)
	w.db.crew.done.Wait()
	reply := struct {
		ExportDescription struct{ ExportArn, ExportStatus, FailureMessage, ExportManifest string }
	}{}
	if err := json.Unmarshal([]byte(body), &reply); err != nil {
		w.t.Fatal(err)
	}
	body = must(w.t, w.db, "DescribeExport", `{"ExportArn":"`+reply.ExportDescription.ExportArn+`"}`)
	if err := json.Unmarshal([]byte(body), &reply); err != nil || reply.ExportDescription.ExportStatus != statusCompleted {
		w.t.Fatal(body, err)
	}
	return exportDescription{ExportManifest: reply.ExportDescription.ExportManifest}
}

// readExport reads a full export the way our own convert does: checksums, counts and all.
func readExport(t testing.TB, bucketDir, manifestKey string) []string {
	t.Helper()
	src, err := source.Open(t.Context(), world.New(), source.Spec{Address: filepath.Join(bucketDir, filepath.Dir(manifestKey))})
	if err != nil {
		t.Fatal(err)
	}
	if src.Info().Kind != source.KindExport || len(src.Info().Warnings) > 0 {
		t.Fatalf("%+v", src.Info())
	}
	units, err := src.Units(t.Context(), 1<<20, 1)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, u := range units {
		r, err := src.Read(t.Context(), u, source.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for {
			var b item.Batch
			if err := r.Read(&b); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			for i := range b.Rows {
				all = append(all, string(item.AppendCanonical(nil, b.Item(i))))
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(all)
	return all
}

type changeLine struct {
	Metadata struct {
		WriteTimestampMicros struct{ N json.Number }
	}
	Keys, OldImage, NewImage json.RawMessage
}

// readChanges reads the lines of an incremental export in DynamoDB JSON, by key.
func readChanges(t testing.TB, b blob.Bucket, manifestKey string) map[string]string {
	t.Helper()
	e, err := manifest.Open(t.Context(), b, filepath.Dir(manifestKey))
	if err != nil || !e.Summary.Incremental() || len(e.Warnings) > 0 {
		t.Fatal(e, err)
	}
	all := map[string]string{}
	for _, f := range e.Files {
		data, _, err := blob.ReadAll(t.Context(), b, f.Name, 1<<24)
		if err != nil || manifest.MD5(data) != f.MD5 {
			t.Fatal(f, err)
		}
		zip, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(zip)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var c changeLine
			if err := json.Unmarshal([]byte(line), &c); err != nil {
				t.Fatal(line, err)
			}
			image := func(raw []byte) string {
				if raw == nil {
					return ""
				}
				return canonical(t, string(raw))
			}
			key := canonical(t, string(c.Keys))
			if all[key] != "" {
				t.Fatalf("two records of %s", key)
			}
			all[key] = fmt.Sprint(c.Metadata.WriteTimestampMicros.N, " ", image(c.OldImage), " ", image(c.NewImage))
		}
	}
	if int64(len(all)) != e.Summary.ItemCount {
		t.Fatalf("%d records, the manifest says %d", len(all), e.Summary.ItemCount)
	}
	return all
}

// changes is what an incremental export should hold.
func (w *pastModel) changes(from, to int64, oldImages bool) map[string]string {
	all := map[string]string{}
	for key := range w.versions {
		was, before := w.before(key, from)
		is, last := w.before(key, to)
		if last == before || was == "" && is == "" {
			continue
		}
		if !oldImages {
			was = ""
		}
		all[canonical(w.t, key)] = fmt.Sprint(last*1000, " ", was, " ", is)
	}
	return all
}

// TestPastModel writes at random and then looks back: full exports of past seconds, windows between them, and restores are what a
// shadow of the table says, in every form, and over restarts.
func TestPastModel(t *testing.T) {
	seeds := uint64(4)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := newPastModel(t, seed)
			for range 400 {
				w.write()
			}
			if seed%2 == 1 {
				w.restart()
			}
			begin, end := epoch.Unix()+1, w.now.Unix()
			for range 6 {
				at := begin + w.rng.Int64N(end-begin+1)
				w.write() // the present goes on
				w.checkFull(at)
				w.checkWindow(begin+w.rng.Int64N(at-begin+1), at)
			}
			w.checkRestore(begin+w.rng.Int64N(end-begin+1), "one")
			w.checkRestore(end, "two")
		})
	}
}

func (w *pastModel) checkFull(at int64) {
	w.t.Helper()
	format := []string{"DYNAMODB_JSON", "ION"}[w.rng.IntN(2)]
	d := w.export(fmt.Sprintf(`,"S3Prefix":"f/%d","ExportTime":%d,"ExportFormat":"%s"`, w.rng.Int64(), at, format))
	if got, want := readExport(w.t, w.dir, d.ExportManifest), w.state(at*1000); !slices.Equal(got, want) {
		w.t.Errorf("export at %d: %d items, want %d:\n%q\n%q", at, len(got), len(want), got, want)
	}
}

func (w *pastModel) checkWindow(from, to int64) {
	w.t.Helper()
	if from == to {
		to++
		w.now = w.now.Add(time.Second)
	}
	view := []string{viewNew, viewNewAndOld}[w.rng.IntN(2)]
	d := w.export(fmt.Sprintf(`,"ExportType":"INCREMENTAL_EXPORT","IncrementalExportSpecification":`+
		`{"ExportFromTime":%d,"ExportToTime":%d,"ExportViewType":"%s"}`, from, to, view))
	got, want := readChanges(w.t, w.bucket, d.ExportManifest), w.changes(from*1000, to*1000, view == viewNewAndOld)
	if len(got) != len(want) {
		w.t.Errorf("%d changes from %d to %d, want %d", len(got), from, to, len(want))
	}
	for key, change := range want {
		if got[key] != change {
			w.t.Errorf("change of %s from %d to %d:\n%q\nwant\n%q", key, from, to, got[key], change)
		}
	}
}

func (w *pastModel) checkRestore(at int64, name string) {
	w.t.Helper()
	must(w.t, w.db, "RestoreTableToPointInTime",
		fmt.Sprintf(`{"SourceTableName":"tab","TargetTableName":"%s","RestoreDateTime":%d}`, name, at))
	w.db.crew.done.Wait()
	reply := struct{ Items []json.RawMessage }{}
	if err := json.Unmarshal([]byte(must(w.t, w.db, "Scan", `{"TableName":"`+name+`"}`)), &reply); err != nil {
		w.t.Fatal(err)
	}
	var got []string
	for _, raw := range reply.Items {
		got = append(got, canonical(w.t, string(raw)))
	}
	slices.Sort(got)
	if want := w.state(at * 1000); !slices.Equal(got, want) {
		w.t.Errorf("restored to %d:\n%q\nwant\n%q", at, got, want)
	}
}

// TestExportMeanwhile exports "now", again and again, while others write: an export has everything that was acknowledged before
// it was asked for, and nothing that was sent after the millisecond of its answer.
func TestExportMeanwhile(t *testing.T) {
	b := buckets{t.TempDir()}
	if err := os.Mkdir(filepath.Join(b.dir, "lake"), 0o777); err != nil {
		t.Fatal(err)
	}
	db, err := Open(Options{Bucket: b.open})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	must(t, db, "CreateTable", createModel)
	must(t, db, "UpdateContinuousBackups", `{"TableName":"tab","PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":true}}`)
	const writers = 4
	var sent, done [writers]atomic.Int64
	var stop atomic.Bool
	var group sync.WaitGroup
	for n := range writers {
		group.Go(func() {
			for !stop.Load() {
				v := sent[n].Add(1)
				post(db, "PutItem", fmt.Sprintf(`{"TableName":"tab","Item":{"p":{"S":"w%d"},"s":{"N":"0"},"v":{"N":"%d"}}}`, n, v))
				done[n].Store(v)
			}
		})
	}
	lake := filepath.Join(b.dir, "lake")
	for range 8 {
		var low, high [writers]int64
		for n := range writers {
			low[n] = done[n].Load()
		}
		body := must(t, db, "ExportTableToPointInTime", `{"TableArn":"arn:aws:dynamodb:eu-central-1:000000000000:table/tab","S3Bucket":"lake"}`)
		for answered := time.Now().UnixMilli(); time.Now().UnixMilli() == answered; { // times have no more digits
		}
		for n := range writers {
			high[n] = sent[n].Load()
		}
		db.crew.done.Wait()
		id := taskIDs.FindString(body)
		for _, raw := range readExport(t, lake, "AWSDynamoDB/"+id+"/manifest-summary.json") {
			var it struct {
				P struct{ S string }
				V struct {
					N int64 `json:",string"`
				}
			}
			var n int
			if err := json.Unmarshal([]byte(raw), &it); err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Sscanf(it.P.S, "w%d", &n); err != nil || it.V.N < low[n] || it.V.N > high[n] {
				t.Errorf("writer %d: version %d, acknowledged %d, sent %d", n, it.V.N, low[n], high[n])
			}
			low[n] = 0
		}
		for n, v := range low {
			if v > 0 {
				t.Errorf("writer %d is not in the export, %d was acknowledged", n, v)
			}
		}
	}
	stop.Store(true)
	group.Wait()
}
