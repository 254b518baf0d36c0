package dataset

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// FormatVersion is the version of the objects below _dynaferry/versions. Older ones are read.
//
//	1: a version was shown as <n>.json
//	2: as <n>.shown, a name that no pattern for data finds
const FormatVersion = 2

// Hidden is the folder below a destination that holds everything of ours; readers of files skip names that begin with _.
const Hidden = "_dynaferry"

// Version is one step of a data set's history.
type Version struct {
	Format      int                        `json:"format"`
	Number      int                        `json:"number"`
	Plan        string                     `json:"plan"` // who decided it
	Created     time.Time                  `json:"created"`
	Form        string                     `json:"form"` // parquet, dynamodb-json, ion, json or csv
	Compression string                     `json:"compression,omitempty"`
	Schema      json.RawMessage            `json:"schema,omitempty"` // of column.Schema; the whole data set's as of this version
	Keys        *item.KeySchema            `json:"keys,omitempty"`
	Partition   []string                   `json:"partition,omitempty"` // names of the Hive partition columns, in order
	Options     json.RawMessage            `json:"options,omitempty"`   // of the format, for reading back
	Added       []File                     `json:"added"`
	Removed     []string                   `json:"removed,omitempty"`
	Items       int64                      `json:"items"`       // in Added, those of earlier versions left out
	Fingerprint string                     `json:"fingerprint"` // of the same
	Extra       map[string]json.RawMessage `json:"extra,omitempty"`
}

// File is one visible file. Name is relative to the data set's root.
type File struct {
	Name        string                     `json:"name"`
	Size        int64                      `json:"size"`
	Items       int64                      `json:"items"`
	Fingerprint string                     `json:"fingerprint,omitempty"`
	MD5         string                     `json:"md5,omitempty"`       // base64, of the object as stored, where a manifest wants it
	Partition   []string                   `json:"partition,omitempty"` // texts of the partition columns, unescaped; NullPartition for none
	Constants   map[string]json.RawMessage `json:"constants,omitempty"` // attributes every item of the file has, kept out of it

	// From names the file of an earlier version, removed by this one, whose data this file has under a wider schema.
	From string `json:"from,omitempty"`

	Options json.RawMessage `json:"-"` // of the version that added it
}

// Set is a data set as its manifests tell it.
type Set struct {
	Root  blob.Bucket
	Dir   string         // prefix of the root in the bucket, "" for its root
	Head  int            // number of the latest version readers see, -1 when there is none
	Last  *Version       // version Head
	Files []File         // live files in the order they were added
	Open  []Version      // decided, but not visible as a whole yet
	Plans map[string]int // number of the version that readers see, by the plan that decided it

	visible map[int]string // names of the objects that show versions
}

// Name returns the name in the bucket of something below the root.
func (s *Set) Name(parts ...string) string { return path.Join(append([]string{s.Dir}, parts...)...) }

func (s *Set) decided(n int) string {
	return s.Name(Hidden, "versions", fmt.Sprintf("%08d.decided", n))
}
func (s *Set) shown(n, format int) string {
	kind := "shown"
	if format == 1 {
		kind = "json"
	}
	return s.Name(Hidden, "versions", fmt.Sprintf("%08d.%s", n, kind))
}

// Load reads the history below dir. A place without one is a Set with Head -1.
func Load(ctx context.Context, b blob.Bucket, dir string) (*Set, error) {
	s := &Set{Root: b, Dir: strings.Trim(dir, "/"), Head: -1, Plans: map[string]int{}, visible: map[int]string{}}
	decided := -1
	prefix := s.Name(Hidden, "versions") + "/"
	for info, err := range b.List(ctx, prefix, "") {
		if err != nil {
			return nil, fmt.Errorf("read the history of %s: %w", b.URL(), err)
		}
		digits, kind, _ := strings.Cut(strings.TrimPrefix(info.Name, prefix), ".")
		n, err := strconv.Atoi(digits)
		if err != nil {
			continue
		}
		if kind == "json" || kind == "shown" {
			s.visible[n] = info.Name
		}
		decided = max(decided, n)
	}
	live := map[string]int{}
	for n := 0; n <= decided; n++ {
		v, err := s.Version(ctx, n)
		if err != nil {
			return nil, err
		}
		if s.visible[n] == "" || len(s.Open) > 0 {
			s.Open = append(s.Open, *v)
			continue
		}
		s.apply(v, live)
	}
	s.compact()
	return s, nil
}

// Stands tells whether dir is the root of a data set, be its first version only decided. It costs one request.
func Stands(ctx context.Context, b blob.Bucket, dir string) (bool, error) {
	for _, err := range b.List(ctx, path.Join(strings.Trim(dir, "/"), Hidden, "versions")+"/", "") {
		return err == nil, err
	}
	return false, nil
}

