package delivery

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"dynaferry/internal/fault"
)

// timeField is one field of a pattern of Java's DateTimeFormatter, which is what Firehose's timestamps are written in.
type timeField struct {
	text func(time.Time) string
	step int64 // ns: within a multiple of it the text does not change
}

// quarter is within what no hour, day or year turns: zones are apart from UTC by quarters of an hour.
const quarter = 15 * time.Minute

// parseTimePattern reads a pattern of Java's DateTimeFormatter (Java SE, java.time.format.DateTimeFormatter, "Patterns for
// Formatting and Parsing"), in the locale ROOT, whose names of months and days are English. Fields that depend on a locale's
// weeks are refused by name.
func parseTimePattern(pattern string) ([]timeField, error) {
	var fields []timeField
	literal := func(text string) {
		if text != "" {
			fields = append(fields, timeField{func(time.Time) string { return text }, int64(quarter)})
		}
	}
	if pattern == "" {
		return nil, fault.New(fault.User, "an empty pattern of time")
	}
	for i := 0; i < len(pattern); {
		c := pattern[i]
		switch {
		case c == '\'':
			text, next, ok := quotedText(pattern, i)
			if !ok {
				return nil, fault.New(fault.User, "a quote in the pattern %q is not closed", pattern)
			}
			literal(text)
			i = next
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			n := 1
			for i+n < len(pattern) && pattern[i+n] == c {
				n++
			}
			f, err := javaField(c, n)
			if err != nil {
				return nil, err
			}
			fields = append(fields, f)
			i += n
		case strings.IndexByte("{}[]#", c) >= 0:
			return nil, fault.New(fault.User, "%q in the pattern %q: put it in single quotes", c, pattern)
		default:
			literal(string(c))
			i++
		}
	}
	return fields, nil
}

// quotedText reads 'text' at i, in which two quotes are one; two quotes by themselves are one too.
func quotedText(pattern string, i int) (text string, next int, ok bool) {
	if strings.HasPrefix(pattern[i:], "''") {
		return "'", i + 2, true
	}
	var b strings.Builder
	for i++; i < len(pattern); i++ {
		if pattern[i] != '\'' {
			b.WriteByte(pattern[i])
		} else if strings.HasPrefix(pattern[i:], "''") {
			b.WriteByte('\'')
			i++
		} else {
			return b.String(), i + 1, true
		}
	}
	return "", 0, false
}

// number is a field of digits, padded with zeros to a width.
func number(width int, step time.Duration, of func(time.Time) int) timeField {
	return timeField{func(t time.Time) string { return fmt.Sprintf("%0*d", width, of(t)) }, int64(step)}
}

func layout(text string) timeField {
	return timeField{func(t time.Time) string { return t.Format(text) }, int64(quarter)}
}

func javaField(c byte, n int) (timeField, error) {
	const day = quarter
	tooMany := func() (timeField, error) {
		return timeField{}, fault.New(fault.User, "too many pattern letters: %s", strings.Repeat(string(c), n))
	}
	one := func(most int, step time.Duration, of func(time.Time) int) (timeField, error) {
		if n > most {
			return tooMany()
		}
		return number(n, step, of), nil
	}
	hour := func(t time.Time) int { return t.Hour() }
	switch c {
	case 'y', 'u':
		if n == 2 {
			return number(2, day, func(t time.Time) int { return t.Year() % 100 }), nil
		}
		return number(n, day, time.Time.Year), nil
	case 'M', 'L':
		return textField(c, n, func(t time.Time) int { return int(t.Month()) }, "Jan", "January")
	case 'E':
		switch {
		case n <= 3:
			return layout("Mon"), nil
		case n == 4:
			return layout("Monday"), nil
		case n == 5:
			return timeField{func(t time.Time) string { return t.Weekday().String()[:1] }, int64(day)}, nil
		}
		return tooMany()
	case 'Q', 'q':
		if n > 2 {
			return timeField{}, fault.New(fault.User, "quarters are written Q or QQ, not %s", strings.Repeat(string(c), n))
		}
		return number(n, day, func(t time.Time) int { return (int(t.Month()) + 2) / 3 }), nil
	case 'd':
		return one(2, day, time.Time.Day)
	case 'D':
		return one(3, day, time.Time.YearDay)
	case 'H':
		return one(2, quarter, hour)
	case 'k':
		return one(2, quarter, func(t time.Time) int { return (t.Hour()+23)%24 + 1 })
	case 'K':
		return one(2, quarter, func(t time.Time) int { return t.Hour() % 12 })
	case 'h':
		return one(2, quarter, func(t time.Time) int { return (t.Hour()+11)%12 + 1 })
	case 'a':
		if n > 1 {
			return tooMany()
		}
		return layout("PM"), nil
	case 'm':
		return one(2, time.Minute, time.Time.Minute)
	case 's':
		return one(2, time.Second, time.Time.Second)
	case 'S':
		if n > 9 {
			return tooMany()
		}
		return timeField{func(t time.Time) string { return fmt.Sprintf("%09d", t.Nanosecond())[:n] }, 1}, nil
	case 'A':
		return number(n, time.Millisecond, func(t time.Time) int {
			return ((t.Hour()*60+t.Minute())*60+t.Second())*1000 + t.Nanosecond()/1e6
		}), nil
	case 'n':
		return number(n, 1, time.Time.Nanosecond), nil
	}
	return zoneField(c, n)
}

func textField(c byte, n int, of func(time.Time) int, short, full string) (timeField, error) {
	switch n {
	case 1, 2:
		return number(n, quarter, of), nil
	case 3:
		return layout(short), nil
	case 4:
		return layout(full), nil
	case 5:
		return timeField{func(t time.Time) string { return t.Month().String()[:1] }, int64(quarter)}, nil
	}
	return timeField{}, fault.New(fault.User, "too many pattern letters: %s", strings.Repeat(string(c), n))
}

// zoneField is a field that tells the zone.
func zoneField(c byte, n int) (timeField, error) {
	text := strings.Repeat(string(c), n)
	switch text {
	case "VV":
		return timeField{func(t time.Time) string { return t.Location().String() }, int64(quarter)}, nil
	case "z", "zz", "zzz":
		return layout("MST"), nil
	case "X":
		return withMinutes("Z07", "Z0700"), nil
	case "XX":
		return layout("Z0700"), nil
	case "XXX":
		return layout("Z07:00"), nil
	case "x":
		return withMinutes("-07", "-0700"), nil
	case "xx", "Z", "ZZ", "ZZZ":
		return layout("-0700"), nil
	case "xxx":
		return layout("-07:00"), nil
	}
	switch c {
	case 'Y':
		return timeField{}, fault.Hint(fault.New(fault.User, "%s is the year of a locale's week", text), "use %s, the year", strings.Repeat("y", n))
	case 'w', 'W', 'e', 'c', 'F':
		return timeField{}, fault.Hint(fault.New(fault.User, "%s depends on where a locale's weeks begin", text), "use D, the day of the year, or E, the day of the week")
	}
	return timeField{}, fault.New(fault.User, "unknown pattern letter in %s; letters stand in single quotes where they are meant as text", strconv.Quote(text))
}

// withMinutes tells minutes of an offset where there are any.
func withMinutes(hours, minutes string) timeField {
	return timeField{func(t time.Time) string {
		if _, offset := t.Zone(); offset%3600 != 0 {
			return t.Format(minutes)
		}
		return t.Format(hours)
	}, int64(quarter)}
}
