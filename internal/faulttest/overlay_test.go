package faulttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/codec/ion"
	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
	"dynaferry/internal/manifest"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// past is a table's history: for each key, what it was from which second on; "" when it was not there.
type past struct {
	random *rand.Rand
	keys   []string // as DynamoDB JSON members, each in one spelling of several
	at     map[string][]moment
	end    int               // seconds
	seen   map[string]string // what the base has of each key
	told   map[string]bool   // which keys have a record in any window
}

type moment struct {
	second int
	item   string
}

// newPast draws a history of n keys over some thousand seconds.
func newPast(random *rand.Rand, n int) *past {
	p := &past{random: random, at: map[string][]moment{}, end: 4000}
	for i := range n {
		key := fmt.Sprintf(`"pk":{"S":"k-%d"},"sk":{"N":"%d"}`, i, i)
		p.keys = append(p.keys, key)
		second, there := 0, false
		for version := 0; second < p.end; version++ {
			if there = random.IntN(4) > 0 || !there && random.IntN(2) > 0; there {
				p.at[key] = append(p.at[key], moment{second, p.item(key, i, version)})
			} else {
				p.at[key] = append(p.at[key], moment{second, ""})
			}
			second += 1 + random.IntN(1+random.IntN(2*p.end))
		}
	}
	return p
}

// item draws a version of an item; its key may be spelt another way.
func (p *past) item(key string, i, version int) string {
	if p.random.IntN(3) == 0 {
		key = strings.Replace(key, fmt.Sprintf(`"N":"%d"`, i), fmt.Sprintf(`"N":"%d.0"`, i), 1)
	}
	extra := itemtest.AppendArbitrary(nil, uint64(i), uint64(version), true)
	extra = bytes.ReplaceAll(extra, []byte(`"pk":`), []byte(`"was pk":`))
	raw := fmt.Sprintf(`{%s,"region":{"S":"r%d"},"v":{"N":"%d"},%s`, key, (i+version)%3, version, extra[1:])
	if it, err := ddbjson.ParseItem([]byte(raw)); err == nil && item.Validate(it, &pastKeys) == nil && !strings.Contains(raw, `"":{`) {
		return raw
	}
	return p.item(key, i, version+1_000_000) // what no table takes
}

var pastKeys = item.KeySchema{Hash: item.KeyAttr{Name: "pk", Type: item.S}, Range: item.KeyAttr{Name: "sk", Type: item.N}}

// state is what a key was when a second had passed.
func (p *past) state(key string, second int) string {
	now := ""
	for _, m := range p.at[key] {
		if m.second < second {
			now = m.item
		}
	}
	return now
}

// items is the table at a second; of a scan each item is of some second between two.
func (p *past) items(from, to int) []string {
	var all []string
	p.seen = map[string]string{}
	for _, key := range p.keys {
		if it := p.state(key, from+p.random.IntN(to-from+1)); it != "" {
			all = append(all, `{"Item":`+it+`}`)
			p.seen[key] = it
		}
	}
	p.random.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
	return all
}

// changes are the records of a window.
func (p *past) changes(from, to int, old bool) []string {
	var all []string
	for _, key := range p.keys {
		written := slices.ContainsFunc(p.at[key], func(m moment) bool { return from <= m.second && m.second < to })
		before, after := p.state(key, from), p.state(key, to)
		if !written || before == "" && after == "" {
			continue
		}
		p.told[key] = true
		record := fmt.Sprintf(`{"Metadata":{"WriteTimestampMicros":{"N":"%d"}},"Keys":{%s}`, second(to-1).UnixMicro(), key)
		if old && before != "" {
			record += `,"OldImage":` + before
		}
		if after != "" {
			record += `,"NewImage":` + after
		}
		all = append(all, record+"}")
	}
	p.random.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
	return all
}

func second(n int) time.Time { return time.Date(2024, 3, 1, 0, 0, n, 0, time.UTC) }

