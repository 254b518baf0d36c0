package delivery

import (
	"cmp"
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"dynaferry/internal/changelog"
)

// A span's pages are loaded by some goroutines and come out in the order of the log.
const pagesAhead = 3

// portionBytes is how many bytes of records of other folders than the first are held back until their files are made.
// What a file holds follows from it: it is part of the format.
const portionBytes = 32 << 20

// spanWork makes the files of one span.
type spanWork struct {
	*work
	n    int // of the span in the epoch
	span Span
	out  maker
	dead *deadLetters

	portion int
	first   *string // prefix of the portion's first file, which is being made while the others wait
	open    target
	held    []*page
	bytes   int64
	spare   chan *page
}

// maker makes the files of one form.
type maker interface {
	// begin starts a file; files are made one after the other.
	begin(ctx context.Context, name string) (target, error)
}

// target is a file in the making.
type target interface {
	add(p *piece) error
	close() error
	abandon()
}

// run reads the span and makes its files.
func (s *spanWork) run(ctx context.Context) error {
	s.spare = make(chan *page, pagesAhead+1)
	for range pagesAhead + 1 {
		s.spare <- pages.Get().(*page)
	}
	defer func() {
		for range len(s.spare) {
			pages.Put(<-s.spare)
		}
		if s.open != nil {
			s.open.abandon()
		}
		s.dead.abandon()
	}()
	order := make(chan chan *page, pagesAhead)
	group, ctx := errgroup.WithContext(ctx)
	whole := false
	group.Go(func() (err error) {
		defer close(order)
		err = s.load(ctx, order)
		whole = err == nil
		return err
	})
	group.Go(func() error {
		for coming := range order {
			p, ok := <-coming
			if !ok {
				return nil // the reader has the error
			}
			if err := s.take(ctx, p); err != nil {
				return err
			}
		}
		if !whole {
			return nil
		}
		if err := s.endPortion(ctx); err != nil {
			return err
		}
		return s.dead.close(ctx, s)
	})
	return group.Wait()
}

// load reads the span's blocks, parses some at once and hands them on in order.
func (s *spanWork) load(ctx context.Context, order chan<- chan *page) error {
	if s.set != nil {
		return s.loadSet(ctx, order)
	}
	for batch, err := range s.log.Read(ctx, changelog.Range{Group: s.span.Group, First: s.span.First, Last: s.span.Last,
		From: s.epoch.Begin.from(), AheadBytes: s.o.aheadBytes()}) {
		if err != nil {
			return err
		}
		if err := s.loadParts(ctx, batch, order); err != nil {
			return err
		}
	}
	return nil
}

// loadParts hands on the blocks of an entry, whose bytes are ours until it returns.
func (s *spanWork) loadParts(ctx context.Context, batch *changelog.Batch, order chan<- chan *page) error {
	group, ctx := errgroup.WithContext(ctx)
	for i := range batch.Parts {
		var p *page
		select {
		case p = <-s.spare:
		case <-ctx.Done():
			return cmp.Or(group.Wait(), ctx.Err())
		}
		coming := make(chan *page, 1)
		select {
		case order <- coming:
		case <-ctx.Done():
			return cmp.Or(group.Wait(), ctx.Err())
		}
		group.Go(func() error {
			defer close(coming)
			if err := p.load(batch.Entry, &batch.Parts[i], s.epoch.Begin); err != nil {
				return err
			}
			if s.transform == nil {
				if err := s.form(p); err != nil {
					return err
				}
			}
			coming <- p
			return nil
		})
	}
	return group.Wait()
}

// take brings a page's pieces into files.
func (s *spanWork) take(ctx context.Context, p *page) error {
	if s.transform != nil {
		if err := s.steps(ctx, p); err != nil {
			return err
		}
		if err := s.form(p); err != nil {
			return err
		}
	}
	s.tally(p)
	if err := s.dead.add(ctx, s, p.refused); err != nil {
		return err
	}
	keep := false
	for i := range p.pieces {
		piece := &p.pieces[i]
		if s.first == nil {
			prefix := piece.prefix
			s.first = &prefix
		}
		if piece.prefix != *s.first {
			keep = true
			continue
		}
		if err := s.write(ctx, piece); err != nil {
			return err
		}
	}
	if !keep {
		s.spare <- p
		return nil
	}
	s.spare <- pages.Get().(*page)
	s.held = append(s.held, p)
	if s.bytes += p.raw; s.bytes >= portionBytes {
		return s.endPortion(ctx)
	}
	return nil
}

func (s *spanWork) write(ctx context.Context, p *piece) error {
	if s.open == nil {
		name, err := s.fileName(p.prefix, s.n, s.portion)
		if err != nil {
			return err
		}
		if s.open, err = s.out.begin(ctx, name); err != nil {
			return err
		}
	}
	return s.open.add(p)
}

func (s *spanWork) endFile() error {
	if s.open == nil {
		return nil
	}
	err := s.open.close()
	s.open = nil
	return err
}

// endPortion makes the files of the pages that are held, a folder after the other.
func (s *spanWork) endPortion(ctx context.Context) error {
	if err := s.endFile(); err != nil {
		return err
	}
	var waiting []*piece
	for _, p := range s.held {
		for i := range p.pieces {
			if p.pieces[i].prefix != *s.first {
				waiting = append(waiting, &p.pieces[i])
			}
		}
	}
	slices.SortStableFunc(waiting, func(a, b *piece) int { return cmp.Compare(a.prefix, b.prefix) })
	for i, p := range waiting {
		if i > 0 && waiting[i-1].prefix != p.prefix {
			if err := s.endFile(); err != nil {
				return err
			}
		}
		if err := s.write(ctx, p); err != nil {
			return err
		}
	}
	err := s.endFile()
	for _, p := range s.held {
		pages.Put(p)
	}
	s.held, s.bytes, s.first = nil, 0, nil
	s.portion++
	return err
}
