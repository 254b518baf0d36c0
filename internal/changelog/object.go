package changelog

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"strconv"

	"dynaferry/internal/blob"
	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
)

// Object is an entry or an index object, as its name tells.
type Object struct {
	Dir   string // of the log
	Group uint32
	Level int    // of an index object; 0 of an entry
	N     uint64 // of an entry; of an index object its number in the level, from 0
}

var objectName = regexp.MustCompile(`^(?:(.*)/)?chain/([0-9]{3})/(?:index/([1-6])/)?([0-9]{12})$`)

// ParseName tells which object of a log has a name; ok is false of any other name.
func ParseName(name string) (o Object, ok bool) {
	m := objectName.FindStringSubmatch(name)
	if m == nil {
		return o, false
	}
	group, _ := strconv.Atoi(m[2]) // all three are digits, and few
	o.Level, _ = strconv.Atoi(m[3])
	o.N, _ = strconv.ParseUint(m[4], 10, 64)
	o.Dir, o.Group = m[1], uint32(group)
	return o, o.Level > 0 || o.N > 0 // entries count from 1
}

// Log opens the log that o is of for Entry, ReadPart and IndexObject alone, without what the log says of itself, which may be damaged or
// elsewhere.
func (o Object) Log(b blob.Bucket) (*Log, error) {
	zip, err := newZipper()
	return &Log{bucket: b, dir: o.Dir, zip: zip}, err
}

// Entry reads what one entry says, by itself: it is checked against damage, not against the entry before. blob.ErrNotFound.
func (l *Log) Entry(ctx context.Context, group uint32, n uint64) (*Entry, error) {
	f, err := l.fetch(ctx, group, n)
	if err != nil {
		return nil, fmt.Errorf("read entry %d of group %d: %w", n, group, err)
	}
	return f.entry, nil
}

// ReadPart reads block i of an entry, checked against damage.
func (l *Log) ReadPart(ctx context.Context, e *Entry, i int) (*Part, error) {
	load := (&Range{}).want(step{fetched: &fetched{entry: e}})
	load.batch.Parts = load.batch.Parts[i : i+1]
	if _, err := l.loadBlocks(ctx, load); err != nil {
		return nil, err
	}
	return &load.batch.Parts[0], nil
}

// Lost returns the damage when entries behind a tail are there, but not the next: what is between was deleted, and Tail, which looks for names
// that follow each other, cannot know.
func (l *Log) Lost(ctx context.Context, group uint32, tail uint64) error {
	prefix := path.Dir(entryName(l.dir, group, 1)) + "/"
	for info, err := range l.bucket.List(ctx, prefix, entryName(l.dir, group, tail)) {
		if err != nil {
			return fmt.Errorf("list entries of group %d: %w", group, err)
		}
		o, ok := ParseName(info.Name)
		if !ok || o.Level > 0 || o.N <= tail+1 {
			return nil
		}
		if there, err := commit.Exists(ctx, l.bucket, entryName(l.dir, group, tail+1)); err != nil || there { // appended meanwhile
			return err
		}
		return l.missing(blob.ErrNotFound, group, tail+1)
	}
	return nil
}

// wholeRows reads every byte of an index object; of level 1 those are footers of entries.
func (l *Log) wholeRows(ctx context.Context, o Object) ([]row, error) {
	if o.Level == 1 {
		all, err := l.leafOnce(ctx, o.Group, o.N)
		return leafRows(partsOf(all)), err
	}
	data, info, err := blob.ReadAll(ctx, l.bucket, indexName(l.dir, o.Group, o.Level, o.N), directoryBytes)
	if err != nil {
		return nil, err
	}
	return parseIndex(data, info.Size, o.Group, o.Level, o.N)
}

// IndexEntries is what an index object says of the entries First to Last: Records of times between From and To, which are as those of
// Entry.Span.
type IndexEntries struct {
	First, Last uint64
	Records     uint64
	From, To    int64
}

// IndexObject reads an index object, which unlike for the log's own reading must be there and whole. blob.ErrNotFound.
func (l *Log) IndexObject(ctx context.Context, o Object) (s IndexEntries, err error) {
	rows, err := l.wholeRows(ctx, o)
	if err != nil {
		name := indexName(l.dir, o.Group, o.Level, o.N)
		if fault.KindOf(err) == fault.Corrupt {
			err = fault.Hint(fault.At(err, l.place(name)), "delete it: it is made from the entries, and made again")
		}
		return s, fmt.Errorf("read %s: %w", name, err)
	}
	of := uint64(1)
	for range o.Level {
		of *= fan
	}
	all := hull(rows)
	return IndexEntries{o.N*of + 1, (o.N + 1) * of, all.Records, all.From, all.To}, nil
}
