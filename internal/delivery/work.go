package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zeebo/xxh3"
	"golang.org/x/sync/errgroup"

	"dynaferry/internal/blob"
	"dynaferry/internal/changelog"
	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
	"dynaferry/internal/planted"
)

// work finishes one epoch: it makes its files, as often as it takes.
type work struct {
	*ledger
	log       *changelog.Log
	o         *Options
	epoch     *Epoch
	set       *Set // of no log: epoch is none
	prefixes  *prefixes
	transform Transform // nil without steps
	stepping  sync.Mutex
	looked    time.Time // when nobody else had finished the epoch

	mu   sync.Mutex
	done Done
}

// finishEpoch makes the files of an epoch that are not there yet and says that all are.
func (l *ledger) finishEpoch(ctx context.Context, log *changelog.Log, e *Epoch, o *Options) (*Done, error) {
	w := &work{ledger: l, log: log, o: o, epoch: e, looked: time.Now(), done: Done{Format: formatVersion, N: e.N, Schema: e.Schema, Files: []File{}}}
	var err error
	if e.Settings, w.prefixes, err = e.Settings.filled(); err != nil {
		return nil, fault.At(err, l.place(l.epochName(e.N)))
	}
	if w.transform, err = o.transform(e.Settings.Steps); err != nil {
		return nil, fmt.Errorf("steps of epoch %d: %w", e.N, err)
	}
	if e.Settings.Into != "" && o.Sink == nil {
		return nil, fault.New(fault.Bug, "epoch %d goes into %s, and nobody who takes it", e.N, e.Settings.Into)
	}
	err = w.make(ctx)
	if errors.Is(err, errFinished) {
		return l.done(ctx, e.N)
	}
	if err != nil {
		return nil, fmt.Errorf("epoch %d: %w", e.N, err)
	}
	return l.finish(ctx, &w.done, o.Commit)
}

// make makes the files, or sends the records.
func (w *work) make(ctx context.Context) (err error) {
	switch w.epoch.Settings.Form {
	case Parquet:
		err = w.columns(ctx)
	case CSV:
		err = w.cells(ctx)
	default:
		err = w.spans(ctx, func(s *spanWork) maker {
			if w.epoch.Settings.Into != "" {
				return sinkMaker{s.work}
			}
			return lineMaker{s.work}
		})
	}
	slices.SortFunc(w.done.Files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	return err
}

// spans runs all spans of the epoch, some at once.
func (w *work) spans(ctx context.Context, out func(*spanWork) maker) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(cmp.Or(w.o.Workers, runtime.GOMAXPROCS(0)))
	for i, span := range w.epoch.Spans {
		group.Go(func() error {
			s := &spanWork{work: w, n: i, span: span}
			s.out, s.dead = out(s), newDeadLetters(s)
			return s.run(ctx)
		})
	}
	return group.Wait()
}

// steps runs the steps over a page; one of the epoch at a time.
func (s *spanWork) steps(ctx context.Context, p *page) error {
	s.stepping.Lock()
	defer s.stepping.Unlock()
	if !s.epoch.Impure {
		return p.apply(ctx, s.transform, nil)
	}
	return p.apply(ctx, s.transform, &outcomes{l: s.ledger, epoch: s.epoch.N, group: s.span.Group, commit: s.o.Commit})
}

func (s *spanWork) tally(p *page) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done.Records += int64(len(p.feed.Records)) + unreadable(p.refused) - p.before
	s.done.Dropped += p.dropped
	s.done.Refused += int64(len(p.refused))
}

func unreadable(all []refusal) (n int64) {
	for i := range all {
		if all[i].code == codeUnreadable {
			n++
		}
	}
	return n
}

// stem is what names of a span's files begin with.
func (w *work) stem(span int) string {
	if w.set != nil {
		return w.epoch.Settings.Name + "-" + w.set.Name
	}
	return fmt.Sprintf("%s-%012d-%04d", w.epoch.Settings.Name, w.epoch.N, span)
}

