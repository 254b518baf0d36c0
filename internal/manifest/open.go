package manifest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

// Export is an export whose manifests were read and agree.
type Export struct {
	Dir     string // name of the folder that holds the manifests: …/AWSDynamoDB/<id> where it was not moved
	Summary Summary
	Files   []Object
	// Warnings are deviations that lose nothing: a missing checksum object, an unknown version.
	Warnings []string
}

// Object is a data file with its name in the bucket we read.
type Object struct {
	File
	Name string
	Size int64
}

// manifestBytesMax bounds a manifest in memory: half a million files.
const manifestBytesMax = 256 << 20

const (
	summaryName = "manifest-summary.json"
	filesName   = "manifest-files.json"
)

// Find returns the folders of the exports at or below name, which may be a manifest, an export's folder, its data folder, or any
// prefix above. A folder with manifests is one under whatever name it was copied to. Unfinished exports (no summary yet)
// are listed with unfinished.
func Find(ctx context.Context, b blob.Bucket, name string) (finished, unfinished []string, err error) {
	name = strings.Trim(name, "/")
	switch base := path.Base(name); {
	case base == summaryName || base == filesName:
		return []string{trimDot(path.Dir(name))}, nil, nil
	case base == "data" && strings.Contains(name, Folder+"/"):
		name = path.Dir(name)
	case base == "data":
		if _, err := b.Head(ctx, path.Join(path.Dir(name), summaryName)); err == nil {
			return []string{trimDot(path.Dir(name))}, nil, nil
		} else if !errors.Is(err, blob.ErrNotFound) {
			return nil, nil, fmt.Errorf("look for a manifest beside %s: %w", at(b, name), err)
		}
	}
	prefix := name
	if prefix != "" {
		prefix += "/"
	}
	seen := map[string]bool{}
	for info, err := range b.List(ctx, prefix, "") {
		if err != nil {
			return nil, nil, fmt.Errorf("look for exports below %s: %w", at(b, name), err)
		}
		dir, base := path.Split(info.Name)
		dir = strings.TrimSuffix(dir, "/")
		switch {
		case base == summaryName:
			seen[dir] = true
		case base == filesName, base == "_started" && strings.Contains("/"+dir, "/"+Folder+"/"):
			seen[dir] = seen[dir]
		}
	}
	for dir, done := range seen {
		if done {
			finished = append(finished, dir)
		} else {
			unfinished = append(unfinished, dir)
		}
	}
	return finished, unfinished, nil
}

// trimDot turns path.Dir's name for the root into ours.
func trimDot(dir string) string {
	if dir == "." {
		return ""
	}
	return dir
}

// Open reads the export at or below name: its manifest, its folder, or any prefix above that holds just one.
// blob.ErrNotFound when there is no export there at all.
func Open(ctx context.Context, b blob.Bucket, name string) (*Export, error) {
	finished, unfinished, err := Find(ctx, b, name)
	if err != nil {
		return nil, err
	}
	return Only(ctx, b, name, finished, unfinished)
}

// Only is Open for what Find has found.
func Only(ctx context.Context, b blob.Bucket, name string, finished, unfinished []string) (*Export, error) {
	switch {
	case len(finished) == 0 && len(unfinished) > 0:
		return nil, fault.Hint(fault.New(fault.Corrupt, "%s: the export is not finished: no %s", at(b, unfinished[0]), summaryName),
			"wait until the service has written it")
	case len(finished) == 0:
		return nil, fmt.Errorf("no export at or below %s: %w", at(b, name), blob.ErrNotFound)
	case len(finished) > 1:
		return nil, fault.Hint(fault.New(fault.User, "%s holds %d exports", at(b, name), len(finished)), "name one of them, for instance %s", at(b, finished[0]))
	}
	return read(ctx, b, finished[0])
}

func read(ctx context.Context, b blob.Bucket, dir string) (*Export, error) {
	e := &Export{Dir: dir}
	data, err := e.readChecked(ctx, b, summaryName)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &e.Summary); err != nil {
		return nil, fault.At(fault.New(fault.Corrupt, "not a manifest summary: %w", err), fault.Place{File: at(b, path.Join(dir, summaryName))})
	}
	if v := e.Summary.Version; v != FullVersion && v != IncrementalVersion {
		e.Warnings = append(e.Warnings, fmt.Sprintf("%s has version %q, which this program does not know", summaryName, v))
	}
	// The list is the one beside the summary, whatever key the summary remembers: the export may have been moved.
	if data, err = e.readChecked(ctx, b, filesName); err != nil {
		return nil, err
	}
	return e, e.parseFiles(ctx, b, data)
}

func (e *Export) readChecked(ctx context.Context, b blob.Bucket, base string) ([]byte, error) {
	name := path.Join(e.Dir, base)
	data, err := readAll(ctx, b, name)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, fault.New(fault.Corrupt, "%s is missing", at(b, name))
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", at(b, name), err)
	}
	stem := strings.TrimSuffix(name, ".json")
	for _, suffix := range []string{".md5", ".checksum"} {
		want, err := readAll(ctx, b, stem+suffix)
		if errors.Is(err, blob.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", at(b, stem+suffix), err)
		}
		if got := MD5(data); got != string(bytes.TrimSpace(want)) {
			return nil, fault.New(fault.Corrupt, "%s: its MD5 is %s, but %s%s says %q", at(b, name), got, path.Base(stem), suffix, bytes.TrimSpace(want))
		}
		return data, nil
	}
	e.Warnings = append(e.Warnings, base+" has no checksum beside it")
	return data, nil
}

