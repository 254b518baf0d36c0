package changelog

import (
	"context"
	"iter"
	"sync"
)

// ahead loads what comes from in, in its order, up to window items before they are asked for. in and load get a context
// that ends when nobody asks any more. It ends with the first error.
func ahead[T, U any](ctx context.Context, window int, in func(context.Context) iter.Seq2[T, error],
	load func(context.Context, T) (U, error)) iter.Seq2[U, error] {
	type future struct {
		value U
		err   error
		done  chan struct{}
	}
	return func(yield func(U, error) bool) {
		inner, cancel := context.WithCancel(ctx)
		var wait sync.WaitGroup
		defer wait.Wait()
		defer cancel()
		queue := make(chan *future, window)
		wait.Go(func() {
			defer close(queue)
			for item, err := range in(inner) {
				f := &future{err: err, done: make(chan struct{})}
				wait.Go(func() {
					defer close(f.done)
					if f.err == nil {
						f.value, f.err = load(inner, item)
					}
				})
				select {
				case queue <- f:
				case <-inner.Done():
					return
				}
				if err != nil {
					return
				}
			}
		})
		for f := range queue {
			<-f.done
			if !yield(f.value, f.err) || f.err != nil {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			var none U
			yield(none, err)
		}
	}
}
