package delivery

import (
	"cmp"
	"context"
	"io"
	"slices"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec/compress"
	"dynaferry/internal/codec/csv"
	"dynaferry/internal/row"
)

// csvColumn is a durable column of CSV files: its type is that of the epoch that brought it.
type csvColumn struct {
	Name string   `json:"name"`
	Type csv.Spec `json:"type"`
}

// cells makes the epoch's CSV files in two passes: a header is the first line of a file, and needs all names.
func (w *work) cells(ctx context.Context) error {
	base, err := w.schema(ctx, w.epoch.Schema)
	if err != nil {
		return err
	}
	survey := new(csv.Survey)
	done := w.done // what the first pass counts is counted again by the second
	if err := w.spans(ctx, func(s *spanWork) maker { return surveyor{w, survey} }); err != nil {
		return err
	}
	w.done = done
	columns := base.CSV
	for _, c := range survey.Columns(w.csvFirst()...) {
		if c.Name != "" && !slices.ContainsFunc(columns, func(b csvColumn) bool { return b.Name == c.Name }) {
			columns = append(slices.Clip(columns), csvColumn{c.Name, cmp.Or(c.Type, csv.Text)})
		}
	}
	if w.set == nil && len(columns) > len(base.CSV) {
		stands, err := w.decideSchema(ctx, &durableSchema{N: w.epoch.N, CSV: columns}, w.o.Commit)
		if err != nil {
			return err
		}
		columns, w.done.Schema = stands.CSV, w.epoch.N
	}
	all := make([]csv.Column, len(columns))
	for i, c := range columns {
		all[i] = csv.Column{Name: c.Name, Type: c.Type}
	}
	return w.spans(ctx, func(s *spanWork) maker { return cellMaker{w, all} })
}

// csvFirst are the columns that come first where there are rows at all.
func (w *work) csvFirst() []string {
	switch w.epoch.Settings.Images {
	case Changes:
		return append([]string{row.OpName, row.TimeName, row.PositionName}, w.epoch.Settings.Keys...)
	case Both:
		return []string{"op", "time", "position", "keys", "new", "old"}
	}
	return w.epoch.Settings.Keys
}

// surveyor makes nothing: it looks at the rows.
type surveyor struct {
	*work
	survey *csv.Survey
}

func (s surveyor) begin(context.Context, string) (target, error) { return s, nil }

func (s surveyor) add(p *piece) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range p.batch.Rows {
		s.survey.Observe(p.batch.Item(i))
	}
	return nil
}

func (s surveyor) close() error { return nil }
func (s surveyor) abandon()     {}

// cellMaker makes CSV files that stream into the bucket.
type cellMaker struct {
	*work
	columns []csv.Column
}

func (m cellMaker) begin(ctx context.Context, name string) (target, error) {
	f := &lineFile{work: m.work, ctx: ctx, name: name, out: m.writer(ctx, name)}
	f.pack, f.rows = m.pack(f.out)
	return f, nil
}

func (m cellMaker) pack(out *blob.Writer) (io.WriteCloser, *csv.Writer) {
	z := compress.NewWriter(out, compress.Codec(m.epoch.Settings.Compression), m.epoch.Settings.Level)
	return z, csv.NewWriter(z, csv.WriterOptions{Columns: m.columns})
}