// parseFiles reads the list, resolves its keys and looks that each object is there, no object is missing or extra, and
// the counts add up. All problems are reported at once.
func (e *Export) parseFiles(ctx context.Context, b blob.Bucket, data []byte) error {
	var problems []string
	list := at(b, path.Join(e.Dir, filesName))
	named := map[string]int{}
	var total int64
	line := 0
	for raw := range bytes.Lines(data) {
		line++
		if len(bytes.TrimSpace(raw)) == 0 {
			continue
		}
		var f File
		if err := json.Unmarshal(raw, &f); err != nil {
			problems = append(problems, fmt.Sprintf("line %d is no file entry: %v", line, err))
			continue
		}
		name, err := rebase(f.Key, e.Dir, e.madeAs())
		if err != nil {
			problems = append(problems, fmt.Sprintf("line %d: %v", line, err))
			continue
		}
		if first, twice := named[name]; twice {
			problems = append(problems, fmt.Sprintf("line %d names %s again, after line %d", line, name, first))
			continue
		}
		if f.ItemCount < 0 {
			problems = append(problems, fmt.Sprintf("line %d: itemCount %d", line, f.ItemCount))
		}
		named[name] = line
		total += f.ItemCount
		e.Files = append(e.Files, Object{File: f, Name: name})
	}
	if total != e.Summary.ItemCount {
		problems = append(problems, fmt.Sprintf("the files have %d items together, the summary says %d", total, e.Summary.ItemCount))
	}
	more, err := e.compare(ctx, b, named)
	if err != nil {
		return err
	}
	if problems = append(problems, more...); len(problems) > 0 {
		return fault.At(fault.Hint(fault.New(fault.Corrupt, "the export is not whole: %s", strings.Join(problems, "; ")),
			"copy the export again from where it was made"), fault.Place{File: list})
	}
	return nil
}

// madeAs is the export's id by its own words: its folder may have another name by now.
func (e *Export) madeAs() string {
	if _, below, found := cutLast(e.Summary.ManifestFilesS3Key, Folder+"/"); found {
		id, _, _ := strings.Cut(below, "/")
		return id
	}
	return path.Base(e.Dir)
}

// compare holds the listed names against the objects that are there.
func (e *Export) compare(ctx context.Context, b blob.Bucket, named map[string]int) (problems []string, err error) {
	sizes := map[string]int64{}
	own := path.Join(e.Dir, "data") + "/"
	folders := map[string]bool{own: true}
	for name := range named {
		folders[path.Dir(name)+"/"] = true
	}
	for folder := range folders {
		for info, err := range b.List(ctx, folder, "") {
			if err != nil {
				return nil, fmt.Errorf("list %s: %w", at(b, folder), err)
			}
			sizes[info.Name] = info.Size
			// The shared data folder of incremental exports holds other exports' files; a full export's own holds none, but
			// perhaps what a program keeps for itself.
			if _, known := named[info.Name]; !known && folder == own && !e.Summary.Incremental() && !hidden(info.Name[len(own):]) {
				problems = append(problems, fmt.Sprintf("%s is not in the list", at(b, info.Name)))
			}
		}
	}
	for i := range e.Files {
		f := &e.Files[i]
		size, there := sizes[f.Name]
		if !there {
			problems = append(problems, fmt.Sprintf("line %d: %s is missing", named[f.Name], at(b, f.Name)))
		}
		f.Size = size
	}
	return problems, nil
}

// hidden follows Hive: names that begin with _ or . are no data, in any folder.
func hidden(name string) bool {
	return strings.HasPrefix(name, "_") || strings.HasPrefix(name, ".") || strings.Contains(name, "/_") || strings.Contains(name, "/.")
}

func readAll(ctx context.Context, b blob.Bucket, name string) ([]byte, error) {
	r, info, err := b.Get(ctx, name, blob.ReadOptions{})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if info.Size > manifestBytesMax {
		return nil, fault.New(fault.Limit, "%s has %d bytes; a manifest has at most %d", at(b, name), info.Size, manifestBytesMax)
	}
	data, err := io.ReadAll(r)
	return data, fault.As(fault.Unavailable, err)
}

func at(b blob.Bucket, name string) string {
	return strings.TrimSuffix(strings.TrimSuffix(b.URL(), "/")+"/"+name, "/")
}

// Incrementals reads the incremental ones of the exports that Find has found, in the order of their folders, and names
// the folders of the full ones, which it does not read.
func Incrementals(ctx context.Context, b blob.Bucket, finished, unfinished []string) (exports []*Export, full []string, err error) {
	for _, dir := range slices.Sorted(slices.Values(finished)) {
		data, err := readAll(ctx, b, path.Join(dir, summaryName))
		if err != nil && !errors.Is(err, blob.ErrNotFound) {
			return nil, nil, fmt.Errorf("read %s: %w", at(b, path.Join(dir, summaryName)), err)
		}
		var s Summary
		if json.Unmarshal(data, &s) != nil || !s.Incremental() {
			full = append(full, dir) // what is wrong with it is Only's to say
			continue
		}
		e, err := read(ctx, b, dir)
		if err != nil {
			return nil, nil, err
		}
		exports = append(exports, e)
	}
	if len(exports) > 0 {
		for _, dir := range unfinished {
			exports[0].Warnings = append(exports[0].Warnings, fmt.Sprintf("%s is not finished; it is left out", at(b, dir)))
		}
	}
	return exports, full, nil
}
