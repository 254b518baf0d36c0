package delivery

import (
	"strings"
	"testing"
	"time"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/fault"
)

// at is the time of all expressions below: a Wednesday before midnight, with a fraction.
var at = time.Date(2026, 11, 25, 23, 4, 5, 678901000, time.UTC)

// TestTimePatterns: Java's DateTimeFormatter, as its documentation says, in the locale ROOT.
func TestTimePatterns(t *testing.T) {
	for pattern, want := range map[string]string{
		"yyyy/MM/dd/HH": "2026/11/25/23", "yyyy": "2026", "yy": "26", "y": "2026", "uuuu": "2026", "M": "11", "MMM": "Nov", "MMMM": "November",
		"MMMMM": "N", "LLL": "Nov", "d": "25", "D": "329", "DDD": "329", "E": "Wed", "EEEE": "Wednesday", "EEEEE": "W", "Q": "4", "QQ": "04",
		"H": "23", "k": "23", "K": "11", "KK": "11", "h": "11", "hh a": "11 PM", "m": "4", "mm": "04", "s": "5", "ss": "05",
		"S": "6", "SSS": "678", "SSSSSSSSS": "678901000", "A": "83045678", "n": "678901000", "X": "Z", "XXX": "Z", "x": "+00", "xxx": "+00:00", "Z": "+0000",
		"VV": "UTC", "z": "UTC", "yyyy'T'HH": "2026T23", "''yyyy''": "'2026'", "'it''s' d": "it's 25", "'year='yyyy/'month='MM": "year=2026/month=11",
		"yyyy-MM-dd_HH.mm": "2026-11-25_23.04", "yyyyy": "02026",
	} {
		fields, err := parseTimePattern(pattern)
		if err != nil {
			t.Errorf("%q: %v", pattern, err)
			continue
		}
		var got strings.Builder
		for _, f := range fields {
			got.WriteString(f.text(at))
		}
		if got.String() != want {
			t.Errorf("%q is %q, want %q", pattern, got.String(), want)
		}
	}
	midnight := time.Date(2026, 1, 2, 0, 0, 0, 0, time.FixedZone("", 5*3600+1800))
	for pattern, want := range map[string]string{"k": "24", "h": "12", "K": "0", "a": "AM", "X": "+0530", "x": "+0530", "XX": "+0530", "Q": "1", "D": "2", "DDD": "002"} {
		fields, err := parseTimePattern(pattern)
		if err != nil || fields[0].text(midnight) != want {
			t.Errorf("%q at midnight: %v, want %q", pattern, err, want)
		}
	}
	for pattern, part := range map[string]string{"YYYY": "use yyyy", "ww": "weeks begin", "e": "weeks begin", "": "empty", "'open": "not closed", "b": "unknown pattern letter",
		"MMMMMM": "too many", "ddd": "too many", "HHH": "too many", "{yyyy}": "single quotes", "SSSSSSSSSS": "too many", "QQQ": "quarters"} {
		if _, err := parseTimePattern(pattern); fault.KindOf(err) != fault.User || !strings.Contains(err.Error()+fault.HintOf(err), part) {
			t.Errorf("%q: %v (%s)", pattern, err, fault.HintOf(err))
		}
	}
}

// TestTimesWithinAStepAreOne: what is kept from one record to the next is right also where zones turn at half hours.
func TestTimesWithinAStepAreOne(t *testing.T) {
	for _, zone := range []string{"UTC", "Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns", "Australia/Lord_Howe"} {
		_, p, err := Settings{Prefix: "!{timestamp:yyyy/MM/dd/HH}/", TimeZone: zone}.filled()
		must(t, err)
		last, lastStep := "", int64(-1)
		for micros := at.UnixMicro(); micros < at.Add(26*time.Hour).UnixMicro(); micros += 13 * 60e6 {
			now := p.render(p.data, subject{micros: micros})
			if step := micros * 1000 / p.step; step == lastStep && now != last {
				t.Errorf("%s: %s becomes %s within a step", zone, last, now)
			} else {
				last, lastStep = now, step
			}
		}
	}
}

