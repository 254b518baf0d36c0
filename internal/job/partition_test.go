package job

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/dataset"
)

func TestParsePartition(t *testing.T) {
	at := func(name, of, part string) PartitionColumn { return PartitionColumn{name, of, part} }
	for _, c := range []struct {
		text string
		want []PartitionColumn
	}{
		{"region", []PartitionColumn{at("region", "region", "")}},
		{"year,month,day of created_at, region", []PartitionColumn{at("year", "created_at", "year"), at("month", "created_at", "month"), at("day", "created_at", "day"), at("region", "region", "")}},
		{"year,month,day", []PartitionColumn{at("year", "year", ""), at("month", "month", ""), at("day", "day", "")}},
		{"year, region, month of t", []PartitionColumn{at("year", "year", ""), at("region", "region", ""), at("month", "t", "month")}},
		{"date of created_at,hour of created_at", []PartitionColumn{at("date", "created_at", "date"), at("hour", "created_at", "hour")}},
	} {
		got, err := ParsePartition(c.text)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %v, %v", c.text, got, err)
		}
	}
	for _, bad := range []string{"", "a,,b", "week of t", "region,Region", "a of b of c"} {
		if got, err := ParsePartition(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

// Times of every form people store fall into the partition of their moment in UTC; what is none has no partition.
func TestTimePartitions(t *testing.T) {
	columns, err := ParsePartition("year,month,day,hour,date of t")
	if err != nil {
		t.Fatal(err)
	}
	const moment = "year=2026/month=01/day=02/hour=03/date=2026-01-02"
	null := strings.NewReplacer("2026-01-02", "N", "2026", "N", "01", "N", "02", "N", "03", "N").Replace(moment)
	null = strings.ReplaceAll(null, "=N", "="+dataset.NullPartition)
	for value, want := range map[string]string{
		`{"S":"2026-01-02T03:04:05Z"}`:        moment,
		`{"S":"2026-01-02T03:04:05.678901Z"}`: moment,
		`{"S":"2026-01-02 03:04:05"}`:         moment,
		`{"S":"2026-01-02T05:04:05+02:00"}`:   moment,
		`{"N":"1767323045"}`:                  moment,
		`{"N":"1767323045678"}`:               moment,
		`{"N":"1767323045678901"}`:            moment,
		`{"N":"1.767323045E9"}`:               moment,
		`{"N":"1767323045.9"}`:                moment,
		`{"S":"2026-01-02"}`:                  "year=2026/month=01/day=02/hour=00/date=2026-01-02",
		`{"S":"next tuesday"}`:                null,
		`{"S":""}`:                            null,
		`{"N":"1e125"}`:                       null,
		`{"N":"17673230456789012345"}`:        null,
		`{"BOOL":true}`:                       null,
		`{"NULL":true}`:                       null,
		`{"L":[{"S":"2026-01-02"}]}`:          null,
	} {
		b, err := ddbjson.ParseItem([]byte(`{"id":{"S":"x"},"t":` + value + `}`))
		if err != nil {
			t.Fatal(value, err)
		}
		route, err := (&router{columns: columns}).routeOf(b)
		if err != nil || strings.Join(route.Segments, "/") != want || len(route.Constants) != 0 {
			t.Errorf("%s: %v, constants %s, %v; want %s", value, route.Segments, route.Constants, err, want)
		}
	}
}

// Values that share a folder but are not equal never share a file: their exact form is the file's constant.
func TestAttributePartitions(t *testing.T) {
	columns, err := ParsePartition("p")
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{}
	for _, value := range []string{`{"S":"1"}`, `{"N":"1"}`, `{"N":"1.0"}`, `{"S":""}`, `{"NULL":true}`, ``, `{"BOOL":true}`, `{"S":"true"}`, `{"L":[]}`, `{"S":"__HIVE_DEFAULT_PARTITION__"}`,
		fmt.Sprintf(`{"S":%q}`, strings.Repeat("é/", 600)), fmt.Sprintf(`{"S":%q}`, strings.Repeat("é/", 601))} {
		raw := `{"id":{"S":"x"}}`
		if value != "" {
			raw = `{"id":{"S":"x"},"p":` + value + `}`
		}
		it, err := ddbjson.ParseItem([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		route, err := (&router{columns: columns}).routeOf(it)
		if err != nil {
			t.Fatal(err)
		}
		if len(route.Segments[0]) > dataset.SegmentBytesMax {
			t.Errorf("a segment of %d bytes", len(route.Segments[0]))
		}
		same := value
		if value == `{"N":"1.0"}` {
			same = `{"N":"1"}`
		}
		if value == `{"L":[]}` {
			same = "" // stays in the file: no constant
		}
		if before, ok := keys[route.Key]; ok && before != same {
			t.Errorf("%s and %s share a file", before, value)
		}
		keys[route.Key] = same
	}
}
