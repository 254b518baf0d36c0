package faulty

import (
	"context"
	"io"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

// Get is blob.Bucket's. cut and flip strike the body, counted in bytes from where the read begins.
func (b *Bucket) Get(ctx context.Context, name string, opts blob.ReadOptions) (io.ReadCloser, blob.Info, error) {
	call, struck := b.begin("get", name)
	var r io.ReadCloser
	var info blob.Info
	damaged := body{call: call, cut: -1, flip: -1}
	for _, rule := range struck {
		switch rule.fault {
		case "cut":
			damaged.cut = rule.n
		case "flip":
			damaged.flip = rule.n
		}
	}
	err := b.struck(ctx, call, struck, func(ctx context.Context) (err error) {
		r, info, err = b.below.Get(ctx, name, opts)
		return err
	})
	if err != nil {
		if r != nil {
			r.Close()
		}
		return nil, blob.Info{}, err
	}
	if damaged.cut >= 0 || damaged.flip >= 0 {
		damaged.below = r
		return &damaged, info, nil
	}
	return r, info, nil
}

// body is a reader that breaks or lies.
type body struct {
	below     io.ReadCloser
	call      Call
	at        int64
	cut, flip int64 // -1: not
}

func (b *body) Read(p []byte) (int, error) {
	if b.cut >= 0 {
		if left := b.cut - b.at; left <= 0 {
			return 0, fault.New(fault.Unavailable, "planned fault cut at call %s: %w", b.call, io.ErrUnexpectedEOF)
		} else if int64(len(p)) > left {
			p = p[:left]
		}
	}
	n, err := b.below.Read(p)
	if i := b.flip - b.at; b.flip >= 0 && i >= 0 && i < int64(n) {
		p[i] ^= 0x10
	}
	b.at += int64(n)
	return n, err
}

func (b *body) Close() error { return b.below.Close() }
