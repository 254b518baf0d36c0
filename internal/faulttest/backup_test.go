package faulttest

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/backup"
	"dynaferry/internal/blob/folder"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/manifest"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// backupScenarios are a backup by scan, whose catalogue must have it once in the end, and restores of a base and of a chain.
func backupScenarios(t *testing.T, dir string, table func(string) string) []scenario {
	p := newPast(rand.New(rand.NewPCG(11, 11)), 120)
	cuts := []int{1000, 1900, 2500, 3900}
	chain := filepath.Join(dir, "chain")
	p.baseInto(t, filepath.Join(chain, "base"), 1000, 1000)
	p.windowsInto(t, filepath.Join(chain, "inc"), cuts)
	catalogueOf(t, chain)
	want, _ := p.print(t, 3900)
	first, _ := p.print(t, 1000)
	must(t, "restore", chain, table("Kept"), "--write-units", "unlimited", "--read-units", "unlimited", "--state", filepath.Join(dir, "state"))
	restore := func(more ...string) func(place) []string {
		return func(at place) []string {
			return append([]string{"restore", chain, at.dest, "--workers", "1", "--write-units", "unlimited", "--read-units", "unlimited", "--state", at.state}, more...)
		}
	}
	return []scenario{
		{name: "restore", points: 24, rows: int(first.Count), want: first, args: restore("--at", "2024-03-01T00:16:40Z")},
		{name: "restore a chain", points: 28, rows: int(want.Count), want: want, args: restore()},
		{name: "backup", points: 24, rows: int(want.Count), want: want, copies: true, args: func(at place) []string {
			return []string{"backup", table("Kept"), filepath.Join(at.dir, "kept"), "--workers", "1", "--segments", "3", "--read-units", "unlimited", "--state", at.state}
		}, made: func(at place) (source.Spec, error) {
			in, err := folder.Open(filepath.Join(at.dir, "kept"), folder.Options{ReadOnly: true})
			if err != nil {
				return source.Spec{}, err
			}
			c, err := backup.Load(t.Context(), in, "")
			if err != nil {
				return source.Spec{}, err
			}
			if n := len(c.Backups); n != 1 || c.Backups[0].Definition.Keys != pastKeys {
				return source.Spec{}, fmt.Errorf("%d backups in the catalogue: %+v", n, c.Backups)
			}
			return source.Spec{Address: filepath.Join(at.dir, "kept", c.Backups[0].Links[0].Dir)}, nil
		}},
	}
}

// catalogueOf writes the catalogue of a place that holds a base and windows of changes.
func catalogueOf(t *testing.T, dir string) {
	t.Helper()
	in, err := folder.Open(dir, folder.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	dirs, _, err := manifest.Find(t.Context(), in, "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := backup.Load(t.Context(), in, "")
	if err != nil {
		t.Fatal(err)
	}
	var entries []backup.Backup
	for _, dir := range dirs {
		e, err := manifest.Open(t.Context(), in, dir)
		if err != nil {
			t.Fatal(err)
		}
		b := backup.Backup{Plan: dir, Kind: backup.Changes, By: backup.ByNative, Table: backup.Table{Address: "dynamodb://Past", Name: "Past", ID: "past"},
			Links:      []backup.Link{{Dir: dir, From: timeOf(t, e.Summary.ExportFromTime), To: timeOf(t, e.Summary.ExportToTime)}},
			Definition: dynamo.Definition{Version: dynamo.DefinitionVersion, Name: "Past", Keys: pastKeys, BillingMode: "PAY_PER_REQUEST"}}
		if !e.Summary.Incremental() {
			b.Kind, b.Links[0].To = backup.Base, timeOf(t, e.Summary.ExportTime)
		}
		entries = append(entries, b)
	}
	slices.SortFunc(entries, func(a, b backup.Backup) int { return a.Links[0].To.Compare(b.Links[0].To) })
	for _, b := range entries {
		if _, err := c.Add(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
}

// Changes laid over items go into a table as they go into files: at any end of the chain, and none twice.
func TestImportOverlay(t *testing.T) {
	endpoint := tables(t)
	dir := scratch(t)
	for seed := range uint64(count(1, 3, 40)) {
		p := newPast(rand.New(rand.NewPCG(seed, 3)), 100)
		cuts := []int{700, 1900, 2500, 3900}
		at := filepath.Join(dir, fmt.Sprint(seed))
		base := p.baseInto(t, filepath.Join(at, "base"), 700, 700)
		p.windowsInto(t, filepath.Join(at, "inc"), cuts)
		want, _ := p.print(t, 3900)
		to := fmt.Sprintf("dynamodb://Over%d?endpoint=%s", seed, endpoint)
		o := must(t, "import", base, to, "--overlay", filepath.Join(at, "inc"), "--create", "--key", "pk", "--sort", "sk:N", "--write-units", "unlimited", "--json")
		if got := printOf(t, world.New(), source.Spec{Address: to}); got != want {
			t.Errorf("seed %d: the table is %v, not %v", seed, got, want)
		}
		if text := fmt.Sprintf(`"written":%d,`, want.Count); !strings.Contains(o.out, text) {
			t.Errorf("seed %d: an item was written twice: %s", seed, o.out)
		}
	}
}

func timeOf(t *testing.T, text string) time.Time {
	t.Helper()
	if text == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
