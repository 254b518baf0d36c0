package folder

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"dynaferry/internal/blob"
)

// Attributes: of the name the file was made for, and of the final name it was published under.
const (
	attrOwn       = "user.dynaferry"
	attrPublished = "user.dynaferry.published"
)

// record is what is kept with a version, as JSON (docs/formats/folder.md).
type record struct {
	ID          string            `json:"id"`
	ContentType string            `json:"contentType,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	// Of a published record: the last segment of the staged name that the file has besides its final one.
	// Of a sidecar: "".
	Staged string `json:"staged,omitempty"`
	// Of a published record: size and time (Unix ns) of what was staged, before the file grew its tail.
	// Of a sidecar: the file's, since inode numbers are used again.
	Size int64 `json:"size,omitempty"`
	Time int64 `json:"time,omitempty"`
}

// version is one opened state of a name.
type version struct {
	info   blob.Info
	record record
	own    bool // a record was found
}

// describe reads what is kept with an open file under a name.
func (f *Folder) describe(file *os.File, name string) (version, error) {
	stat, err := file.Stat()
	if err != nil {
		return version{}, err
	}
	v := version{info: blob.Info{Name: name, Size: stat.Size(), Modified: stat.ModTime()}}
	published, err := readAttr(file, attrPublished)
	if err != nil {
		return version{}, err
	}
	own, err := readAttr(file, attrOwn)
	if err != nil {
		return version{}, err
	}
	base := path.Base(name)
	switch {
	case published != nil && published.Staged != base:
		v.record, v.own = *published, true
	case own != nil:
		v.record, v.own = *own, true
		if published != nil {
			// The file has grown a tail for its final name, or is about to; under this one it is what was staged.
			v.info.Size = min(v.info.Size, published.Size)
			v.info.Modified = time.Unix(0, published.Time)
		}
	default:
		side, err := f.readSidecar(name, stat)
		if err != nil {
			return version{}, err
		}
		if side != nil {
			v.record, v.own = *side, true
		}
	}
	v.info.Metadata = v.record.Metadata
	v.info.ETag = etag(v, stat)
	return v, nil
}

// etag names a version: never the same for two contents, also when a file is edited in place.
func etag(v version, stat fs.FileInfo) string {
	if v.own {
		return fmt.Sprintf(`"%s-%x-%x"`, v.record.ID, v.info.Size, v.info.Modified.UnixNano())
	}
	return fmt.Sprintf(`"i%x-%x-%x"`, inode(stat), v.info.Size, v.info.Modified.UnixNano())
}

// keep stores a record with an unnamed file, durable once the file is synced. name is the path the file will get.
func (f *Folder) keep(file *os.File, attr string, r record, name string) error {
	if !f.options.Sidecars {
		data, err := json.Marshal(r)
		if err != nil {
			return err
		}
		err = setAttr(file, attr, data)
		if err == nil || !errors.Is(err, errNoAttrs) || attr != attrOwn {
			return err
		}
	}
	if attr != attrOwn {
		return errNoAttrs
	}
	stat, err := file.Stat()
	if err != nil {
		return err
	}
	r.Size, r.Time = stat.Size(), stat.ModTime().UnixNano()
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return f.writeSidecar(path.Join(path.Dir(name), sidecar(stat)), data)
}

// errNoAttrs: the file system keeps no extended attributes, or not as many bytes.
var errNoAttrs = errors.New("no room for extended attributes")

func readAttr(file *os.File, attr string) (*record, error) {
	data, err := attribute(file, attr)
	if errors.Is(err, errNoAttrs) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseRecord(data)
}

// parseRecord: what does not parse was put there by somebody else, and the file is treated as foreign.
func parseRecord(data []byte) (*record, error) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil || r.ID == "" || len(r.ID) > 64 {
		return nil, nil
	}
	return &r, nil
}

func sidecar(stat fs.FileInfo) string { return fmt.Sprintf("%s%x", hiddenMetadata, inode(stat)) }

// recordBytesMax bounds what is read of a sidecar: metadata has at most 2 KiB.
const recordBytesMax = 16 << 10

func (f *Folder) readSidecar(name string, stat fs.FileInfo) (*record, error) {
	file, err := f.root.OpenFile(path.Join(path.Dir(name), sidecar(stat)), os.O_RDONLY|openFlags, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, recordBytesMax))
	if err != nil {
		return nil, err
	}
	r, err := parseRecord(bytes.TrimSpace(data))
	if err != nil || r == nil {
		return nil, err
	}
	if r.Size != stat.Size() || r.Time != stat.ModTime().UnixNano() {
		return nil, nil // of an earlier file with that inode
	}
	return r, nil
}

// writeSidecar stores a sidecar in place of an earlier inode's.
func (f *Folder) writeSidecar(name string, data []byte) error {
	file, temporary, err := f.temporary(path.Dir(name))
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(data); err == nil && !f.options.NoSync {
		err = file.Sync()
	}
	if err == nil {
		err = f.root.Rename(temporary, name)
	}
	if err != nil {
		_ = f.root.Remove(temporary)
		return err
	}
	return f.syncDir(path.Dir(name))
}