// fileName is the name of a file below the destination: a function of the epoch, the span and its portion, and the prefix.
func (w *work) fileName(prefix string, span, portion int) (string, error) {
	stem := fmt.Sprintf("%s-%03d", w.stem(span), portion)
	if planted.Is(planted.ClockName) {
		stem = fmt.Sprintf("%s-%d", stem, time.Now().UnixNano())
	}
	for i, g := range w.prefixes.data {
		if g.random {
			prefix = strings.Replace(prefix, mark(i), randomString(fmt.Sprintf("%s %d %s", stem, i, prefix)), 1)
		}
	}
	name, err := cleanName(prefix + stem + w.epoch.Settings.extension())
	if err != nil {
		return "", fault.Hint(err, "shorten --prefix")
	}
	return name, nil
}

// fileID is what a file bears in its metadata, so that whoever finds it there knows that it is of this epoch.
func (w *work) fileID(name string) string {
	sum := xxh3.HashString128(fmt.Sprintf("%s %d %s", w.dir, w.epoch.N, name))
	return fmt.Sprintf("%016x%016x", sum.Hi, sum.Lo)
}

// putOptions are those of a file: if it is absent.
func (w *work) putOptions(name string) blob.PutOptions {
	return blob.PutOptions{Condition: blob.Condition{IfAbsent: true}, Metadata: map[string]string{commit.MetadataID: w.fileID(name)}}
}

// writer begins a file that streams.
func (w *work) writer(ctx context.Context, name string) *blob.Writer {
	return blob.NewWriter(ctx, w.bucket, path.Join(w.dest, name), blob.WriterOptions{PutOptions: w.putOptions(name), Flight: 2})
}

// put makes a file of bytes, with one request where that is usual: a writer would have them twice.
func (w *work) put(ctx context.Context, name string, data []byte) (int64, error) {
	if err := w.wanted(ctx); err != nil {
		return 0, err
	}
	if len(data) <= blob.PartBytesDefault {
		_, err := w.bucket.Put(ctx, path.Join(w.dest, name), data, w.putOptions(name))
		return w.settled(ctx, name, int64(len(data)), err)
	}
	out := w.writer(ctx, name)
	defer out.Close()
	if _, err := out.Write(data); err != nil {
		return 0, err
	}
	return w.finishFile(ctx, name, out)
}

// finishFile makes what was written visible.
func (w *work) finishFile(ctx context.Context, name string, out *blob.Writer) (int64, error) {
	size := out.Bytes()
	_, err := out.Finish()
	return w.settled(ctx, name, size, err)
}

// settled judges how putting a file ended. One that is there already is this one, made before or beside, or a stranger's.
func (w *work) settled(ctx context.Context, name string, size int64, err error) (int64, error) {
	if !errors.Is(err, blob.ErrExists) {
		return size, err
	}
	info, err := w.bucket.Head(ctx, path.Join(w.dest, name))
	if err != nil {
		return size, err // gone again: the next try finds out
	}
	if got := info.Metadata[commit.MetadataID]; got == w.fileID(name) || got == "" && info.Size == size {
		return info.Size, nil
	}
	return size, fault.Hint(fault.At(fault.New(fault.Conflict, "the object exists and is not of this delivery"), w.place(path.Join(w.dest, name))),
		"move that object away, or deliver into another place")
}

// errFinished tells that another process has finished the epoch meanwhile.
var errFinished = errors.New("finished meanwhile")

// lookEvery is how long a look at whether an epoch is still to be finished counts. A process that slept may be late by
// hours: files of then may have been moved on by who reads them, and must not come again.
const lookEvery = 10 * time.Second

// wanted tells whether files of the epoch are still to be made.
func (w *work) wanted(ctx context.Context) error {
	if w.set != nil {
		return nil // nobody finishes a set for good
	}
	w.mu.Lock()
	fresh := time.Since(w.looked) < lookEvery
	w.mu.Unlock()
	if fresh {
		return nil
	}
	has, err := commit.Exists(ctx, w.bucket, w.doneName(w.epoch.N))
	if err == nil && has {
		err = errFinished
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looked = time.Now()
	return err
}

// made notes a file that is there.
func (w *work) made(f File) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done.Files = append(w.done.Files, f)
}
