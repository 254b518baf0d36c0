package delivery

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/changelog"
	"dynaferry/internal/codec/compress"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
	"dynaferry/internal/sample"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// writer makes a log of records in the form of DynamoDB Streams.
type writer struct {
	t      testing.TB
	log    *changelog.Log
	bucket blob.Bucket
	chains []*changelog.Chain
	builds []*changelog.Builder
	seq    int
	lines  []string // all records
}

// testStart is 2026-11-25T23:59:50Z, so that the records of a log pass midnight.
const testStart = 1795651190

func newLog(t testing.TB, groups uint32) *writer {
	t.Helper()
	w := &writer{t: t, bucket: newMemory()}
	var err error
	w.log, err = changelog.Create(t.Context(), w.bucket, "", changelog.Info{Stream: "arn:stream/1", Table: "Orders", View: feed.BothImages, Groups: groups, Created: time.Now(),
		Keys: item.KeySchema{Hash: item.KeyAttr{Name: "orderId", Type: item.S}}})
	must(t, err)
	for g := range groups {
		c, err := w.log.Chain(t.Context(), g, "w", changelog.ChainOptions{})
		must(t, err)
		b, err := changelog.NewBuilder(c.State(), changelog.BuilderOptions{BlockBytes: 4 << 10, Workers: 1})
		must(t, err)
		must(t, b.Begin(changelog.Shard{ID: fmt.Sprintf("shard-%d", g)}))
		w.chains, w.builds = append(w.chains, c), append(w.builds, b)
	}
	return w
}

// record adds a record to a group's draft. Its time moves on by a second with every tenth.
func (w *writer) record(group int, format string, args ...any) {
	w.t.Helper()
	w.seq++
	at := testStart + int64(w.seq)/10
	line := fmt.Sprintf(`{"eventID":"e%d","eventName":%s,"eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"eu-west-1","dynamodb":{"ApproximateCreationDateTime":%d,%s,"SequenceNumber":"%d","SizeBytes":100,"StreamViewType":"NEW_AND_OLD_IMAGES"}}`,
		w.seq, strings.SplitN(format, ";", 2)[0], at, fmt.Sprintf(strings.SplitN(format, ";", 2)[1], args...), w.seq)
	w.raw(group, line, at*1e6)
}

func (w *writer) raw(group int, line string, micros int64) {
	w.t.Helper()
	w.lines = append(w.lines, line)
	must(w.t, w.builds[group].Add(fmt.Sprintf("shard-%d", group), changelog.Record{Raw: []byte(line),
		Position: feed.Position{Seq: feed.Number(fmt.Sprint(w.seq))}, Micros: micros, Key: changelog.KeyHash([]byte(line))}))
}

// orders adds n inserts, changes and deletions of orders.
func (w *writer) orders(group, n int) {
	for range n {
		i := uint64(w.seq + 1)
		now, old := sample.AppendOrder(nil, 1, i), sample.AppendOrder(nil, 2, i)
		switch w.seq % 5 {
		case 0, 1:
			w.record(group, `"INSERT";"Keys":{"orderId":{"S":"o-%d"}},"NewImage":%s`, i, now)
		case 4:
			w.record(group, `"REMOVE";"Keys":{"orderId":{"S":"o-%d"}},"OldImage":%s`, i, old)
		default:
			w.record(group, `"MODIFY";"Keys":{"orderId":{"S":"o-%d"}},"NewImage":%s,"OldImage":%s`, i, now, old)
		}
	}
}

// cut appends a group's draft to the log.
func (w *writer) cut(group int) {
	w.t.Helper()
	w.append(group, w.builds[group].Cut())
}

func (w *writer) append(group int, d *changelog.Draft) *changelog.Entry {
	w.t.Helper()
	d.At = (testStart + 1000) * 1e6
	e, err := w.chains[group].Append(w.t.Context(), d)
	must(w.t, err)
	return e
}

// visible are the names and bytes of a bucket's objects outside of our own folder; all with ours.
func objects(t testing.TB, b blob.Bucket, ours bool) map[string]string {
	t.Helper()
	found := map[string]string{}
	for info, err := range b.List(context.Background(), "", "") {
		must(t, err)
		if strings.HasPrefix(info.Name, "_dynaferry/") == ours {
			data, _, err := blob.ReadAll(context.Background(), b, info.Name, 1<<30)
			must(t, err)
			found[info.Name] = string(data)
		}
	}
	return found
}

// unpacked is what a text file holds.
func unpacked(t testing.TB, data string) string {
	t.Helper()
	r := compress.NewReader(strings.NewReader(data), "", compress.Limits{})
	defer r.Close()
	text, err := io.ReadAll(r)
	must(t, err)
	return string(text)
}

// allLines are the lines of all visible files, sorted.
func allLines(t testing.TB, b blob.Bucket) (lines []string) {
	t.Helper()
	files := objects(t, b, false)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := unpacked(t, files[name])
		if text == "" {
			t.Errorf("%s is empty", name)
			continue
		}
		lines = append(lines, strings.Split(strings.TrimSuffix(text, "\n"), "\n")...)
	}
	slices.Sort(lines)
	return lines
}

// same compares two sets of objects byte for byte.
func same(t testing.TB, what string, got, want map[string]string) {
	t.Helper()
	for name := range want {
		if data, ok := got[name]; !ok {
			t.Errorf("%s: %s is missing", what, name)
		} else if data != want[name] {
			t.Errorf("%s: %s has other bytes: %d, not %d", what, name, len(data), len(want[name]))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: there is %s too", what, name)
		}
	}
}
