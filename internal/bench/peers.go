package bench

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// peerScript converts an export with another engine and a schema written by hand.
//
//go:embed peers.py
var peerScript []byte

// chdbScript is the same for chDB, which comes from npm.
//
//go:embed chdb.js
var chdbScript []byte

// peerEngines are measured when they are installed; chdb's output size is the bar for ours.
var peerEngines = []string{"chdb", "duckdb", "polars"}

// peers: the same conversion by other engines with a schema written by hand, one thread each, against ours; our output
// no larger than chDB's by more than a tenth, and proven lossless in the same run.
func (b *bench) peers(ctx context.Context) error {
	if b.o.Peers == "" {
		return nil
	}
	peers, err := filepath.Abs(b.o.Peers)
	if err != nil {
		return err
	}
	python := filepath.Join(peers, "python", "bin", "python")
	if _, err := os.Stat(python); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not there: make peers installs it", python)
	}
	c, err := b.orders()
	if err != nil {
		return err
	}
	scripts := map[string][]string{"chdb": {"node", b.dir("chdb.js"), filepath.Join(peers, "chdb", "node_modules", "chdb")}}
	for _, engine := range []string{"duckdb", "polars"} {
		scripts[engine] = []string{python, b.dir("peers.py"), engine}
	}
	for name, data := range map[string][]byte{"peers.py": peerScript, "chdb.js": chdbScript} {
		if err := os.WriteFile(b.dir(name), data, 0o600); err != nil {
			return err
		}
	}
	ours, bytes, err := b.lossless(ctx, c)
	if err != nil {
		return err
	}
	best, against := 0.0, ""
	notes := map[string]float64{"ours": ours}
	for _, engine := range peerEngines {
		used, size, err := peer(ctx, scripts[engine], c, b.dir(engine+".parquet"))
		if err != nil {
			b.say("%s is left out: %v", engine, err)
			continue
		}
		notes[engine], notes[engine+"Bytes"] = used, float64(size)
		if best == 0 || used < best {
			best, against = used, engine
		}
		if engine == "chdb" {
			b.add(plain("peers: our output against chDB's", "x", float64(bytes)/float64(size), 1.1, 1, true))
		}
	}
	if best == 0 {
		return errors.New("no peer could be measured")
	}
	all, reference := []float64{ours}, []float64{best}
	for range b.o.Runs - 1 {
		o, _, err := b.converted(ctx, c, b.dir("out"))
		if err != nil {
			return err
		}
		r, _, err := peer(ctx, scripts[against], c, b.dir(against+".parquet"))
		if err != nil {
			return err
		}
		all, reference = append(all, o.cpu), append(reference, r)
	}
	row := bar("peers: CPU less than the best typed engine", "x", against, 2.7, 4.5, false, all, reference)
	row.Notes = notes
	b.add(row)
	return nil
}

// lossless converts, and proves by verify that the Parquet files hold the export's items.
func (b *bench) lossless(ctx context.Context, c corpus) (cpu float64, bytes int64, err error) {
	used, report, err := b.converted(ctx, c, b.dir("out"))
	if err != nil {
		return 0, 0, err
	}
	_, err = run(ctx, false, b.o.Exe, "verify", c.dir, b.dir("out"), "--json", "--quiet", "--key", "orderId", "--state", b.dir("state"))
	return used.cpu, report.Bytes, err
}

// peer runs one engine and checks the number of rows it wrote.
func peer(ctx context.Context, script []string, c corpus, out string) (cpu float64, size int64, err error) {
	used, err := run(ctx, false, script[0], slices.Concat(script[1:], []string{out}, c.files)...)
	if err != nil {
		return 0, 0, err
	}
	var said struct{ Rows int }
	if err := json.Unmarshal(used.out, &said); err != nil || said.Rows != c.items {
		return 0, 0, fmt.Errorf("it wrote %d rows of %d", said.Rows, c.items)
	}
	info, err := os.Stat(out)
	if err != nil {
		return 0, 0, err
	}
	return used.cpu, info.Size(), os.Remove(out)
}