// asIon turns records of DynamoDB JSON into Ion.
func asIon(t *testing.T, records []string) []string {
	image := func(raw json.RawMessage) string {
		it, err := ddbjson.ParseItem(raw)
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		b := item.Batch{Src: it.Src, Tape: it.Tape, Rows: []item.Row{{}}}
		var out bytes.Buffer
		w := ion.NewWriter(&out, ion.WriterOptions{})
		if err := w.Write(&b); err == nil {
			err = w.Close()
		}
		text := strings.TrimSpace(out.String())
		return strings.TrimSuffix(strings.TrimPrefix(text, "$ion_1_0 {Item:"), "}")
	}
	for i, record := range records {
		var members map[string]json.RawMessage
		if err := json.Unmarshal([]byte(record), &members); err != nil {
			t.Fatal(err)
		}
		text := "$ion_1_0 {Record:{Metadata:{WriteTimestampMicros:1684374845117899.}"
		for _, name := range slices.Sorted(maps.Keys(members)) {
			if name != "Metadata" {
				text += "," + name + ":" + image(members[name])
			}
		}
		records[i] = text + "}}"
	}
	return records
}

// exportInto writes an export as the service does: several files, those of incremental ones in the folder that all share.
func exportInto(t *testing.T, random *rand.Rand, root, id string, s manifest.Summary, records []string) string {
	t.Helper()
	dir := filepath.Join(root, "AWSDynamoDB", id)
	data, key := filepath.Join(dir, "data"), "some/where/AWSDynamoDB/"+id+"/data/"
	if s.Incremental() {
		data, key = filepath.Join(root, "AWSDynamoDB", "data"), "some/where/AWSDynamoDB/data/"
	}
	var list []manifest.File
	for n := 0; n == 0 || len(records) > 0; n++ {
		take := random.IntN(len(records) + 1)
		if n == 5 {
			take = len(records)
		}
		name := fmt.Sprintf("%s-%d.gz", id, n)
		body := zipped([]byte(strings.Join(append(records[:take:take], ""), "\n")))
		write(t, filepath.Join(data, name), body)
		list = append(list, manifest.File{ItemCount: int64(take), MD5: manifest.MD5(body), ETag: "x-1", Key: key + name})
		records = records[take:]
	}
	writeManifests(t, dir, id, s, list)
	return dir
}

func writeManifests(t *testing.T, dir, id string, s manifest.Summary, list []manifest.File) {
	t.Helper()
	s.TableARN, s.TableID, s.ManifestFilesS3Key = "arn:aws:dynamodb:us-east-1:123456789012:table/T", "12345a12-abcd-123a-ab12-1234abc12345",
		"some/where/AWSDynamoDB/"+id+"/manifest-files.json"
	for _, f := range list {
		s.ItemCount += f.ItemCount
	}
	files, err := manifest.AppendFiles(nil, list)
	if err != nil {
		t.Fatal(err)
	}
	summary, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{"manifest-files.json": files, "manifest-files.md5": []byte(manifest.MD5(files)),
		"manifest-summary.json": summary, "manifest-summary.md5": []byte(manifest.MD5(summary))} {
		write(t, filepath.Join(dir, name), body)
	}
}

// windowsInto writes the incremental exports between cuts below one root, and returns their folders.
func (p *past) windowsInto(t *testing.T, root string, cuts []int) []string {
	var dirs []string
	p.told = map[string]bool{}
	for i := range cuts[1:] {
		view := []string{"NEW_AND_OLD_IMAGES", "NEW_IMAGE"}[p.random.IntN(2)]
		s := manifest.Summary{Version: manifest.IncrementalVersion, ExportType: "INCREMENTAL_EXPORT", OutputView: view, OutputFormat: "DYNAMODB_JSON",
			ExportFromTime: second(cuts[i]).Format(manifest.TimeLayout), ExportToTime: second(cuts[i+1]).Format(manifest.TimeLayout)}
		records := p.changes(cuts[i], cuts[i+1], view == "NEW_AND_OLD_IMAGES")
		if p.random.IntN(2) == 0 {
			s.OutputFormat, records = "ION", asIon(t, records)
		}
		dirs = append(dirs, exportInto(t, p.random, root, fmt.Sprintf("%014d-0000000%d", cuts[i], i%10), s, records))
	}
	return dirs
}

