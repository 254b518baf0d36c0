package source

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/world"
)

// SegmentsMax bounds how finely a table is cut; the service allows a million.
const SegmentsMax = 4096

type table struct {
	at     world.Address
	spec   Spec
	info   Info
	client dynamo.Client
	values map[string]item.Value
}

func openTable(ctx context.Context, w *world.World, at world.Address, spec Spec) (Source, error) {
	if len(spec.Overlay) > 0 {
		return nil, fault.Hint(fault.New(fault.User, "%s is a table: it shows what is now, over which no past change is laid", at),
			"lay them over a full export, or over a data set made from one or from a table")
	}
	client, err := w.Client(ctx, at)
	if err != nil {
		return nil, err
	}
	desc, err := dynamo.Describe(ctx, client, at.Host)
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", at, err)
	}
	t := &table{at: at, spec: spec, client: client}
	if t.values, err = ParseValues(spec.Values); err != nil {
		return nil, err
	}
	t.spec.Kind = KindTable
	t.spec.Seal = desc.ID
	if t.spec.Seal == "" {
		t.spec.Seal = desc.ARN
	}
	t.info = Info{Kind: KindTable, Form: DynamoDBJSON, URL: at.String(), Definition: &desc.Definition, Keys: &desc.Keys, Unique: true,
		Items: desc.Items, Bytes: desc.Bytes, Table: desc}
	return t, nil
}

// ParseValues reads expression attribute values in DynamoDB JSON: {":p":{"N":"1"}}.
func ParseValues(raw json.RawMessage) (map[string]item.Value, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var b item.Batch
	b.Src = append(b.Src, raw...)
	if err := ddbjson.Parse(&b, 0); err != nil {
		return nil, fault.Hint(fault.New(fault.User, "expression values: %w", err), `give them as DynamoDB JSON: {":p":{"N":"10"}}`)
	}
	return b.Item(0).Map(), nil
}

func (t *table) Spec() Spec             { return t.spec }
func (t *table) Info() Info             { return t.info }
func (t *table) Address() world.Address { return t.at }

func (t *table) Units(_ context.Context, bytes int64, least int) ([]Unit, error) {
	n := int(min(max(t.info.Bytes/max(bytes, 1), int64(least), 1), SegmentsMax))
	units := make([]Unit, n)
	for i := range units {
		units[i] = Unit{Order: i, Segment: i, Segments: n}
	}
	return units, nil
}

func (t *table) Read(ctx context.Context, u Unit, o ReadOptions) (Stream, error) {
	st := &scan{ctx: ctx, table: t, o: o, label: fmt.Sprintf("%s segment %d of %d", t.at.Host, u.Segment, u.Segments),
		req: dynamo.ScanRequest{Table: t.at.Host, Segment: u.Segment, Segments: u.Segments, Consistent: t.spec.Consistent,
			Filter: t.spec.Filter, Projection: t.spec.Projection, Names: t.spec.Names, Values: t.values}}
	if o.Scanner != nil {
		st.lane = o.Governor.Lane()
	}
	return st, nil
}

// scan reads a segment page by page. The service holds no snapshot: a page shows its items as of its own moment.
type scan struct {
	ctx   context.Context
	table *table
	o     ReadOptions
	lane  *dynamo.Lane
	req   dynamo.ScanRequest
	label string
	done  bool
	items int64
}

func (s *scan) Read(b *item.Batch) error {
	for !s.done {
		page, err := s.page(b)
		if err != nil {
			return fmt.Errorf("scan %s: %w", s.label, err)
		}
		if page.Last == nil {
			s.done = true
		} else {
			s.req.Start = append(s.req.Start[:0], page.Last...)
		}
		if s.o.Pages != nil {
			s.o.Pages(page.Units, page.Received)
		}
		b.File, b.FirstLine = s.label, s.items+1
		s.items += int64(b.Len())
		if b.Len() > 0 {
			return nil
		}
	}
	b.Reset()
	return io.EOF
}

func (s *scan) page(b *item.Batch) (*dynamo.Page, error) {
	if s.o.Scanner == nil {
		return s.table.client.Scan(s.ctx, &s.req, b)
	}
	return s.o.Scanner.Page(s.ctx, s.lane, &s.req, b)
}

func (s *scan) Close() error { return nil }
