package delivery

import (
	"context"
	"io"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec"
	"dynaferry/internal/codec/compress"
	"dynaferry/internal/codec/json"
)

// lineMaker makes files of lines, which stream into the bucket: DynamoDB JSON as it comes, or plain JSON.
type lineMaker struct{ *work }

func (m lineMaker) begin(ctx context.Context, name string) (target, error) {
	f := &lineFile{work: m.work, ctx: ctx, name: name, out: m.writer(ctx, name)}
	f.pack = compress.NewWriter(f.out, compress.Codec(m.epoch.Settings.Compression), m.epoch.Settings.Level)
	if m.epoch.Settings.Form == JSON {
		f.rows = json.NewWriter(f.pack)
	}
	return f, nil
}

// lineFile is a file of lines in the making; rows is nil where pieces hold the lines themselves.
type lineFile struct {
	*work
	ctx  context.Context
	name string
	out  *blob.Writer
	pack io.WriteCloser
	rows codec.Writer
	n    int64
}

func (f *lineFile) add(p *piece) error {
	f.n += p.n
	if f.rows != nil {
		return f.rows.Write(&p.batch)
	}
	_, err := f.pack.Write(p.lines)
	return err
}

func (f *lineFile) close() error {
	defer f.out.Close()
	if f.rows != nil {
		if err := f.rows.Close(); err != nil {
			return err
		}
	}
	if err := f.pack.Close(); err != nil {
		return err
	}
	if err := f.wanted(f.ctx); err != nil {
		return err
	}
	size, err := f.finishFile(f.ctx, f.name, f.out)
	if err == nil {
		f.made(File{Name: f.name, Size: size, Records: f.n})
	}
	return err
}

func (f *lineFile) abandon() { f.out.Close() }