// Version reads version n, which readers see or which is decided.
func (s *Set) Version(ctx context.Context, n int) (*Version, error) {
	name := cmp.Or(s.visible[n], s.decided(n))
	body, err := commit.Read(ctx, s.Root, name)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, fault.New(fault.Corrupt, "%s is missing in the history", name)
	}
	if err != nil {
		return nil, err
	}
	return decode(name, n, body)
}

func decode(name string, n int, body []byte) (*Version, error) {
	var v Version
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, fault.New(fault.Corrupt, "%s: %w", name, err)
	}
	if v.Format < 1 || v.Format > FormatVersion {
		return nil, fault.New(fault.Unsupported, "%s has format %d; this program reads 1 to %d", name, v.Format, FormatVersion)
	}
	if v.Number != n {
		return nil, fault.New(fault.Corrupt, "%s holds version %d", name, v.Number)
	}
	gone := make(map[string]bool, len(v.Removed))
	for _, removed := range v.Removed {
		if err := blob.CheckName(removed); err != nil {
			return nil, fault.New(fault.Corrupt, "%s names a file %q: %w", name, removed, err)
		}
		gone[removed] = true
	}
	for _, f := range v.Added {
		if err := blob.CheckName(f.Name); err != nil {
			return nil, fault.New(fault.Corrupt, "%s names a file %q: %w", name, f.Name, err)
		}
		if f.From != "" && !gone[f.From] {
			return nil, fault.New(fault.Corrupt, "%s carries over %q, which it does not remove", name, f.From)
		}
	}
	return &v, nil
}

// apply folds a version into the live files; removed ones keep their slot, nameless, until compact.
func (s *Set) apply(v *Version, live map[string]int) {
	for _, name := range v.Removed {
		if i, ok := live[name]; ok {
			s.Files[i].Name = ""
			delete(live, name)
		}
	}
	for _, f := range v.Added {
		f.Options = v.Options
		live[f.Name] = len(s.Files)
		s.Files = append(s.Files, f)
	}
	s.Head, s.Last = v.Number, v
	s.Plans[v.Plan] = v.Number
}

func (s *Set) compact() {
	kept := s.Files[:0]
	for _, f := range s.Files {
		if f.Name != "" {
			kept = append(kept, f)
		}
	}
	s.Files = kept
}

// Decide proposes v as the version after everything decided so far and returns what stands under its number: v itself (won), or
// another plan's. A caller that lost rolls the other forward, loads again and proposes anew.
func (s *Set) Decide(ctx context.Context, v Version) (stands Version, won bool, err error) {
	v.Format = FormatVersion
	body, err := json.Marshal(v)
	if err != nil {
		return Version{}, false, err
	}
	res, err := commit.Put(ctx, s.Root, s.decided(v.Number), body, commit.Options{})
	if err != nil {
		return Version{}, false, err
	}
	got, err := decode(s.decided(v.Number), v.Number, res.Body)
	if err != nil {
		return Version{}, false, err
	}
	return *got, got.Plan == v.Plan, nil
}

// Show makes a decided version visible to readers of the log. All its files must be visible already.
func (s *Set) Show(ctx context.Context, v Version) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = commit.Put(ctx, s.Root, s.shown(v.Number, v.Format), body, commit.Options{})
	return err
}

// ByName indexes the live files.
func (s *Set) ByName() map[string]File {
	files := make(map[string]File, len(s.Files))
	for _, f := range s.Files {
		files[f.Name] = f
	}
	return files
}

// Next is the number that a new version gets.
func (s *Set) Next() int { return s.Head + 1 + len(s.Open) }

// Foreign returns the name of some visible object below the root that the history does not know, "" when there is none.
// It lists the destination and is meant for the question whether a destination is free.
func (s *Set) Foreign(ctx context.Context) (string, error) {
	known := map[string]bool{}
	for _, f := range s.Files {
		known[f.Name] = true
	}
	for _, v := range s.Open {
		for _, f := range v.Added {
			known[f.Name] = true
		}
	}
	prefix := s.Dir
	if prefix != "" {
		prefix += "/"
	}
	for info, err := range s.Root.List(ctx, prefix, "") {
		if err != nil {
			return "", fmt.Errorf("look at the destination: %w", err)
		}
		name := strings.TrimPrefix(info.Name, prefix)
		if strings.HasPrefix(name, Hidden+"/") || name == "_SUCCESS" || known[name] || strings.HasPrefix(path.Base(name), ".") {
			continue
		}
		if strings.HasPrefix(name, "AWSDynamoDB/") && s.Head >= 0 && !strings.Contains(name, "/data/") {
			continue // manifests of our own exports
		}
		return name, nil
	}
	return "", nil
}