// baseInto writes a full export of a moment, or a scan-made one of several.
func (p *past) baseInto(t *testing.T, root string, from, to int) string {
	s := manifest.Summary{Version: manifest.FullVersion, OutputFormat: "DYNAMODB_JSON", ExportTime: second(from).Format(manifest.TimeLayout)}
	if from < to {
		s.Scan = &manifest.ScanTimes{Start: s.ExportTime, End: second(to).Format(manifest.TimeLayout)}
	}
	return exportInto(t, p.random, root, "01709251200000-ba5eba5e", s, p.items(from, to))
}

// print is the fingerprint of the table at a second. Of what was made and deleted within one window nothing tells: what a
// scan saw of that stays, and ghosts counts it.
func (p *past) print(t *testing.T, second int) (sum item.Fingerprint, ghosts int) {
	var hasher item.Hasher
	for _, key := range p.keys {
		raw := p.state(key, second)
		if !p.told[key] && raw != p.seen[key] {
			raw = p.seen[key]
			ghosts++
		}
		if raw != "" {
			it, err := ddbjson.ParseItem([]byte(raw))
			if err != nil {
				t.Fatalf("%s: %v", raw, err)
			}
			sum.Add(hasher.Item(it))
		}
	}
	return sum, ghosts
}

// drawCuts draws where windows end. A base of one moment lies at such a place, a scan anywhere in the chain.
func (p *past) drawCuts() (cuts []int, from, to int) {
	cuts = []int{p.random.IntN(p.end / 2)}
	for n := 1 + p.random.IntN(5); len(cuts) <= n; {
		cuts = append(cuts, cuts[len(cuts)-1]+1+p.random.IntN(p.end/4))
	}
	last := cuts[len(cuts)-1]
	if p.random.IntN(3) > 0 {
		from = cuts[p.random.IntN(len(cuts))]
		return cuts, from, from
	}
	from = cuts[0] + p.random.IntN(last-cuts[0])
	return cuts, from, from + 1 + p.random.IntN(last-from)
}

