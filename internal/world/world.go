package world

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"dynaferry/internal/aws"
	"dynaferry/internal/blob"
	"dynaferry/internal/blob/folder"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// Location is a place in a bucket: everything below Prefix, or the object of that name.
type Location struct {
	Bucket blob.Bucket
	Prefix string // without slashes at its ends; "" is the bucket's root
}

// World opens addresses. It keeps sessions, so that many addresses of one account share credentials and connections.
// Methods may be called concurrently.
type World struct {
	// WrapBucket and WrapClient, when set, decorate whatever is opened: faults in tests, meters.
	WrapBucket func(blob.Bucket) blob.Bucket
	WrapClient func(dynamo.Client) dynamo.Client
	WrapFeed   func(feed.Client) feed.Client

	mu       sync.Mutex
	sessions map[aws.Options]*aws.Session
	clients  map[aws.Options]dynamo.Client
}

// New returns a world.
func New() *World {
	return &World{sessions: map[aws.Options]*aws.Session{}, clients: map[aws.Options]dynamo.Client{}}
}

func (a Address) options() aws.Options {
	return aws.Options{Region: a.Region, Endpoint: a.Endpoint, Profile: a.Profile, Role: a.Role}
}

func (w *World) session(ctx context.Context, o aws.Options) (*aws.Session, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.sessions[o]; s != nil {
		return s, nil
	}
	s, err := aws.Load(ctx, o)
	if err != nil {
		return nil, err
	}
	w.sessions[o] = s
	return s, nil
}

// Location opens the bucket or folder of an address to write to; a missing folder is made. A path that names a file gives
// its folder and its name.
func (w *World) Location(ctx context.Context, at Address, settings blob.Settings) (Location, error) {
	return w.open(ctx, at, folder.Options{Settings: settings})
}

// Peek is Location without a trace: a folder that is missing is looked at through the nearest one above that is there, and
// nothing can be written. It is for dry runs.
func (w *World) Peek(ctx context.Context, at Address, settings blob.Settings) (Location, error) {
	below := ""
	if at.Scheme == File {
		for dir := at.Path; filepath.Dir(dir) != dir; dir = filepath.Dir(dir) {
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				break
			}
			below, at.Path = path.Join(filepath.Base(dir), below), filepath.Dir(dir)
		}
	}
	loc, err := w.open(ctx, at, folder.Options{Settings: settings, ReadOnly: true})
	loc.Prefix = path.Join(loc.Prefix, below)
	return loc, err
}

// Existing opens the bucket or folder of an address to read from. A missing path is an error of kind NotFound.
func (w *World) Existing(ctx context.Context, at Address) (Location, error) {
	if at.Scheme == File {
		if _, err := os.Stat(at.Path); errors.Is(err, fs.ErrNotExist) {
			return Location{}, fault.New(fault.NotFound, "%s does not exist", at)
		}
		return w.openPath(ctx, at)
	}
	return w.open(ctx, at, folder.Options{ReadOnly: true})
}

// openPath opens a path to read from. One inside of a native export is opened from above its folder AWSDynamoDB, by whose
// name an export is known.
func (w *World) openPath(ctx context.Context, at Address) (Location, error) {
	path, inside := filepath.ToSlash(at.Path)+"/", ""
	if i := strings.LastIndex(path, "/"+exportFolder+"/"); i > 0 {
		path, inside = path[:i], strings.Trim(path[i+1:], "/")
		at.Path = filepath.FromSlash(path)
	}
	loc, err := w.open(ctx, at, folder.Options{ReadOnly: true})
	if inside != "" {
		loc.Prefix = inside
	}
	return loc, err
}

// exportFolder is the part of every native export's path that never changes.
const exportFolder = "AWSDynamoDB"

func (w *World) open(ctx context.Context, at Address, o folder.Options) (Location, error) {
	var loc Location
	switch at.Scheme {
	case S3:
		s, err := w.session(ctx, at.options())
		if err != nil {
			return loc, err
		}
		bucket, err := s.S3(at.Host, "", aws.S3Options{Settings: o.Settings})
		if err != nil {
			return loc, err
		}
		loc = Location{bucket, at.Path}
	case File:
		root, name := at.Path, ""
		if info, err := os.Stat(root); err == nil && !info.IsDir() {
			root, name = filepath.Dir(root), filepath.Base(root)
		}
		bucket, err := folder.Open(root, o)
		if err != nil {
			return loc, err
		}
		loc = Location{bucket, name}
	default:
		return loc, fault.New(fault.User, "%s is a table or a stream, not a place for files", at)
	}
	if w.WrapBucket != nil {
		loc.Bucket = w.WrapBucket(loc.Bucket)
	}
	return loc, nil
}

// Client opens the tables of the account and Region that an address names.
func (w *World) Client(ctx context.Context, at Address) (dynamo.Client, error) {
	if at.Scheme != DynamoDB {
		return nil, fault.New(fault.User, "%s is no table", at)
	}
	s, err := w.session(ctx, at.options())
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.clients[at.options()]; c != nil {
		return c, nil
	}
	opened, err := s.DynamoDB()
	if err != nil {
		return nil, err
	}
	var c dynamo.Client = opened
	if w.WrapClient != nil {
		c = w.WrapClient(c)
	}
	w.clients[at.options()] = c
	return c, nil
}
