package parquet

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/big"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"dynaferry/internal/column"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// scalar appends the text of value i of a vector and says which type it has: digits for N, UTF-8 for S, bytes for B,
// true or false for BOOL.
type scalar func(dst []byte, v *column.Vector, i int) (item.Type, []byte, error)

// scalarOf chooses the rule for a leaf: by its logical type, else by its physical one; want is the caller's wish.
func scalarOf(e *format.SchemaElement, epoch, want string) (scalar, error) {
	switch want {
	case "", "S", "N", "B", "SS", "NS", "BS", "iso":
		if want == "iso" {
			epoch = ""
		}
	case "epoch-s", "epoch-ms", "epoch-us", "epoch-ns":
		epoch = want[len("epoch-"):]
	default:
		return nil, fault.New(fault.User, "type %q is none of N, S, B, SS, NS, BS, iso, epoch-s, epoch-ms, epoch-us, epoch-ns", want)
	}
	if _, known := digitsOf[epoch]; !known && epoch != "" {
		return nil, fault.New(fault.User, "epoch unit %q is none of s, ms, us, ns", epoch)
	}
	return wished(naturalScalar(e, epoch), want), nil
}

// wished turns the natural type of a value into the wanted one, where its text is one of that.
func wished(f scalar, want string) scalar {
	to := map[string]item.Type{"S": item.S, "N": item.N, "B": item.B, "SS": item.S, "NS": item.N, "BS": item.B}[want]
	if to == 0 {
		return f
	}
	return func(dst []byte, v *column.Vector, i int) (item.Type, []byte, error) {
		t, text, err := f(dst, v, i)
		switch {
		case err != nil || t == to:
		case to == item.S && t == item.N:
			if plain, err := item.AppendNumber(nil, text); err == nil && bytes.IndexByte(text, 'e') >= 0 {
				text = plain // without exponent, as people write it
			}
		case to == item.S && t == item.B && !utf8.Valid(text):
			err = fault.New(fault.User, "binary value is no UTF-8 text")
		case to == item.N && (t == item.BOOL || t == item.B):
			err = fault.New(fault.User, "%s value is no number", t)
		}
		return to, text, err
	}
}

func naturalScalar(e *format.SchemaElement, epoch string) scalar {
	switch e.Type.V {
	case format.Boolean:
		return func(dst []byte, v *column.Vector, i int) (item.Type, []byte, error) {
			return item.BOOL, strconv.AppendBool(dst, v.Bools[i]), nil
		}
	case format.Int32, format.Int64:
		return integerScalar(e, epoch)
	case format.Float, format.Double:
		bits := 64
		if e.Type.V == format.Float {
			bits = 32
		}
		return func(dst []byte, v *column.Vector, i int) (item.Type, []byte, error) {
			return floatText(dst, v.Doubles[i], bits)
		}
	case format.Int96:
		return func(dst []byte, v *column.Vector, i int) (item.Type, []byte, error) {
			raw := textOf(v, i) // nanoseconds of the day, then the Julian day
			days := int64(binary.LittleEndian.Uint32(raw[8:])) - 2440588
			nanos := int64(binary.LittleEndian.Uint64(raw))
			t := time.Unix(days*86400+nanos/1e9, nanos%1e9)
			if epoch != "" {
				mantissa := new(big.Int).Mul(big.NewInt(t.Unix()), big.NewInt(1e9))
				mantissa.Add(mantissa, big.NewInt(int64(t.Nanosecond())))
				return item.N, appendScaled(dst, mantissa, 9-digitsOf[epoch]), nil
			}
			return timeText(dst, t, 9, true)
		}
	default:
		return bytesScalar(e)
	}
}

// textOf is value i of a vector of texts.
func textOf(v *column.Vector, i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = v.Ends[i-1]
	}
	return v.Bytes[start:v.Ends[i]]
}

// scaleOf tells a decimal and its scale.
func scaleOf(e *format.SchemaElement) (scale int, ok bool) {
	if d, is := e.LogicalType.Value.(*format.DecimalType); is {
		return int(d.Scale), true
	}
	return int(e.Scale.V), e.ConvertedType.Valid && e.ConvertedType.V == deprecated.Decimal
}

