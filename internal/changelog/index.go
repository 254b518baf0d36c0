package changelog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"golang.org/x/sync/errgroup"

	"dynaferry/internal/blob"
	"dynaferry/internal/commit"
	"dynaferry/internal/fault"
)

// row is what an index object says of one object of the level below: of level 1, of an entry.
type row struct {
	Offset, Length uint64 // of the entry's footer in this object; 0 above level 1
	From, To       int64  // as of Entry.Span
	Records        uint64
}

const rowBytes = 40

// noTimes are those of what has no records: they change no minimum and no maximum.
var noTimes = row{From: math.MaxInt64, To: math.MinInt64}

// directoryBytes reads the rows of any index object.
const directoryBytes = frameHead + fan*rowBytes + trailerBytes

// indexBytesMax bounds an index object: 256 footers of large groups.
const indexBytesMax = 1 << 30

// hull is one row about all of rows.
func hull(rows []row) row {
	all := noTimes
	for _, r := range rows {
		all.From, all.To, all.Records = min(all.From, r.From), max(all.To, r.To), all.Records+r.Records
	}
	return all
}

// buildIndex makes an index object: a function of what it is of, so that every process makes the same bytes. Of level 1
// it begins with the footers of its entries as they stand, of the others there is nothing but the rows.
func buildIndex(group uint32, level int, k uint64, parts []part, rows []row) []byte {
	var body []byte
	for _, p := range parts {
		body = append(body, p.footer...)
	}
	payload := make([]byte, 0, fan*rowBytes)
	for _, r := range rows {
		payload = binary.LittleEndian.AppendUint64(payload, r.Offset)
		payload = binary.LittleEndian.AppendUint64(payload, r.Length)
		payload = binary.LittleEndian.AppendUint64(payload, uint64(r.From))
		payload = binary.LittleEndian.AppendUint64(payload, uint64(r.To))
		payload = binary.LittleEndian.AppendUint64(payload, r.Records)
	}
	return appendFooter(body, payload, indexMagic, trailer{n: k, group: group, before: uint64(len(body)), id: levelID(level)})
}

// levelID stands in the trailer's place of a write id, of which a function of entries has none.
func levelID(level int) (id commit.ID) {
	binary.LittleEndian.PutUint32(id[:], uint32(level))
	return id
}

// parseIndex reads the rows from the end of an index object of size bytes.
func parseIndex(tail []byte, size int64, group uint32, level int, k uint64) ([]row, error) {
	t, err := parseTrailer(tail, indexMagic)
	if err != nil {
		return nil, err
	}
	if t.n != k || t.group != group || t.id != levelID(level) || t.payload != fan*rowBytes {
		return nil, broken("it says that it is index object %d of level %x of group %d", t.n, t.id, t.group)
	}
	if int64(t.before) < 0 || int64(t.before)+t.footer() != size || t.footer() > int64(len(tail)) {
		return nil, broken("%d bytes of footers and %d of rows make no object of %d", t.before, t.footer(), size)
	}
	payload, err := t.payloadOf(tail[int64(len(tail))-t.footer():])
	if err != nil {
		return nil, err
	}
	rows := make([]row, fan)
	var at uint64
	for i := range rows {
		b := payload[i*rowBytes:]
		r := row{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]), int64(binary.LittleEndian.Uint64(b[16:])),
			int64(binary.LittleEndian.Uint64(b[24:])), binary.LittleEndian.Uint64(b[32:])}
		if r.Length > t.before-at || r.Length > 0 && r.Offset != at {
			return nil, broken("row %d has a footer of %d bytes at %d, where one should be at %d and all have %d", i, r.Length, r.Offset, at, t.before)
		}
		at += r.Length
		rows[i] = r
	}
	if at != t.before {
		return nil, broken("rows have footers of %d bytes, the object has %d", at, t.before)
	}
	return rows, nil
}

// part is what an index object of level 1 takes of an entry.
type part struct {
	row
	footer []byte
}

func (f *fetched) part() part {
	from, to := f.entry.Span()
	return part{row{0, uint64(len(f.frame)), from, to, f.entry.Records()}, f.frame}
}

func partsOf(all []*fetched) []part {
	parts := make([]part, len(all))
	for i, f := range all {
		parts[i] = f.part()
	}
	return parts
}

// leafRows makes the rows of level 1.
func leafRows(parts []part) []row {
	rows := make([]row, len(parts))
	var at uint64
	for i, p := range parts {
		rows[i] = p.row
		rows[i].Offset = at
		at += p.Length
	}
	return rows
}

