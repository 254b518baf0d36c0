package ddbjson

import (
	"math/bits"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// creationMicros reads an ApproximateCreationDateTime as µs since 1970: 1464804310 or 1.46480431E9 of DynamoDB Streams, 13 or
// 16 digits of Kinesis. The unit is what precision says, else what the magnitude tells: seconds up to the year 5138, ms
// and µs from 1973 on. Below a µs it is cut.
func creationMicros(text, precision []byte) (int64, error) {
	d, ok := wholeNumber(text)
	if !ok {
		var err error
		if d, err = item.ParseDecimal(text); err != nil {
			return 0, fault.New(fault.Corrupt, "ApproximateCreationDateTime %.60q: %w", text, err)
		}
	}
	whole, ok := scaled(d, 0)
	scale := 0
	switch {
	case string(precision) == "MICROSECOND":
	case string(precision) == "MILLISECOND":
		scale = 3
	case whole < 1e11:
		scale = 6
	case whole < 1e14:
		scale = 3
	}
	micros, fits := scaled(d, scale)
	if !ok || !fits {
		return 0, fault.New(fault.Corrupt, "ApproximateCreationDateTime %.60q is no time", text)
	}
	return micros, nil
}

// wholeNumber is the common case of item.ParseDecimal.
func wholeNumber(text []byte) (d item.Decimal, ok bool) {
	if len(text) == 0 || len(text) > 18 {
		return d, false
	}
	for _, c := range text {
		if c-'0' > 9 {
			return d, false
		}
		d.Lo = d.Lo*10 + uint64(c-'0')
	}
	return d, true
}

// scaled is d times 10 to the power of scale, without its fraction; ok is false of what is negative or above 63 bits.
func scaled(d item.Decimal, scale int) (n int64, ok bool) {
	hi, lo := d.Hi, d.Lo
	exp := int(d.Exp) + scale
	for ; exp < 0 && hi|lo != 0; exp++ {
		var rem uint64
		hi, rem = hi/10, hi%10
		lo, _ = bits.Div64(rem, lo, 10)
	}
	for ; exp > 0 && hi == 0 && lo != 0; exp-- {
		hi, lo = bits.Mul64(lo, 10)
	}
	return int64(lo), !d.Neg && hi == 0 && lo>>63 == 0
}