// TestPrefixes: Firehose's expressions, and what is ours about them.
func TestPrefixes(t *testing.T) {
	keys := []PartitionKey{{"city", []string{"address", "city"}}, {"n", []string{"n"}}}
	for _, c := range []struct {
		prefix, zone, item, want string
	}{
		{"", "", `{}`, ""},
		{"logs/", "", `{}`, "logs/2026/11/25/23/"},
		{"logs", "", `{}`, "logs2026/11/25/23/"},
		{"logs/!{timestamp:yyyy}/", "", `{}`, "logs/2026/"},
		{"!{timestamp:yyyy/MM/dd/HH}/", "Europe/Berlin", `{}`, "2026/11/26/00/"},
		{"!{timestamp:'y='yyyy}/", "Asia/Kolkata", `{}`, "y=2026/"},
		{"city=!{partitionKeyFromQuery:city}/n=!{partitionKeyFromQuery:n}/!{timestamp:MM}/", "", `{"address":{"M":{"city":{"S":"Bergen"}}},"n":{"N":"1.50"}}`, "city=Bergen/n=1.5/11/"},
		{"!{partitionKeyFromQuery:city}/!{partitionKeyFromQuery:n}/!{timestamp:MM}/", "", `{"address":{"M":{"city":{"S":"a/b=c.."}}},"n":{"BOOL":true}}`, "a%2Fb%3Dc../true/11/"},
		{"!{partitionKeyFromQuery:city}/!{partitionKeyFromQuery:n}/!{timestamp:MM}/", "", `{"address":{"S":"none"},"n":{"L":[]}}`,
			"__HIVE_DEFAULT_PARTITION__/__HIVE_DEFAULT_PARTITION__/11/"},
	} {
		s := Settings{Prefix: c.prefix, TimeZone: c.zone}
		if strings.Contains(c.prefix, "Query") {
			s.Partition = keys
		}
		_, p, err := s.filled()
		must(t, err)
		it, err := ddbjson.ParseItem([]byte(c.item))
		must(t, err)
		values := []string{keyValue(it, keys[0].Path), keyValue(it, keys[1].Path)}
		if got := p.render(p.data, subject{micros: at.UnixMicro(), values: values}); got != c.want {
			t.Errorf("%q is %q, want %q", c.prefix, got, c.want)
		}
	}
	long, err := ddbjson.ParseItem([]byte(`{"a":{"S":"` + strings.Repeat("ü/", 300) + `"}}`))
	must(t, err)
	if v := keyValue(long, []string{"a"}); len(v) > valueBytesMax || strings.Contains(v, "/") {
		t.Errorf("a long value is %q", v)
	}
}

// TestWrongSettings: each is refused before anything is touched, with what to do.
func TestWrongSettings(t *testing.T) {
	key := []PartitionKey{{"k", []string{"a"}}}
	for part, s := range map[string]Settings{
		"is no expression":               {Prefix: "!{timestamp}"},
		"unknown expression":             {Prefix: "!{kinesis:x}"},
		"let a step set an attribute":    {Prefix: "!{partitionKeyFromLambda:k}"},
		"no --partition-key is called x": {Prefix: "!{partitionKeyFromQuery:x}", Partition: key},
		"of --error-prefix alone":        {Prefix: "!{firehose:error-output-type}"},
		"of --prefix alone":              {ErrorPrefix: "!{partitionKeyFromQuery:k}", Partition: key, Prefix: "!{partitionKeyFromQuery:k}"},
		"is not in --prefix":             {Partition: key},
		"and not !{firehose:error-":      {ErrorPrefix: "errors/!{timestamp:yyyy}"},
		"unknown time zone":              {TimeZone: "Mars"},
		"begins with a point":            {Extension: "gz"},
		"control characters":             {Prefix: "a\x01b"},
		"unknown form":                   {Form: "orc"},
		"unknown images":                 {Images: "old"},
		"not compressed":                 {Form: JSON, Compression: "snappy"},
		"a buffer of":                    {BufferBytes: 1 << 40},
		"the name":                       {Name: "a/b"},
		"partition time":                 {Clock: "wall"},
		"at most 1024":                   {Prefix: strings.Repeat("x", 1025)},
	} {
		if _, _, err := s.filled(); fault.KindOf(err) != fault.User || !strings.Contains(err.Error()+fault.HintOf(err), part) {
			t.Errorf("%+v: %v (%s), want %q", s, err, fault.HintOf(err), part)
		}
	}
	for text, want := range map[string]int{"city=address.city": 2, "city": 1} {
		if k, err := ParsePartitionKey(text); err != nil || k.Name != "city" || len(k.Path) != want {
			t.Errorf("%q: %+v, %v", text, k, err)
		}
	}
	for _, text := range []string{"", "=a", "a=", "a=b..c"} {
		if _, err := ParsePartitionKey(text); fault.KindOf(err) != fault.User {
			t.Errorf("%q: %v", text, err)
		}
	}
}
