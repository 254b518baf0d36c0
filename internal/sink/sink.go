package sink

import (
	"encoding/json"

	"dynaferry/internal/blob"
	"dynaferry/internal/item"
)

// Files takes items and leaves staged files.
type Files interface {
	// Write takes a batch; the caller may reuse it afterwards.
	Write(b *item.Batch) error
	// Close makes everything durable and describes it. After an error of Write or Close the staged leftovers are
	// nobody's; the sweep of the plan removes them.
	Close() (Staged, error)
}

// Staged is what a task's sink left.
type Staged struct {
	Files []File `json:"files"`
	// Stats names the object with the column.Stats of all files; "" when the form has none.
	Stats string `json:"stats,omitempty"`
	// Index names the object that tells where each partition's runs lie; "" when nothing was spilled.
	Index string `json:"index,omitempty"`
	// Fingerprint is of the items in the runs, when there is an Index.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// File is one staged file.
type File struct {
	Staged      string                     `json:"staged"`         // name of the object
	Size        int64                      `json:"size"`           // bytes staged
	Meta        string                     `json:"meta,omitempty"` // name of the object with the parquet.FileMeta
	Items       int64                      `json:"items"`
	Bytes       int64                      `json:"bytes,omitempty"` // of the items as DynamoDB counts them, where a manifest wants it
	Fingerprint string                     `json:"fingerprint"`
	MD5         string                     `json:"md5,omitempty"`
	Misfits     map[string]int64           `json:"misfits,omitempty"` // values in the catch-all column, by "path: reason"
	Partition   []string                   `json:"partition,omitempty"`
	Constants   map[string]json.RawMessage `json:"constants,omitempty"`
	Segments    []string                   `json:"segments,omitempty"` // the partition's path segments
	Final       string                     `json:"final,omitempty"`    // stem of the name it is published under; the commit sets it
}

// uploads are the measures of staged objects: of lean ones two of the smallest parts are held, of others three usual ones.
func uploads(put blob.PutOptions, lean bool) blob.WriterOptions {
	if lean {
		return blob.WriterOptions{PutOptions: put, PartBytes: blob.PartBytesMin, Flight: 1}
	}
	return blob.WriterOptions{PutOptions: put, Flight: 2}
}

// tally adds up what every file must know of its items.
type tally struct {
	hasher *item.Hasher
	print  item.Fingerprint
	sized  bool // add up sizes too: another walk over the tape, for the forms whose manifest wants it
	bytes  int64
}

func (t *tally) add(it item.Item) {
	t.hasher.AddTo(&t.print, it)
	if t.sized {
		t.bytes += int64(item.Size(it))
	}
}

// reset begins the next file.
func (t *tally) reset() { t.print, t.bytes = item.Fingerprint{}, 0 }

func (t *tally) into(f *File) {
	f.Items, f.Bytes, f.Fingerprint = int64(t.print.Count), t.bytes, t.print.String()
}
