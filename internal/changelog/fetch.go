package changelog

import (
	"bytes"
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

const (
	// tailBytes is what a footer is read with: nearly always the whole of it, and all of a small entry.
	tailBytes = 64 << 10
	// flightMax is how many small reads are in flight at once.
	flightMax = 16
)

// fetched is an entry as far as it was read.
type fetched struct {
	entry *Entry
	info  blob.Info
	frame []byte // the skippable frame of the footer, as it stands
	start int64  // where tail begins in the object
	tail  []byte // the end of the object, at least the frame
}

// fetch reads the footer of an entry. blob.ErrNotFound; damage names the object.
func (l *Log) fetch(ctx context.Context, group uint32, n uint64) (*fetched, error) {
	name := entryName(l.dir, group, n)
	f, err := fault.Again(ctx, func() (*fetched, error) { return l.fetchOnce(ctx, name, group, n) })
	return f, l.damaged(err, name)
}

func (l *Log) fetchOnce(ctx context.Context, name string, group uint32, n uint64) (*fetched, error) {
	tail, info, err := blob.ReadRange(ctx, l.bucket, name, blob.ReadOptions{Offset: -tailBytes}, tailBytes)
	if err != nil {
		return nil, err
	}
	return l.complete(ctx, name, group, n, tail, info)
}

// complete makes an entry of the end of its object, and reads what that lacks of the footer.
func (l *Log) complete(ctx context.Context, name string, group uint32, n uint64, tail []byte, info blob.Info) (*fetched, error) {
	t, err := parseTrailer(tail, entryMagic)
	if err != nil {
		return nil, err
	}
	if t.n != n || t.group != group {
		return nil, broken("it says that it is entry %d of group %d", t.n, t.group)
	}
	if int64(t.before) < 0 || int64(t.before)+t.footer() != info.Size || t.payload > payloadBytesMax {
		return nil, broken("%d bytes of blocks and a footer of %d make no object of %d", t.before, t.footer(), info.Size)
	}
	if lack := t.footer() - int64(len(tail)); lack > 0 {
		start := info.Size - t.footer()
		head, _, err := blob.ReadRange(ctx, l.bucket, name, blob.ReadOptions{Offset: start, Length: lack, IfMatch: info.ETag}, lack)
		if err != nil {
			return nil, err
		}
		tail = append(head, tail...)
	}
	f := &fetched{info: info, start: info.Size - int64(len(tail)), tail: tail, frame: tail[int64(len(tail))-t.footer():]}
	if f.entry, err = l.zip.parseEntry(f.frame, t); err != nil {
		return nil, err
	}
	f.entry.Size = info.Size
	return f, nil
}

// footers reads the footers of the entries first to last, some at once. One that is missing is damage.
func (l *Log) footers(ctx context.Context, group uint32, first, last uint64) ([]*fetched, error) {
	all := make([]*fetched, last+1-first)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(flightMax)
	for i := range all {
		g.Go(func() error {
			f, err := l.fetch(ctx, group, first+uint64(i))
			if err != nil {
				return l.missing(err, group, first+uint64(i))
			}
			all[i] = &fetched{entry: f.entry, frame: bytes.Clone(f.frame)} // without the blocks that were read with it
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return all, nil
}

// missing makes damage of an entry that should be there and is not.
func (l *Log) missing(err error, group uint32, n uint64) error {
	if !errors.Is(err, blob.ErrNotFound) {
		return err
	}
	name := entryName(l.dir, group, n)
	return l.damaged(broken("entry %d of group %d is missing, and later ones are there: %w", n, group, err), name)
}
