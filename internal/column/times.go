package column

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"dynaferry/internal/item"
)

// The named formats of Date and Timestamp columns. Any other format is a layout in the notation of Go's package time,
// for instance "02/01/2006"; it is read in UTC where it has no zone.
const (
	FormatISO     = "iso"      // S: 2006-01-02 for Date, 2006-01-02T15:04:05Z for Timestamp
	FormatISOms   = "iso-ms"   // S: 2006-01-02T15:04:05.000Z
	FormatISOus   = "iso-us"   // S: 2006-01-02T15:04:05.000000Z
	FormatEpochS  = "epoch-s"  // N: seconds since 1970-01-01 UTC, up to 6 decimals
	FormatEpochMs = "epoch-ms" // N: milliseconds, up to 3 decimals
	FormatEpochUs = "epoch-us" // N: microseconds
)

// formats are the names that are no layouts.
var formats = []string{FormatISO, FormatISOms, FormatISOus, FormatEpochS, FormatEpochMs, FormatEpochUs}

// Formats returns the named formats of Date and Timestamp columns.
func Formats() []string { return slices.Clone(formats) }

const microsPerDay = 24 * 60 * 60 * 1_000_000

// layoutOf returns the layout of a text format.
func layoutOf(f *Field) string {
	switch {
	case f.Format == FormatISO && f.Kind == Date:
		return time.DateOnly
	case f.Format == FormatISO:
		return "2006-01-02T15:04:05Z"
	case f.Format == FormatISOms:
		return "2006-01-02T15:04:05.000Z"
	case f.Format == FormatISOus:
		return "2006-01-02T15:04:05.000000Z"
	}
	return f.Format
}

// epochDecimals is the number of decimals that turn an epoch number into microseconds.
func epochDecimals(format string) (int, bool) {
	switch format {
	case FormatEpochS:
		return 6, true
	case FormatEpochMs:
		return 3, true
	case FormatEpochUs:
		return 0, true
	}
	return 0, false
}

// floorDiv divides rounding down.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// moment is how well a text or number became a column's value.
type moment uint8

const (
	noMoment moment = iota // none
	near                   // the value is the nearest; its text does not restore from it
	exact
)

// parseMoment reads the text of an S, or the normal form of an N, as the field's date or timestamp.
func parseMoment(f *Field, text []byte) (int64, moment) {
	if f.Type == item.N {
		return parseEpoch(f, text)
	}
	micros, ok := parseISO(f, text)
	if !ok {
		t, err := time.Parse(layoutOf(f), string(text))
		if err != nil {
			if t, err = time.Parse(time.RFC3339Nano, string(text)); err != nil || !strings.HasPrefix(f.Format, FormatISO) {
				return 0, noMoment
			}
		}
		micros = t.UnixMicro()
	}
	v := micros
	if f.Kind == Date {
		v = floorDiv(micros, microsPerDay)
	}
	var space [64]byte
	if !ok && string(appendMoment(space[:0], f, v)) != string(text) {
		return v, near
	}
	return v, exact
}

// parseISO reads the two plain layouts without package time; ok is false for whatever is not exactly in one of them.
func parseISO(f *Field, text []byte) (micros int64, ok bool) {
	if f.Format != FormatISO || len(text) < 10 || text[4] != '-' || text[7] != '-' {
		return 0, false
	}
	year, ok1 := digitsOf(text[0:4])
	month, ok2 := digitsOf(text[5:7])
	day, ok3 := digitsOf(text[8:10])
	if !ok1 || !ok2 || !ok3 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return 0, false
	}
	micros = daysOf(year, month, day) * microsPerDay
	if f.Kind == Date {
		return micros, len(text) == 10
	}
	if len(text) != 20 || text[10] != 'T' || text[13] != ':' || text[16] != ':' || text[19] != 'Z' {
		return 0, false
	}
	hour, ok1 := digitsOf(text[11:13])
	minute, ok2 := digitsOf(text[14:16])
	second, ok3 := digitsOf(text[17:19])
	if !ok1 || !ok2 || !ok3 || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	return micros + ((hour*60+minute)*60+second)*1_000_000, true
}

func digitsOf(text []byte) (v int64, ok bool) {
	for _, c := range text {
		if c-'0' > 9 {
			return 0, false
		}
		v = v*10 + int64(c-'0')
	}
	return v, true
}

func daysIn(year, month int64) int64 {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// daysOf counts days since 1970-01-01 in the proleptic Gregorian calendar, years counted from March so that the leap
// day comes last.
func daysOf(year, month, day int64) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := floorDiv(year, 400)
	of := year - era*400
	return era*146097 + of*365 + of/4 - of/100 + (153*(month-3)+2)/5 + day - 1 - 719468
}

// parseEpoch reads a number of seconds, milliseconds or microseconds.
func parseEpoch(f *Field, text []byte) (int64, moment) {
	decimals, _ := epochDecimals(f.Format)
	how := exact
	if d, err := item.ParseDecimal(text); err != nil {
		return 0, noMoment
	} else if int(d.Exp)+decimals < 0 && d.Digits > 0 {
		how = near
	}
	d, _ := item.ParseDecimal(cutDecimals(text, decimals))
	d.Exp += int16(decimals)
	micros, ok := d.Int()
	if !ok {
		return 0, noMoment
	}
	if f.Kind == Timestamp {
		return micros, how
	}
	days := floorDiv(micros, microsPerDay)
	if days*microsPerDay != micros {
		how = near
	}
	return days, how
}

// cutDecimals cuts a normal form behind n decimals, toward zero.
func cutDecimals(text []byte, n int) []byte {
	for i, c := range text {
		if c == '.' && len(text)-i-1 > n {
			if n == 0 {
				return text[:i]
			}
			return text[:i+1+n]
		}
	}
	return text
}

// appendMoment appends the text of an S or of an N (not in normal form) that a date or timestamp restores to.
func appendMoment(dst []byte, f *Field, v int64) []byte {
	micros := v
	if f.Kind == Date && f.Type != item.N {
		return time.Unix(v*(24*60*60), 0).UTC().AppendFormat(dst, layoutOf(f))
	}
	if f.Type != item.N {
		return time.UnixMicro(micros).UTC().AppendFormat(dst, layoutOf(f))
	}
	decimals, _ := epochDecimals(f.Format)
	if f.Kind == Date {
		dst = strconv.AppendInt(dst, v*(24*60*60), 10)
		return append(dst, "000000"[:6-decimals]...)
	}
	dst = strconv.AppendInt(dst, micros, 10)
	if decimals > 0 {
		dst = append(dst, 'e', '-', byte('0'+decimals))
	}
	return dst
}
