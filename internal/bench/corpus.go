package bench

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/gzip"

	"dynaferry/internal/manifest"
	"dynaferry/internal/sample"
)

// corpus is a native export on disk.
type corpus struct {
	dir   string
	files []string
	items int
	bytes int64 // before compression
}

// corpusFiles is how many data files an export has: enough for two workers to share evenly.
const corpusFiles = 8

// corpusID is the export's folder, in the service's form.
const corpusID = "01763856000000-0badcafe"

// makeCorpus writes an export of n items that lines makes. gzip's default level is what the service's files look like.
func makeCorpus(dir string, n int, lines func(dst []byte, seed, first uint64, n int) []byte) (corpus, error) {
	c := corpus{dir: dir}
	base := filepath.Join(dir, manifest.Folder, corpusID)
	if err := os.MkdirAll(filepath.Join(base, "data"), 0o700); err != nil {
		return c, err
	}
	var list []manifest.File
	for i := range corpusFiles {
		name := fmt.Sprintf("data/bench%021d.json.gz", i)
		w, err := newDataFile(filepath.Join(base, name))
		if err != nil {
			return c, err
		}
		count := (n + i) / corpusFiles
		var chunk []byte
		for done := 0; done < count; done += 1000 {
			chunk = lines(chunk[:0], 1, uint64(c.items+done), min(1000, count-done))
			c.bytes += int64(len(chunk))
			if _, err := w.pack.Write(chunk); err != nil {
				return c, err
			}
		}
		sum, err := w.close()
		if err != nil {
			return c, err
		}
		c.items += count
		c.files = append(c.files, filepath.Join(base, name))
		list = append(list, manifest.File{ItemCount: int64(count), MD5: sum, ETag: "bench-1", Key: manifest.Folder + "/" + corpusID + "/" + name})
	}
	return c, writeManifests(base, list, c.items)
}

func writeManifests(base string, list []manifest.File, items int) error {
	files, err := manifest.AppendFiles(nil, list)
	if err != nil {
		return err
	}
	at := time.UnixMilli(1763856000000).UTC().Format(manifest.TimeLayout)
	summary, err := json.Marshal(manifest.Summary{Version: manifest.FullVersion, StartTime: at, EndTime: at, ExportTime: at, ItemCount: int64(items), OutputFormat: "DYNAMODB_JSON",
		S3SseAlgorithm: "AES256", TableARN: "arn:aws:dynamodb:us-east-1:000000000000:table/Bench", TableID: "00000000-0000-0000-0000-000000000000",
		ManifestFilesS3Key: manifest.Folder + "/" + corpusID + "/manifest-files.json"})
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"manifest-files.json": files, "manifest-files.md5": []byte(manifest.MD5(files)),
		"manifest-summary.json": summary, "manifest-summary.md5": []byte(manifest.MD5(summary))} {
		if err := os.WriteFile(filepath.Join(base, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

type dataFile struct {
	file *os.File
	sum  hash.Hash
	pack *gzip.Writer
}

func newDataFile(name string) (*dataFile, error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	d := &dataFile{file: f, sum: md5.New()}
	d.pack, err = gzip.NewWriterLevel(io.MultiWriter(f, d.sum), gzip.DefaultCompression)
	return d, err
}

func (d *dataFile) close() (md5sum string, err error) {
	if err := d.pack.Close(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(d.sum.Sum(nil)), d.file.Close()
}

// orders is the uniform corpus, made once a run.
func (b *bench) orders() (corpus, error) {
	if b.plain.items > 0 {
		return b.plain, nil
	}
	b.say("making %d orders", b.o.Items)
	var err error
	b.plain, err = makeCorpus(b.dir("orders"), b.o.Items, sample.OrderLines)
	return b.plain, err
}
