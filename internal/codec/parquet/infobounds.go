package parquet

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/column"
	"dynaferry/internal/item"
)

// boundTextMax bounds the text of a bound in runes: Info is for people.
const boundTextMax = 64

// infoBounds gathers a leaf's bounds over all row groups and renders them as reading would render the values.
type infoBounds struct {
	leaf   *node
	bounds Bounds
	broken bool // a row group with values tells none: then nothing is known of the column
}

func (b *infoBounds) add(m *format.ColumnMetaData) {
	s := &m.Statistics
	low, high, e := s.MinValue, s.MaxValue, b.leaf.element
	if low == nil || high == nil || m.Type != e.Type.V || !plainSize(e, low) || !plainSize(e, high) || unordered(e) {
		b.broken = b.broken || s.NullCount < m.NumValues
		return
	}
	less := lessOf(storageOfPhysical(m.Type))
	switch {
	case m.Type == format.Float:
		less = floatLess
	case m.Type == format.FixedLenByteArray && !decimal(e):
		less = lessOf(asBytes)
	case m.Type == format.ByteArray && decimal(e):
		b.broken = true // of any length each: no simple order
		return
	}
	b.bounds.widen(Bounds{Known: true, Min: low, Max: high}, less)
}

func decimal(e *format.SchemaElement) bool {
	_, ok := scaleOf(e)
	return ok
}

// unordered names what has no order here: unsigned integers would need another, and Int96 has none by the format.
func unordered(e *format.SchemaElement) bool {
	if t, ok := e.LogicalType.Value.(*format.IntType); ok && !t.IsSigned {
		return true
	}
	if e.ConvertedType.Valid {
		switch e.ConvertedType.V {
		case deprecated.Uint8, deprecated.Uint16, deprecated.Uint32, deprecated.Uint64:
			return true
		}
	}
	return e.Type.V == format.Int96
}

// plainSize tells whether v can be a PLAIN value of the type: bounds come from the file and may be anything.
func plainSize(e *format.SchemaElement, v []byte) bool {
	switch e.Type.V {
	case format.Boolean:
		return len(v) == 1
	case format.Int32, format.Float:
		return len(v) == 4
	case format.Int64, format.Double:
		return len(v) == 8
	case format.FixedLenByteArray:
		return len(v) > 0 && int32(len(v)) == e.TypeLength.V
	}
	return true
}

func floatLess(a, b []byte) bool {
	return math.Float32frombits(binary.LittleEndian.Uint32(a)) < math.Float32frombits(binary.LittleEndian.Uint32(b))
}

// texts renders the bounds, both "" when they are not known.
func (b *infoBounds) texts() (low, high string) {
	if b.broken || !b.bounds.Known {
		return "", ""
	}
	return boundText(b.leaf.element, b.bounds.Min), boundText(b.leaf.element, b.bounds.Max)
}

func boundText(e *format.SchemaElement, raw []byte) string {
	v := column.Vector{}
	switch e.Type.V {
	case format.Boolean:
		v.Bools = []bool{raw[0] != 0}
	case format.Int32:
		v.Longs = []int64{int64(int32(binary.LittleEndian.Uint32(raw)))}
	case format.Int64:
		v.Longs = []int64{int64(binary.LittleEndian.Uint64(raw))}
	case format.Float:
		v.Doubles = []float64{float64(math.Float32frombits(binary.LittleEndian.Uint32(raw)))}
	case format.Double:
		v.Doubles = []float64{math.Float64frombits(binary.LittleEndian.Uint64(raw))}
	default:
		v.Bytes, v.Ends = raw, []uint32{uint32(len(raw))}
	}
	t, text, err := naturalScalar(e, "")(nil, &v, 0)
	switch {
	case err != nil && len(v.Doubles) > 0:
		return strconv.FormatFloat(v.Doubles[0], 'g', -1, 64)
	case err != nil: // cut in the middle of a character
		return base64.StdEncoding.EncodeToString(raw[:min(len(raw), boundTextMax)])
	case t == item.B || !utf8.Valid(text):
		return base64.StdEncoding.EncodeToString(text[:min(len(text), boundTextMax)])
	}
	if runes := []rune(string(text)); len(runes) > boundTextMax {
		return string(runes[:boundTextMax]) + "…"
	}
	return string(text)
}