func integerScalar(e *format.SchemaElement, epoch string) scalar {
	if scale, ok := scaleOf(e); ok {
		return func(dst []byte, v *column.Vector, i int) (item.Type, []byte, error) {
			return item.N, appendScaled(dst, big.NewInt(v.Longs[i]), scale), nil
		}
	}
	converted := func(c deprecated.ConvertedType) bool { return e.ConvertedType.Valid && e.ConvertedType.V == c }
	switch t := e.LogicalType.Value.(type) {
	case *format.DateType:
		return dateScalar(epoch)
	case *format.TimestampType:
		return timestampScalar(unitDigits(&t.Unit), t.IsAdjustedToUTC, epoch)
	case *format.TimeType:
		return clockScalar(unitDigits(&t.Unit))
	case *format.IntType:
		if !t.IsSigned {
			return unsignedScalar(e.Type.V)
		}
	case nil:
		switch {
		case converted(deprecated.Date):
			return dateScalar(epoch)
		case converted(deprecated.TimestampMillis):
			return timestampScalar(3, true, epoch)
		case converted(deprecated.TimestampMicros):
			return timestampScalar(6, true, epoch)
		case converted(deprecated.TimeMillis):
			return clockScalar(3)
		case converted(deprecated.TimeMicros):
			return clockScalar(6)
		case converted(deprecated.Uint8), converted(deprecated.Uint16), converted(deprecated.Uint32),
			converted(deprecated.Uint64):
			return unsignedScalar(e.Type.V)
		}
	}
	return func(dst []byte, v *column.Vector, i int) (item.Type, []byte, error) {
		return item.N, strconv.AppendInt(dst, v.Longs[i], 10), nil
	}
}

func unsignedScalar(physical format.Type) scalar {
	return func(dst []byte, v *column.Vector, i int) (item.Type, []byte, error) {
		x := uint64(v.Longs[i])
		if physical == format.Int32 {
			x = uint64(uint32(x))
		}
		return item.N, strconv.AppendUint(dst, x, 10), nil
	}
}

func bytesScalar(e *format.SchemaElement) scalar {
	if scale, ok := scaleOf(e); ok {
		return func(dst []byte, v *column.Vector, i int) (item.Type, []byte, error) {
			raw := textOf(v, i)
			if len(raw) > 64 {
				return item.N, dst, fault.New(fault.User, "decimal of %d bytes", len(raw))
			}
			x := new(big.Int).SetBytes(raw)
			if len(raw) > 0 && raw[0] >= 0x80 {
				x.Sub(x, new(big.Int).Lsh(big.NewInt(1), uint(8*len(raw))))
			}
			return item.N, appendScaled(dst, x, scale), nil
		}
	}
	plain := func(t item.Type) scalar {
		return func(dst []byte, v *column.Vector, i int) (item.Type, []byte, error) {
			raw := textOf(v, i)
			if t == item.S && !utf8.Valid(raw) {
				return t, dst, fault.New(fault.User, "text is no valid UTF-8")
			}
			return t, append(dst, raw...), nil
		}
	}
	switch e.LogicalType.Value.(type) {
	case *format.StringType, *format.EnumType, *format.JsonType:
		return plain(item.S)
	case *format.UUIDType:
		if e.TypeLength.V == 16 {
			return uuidText
		}
	case *format.Float16Type:
		if e.TypeLength.V == 2 {
			return func(dst []byte, v *column.Vector, i int) (item.Type, []byte, error) {
				return halfText(dst, binary.LittleEndian.Uint16(textOf(v, i)))
			}
		}
	case nil:
		if e.ConvertedType.Valid {
			switch e.ConvertedType.V {
			case deprecated.UTF8, deprecated.Enum, deprecated.Json:
				return plain(item.S)
			}
		}
	}
	return plain(item.B)
}

func uuidText(dst []byte, v *column.Vector, i int) (item.Type, []byte, error) {
	raw := textOf(v, i)
	for n, part := range [][]byte{raw[:4], raw[4:6], raw[6:8], raw[8:10], raw[10:]} {
		if n > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, part)
	}
	return item.S, dst, nil
}

// half is the value of an IEEE 754 binary16.
func half(bits uint16) float64 {
	sign, exp, frac := float64(1), int(bits>>10&31), float64(bits&1023)
	if bits&0x8000 != 0 {
		sign = -1
	}
	switch exp {
	case 0:
		return sign * math.Ldexp(frac, -24)
	case 31:
		if frac != 0 {
			return math.NaN()
		}
		return sign * math.Inf(1)
	}
	return sign * math.Ldexp(1024+frac, exp-25)
}

