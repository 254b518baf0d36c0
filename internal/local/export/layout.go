package export

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"dynaferry/internal/blob"
	"dynaferry/internal/manifest"
)

// Format is the service's name for the form of data files.
type Format string

// The formats.
const (
	JSON Format = "DYNAMODB_JSON"
	Ion  Format = "ION"
)

// Layout names the objects of one export.
type Layout struct {
	Prefix      string // the request's S3Prefix, "" at the bucket's root
	ID          string
	Format      Format
	Incremental bool
	OldImages   bool // of an incremental export: NEW_AND_OLD_IMAGES
}

// name is the key of an object in the export's own folder.
func (l Layout) name(base string) string { return path.Join(l.Prefix, manifest.Folder, l.ID, base) }

// Summary is the key of the manifest, as DescribeExport tells it.
func (l Layout) Summary() string { return l.name("manifest-summary.json") }

// data is the key of a part's file: full exports have a data folder each, incremental ones share one beside theirs.
func (l Layout) data(part int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", l.ID, part))
	const letters = 26 // of the service's names
	name := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:letters] + ".json.gz"
	if l.Format == Ion {
		name = strings.TrimSuffix(name, ".json.gz") + ".ion.gz"
	}
	if l.Incremental {
		return path.Join(l.Prefix, manifest.Folder, "data", name)
	}
	return l.name("data/" + name)
}

// Begin writes the empty object that proves the bucket can be written to.
func (l Layout) Begin(ctx context.Context, b blob.Bucket) error {
	if _, err := b.Put(ctx, l.name("_started"), nil, blob.PutOptions{}); err != nil {
		return fmt.Errorf("write %s: %w", l.name("_started"), err)
	}
	return nil
}

// Finish completes the summary by what the layout and the files tell, writes the manifests and their checksums, and
// returns the summary as written. It may be called again.
func (l Layout) Finish(
	ctx context.Context, b blob.Bucket, s manifest.Summary, files []manifest.File,
) (manifest.Summary, error) {
	s.Version, s.OutputFormat, s.ManifestFilesS3Key = manifest.FullVersion, string(l.Format), l.name("manifest-files.json")
	if l.Incremental {
		s.Version, s.ExportType, s.OutputView = manifest.IncrementalVersion, "INCREMENTAL_EXPORT", "NEW_IMAGE"
		if l.OldImages {
			s.OutputView = "NEW_AND_OLD_IMAGES"
		}
	}
	s.ItemCount = 0
	for _, f := range files {
		s.ItemCount += f.ItemCount
	}
	lines, err := manifest.AppendFiles(nil, files)
	if err != nil {
		return s, err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return s, err
	}
	for _, o := range []struct {
		base string
		body []byte
	}{
		{"manifest-files.json", lines},
		{"manifest-files.md5", []byte(manifest.MD5(lines))},
		{"manifest-summary.md5", []byte(manifest.MD5(text))},
		{"manifest-summary.json", text},
	} {
		if _, err := b.Put(ctx, l.name(o.base), o.body, blob.PutOptions{}); err != nil {
			return s, fmt.Errorf("write %s: %w", l.name(o.base), err)
		}
	}
	return s, nil
}