// TestOverlay draws histories, cuts them into windows and files in every way, and wants what convert and import make of
// base and windows to be the table as it was.
func TestOverlay(t *testing.T) {
	endpoint := tables(t)
	seed := uint64(1)
	if long() {
		seed = uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
	}
	w := world.New()
	forms := [][]string{{}, {"--partition", "region"}, {"--format", "dynamodb-json"}, {"--format", "ion"}, {"--format", "csv"}, {"--format", "csv", "--partition", "region"}}
	for n := range count(6, 30, 600) {
		p := newPast(rand.New(rand.NewPCG(seed, uint64(n))), 1+n*7)
		dir := scratch(t)
		cuts, from, to := p.drawCuts()
		base := p.baseInto(t, filepath.Join(dir, "base"), from, to)
		windows := p.windowsInto(t, filepath.Join(dir, "inc"), cuts)
		want, ghosts := p.print(t, cuts[len(cuts)-1])
		if ghosts > 0 && from == to {
			t.Fatalf("history %d: a base at the end of a window has %d ghosts", n, ghosts)
		}
		overlays := []string{"--overlay", filepath.Join(dir, "inc")}
		if p.random.IntN(2) == 0 { // one by one, in any order
			overlays = nil
			for _, i := range p.random.Perm(len(windows)) {
				overlays = append(overlays, "--overlay", windows[i])
			}
		}
		if p.random.IntN(3) == 0 { // through a data set
			must(t, "convert", base, filepath.Join(dir, "set"))
			base = filepath.Join(dir, "set")
		}
		dest := filepath.Join(dir, "dest")
		args := append([]string{"convert", base, dest, "--task-size", []string{"1B", "1GiB"}[p.random.IntN(2)]}, overlays...)
		must(t, append(args, forms[n%len(forms)]...)...)
		if got := printOf(t, w, source.Spec{Address: dest}); got != want {
			t.Fatalf("seed %d, history %d: convert of base %d..%d and windows %v: %s, the table was %s", seed, n, from, to, cuts, got, want)
		}
		table := fmt.Sprintf("dynamodb://Overlay%d?endpoint=%s", n, endpoint)
		state := []string{"--state", filepath.Join(dir, "state"), "--write-units", "unlimited"}
		must(t, append([]string{"import", base, table, "--create", "--key", "pk", "--sort", "sk:N"}, state...)...)
		must(t, append([]string{"import", filepath.Join(dir, "inc"), table, "--overwrite"}, state...)...)
		if got := printOf(t, w, source.Spec{Address: table}); got != want {
			t.Fatalf("seed %d, history %d: import of base %d..%d and windows %v: %s, the table was %s", seed, n, from, to, cuts, got, want)
		}
		once := fmt.Sprintf("dynamodb://Once%d?endpoint=%s", n, endpoint)
		must(t, append(append([]string{"import", base, once, "--create", "--key", "pk", "--sort", "sk:N"}, overlays...), state...)...)
		if got := printOf(t, w, source.Spec{Address: once}); got != want {
			t.Fatalf("seed %d, history %d: import of base %d..%d with windows %v: %s, the table was %s", seed, n, from, to, cuts, got, want)
		}
		verify := append([]string{"verify", base, once, "--state", filepath.Join(dir, "state"), "--key", "pk", "--sort", "sk:N"}, overlays...)
		if o := must(t, verify...); o.number("onlyA")+o.number("onlyB")+o.number("changed") != 0 {
			t.Fatalf("seed %d, history %d: verify of base %d..%d with windows %v: %s", seed, n, from, to, cuts, o)
		}
		verify[2] = base // against what it was before
		if o := inside(nil, verify...); o.code != 4 && (o.code != 0 || o.report["fingerprints"].([]any)[1] != want.String()) {
			t.Fatalf("seed %d, history %d: base and base with windows %v: %s", seed, n, cuts, o)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// overlayScenarios are commands of several rounds over one history, to be killed.
func overlayScenarios(t *testing.T, dir string) []scenario {
	p := newPast(rand.New(rand.NewPCG(7, 7)), 150)
	cuts := []int{1000, 1900, 2500, 3900}
	base := p.baseInto(t, filepath.Join(dir, "base"), 1000, 1000)
	p.windowsInto(t, filepath.Join(dir, "inc"), cuts)
	want, _ := p.print(t, 3900)
	run := func(args ...string) func(place) []string {
		return func(at place) []string {
			return append([]string{args[0], args[1], at.dest, "--workers", "1"}, args[2:]...)
		}
	}
	inc := filepath.Join(dir, "inc")
	return []scenario{
		{name: "convert overlay", suffix: ".parquet", args: run("convert", base, "--overlay", inc, "--task-size", "1B"), points: 30, rows: int(want.Count), want: want},
		{name: "convert overlay partitioned", suffix: ".parquet", points: 20, rows: int(want.Count), want: want,
			args: run("convert", base, "--overlay", inc, "--task-size", "1B", "--partition", "region")},
		{name: "import overlay", points: 20, rows: int(want.Count), want: want, args: func(at place) []string {
			return []string{"import", base, at.dest, "--overlay", inc, "--create", "--key", "pk", "--sort", "sk:N", "--workers", "1", "--write-units", "unlimited", "--state", at.state}
		}},
		{name: "import changes", points: 20, rows: int(want.Count), want: want,
			prepare: func(at place) {
				must(t, "import", base, at.dest, "--create", "--key", "pk", "--sort", "sk:N", "--state", filepath.Join(at.dir, "before"))
			},
			args: func(at place) []string {
				return []string{"import", inc, at.dest, "--workers", "1", "--overwrite", "--write-units", "unlimited", "--state", at.state}
			}},
	}
}