// halfText is the shortest decimal that reads back as the same binary16. Five digits always do; package strconv knows
// wider floats only.
func halfText(dst []byte, bits uint16) (item.Type, []byte, error) {
	x := half(bits)
	if math.IsNaN(x) || math.IsInf(x, 0) || x == 0 {
		return floatText(dst, x, 32)
	}
	magnitude := bits &^ 0x8000
	low, high := (half(magnitude-1)+half(magnitude))/2, 65520.0 // from there on infinity is nearer than the largest
	if magnitude+1 < 0x7C00 {
		high = (half(magnitude) + half(magnitude+1)) / 2
	}
	for digits := 0; ; digits++ {
		text := strconv.AppendFloat(dst, x, 'e', digits, 64)
		if back, _ := strconv.ParseFloat(string(text[len(dst):]), 64); digits == 4 || math.Abs(back) > low && math.Abs(back) < high {
			return item.N, text, nil
		}
	}
}

// floatText is the shortest decimal that reads back as the same float.
func floatText(dst []byte, x float64, bits int) (item.Type, []byte, error) {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return item.N, dst, fault.New(fault.User, "%v is no DynamoDB number", x)
	}
	return item.N, strconv.AppendFloat(dst, x, 'e', -1, bits), nil
}

// appendScaled appends mantissa x 10^-scale in plain digits, with all of the scale's; absurd scales keep an exponent.
func appendScaled(dst []byte, mantissa *big.Int, scale int) []byte {
	if scale < 0 || scale > 200 {
		return strconv.AppendInt(append(mantissa.Append(dst, 10), 'e'), -int64(scale), 10)
	}
	if mantissa.Sign() < 0 {
		dst = append(dst, '-')
	}
	digits := new(big.Int).Abs(mantissa).Append(nil, 10)
	for len(digits) <= scale {
		digits = append([]byte{'0'}, digits...)
	}
	dst = append(dst, digits[:len(digits)-scale]...)
	if scale > 0 {
		dst = append(append(dst, '.'), digits[len(digits)-scale:]...)
	}
	return dst
}

// digitsOf is how many decimal digits of a second a unit keeps.
var digitsOf = map[string]int{"s": 0, "ms": 3, "us": 6, "ns": 9}

func unitDigits(u *format.TimeUnit) int {
	switch u.Value.(type) {
	case *format.MicroSeconds:
		return 6
	case *format.NanoSeconds:
		return 9
	}
	return 3
}

func dateScalar(epoch string) scalar {
	return func(dst []byte, v *column.Vector, i int) (item.Type, []byte, error) {
		if epoch != "" {
			return item.N, appendScaled(dst, big.NewInt(v.Longs[i]*86400), -digitsOf[epoch]), nil
		}
		t := time.Unix(v.Longs[i]*86400, 0).UTC()
		if t.Year() < 0 || t.Year() > 9999 {
			return item.S, dst, fault.New(fault.User, "day %d is beyond the years 0 to 9999", v.Longs[i])
		}
		return item.S, t.AppendFormat(dst, time.DateOnly), nil
	}
}

func timestampScalar(digits int, utc bool, epoch string) scalar {
	unit := int64(math.Pow10(digits))
	return func(dst []byte, v *column.Vector, i int) (item.Type, []byte, error) {
		x := v.Longs[i]
		if epoch != "" {
			return item.N, appendScaled(dst, big.NewInt(x), digits-digitsOf[epoch]), nil
		}
		seconds, rest := x/unit, x%unit
		return timeText(dst, time.Unix(seconds, rest*(1e9/unit)), digits, utc)
	}
}

func timeText(dst []byte, t time.Time, digits int, utc bool) (item.Type, []byte, error) {
	t = t.UTC()
	if t.Year() < 0 || t.Year() > 9999 {
		return item.S, dst, fault.New(fault.User, "timestamp is beyond the years 0 to 9999")
	}
	layout := "2006-01-02T15:04:05.000000000"
	layout = layout[:len(layout)-9+digits]
	if utc {
		layout += "Z"
	}
	return item.S, t.AppendFormat(dst, layout), nil
}

// clockScalar is TIME: a time of the day without a date.
func clockScalar(digits int) scalar {
	unit := int64(math.Pow10(digits))
	return func(dst []byte, v *column.Vector, i int) (item.Type, []byte, error) {
		x := v.Longs[i]
		if x < 0 || x > 86400*unit {
			return item.S, dst, fault.New(fault.User, "time of day %d is beyond a day", x)
		}
		layout := "15:04:05.000000000"
		return item.S, time.Unix(x/unit, x%unit*(1e9/unit)).UTC().AppendFormat(dst, layout[:len(layout)-9+digits]), nil
	}
}
