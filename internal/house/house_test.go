package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// storey gives each package its height; a package imports strictly lower ones, never a sibling. A package that is not
// listed fails the test: whoever adds one says here where it stands.
var storey = map[string]int{
	// 1 words
	"internal/fault":    0,
	"internal/loopback": 0,
	"internal/planted":  0,
	"internal/item":     1,
	"internal/sample":   1,
	// 2 shapes and ports
	"internal/column":     2,
	"internal/expression": 2,
	"internal/blob":       2,
	"internal/dynamo":     2,
	"internal/codec":      2,
	"internal/feed":       2,
	"internal/row":        3,
	"internal/feed/kpl":   2,
	"internal/outlet":     2,
	// 3 formats and memory
	"internal/blob/folder":    3,
	"internal/blob/faulty":    3,
	"internal/dynamo/faulty":  3,
	"internal/codec/inflate":  3,
	"internal/codec/ddbjson":  3,
	"internal/codec/parquet":  4,
	"internal/codec/compress": 4,
	"internal/codec/json":     4,
	"internal/codec/csv":      4,
	"internal/codec/ion":      4,
	"internal/commit":         3,
	"internal/changelog":      4,
	// 4 movement
	"internal/capture":  5,
	"internal/manifest": 3,
	"internal/backup":   4,
	"internal/dataset":  4,
	"internal/plan":     4,
	// 4 worlds
	"internal/local/cbor":     3,
	"internal/local/store":    3,
	"internal/local/kinesis":  4,
	"internal/local/upstream": 3,
	"internal/local/shadow":   4,
	"internal/local/export":   5,
	"internal/local/intake":   5,
	"internal/local":          6,
	"internal/local/bucket":   5,
	"internal/aws":            5,
	// 5 ends
	"internal/step":     5,
	"internal/world":    6,
	"internal/source":   7,
	"internal/sink":     7,
	"internal/delivery": 8,
	// 6 purposes
	"internal/job":     9,
	"internal/bench":   10,
	"internal/console": 10,
	// 7 faces
	"internal/cli":   11,
	"cmd/dynaferry":  12,
	"internal/house": 13,
}

// testOnly tells whether a package exists for tests: production may not import it, and it stands beside the storeys.
func testOnly(dir string) bool {
	base := filepath.Base(dir)
	return strings.HasSuffix(base, "test") || dir == "internal/sim" || strings.HasPrefix(dir, "internal/peers")
}

const module = "dynaferry/"

type file struct {
	dir, name string
	test      bool
	ast       *ast.File
}

func sources(t *testing.T) []file {
	t.Helper()
	root := "../.."
	var files []file
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() {
			if rel != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		files = append(files, file{filepath.ToSlash(filepath.Dir(rel)), d.Name(), strings.HasSuffix(path, "_test.go"), parsed})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("saw only %d Go files below %s", len(files), root)
	}
	return files
}

func imports(f file) []string {
	var paths []string
	for _, spec := range f.ast.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		paths = append(paths, path)
	}
	return paths
}

func TestImportsGoDown(t *testing.T) {
	for _, f := range sources(t) {
		if f.test || testOnly(f.dir) {
			continue
		}
		own, known := storey[f.dir]
		if !known {
			t.Errorf("%s/%s: package %s has no storey; say in house_test.go where it stands", f.dir, f.name, f.dir)
			continue
		}
		for _, path := range imports(f) {
			dir, ours := strings.CutPrefix(path, module)
			if !ours {
				continue
			}
			if low, known := storey[dir]; known && low >= own {
				t.Errorf("%s/%s (storey %d) imports %s (storey %d); imports go strictly down", f.dir, f.name, own, dir, low)
			}
		}
	}
}

func TestOnlyAWSSeesTheSDK(t *testing.T) {
	for _, f := range sources(t) {
		if f.dir == "internal/aws" || f.test || testOnly(f.dir) {
			continue
		}
		for _, path := range imports(f) {
			if strings.HasPrefix(path, "github.com/aws/") {
				t.Errorf("%s/%s imports %s; ask package aws for it", f.dir, f.name, path)
			}
		}
	}
}

func TestPackagesSayWhatTheyAre(t *testing.T) {
	docs, dirs := map[string]string{}, map[string]bool{}
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		dirs[f.dir] = true
		if f.name == "doc.go" && f.ast.Doc != nil {
			docs[f.dir] = f.ast.Doc.Text()
		}
	}
	var sorted []string
	for dir := range dirs {
		sorted = append(sorted, dir)
	}
	slices.Sort(sorted)
	for _, dir := range sorted {
		if dir == "cmd/dynaferry" {
			continue // a few lines of main, told in main.go
		}
		if len(docs[dir]) < 80 {
			t.Errorf("%s has no doc.go that says what it is and the one decision it hides", dir)
		}
	}
	if _, err := os.Stat("../../docs/ARCHITECTURE.md"); err != nil {
		t.Error(err)
	}
}

func TestNoTestPackageInProduction(t *testing.T) {
	for _, f := range sources(t) {
		if f.test || testOnly(f.dir) {
			continue
		}
		for _, path := range imports(f) {
			if dir, ours := strings.CutPrefix(path, module); ours && testOnly(dir) || path == "testing" ||
				path == "pgregory.net/rapid" || strings.HasPrefix(path, "github.com/rogpeppe/go-internal") {
				t.Errorf("%s/%s imports %s, which is for tests", f.dir, f.name, path)
			}
		}
	}
}
