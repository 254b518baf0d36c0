package job

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zeebo/xxh3"

	"dynaferry/internal/dataset"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/sink"
)

// PartitionColumn is one Hive partition column: an attribute itself, or a part of the time it holds.
type PartitionColumn struct {
	Name string `json:"name"`           // of the column in the path
	Of   string `json:"of"`             // attribute
	Part string `json:"part,omitempty"` // year, month, day, hour, date; "" for the attribute's own text
}

var timeParts = []string{"year", "month", "day", "hour", "date"}

// ParsePartition reads --partition: 'region', 'year,month,day of created_at, region'. Time parts in front of an "of"
// belong to its attribute; a name without "of" behind it is an attribute, whatever it is called.
func ParsePartition(text string) ([]PartitionColumn, error) {
	var columns, pending []PartitionColumn
	for term := range strings.SplitSeq(text, ",") {
		term = strings.TrimSpace(term)
		if term == "" {
			return nil, fault.Hint(fault.New(fault.User, "--partition %q: an empty term", text), "for instance 'year,month,day of created_at, region'")
		}
		part, of, timed := strings.Cut(term, " of ")
		if !timed {
			if !slices.Contains(timeParts, term) {
				columns, pending = append(columns, pending...), nil
			}
			pending = append(pending, PartitionColumn{Name: term, Of: term})
			if !slices.Contains(timeParts, term) {
				columns, pending = append(columns, pending...), nil
			}
			continue
		}
		part, of = strings.TrimSpace(part), strings.TrimSpace(of)
		pending = append(pending, PartitionColumn{Name: part, Of: part})
		for _, p := range pending {
			if !slices.Contains(timeParts, p.Name) {
				return nil, fault.New(fault.User, "--partition %q: %q is no part of a time; parts are %s", text, p.Name, strings.Join(timeParts, ", "))
			}
			columns = append(columns, PartitionColumn{Name: p.Name, Of: of, Part: p.Name})
		}
		pending = nil
	}
	columns = append(columns, pending...)
	seen := map[string]bool{}
	for _, c := range columns {
		if lower := strings.ToLower(c.Name); seen[lower] {
			return nil, fault.New(fault.User, "--partition %q: %q twice", text, c.Name)
		} else {
			seen[lower] = true
		}
	}
	return columns, nil
}

func partitionNames(columns []PartitionColumn) []string {
	var names []string
	for _, c := range columns {
		names = append(names, c.Name)
	}
	return names
}

// router computes routes; it is for one goroutine.
type router struct {
	columns []PartitionColumn
	route   sink.Route
	key     []byte
	text    []byte
}

// routeOf finds an item's partition. Equal keys mean the same path and the same constants, so a file's constants hold
// for each of its items exactly: 1 and "1" share a folder, never a file.
func (r *router) routeOf(it item.Item) (*sink.Route, error) {
	r.key = r.key[:0]
	r.route.Partition, r.route.Segments = r.route.Partition[:0], r.route.Segments[:0]
	clear(r.route.Constants)
	for i := range r.columns {
		c := &r.columns[i]
		value := dataset.NullPartition
		if at, ok := it.Get(c.Of); ok {
			value = r.value(it, at, c)
		}
		segment := shorten(dataset.Segment(c.Name, value))
		r.route.Partition = append(r.route.Partition, value)
		r.route.Segments = append(r.route.Segments, segment)
		r.key = append(append(r.key, segment...), '/')
	}
	if r.route.Key = string(r.key); len(r.route.Constants) > 0 {
		r.key = append(r.key, 0)
		for i := range r.columns {
			if constant, ok := r.route.Constants[r.columns[i].Of]; ok {
				r.key = append(append(r.key, constant...), 0)
			} else {
				r.key = append(r.key, 1)
			}
		}
		r.route.Key = string(r.key)
	}
	return &r.route, nil
}

// value renders a partition value. A scalar attribute that is its own partition column leaves the file: its exact value is
// a constant of the file.
func (r *router) value(it item.Item, at int, c *PartitionColumn) string {
	token := it.Tape[at]
	if c.Part != "" {
		t, ok := timeOf(it, at)
		if !ok {
			return dataset.NullPartition
		}
		return formatPart(t, c.Part)
	}
	var value string
	switch token.Type {
	case item.S:
		value = string(it.Text(at))
	case item.N:
		value = string(it.AppendNumber(nil, at))
	case item.BOOL:
		value = strconv.FormatBool(token.Flags&item.True != 0)
	case item.B:
		value = string(it.Text(at))
	case item.NULL:
	default:
		return dataset.NullPartition // lists, maps and sets stay in the file
	}
	if r.route.Constants == nil {
		r.route.Constants = map[string]json.RawMessage{}
	}
	r.route.Constants[c.Of] = it.AppendValue(nil, at)
	if value == "" {
		return dataset.NullPartition
	}
	return value
}

func formatPart(t time.Time, part string) string {
	switch part {
	case "year":
		return fmt.Sprintf("%04d", t.Year())
	case "month":
		return fmt.Sprintf("%02d", int(t.Month()))
	case "day":
		return fmt.Sprintf("%02d", t.Day())
	case "hour":
		return fmt.Sprintf("%02d", t.Hour())
	}
	return t.Format("2006-01-02")
}

// timeOf reads a time: ISO 8601 text, or a number that is epoch seconds, milliseconds or microseconds by its size
// (below 10^11, 10^14, 10^17: seconds until the year 5138). Everything is UTC.
func timeOf(it item.Item, at int) (time.Time, bool) {
	switch it.Tape[at].Type {
	case item.S:
		return isoTime(string(it.Text(at)))
	case item.N:
		d, err := item.ParseDecimal(it.Text(at))
		if err != nil {
			return time.Time{}, false
		}
		return epochTime(d)
	}
	return time.Time{}, false
}

var isoLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02", "2006-01", "2006"}

func isoTime(text string) (time.Time, bool) {
	for _, layout := range isoLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

func epochTime(d item.Decimal) (time.Time, bool) {
	if d.Hi != 0 || d.Exp > 18 || d.Exp < -18 {
		return time.Time{}, false
	}
	whole := d.Lo
	for e := d.Exp; e > 0; e-- {
		hi, lo := bits.Mul64(whole, 10)
		if hi != 0 {
			return time.Time{}, false
		}
		whole = lo
	}
	for e := d.Exp; e < 0; e++ {
		whole /= 10
	}
	signed := int64(whole)
	if d.Neg {
		signed = -signed
	}
	switch {
	case whole < 1e11:
		return time.Unix(signed, 0).UTC(), true
	case whole < 1e14:
		return time.UnixMilli(signed).UTC(), true
	case whole < 1e17:
		return time.UnixMicro(signed).UTC(), true
	}
	return time.Time{}, false
}

// shorten keeps a segment within what file systems take; the true value is in the metadata.
func shorten(segment string) string {
	if len(segment) <= dataset.SegmentBytesMax {
		return segment
	}
	sum := xxh3.HashString128(segment)
	cut := segment[:dataset.SegmentBytesMax-40]
	if i := strings.LastIndexByte(cut, '%'); i > len(cut)-3 {
		cut = cut[:i] // not in the middle of an escape
	}
	return strings.ToValidUTF8(cut, "") + fmt.Sprintf("~%016x%016x", sum.Hi, sum.Lo)
}
