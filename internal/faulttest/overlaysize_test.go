package faulttest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
	"dynaferry/internal/manifest"
)

// TestOverlaySize lays 20 million changes over 50 million items: the peak of memory does not depend on how many there are.
func TestOverlaySize(t *testing.T) {
	if !long() {
		t.Skip("20 GB of files and half an hour: DYNAFERRY_LONG=1")
	}
	const n = 50_000_000
	dir := t.TempDir()
	begun := time.Now()
	args := bigOverlay(t, dir, n)
	t.Logf("%d items and %d changes made in %v", n, 2*n/5, time.Since(begun).Round(time.Second))
	begun = time.Now()
	o := measured(t, append(args, "--workers", "2")...)
	if want := n - n/10; o.code != 0 || o.number("items") != want {
		t.Fatalf("%d items are expected: %s", want, o)
	}
	if o.rssMax > rssMost {
		t.Errorf("the peak of memory is %d MB", o.rssMax>>20)
	}
	t.Logf("memory: overlay of %d changes on %d items: %d MB, %v", 2*n/5, n, o.rssMax>>20, time.Since(begun).Round(time.Second))
}

// overlayFileItems is how many items or changes one file of bigOverlay holds.
const overlayFileItems = 1_000_000

// bigOverlay writes a base of n mixed items as a native export and two windows, each of which changes a fifth of them, and
// returns the arguments of the convert that joins them. A fourth of the changes are deletions.
func bigOverlay(t *testing.T, dir string, n int) []string {
	t.Helper()
	root := filepath.Join(dir, "AWSDynamoDB")
	base := filepath.Join(root, "base")
	files := filesInto(t, root, "base/data/", n, 1, func(dst []byte, i uint64) []byte {
		return append(itemtest.AppendMixed(append(dst, `{"Item":`...), 3, i), "}\n"...)
	})
	writeManifests(t, base, "base", manifest.Summary{Version: manifest.FullVersion, OutputFormat: "DYNAMODB_JSON",
		ExportTime: second(0).Format(manifest.TimeLayout)}, files)
	args := []string{"convert", base, filepath.Join(dir, "out")}
	for w := range 2 {
		id := fmt.Sprintf("w%d", w)
		files := filesInto(t, root, "data/"+id+"-", n/5, 5, func(dst []byte, i uint64) []byte { return appendChange(dst, i, w) })
		writeManifests(t, filepath.Join(root, id), id, manifest.Summary{Version: manifest.IncrementalVersion, ExportType: "INCREMENTAL_EXPORT",
			OutputFormat: "DYNAMODB_JSON", OutputView: "NEW_AND_OLD_IMAGES", ExportFromTime: second(3600 * w).Format(manifest.TimeLayout),
			ExportToTime: second(3600 * (w + 1)).Format(manifest.TimeLayout)}, files)
		args = append(args, "--overlay", filepath.Join(root, id))
	}
	return args
}

// appendChange appends the change of a mixed item in a window: the first deletes the items whose number ends in 0 and
// changes those in 5, the second changes those in 5 once more and those in 1.
func appendChange(dst []byte, i uint64, window int) []byte {
	if window == 1 && i%10 == 0 {
		i++
	}
	raw := itemtest.AppendMixed(nil, 3, i)
	it, err := ddbjson.ParseItem(raw)
	if err != nil {
		panic(err)
	}
	dst = append(dst, `{"Metadata":{"WriteTimestampMicros":{"N":"1"}},"Keys":`...)
	if dst, err = mixedKeys.AppendKeyJSON(dst, it); err != nil {
		panic(err)
	}
	dst = append(append(dst, `,"OldImage":`...), raw...)
	if i%10 != 0 {
		dst = append(fmt.Appendf(dst, `,"NewImage":{"window":{"N":"%d"},`, window), raw[1:]...)
	}
	return append(dst, "}\n"...)
}

var mixedKeys = item.KeySchema{Hash: item.KeyAttr{Name: "pk", Type: item.S}, Range: item.KeyAttr{Name: "sk", Type: item.S}}

// filesInto writes n lines, of every step-th number, into files below a folder. Their names begin with prefix.
func filesInto(t *testing.T, root, prefix string, n, step int, appendLine func(dst []byte, i uint64) []byte) []manifest.File {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(root, filepath.Dir(prefix+"x")), 0o755); err != nil {
		t.Fatal(err)
	}
	list := make([]manifest.File, (n+overlayFileItems-1)/overlayFileItems)
	var group sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for f := range list {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			from, to := f*overlayFileItems, min((f+1)*overlayFileItems, n)
			name := fmt.Sprintf("%s%03d.json.gz", prefix, f)
			sum, err := zipLines(filepath.Join(root, name), from, to, step, appendLine)
			if err != nil {
				t.Error(err)
			}
			list[f] = manifest.File{ItemCount: int64(to - from), MD5: sum, ETag: "x-1", Key: "AWSDynamoDB/" + name}
		})
	}
	group.Wait()
	return list
}

func zipLines(name string, from, to, step int, appendLine func(dst []byte, i uint64) []byte) (md5Text string, err error) {
	f, err := os.Create(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := md5.New()
	out := bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<20)
	w, _ := gzip.NewWriterLevel(out, gzip.BestSpeed)
	var line bytes.Buffer
	for i := from; i < to; i++ {
		line.Reset()
		if _, err := w.Write(appendLine(line.AvailableBuffer(), uint64(i*step))); err != nil {
			return "", err
		}
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	if err := out.Flush(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(sum.Sum(nil)), nil
}
