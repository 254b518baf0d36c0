package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/folder"
	"dynaferry/internal/fault"
)

// world is a bucket with one export in it.
type world struct {
	t *testing.T
	b blob.Bucket
}

const exportDir = "AWSDynamoDB/01693685827463-2d8752fd"

func newWorld(t *testing.T) world {
	b, err := folder.Open(t.TempDir(), folder.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	return world{t, b}
}

func (w world) put(name, data string) {
	w.t.Helper()
	if _, err := w.b.Put(w.t.Context(), name, []byte(data), blob.PutOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// export writes a whole export of two files below prefix, whose manifests say it was made below claimed.
func (w world) export(prefix, claimed string) {
	dir := prefix + exportDir
	var files []File
	for _, name := range []string{"aaaa", "bbbb"} {
		w.put(dir+"/data/"+name+".json.gz", "data of "+name)
		files = append(files, File{ItemCount: 2, MD5: MD5([]byte("data of " + name)), ETag: "x-1", Key: claimed + exportDir + "/data/" + name + ".json.gz"})
	}
	lines, err := AppendFiles(nil, files)
	if err != nil {
		w.t.Fatal(err)
	}
	summary, err := json.Marshal(Summary{Version: FullVersion, ItemCount: 4, OutputFormat: "DYNAMODB_JSON", ManifestFilesS3Key: claimed + exportDir + "/manifest-files.json"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(dir+"/_started", "")
	w.put(dir+"/manifest-files.json", string(lines))
	w.put(dir+"/manifest-files.md5", MD5(lines)+"\n")
	w.put(dir+"/manifest-summary.json", string(summary))
	w.put(dir+"/manifest-summary.md5", MD5(summary))
}

// files replaces the list and its checksum.
func (w world) files(lines string) {
	w.put(exportDir+"/manifest-files.json", lines)
	w.put(exportDir+"/manifest-files.md5", MD5([]byte(lines)))
}

// An export is found by its manifest, its folder, its data folder or any prefix above, also when it was moved.
func TestOpenAnyway(t *testing.T) {
	for _, c := range []struct{ prefix, claimed string }{{"", ""}, {"backup/orders/", "backup/orders/"}, {"moved/here/", "exports/2023/"}, {"", "deep/er/"},
		{"AWSDynamoDB/twice/", "AWSDynamoDB/twice/"}} {
		w := newWorld(t)
		w.export(c.prefix, c.claimed)
		for _, at := range []string{c.prefix + exportDir + "/manifest-summary.json", c.prefix + exportDir, c.prefix + exportDir + "/data/", c.prefix} {
			e, err := Open(t.Context(), w.b, at)
			if err != nil {
				t.Errorf("claimed %q, opened at %q: %v", c.claimed, at, err)
				continue
			}
			if len(e.Files) != 2 || e.Files[0].Name != c.prefix+exportDir+"/data/aaaa.json.gz" || e.Files[0].Size != 12 || len(e.Warnings) != 0 {
				t.Errorf("claimed %q, opened at %q: %+v", c.claimed, at, e)
			}
		}
	}
}

// An export that was copied to a folder of any name is one, by its manifest, its folder, its data folder and above.
func TestRenamed(t *testing.T) {
	for _, dir := range []string{"mine", "", "deep/down/orders-2023", "AWSDynamoDB/orders"} {
		w := newWorld(t)
		w.export("", "exports/2023/")
		for _, name := range []string{"_started", "manifest-files.json", "manifest-files.md5", "manifest-summary.json", "manifest-summary.md5", "data/aaaa.json.gz", "data/bbbb.json.gz"} {
			data, _, err := blob.ReadAll(t.Context(), w.b, exportDir+"/"+name, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			w.b.Delete(t.Context(), exportDir+"/"+name)
			w.put(path.Join(dir, name), string(data))
		}
		for _, at := range []string{path.Join(dir, "manifest-summary.json"), path.Join(dir, "manifest-files.json"), dir, path.Join(dir, "data") + "/", path.Dir(dir)} {
			e, err := Open(t.Context(), w.b, strings.TrimPrefix(at, "."))
			if err != nil {
				t.Errorf("%q, opened at %q: %v", dir, at, err)
			} else if len(e.Files) != 2 || e.Files[0].Name != path.Join(dir, "data/aaaa.json.gz") || e.Files[0].Size != 12 {
				t.Errorf("%q, opened at %q: %+v", dir, at, e)
			}
		}
		w.b.Delete(t.Context(), path.Join(dir, "manifest-summary.json"))
		if _, err := Open(t.Context(), w.b, dir); fault.KindOf(err) != fault.Corrupt || !strings.Contains(err.Error(), "not finished") {
			t.Errorf("%q without summary: %v", dir, err)
		}
	}
}

// The real lines of aws-reference.md, verbatim.
func TestRealLines(t *testing.T) {
	for _, line := range []string{
		`{"itemCount":46331,"md5Checksum":"a0k21IY3eelgr2PuWJLjJw==","etag":"51f9f394903c5d682321c6211aae8b6a-1","dataFileS3Key":"test-table-export/AWSDynamoDB/01692350182719-6de2c037/data/fpgzwz7ome3s7a5gqn2mu3ogtq.json.gz"}`,
		`{"itemCount":8553,"md5Checksum":"TT/DHaVumCj3QoOhfm6/tg==","etag":"e11e560d0751aa5933630fb904f5d0df-1","dataFileS3Key":"public-s3-files/Output_Airline.csv/AWSDynamoDB/01693467621041-039fcf72/data/jhg6wb6v7u6dxdgwnn4c55ciq4.json.gz"}`,
	} {
		var f File
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatal(err)
		}
		again, err := AppendFiles(nil, []File{f})
		if err != nil || string(again) != line+"\n" {
			t.Errorf("%s, %v", again, err)
		}
		dir := f.Key[:strings.Index(f.Key, "/data/")]
		if name, err := rebase(f.Key, dir, path.Base(dir)); err != nil || name != f.Key {
			t.Errorf("%s, %v", name, err)
		}
	}
}

// Everything that is wrong is refused at once, with the place, before a byte of data is read.
func TestNotWhole(t *testing.T) {
	line := func(name string, count int) string {
		return fmt.Sprintf(`{"itemCount":%d,"md5Checksum":"x","etag":"x-1","dataFileS3Key":%q}`+"\n", count, exportDir+"/data/"+name)
	}
	both := line("aaaa.json.gz", 2) + line("bbbb.json.gz", 2)
	for _, c := range []struct {
		name   string
		damage func(w world)
		want   []string
	}{
		{"summary checksum", func(w world) { w.put(exportDir+"/manifest-summary.md5", "AAAA") }, []string{"MD5", "manifest-summary"}},
		{"files checksum", func(w world) { w.put(exportDir+"/manifest-files.json", both+" ") }, []string{"MD5", "manifest-files"}},
		{"summary is no JSON", func(w world) {
			w.put(exportDir+"/manifest-summary.json", "{")
			w.put(exportDir+"/manifest-summary.md5", MD5([]byte("{")))
		}, []string{"not a manifest summary"}},
		{"missing object", func(w world) { w.b.Delete(w.t.Context(), exportDir+"/data/aaaa.json.gz") }, []string{"line 1", "aaaa.json.gz is missing"}},
		{"extra object", func(w world) { w.put(exportDir+"/data/cccc.json.gz", "") }, []string{"cccc.json.gz is not in the list"}},
		{"count", func(w world) { w.files(line("aaaa.json.gz", 2) + line("bbbb.json.gz", 3)) }, []string{"5 items together", "says 4"}},
		{"a file twice", func(w world) { w.files(both + line("aaaa.json.gz", 0)) }, []string{"line 3", "again, after line 1"}},
		{"no JSON line", func(w world) { w.files(both + "hello\n") }, []string{"line 3 is no file entry"}},
		{"list gone", func(w world) { w.b.Delete(w.t.Context(), exportDir+"/manifest-files.json") }, []string{"manifest-files.json is missing"}},
		{"several at once", func(w world) {
			w.b.Delete(w.t.Context(), exportDir+"/data/aaaa.json.gz")
			w.put(exportDir+"/data/cccc.json.gz", "")
		}, []string{"aaaa.json.gz is missing", "cccc.json.gz is not in the list"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.export("", "")
			c.damage(w)
			_, err := Open(t.Context(), w.b, "")
			if fault.KindOf(err) != fault.Corrupt {
				t.Fatalf("%v of kind %v", err, fault.KindOf(err))
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

// What a program keeps for itself in the data folder is none of the export's.
func TestOthersNotes(t *testing.T) {
	w := newWorld(t)
	w.export("", "")
	for _, name := range []string{"_SUCCESS", ".spark-staging/part", "_dynaferry/plans/x/plan", "below/_tmp/x"} {
		w.put(exportDir+"/data/"+name, "")
	}
	if e, err := Open(t.Context(), w.b, ""); err != nil || len(e.Files) != 2 {
		t.Errorf("%+v, %v", e, err)
	}
}

// Keys that would lead out of the export's own folder are refused, whatever they try.
func TestTraversal(t *testing.T) {
	for _, key := range []string{"", "/etc/passwd", "../../etc/passwd", exportDir + "/data/../../../secret", "s3://other/" + exportDir + "/data/x", `AWSDynamoDB\..\x`,
		"AWSDynamoDB/other-export/data/x.json.gz", exportDir + "/manifest-summary.json", exportDir + "/data//x", "no/such/folder/x", exportDir + "/data/\x00"} {
		if name, err := rebase(key, exportDir, path.Base(exportDir)); err == nil {
			t.Errorf("%q became %q", key, name)
		}
	}
	if name, err := rebase("any/AWSDynamoDB/data/shared.json.gz", "here/"+exportDir, path.Base(exportDir)); err != nil || name != "here/AWSDynamoDB/data/shared.json.gz" {
		t.Errorf("an incremental's shared folder: %q, %v", name, err)
	}
}

func TestWhich(t *testing.T) {
	w := newWorld(t)
	if _, err := Open(t.Context(), w.b, ""); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("nothing there: %v", err)
	}
	w.put("AWSDynamoDB/0-1/_started", "")
	if _, err := Open(t.Context(), w.b, ""); fault.KindOf(err) != fault.Corrupt || !strings.Contains(err.Error(), "not finished") {
		t.Errorf("unfinished: %v", err)
	}
	w.export("a/", "a/")
	w.export("b/", "b/")
	if _, err := Open(t.Context(), w.b, ""); fault.KindOf(err) != fault.User || fault.HintOf(err) == "" {
		t.Errorf("two exports: %v", err)
	}
	if _, err := Open(t.Context(), w.b, "b"); err != nil {
		t.Errorf("one of two: %v", err)
	}
}

// Checksums in either name, with white space behind, or none at all with a warning.
func TestChecksumForms(t *testing.T) {
	w := newWorld(t)
	w.export("", "")
	data, _, err := blob.ReadAll(t.Context(), w.b, exportDir+"/manifest-summary.json", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	w.b.Delete(t.Context(), exportDir+"/manifest-summary.md5")
	w.put(exportDir+"/manifest-summary.checksum", MD5(data)+" \r\n")
	if e, err := Open(t.Context(), w.b, ""); err != nil || len(e.Warnings) != 0 {
		t.Errorf("%v", err)
	}
	w.b.Delete(t.Context(), exportDir+"/manifest-summary.checksum")
	if e, err := Open(t.Context(), w.b, ""); err != nil || len(e.Warnings) != 1 {
		t.Errorf("%v", err)
	}
}

func TestExportID(t *testing.T) {
	at := time.UnixMilli(1693685827463)
	if id := ExportID(at, "2d8752fd"); id != "01693685827463-2d8752fd" {
		t.Error(id)
	}
}