// rows reads what index object k of a level says. One that is missing or damaged is not used: what it is of says the same.
func (l *Log) rows(ctx context.Context, group uint32, level int, k uint64) ([]row, error) {
	name := indexName(l.dir, group, level, k)
	tail, info, err := blob.ReadRange(ctx, l.bucket, name, blob.ReadOptions{Offset: -directoryBytes}, directoryBytes)
	if err == nil {
		rows, err := parseIndex(tail, info.Size, group, level, k)
		if err == nil {
			return rows, nil
		}
	} else if !derived(err) {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if level == 1 {
		all, err := l.footers(ctx, group, k*fan+1, (k+1)*fan)
		if err != nil {
			return nil, err
		}
		return leafRows(partsOf(all)), nil
	}
	return l.hulls(ctx, group, level-1, k*fan, (k+1)*fan)
}

// derived tells whether a failed read of an index object is made good by what the object is a function of.
func derived(err error) bool {
	return errors.Is(err, blob.ErrNotFound) || fault.KindOf(err) == fault.Corrupt
}

// hulls makes a row of each of the index objects first to before end, some at once.
func (l *Log) hulls(ctx context.Context, group uint32, level int, first, end uint64) ([]row, error) {
	all := make([]row, end-first)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(flightMax)
	for i := range all {
		g.Go(func() error {
			rows, err := l.rows(ctx, group, level, first+uint64(i))
			all[i] = hull(rows)
			return err
		})
	}
	return all, g.Wait()
}

// leaf reads the footers of index object k of level 1, or those of its entries.
func (l *Log) leaf(ctx context.Context, group uint32, k uint64) ([]*fetched, error) {
	all, err := l.leafOnce(ctx, group, k)
	if err != nil && derived(err) {
		return l.footers(ctx, group, k*fan+1, (k+1)*fan)
	}
	return all, err
}

func (l *Log) leafOnce(ctx context.Context, group uint32, k uint64) ([]*fetched, error) {
	data, info, err := blob.ReadAll(ctx, l.bucket, indexName(l.dir, group, 1, k), indexBytesMax)
	if err != nil {
		return nil, err
	}
	rows, err := parseIndex(data, info.Size, group, 1, k)
	if err != nil {
		return nil, err
	}
	all := make([]*fetched, len(rows))
	for i, r := range rows {
		frame := data[r.Offset : r.Offset+r.Length]
		t, err := parseTrailer(frame, entryMagic)
		if err != nil {
			return nil, err
		}
		if t.footer() != int64(len(frame)) || t.n != k*fan+1+uint64(i) || t.group != group {
			return nil, broken("row %d is of entry %d of group %d", i, t.n, t.group)
		}
		e, err := l.zip.parseEntry(frame, t)
		if err != nil {
			return nil, err
		}
		all[i] = &fetched{entry: e, frame: frame}
	}
	return all, nil
}

// Between finds the first and the last entry of a group that may hold records of a time in [from, to), 0 and 0 when none
// does. Between them may stand others that do not: time orders a shard's records, not the chain. It reads the index from
// its top, and of what is not indexed yet the footers.
func (l *Log) Between(ctx context.Context, group uint32, from, to int64) (first, last uint64, err error) {
	n, _, err := l.tail(ctx, group)
	if err != nil {
		return 0, 0, err
	}
	roots, err := l.roots(ctx, group, n)
	if err != nil {
		return 0, 0, err
	}
	meets := func(r row) bool { return r.From < to && r.To >= from }
	for i := 0; i < len(roots) && first == 0 && err == nil; i++ {
		first, err = l.find(ctx, group, roots[i], meets, false)
	}
	for i := len(roots) - 1; i >= 0 && first != 0 && last == 0 && err == nil; i-- {
		last, err = l.find(ctx, group, roots[i], meets, true)
	}
	return first, last, err
}

// node is an index object, or at level 0 an entry.
type node struct {
	row
	level int
	k     uint64 // at level 0 the entry's number
}

// roots are the fewest nodes that are of the entries 1 to n, in order.
func (l *Log) roots(ctx context.Context, group uint32, n uint64) (roots []node, err error) {
	size := uint64(1)
	for level := 1; level < levelsMax; level++ {
		size *= fan
	}
	var done uint64 // entries that roots are of
	for level := levelsMax - 1; level > 0; level, size = level-1, size/fan {
		first, end := done/size, n/size
		all, err := l.hulls(ctx, group, level, first, end)
		if err != nil {
			return nil, err
		}
		for i, r := range all {
			roots = append(roots, node{r, level, first + uint64(i)})
		}
		done = end * size
	}
	if done < n {
		rest, err := l.footers(ctx, group, done+1, n)
		if err != nil {
			return nil, err
		}
		for i, r := range leafRows(partsOf(rest)) {
			roots = append(roots, node{r, 0, done + 1 + uint64(i)})
		}
	}
	return roots, nil
}

// find returns the first entry below a node that meets, or the last; 0 when none does.
func (l *Log) find(ctx context.Context, group uint32, at node, meets func(row) bool, last bool) (uint64, error) {
	if !meets(at.row) {
		return 0, nil
	}
	if at.level == 0 {
		return at.k, nil
	}
	rows, err := l.rows(ctx, group, at.level, at.k)
	if err != nil {
		return 0, err
	}
	for i := range rows {
		if last {
			i = len(rows) - 1 - i
		}
		child := node{rows[i], at.level - 1, at.k*fan + uint64(i)}
		if child.level == 0 {
			child.k++ // entries count from 1
		}
		if n, err := l.find(ctx, group, child, meets, last); n != 0 || err != nil {
			return n, err
		}
	}
	return 0, nil
}
