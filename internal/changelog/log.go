package changelog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"reflect"
	"strings"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
)

// Info is what a log is of. It never changes.
type Info struct {
	Version int            `json:"version"`
	Stream  string         `json:"stream"`            // ARN of the stream that the log began with
	Kinesis bool           `json:"kinesis,omitempty"` // of a Kinesis stream
	Table   string         `json:"table,omitempty"`
	Keys    item.KeySchema `json:"keys,omitzero"` // none of a Kinesis stream of other things
	View    feed.View      `json:"view"`
	Groups  uint32         `json:"groups"` // chains, numbered from 0
	// Redact are the rules by which records were changed before they were written, as step.Redaction has them.
	Redact  []string  `json:"redact,omitempty"`
	Created time.Time `json:"created"`
	// Part is set of a log that holds a part of another one, and never grows beyond it.
	Part *PartOf `json:"part,omitempty"`
}

// GroupsMax bounds the chains of a log: their numbers have three digits.
const GroupsMax = 1000

// Log is an opened change log. Its methods may be called concurrently.
type Log struct {
	Info
	ID     string // the write id of its root: what it is, wherever a copy of it lies
	bucket blob.Bucket
	dir    string // of the log in the bucket, "" for its root
	zip    *zipper
}

// Create makes a log below dir, or opens the one that is there. One that is of something else is an error of kind
// Conflict; the rules of Redact are the log's own where info has none. Repeating it is safe, and so is doing it in several processes at once.
func Create(ctx context.Context, b blob.Bucket, dir string, info Info) (*Log, error) {
	info.Version = info.version()
	anyGroups := info.Groups == 0
	info.Groups = max(info.Groups, 1)
	if info.Groups > GroupsMax {
		return nil, fault.New(fault.User, "%d groups; a log has 1 to %d", info.Groups, GroupsMax)
	}
	body, err := json.Marshal(info)
	if err != nil {
		return nil, fmt.Errorf("make a change log: %w", err)
	}
	result, err := commit.Put(ctx, b, infoName(dir), body, commit.Options{})
	if err != nil {
		return nil, fmt.Errorf("make a change log: %w", err)
	}
	l, err := open(b, dir, result)
	if err != nil || result.Won {
		return l, err
	}
	if anyGroups {
		info.Groups = 0
	}
	return l, l.fits(info)
}

// Find opens the log below dir as Create would, and makes none: nil where there is none. Of info, Stream and Created are not asked for.
func Find(ctx context.Context, b blob.Bucket, dir string, info Info) (*Log, error) {
	l, err := Open(ctx, b, dir)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return l, l.fits(info)
}

// fits refuses a log that is of something else than info says.
func (l *Log) fits(info Info) error {
	theirs := l.Info
	if info.Version = info.version(); info.Groups == 0 {
		info.Groups = theirs.Groups
	}
	info.Created, theirs.Created = time.Time{}, time.Time{}
	info.Stream, theirs.Stream = "", "" // the log of a table goes on with its next stream, across a gap
	if len(info.Redact) == 0 {
		info.Redact = theirs.Redact // whoever goes on keeps them: what was hidden stays so
	}
	switch mine, theirs := info.Part, theirs.Part; {
	case mine == nil && theirs != nil:
		return fault.Hint(fault.New(fault.Conflict, "%s holds %s: nothing else is added to it", l.URL(), theirs), "follow into a place of its own")
	case mine != nil && theirs == nil:
		return fault.Hint(fault.New(fault.Conflict, "%s is a log that is no part of another", l.URL()), "name a place of its own for the part")
	case mine != nil && !mine.same(theirs):
		return fault.Hint(fault.New(fault.Conflict, "%s holds %s, not %s", l.URL(), theirs, mine), "name a place of its own for the part")
	}
	info.Part, theirs.Part = nil, nil
	if reflect.DeepEqual(info, theirs) {
		return nil
	}
	return fault.Hint(fault.New(fault.Conflict, "%s is the log of %+v, not of %+v", l.place(infoName(l.dir)).File, theirs, info),
		"follow into another place, or with the settings of the log that is there")
}

// Open opens the log below dir. blob.ErrNotFound when there is none.
func Open(ctx context.Context, b blob.Bucket, dir string) (*Log, error) {
	found, err := commit.Find(ctx, b, infoName(dir))
	if err != nil {
		return nil, fmt.Errorf("open the change log %s: %w", infoName(dir), err)
	}
	return open(b, dir, found)
}

func open(b blob.Bucket, dir string, found commit.Result) (*Log, error) {
	l := &Log{bucket: b, dir: dir, ID: found.ID}
	at := l.place(infoName(dir))
	if err := json.Unmarshal(found.Body, &l.Info); err != nil {
		return nil, fault.At(fault.New(fault.Corrupt, "it describes no change log: %w", err), at)
	}
	if l.Version != l.version() {
		return nil, fault.Hint(fault.At(fault.New(fault.Unsupported, "it has version %d of the format; this program reads %d, and %d of parts of logs", l.Version,
			formatVersion, partVersion), at), "use the release of dynaferry that wrote it, or a later one")
	}
	if l.Groups == 0 || l.Groups > GroupsMax {
		return nil, fault.At(fault.New(fault.Corrupt, "a log of %d groups", l.Groups), at)
	}
	var err error
	l.zip, err = newZipper()
	return l, err
}

// URL is the address of the log: of its folder or prefix.
func (l *Log) URL() string {
	return strings.TrimSuffix(strings.TrimSuffix(l.bucket.URL(), "/")+"/"+l.dir, "/")
}

// Bucket is where the log lies; what belongs to it stands there under Name.
func (l *Log) Bucket() blob.Bucket { return l.bucket }

// Name is the name in Bucket of what is called so below the log.
func (l *Log) Name(below string) string { return path.Join(l.dir, below) }

// place names an object for an error.
func (l *Log) place(name string) fault.Place {
	return fault.Place{File: strings.TrimSuffix(l.bucket.URL(), "/") + "/" + name}
}

// damaged gives what is wrong with an object its place and its cure. Errors of other kinds stay as they are.
func (l *Log) damaged(err error, name string) error {
	switch fault.KindOf(err) {
	case fault.Corrupt:
		err = fault.Hint(err, "bring back that object from a version, a replica or a backup of the bucket; nothing was skipped or changed")
		fallthrough
	case fault.Unsupported:
		return fault.At(err, l.place(name))
	}
	return err
}
