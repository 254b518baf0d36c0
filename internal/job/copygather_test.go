package job

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/folder"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/sink"
	"dynaferry/internal/source"
)

// meeting is a bucket in which the first file waits for a second one that is on its way.
type meeting struct {
	blob.Bucket
	files atomic.Int32
	met   chan struct{}
}

func (m *meeting) Put(ctx context.Context, name string, body []byte, o blob.PutOptions) (blob.Info, error) {
	if strings.HasSuffix(name, ".rows") {
		if m.files.Add(1) == 2 {
			close(m.met)
		}
		select {
		case <-m.met:
		case <-time.After(10 * time.Second):
			return blob.Info{}, fmt.Errorf("%s waits alone", name)
		}
	}
	return m.Bucket.Put(ctx, name, body, o)
}

// TestPartitionsEndTogether: ten thousand small partitions cost ten thousand files; their requests, on a disk their syncs, do
// not wait for each other. The files are told in the partitions' order all the same, and none takes the name of another.
func TestPartitionsEndTogether(t *testing.T) {
	const parts = 30
	ctx := t.Context()
	disk, err := folder.Open(t.TempDir(), folder.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	bucket := &meeting{Bucket: disk, met: make(chan struct{})}
	a := &plan.Attempt{Plan: &plan.Plan{ID: "p"}, State: plan.State{Bucket: bucket}, ID: "a", Meter: silent{}}
	var route sink.Route
	spill, err := sink.NewSpill(ctx, sink.SpillOptions{Bucket: disk, Staged: a.Staged, Memory: 1 << 20, Route: func(it item.Item) (*sink.Route, error) {
		at, _ := it.Get("p")
		route = sink.Route{Key: string(it.Text(at))}
		route.Segments = []string{"p=" + route.Key}
		return &route, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	b := &item.Batch{}
	for i := range 2 * parts {
		b.Src = fmt.Appendf(b.Src, `{"p":{"S":"%02d"},"n":{"N":"%d"}}`+"\n", i%parts, i)
	}
	b.Src = item.WithSlack(b.Src)
	if _, err := ddbjson.ParseLines(b, ddbjson.Bare, true, nil); err != nil {
		t.Fatal(err)
	}
	if err := spill.Write(b); err != nil {
		t.Fatal(err)
	}
	staged, err := spill.Close()
	if err != nil {
		t.Fatal(err)
	}
	j := &copyJob{env: &Env{}, st: a.State, set: Copy{Form: source.JSON, Compression: "none", TargetBytes: TargetBytesDefault}}
	g := &gatheringTask{job: j, a: a}
	var all []*partition
	if g.objects, all, err = readIndexes(ctx, disk, []string{staged.Index}, func(string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if g.reader, err = sink.NewRunReader(); err != nil {
		t.Fatal(err)
	}
	defer g.reader.Close()
	ended, err := g.partitions(ctx, all)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for i, e := range ended {
		if len(e.staged.Files) != 1 || e.staged.Files[0].Segments[0] != fmt.Sprintf("p=%02d", i) || e.staged.Files[0].Items != 2 {
			t.Fatalf("partition %d: %+v", i, e.staged.Files)
		}
		names[e.staged.Files[0].Staged] = true
	}
	if len(names) != parts {
		t.Errorf("%d names", len(names))
	}
}
