package export

import (
	"bytes"
	"compress/gzip"
	"io"
	"regexp"
	"strings"
	"testing"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/folder"
	"dynaferry/internal/manifest"
)

const (
	id    = "01693685827463-2d8752fd" // of the Developer Guide's example, as are the values below
	table = "arn:aws:dynamodb:us-east-1:123456789012:table/Products"
)

func bucket(t *testing.T) blob.Bucket {
	t.Helper()
	b, err := folder.Open(t.TempDir(), folder.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func object(t *testing.T, b blob.Bucket, name string) string {
	t.Helper()
	data, _, err := blob.ReadAll(t.Context(), b, name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The manifests are the Developer Guide's examples ("Output format of DynamoDB table exports"), member by member.
func TestManifests(t *testing.T) {
	full := manifest.Summary{
		ExportARN: table + "/export/" + id, StartTime: "2023-09-02T20:17:07.463Z", EndTime: "2023-09-02T20:22:00.000Z", TableARN: table,
		TableID: "12345a12-abcd-123a-ab12-1234abc12345", ExportTime: "2023-09-02T20:15:00.000Z", S3Bucket: "bkt",
		S3SseAlgorithm: "AES256", BilledSizeBytes: 20901239349,
	}
	prefix := "here"
	incremental := full
	incremental.ExportTime, incremental.ExportFromTime, incremental.ExportToTime = "", "2023-09-02T20:00:00.000Z", "2023-09-02T20:15:00.000Z"
	incremental.S3Prefix = &prefix
	for _, c := range []struct {
		layout  Layout
		summary manifest.Summary
		want    string
	}{
		{Layout{ID: id, Format: JSON}, full, `{"version":"2020-06-30","exportArn":"` + table + `/export/` + id + `",` +
			`"startTime":"2023-09-02T20:17:07.463Z","endTime":"2023-09-02T20:22:00.000Z","tableArn":"` + table + `",` +
			`"tableId":"12345a12-abcd-123a-ab12-1234abc12345","exportTime":"2023-09-02T20:15:00.000Z","s3Bucket":"bkt","s3Prefix":null,` +
			`"s3SseAlgorithm":"AES256","s3SseKmsKeyId":null,"manifestFilesS3Key":"AWSDynamoDB/` + id + `/manifest-files.json",` +
			`"billedSizeBytes":20901239349,"itemCount":54884,"outputFormat":"DYNAMODB_JSON"}`},
		{Layout{Prefix: prefix, ID: id, Format: Ion, Incremental: true, OldImages: true}, incremental,
			`{"version":"2023-08-01","exportArn":"` + table + `/export/` + id + `",` +
				`"startTime":"2023-09-02T20:17:07.463Z","endTime":"2023-09-02T20:22:00.000Z","tableArn":"` + table + `",` +
				`"tableId":"12345a12-abcd-123a-ab12-1234abc12345","exportFromTime":"2023-09-02T20:00:00.000Z",` +
				`"exportToTime":"2023-09-02T20:15:00.000Z","s3Bucket":"bkt","s3Prefix":"here","s3SseAlgorithm":"AES256","s3SseKmsKeyId":null,` +
				`"manifestFilesS3Key":"here/AWSDynamoDB/` + id + `/manifest-files.json","billedSizeBytes":20901239349,"itemCount":54884,` +
				`"outputFormat":"ION","outputView":"NEW_AND_OLD_IMAGES","exportType":"INCREMENTAL_EXPORT"}`},
	} {
		b := bucket(t)
		files := []manifest.File{
			{ItemCount: 46331, MD5: "a0k21IY3eelgr2PuWJLjJw==", ETag: "51f9f394903c5d682321c6211aae8b6a-1", Key: "data/a"},
			{ItemCount: 8553, MD5: "TT/DHaVumCj3QoOhfm6/tg==", ETag: "e11e560d0751aa5933630fb904f5d0df-1", Key: "data/b"},
		}
		if err := c.layout.Begin(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if _, err := c.layout.Finish(t.Context(), b, c.summary, files); err != nil {
			t.Fatal(err)
		}
		dir := strings.TrimSuffix(c.layout.Summary(), "manifest-summary.json")
		got, lines := object(t, b, c.layout.Summary()), object(t, b, dir+"manifest-files.json")
		if got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
		want := `{"itemCount":46331,"md5Checksum":"a0k21IY3eelgr2PuWJLjJw==","etag":"51f9f394903c5d682321c6211aae8b6a-1","dataFileS3Key":"data/a"}` + "\n" +
			`{"itemCount":8553,"md5Checksum":"TT/DHaVumCj3QoOhfm6/tg==","etag":"e11e560d0751aa5933630fb904f5d0df-1","dataFileS3Key":"data/b"}` + "\n"
		if lines != want {
			t.Errorf("got  %s\nwant %s", lines, want)
		}
		if object(t, b, dir+"manifest-summary.md5") != manifest.MD5([]byte(got)) || object(t, b, dir+"manifest-files.md5") != manifest.MD5([]byte(lines)) {
			t.Error("checksums differ")
		}
		if object(t, b, dir+"_started") != "" {
			t.Error("_started is not empty")
		}
	}
}

// A line of each form, as the Developer Guide and real files show it.
func TestLines(t *testing.T) {
	const old, now = `{"PK":{"S":"c1"},"n":{"N":"600"}}`, `{ "PK":{"S":"c1"}, "t":{"SS":["x"]} }`
	change := Change{Keys: []byte(`{"PK":{"S":"c1"}}`), Old: []byte(old), New: []byte(now), Micros: 1746609560577628}
	for _, c := range []struct {
		layout Layout
		write  func(f *File) error
		want   string
	}{
		{Layout{Format: JSON}, func(f *File) error { return f.Item([]byte(now)) }, `{"Item":{"PK":{"S":"c1"},"t":{"SS":["x"]}}}`},
		{Layout{Format: Ion}, func(f *File) error { return f.Item([]byte(now)) }, `$ion_1_0 {Item:{PK:"c1",t:$dynamodb_SS::["x"]}}`},
		{Layout{Format: JSON, Incremental: true, OldImages: true}, func(f *File) error { return f.Change(change) },
			`{"Metadata":{"WriteTimestampMicros":{"N":"1746609560577628"}},"Keys":{"PK":{"S":"c1"}},"OldImage":` + old +
				`,"NewImage":{"PK":{"S":"c1"},"t":{"SS":["x"]}}}`},
		{Layout{Format: JSON, Incremental: true}, func(f *File) error { return f.Change(change) },
			`{"Metadata":{"WriteTimestampMicros":{"N":"1746609560577628"}},"Keys":{"PK":{"S":"c1"}},"NewImage":{"PK":{"S":"c1"},"t":{"SS":["x"]}}}`},
		{Layout{Format: Ion, Incremental: true, OldImages: true}, func(f *File) error { return f.Change(change) },
			`$ion_1_0 {Record:{Keys:{PK:"c1"},Metadata:{WriteTimestampMicros:1746609560577628.},OldImage:{PK:"c1",n:6d2},NewImage:{PK:"c1",t:$dynamodb_SS::["x"]}}}`},
		{Layout{Format: Ion, Incremental: true}, func(f *File) error {
			return f.Change(Change{Keys: change.Keys, Old: change.Old, Micros: change.Micros})
		}, `$ion_1_0 {Record:{Keys:{PK:"c1"},Metadata:{WriteTimestampMicros:1746609560577628.}}}`},
	} {
		b := bucket(t)
		c.layout.ID = id
		f := c.layout.Create(t.Context(), b, 3)
		defer f.Close()
		if err := c.write(f); err != nil {
			t.Fatal(err)
		}
		file, err := f.Finish()
		if err != nil {
			t.Fatal(err)
		}
		packed := object(t, b, file.Key)
		zip, err := gzip.NewReader(strings.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if _, err := io.Copy(&got, zip); err != nil {
			t.Fatal(err)
		}
		if got.String() != c.want+"\n" {
			t.Errorf("got  %swant %s", got.String(), c.want)
		}
		if file.ItemCount != 1 || file.MD5 != manifest.MD5([]byte(packed)) || file.ETag == "" || strings.Contains(file.ETag, `"`) {
			t.Errorf("%+v", file)
		}
	}
}

// Names have the service's shape, and a part written again has the same.
func TestNames(t *testing.T) {
	for l, want := range map[Layout]string{
		{ID: id, Format: JSON}:                                 `^AWSDynamoDB/` + id + `/data/[a-z2-7]{26}\.json\.gz$`,
		{Prefix: "a/b", ID: id, Format: Ion}:                   `^a/b/AWSDynamoDB/` + id + `/data/[a-z2-7]{26}\.ion\.gz$`,
		{Prefix: "a/", ID: id, Format: Ion, Incremental: true}: `^a/AWSDynamoDB/data/[a-z2-7]{26}\.ion\.gz$`,
	} {
		if got := l.data(0); !regexp.MustCompile(want).MatchString(got) || got != l.data(0) || got == l.data(1) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
