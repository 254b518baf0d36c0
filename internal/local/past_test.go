package local

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/folder"
	"dynaferry/internal/fault"
)

// buckets is an S3 half of folders: a bucket exists when its folder does, and "denied" lets nobody in.
type buckets struct{ dir string }

func (b buckets) open(_ context.Context, name string) (blob.Bucket, error) {
	dir := filepath.Join(b.dir, name)
	if name == "denied" {
		return nil, fault.New(fault.Permission, "AccessDenied")
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, fault.New(fault.NotFound, "NoSuchBucket: %s", name)
	}
	return folder.Open(dir, folder.Options{})
}

// TestPast plays the histories under testdata/past: as TestHistories, with a clock that stands still and a bucket "lake",
// and lines that are no requests: "advance 5s", "wait" (until nothing goes on), "restart", "objects PREFIX", "object NAME",
// "put NAME text". Ids are numbered as they appear and can be used by their names.
func TestPast(t *testing.T) {
	files, err := filepath.Glob("testdata/past/*.txt")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d histories (%v)", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			have, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := newPlayer(t).play(have)
			if *rewrite {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			diff(t, file, have, got)
		})
	}
}

// player is one history being played.
type player struct {
	t       *testing.T
	db      *DB
	options Options
	now     time.Time
	bucket  blob.Bucket
	names   map[string]string // of ids, as the history calls them
}

func newPlayer(t *testing.T) *player {
	p := &player{t: t, now: epoch, names: map[string]string{}}
	b := buckets{t.TempDir()}
	if err := os.Mkdir(filepath.Join(b.dir, "lake"), 0o777); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.bucket, err = b.open(t.Context(), "lake"); err != nil {
		t.Fatal(err)
	}
	p.options = Options{Dir: t.TempDir(), NoSync: true, Bucket: b.open, Clock: func() time.Time { return p.now }}
	p.restart()
	t.Cleanup(func() { p.db.Close() })
	return p
}

func (p *player) restart() {
	p.t.Helper()
	if p.db != nil {
		if err := p.db.Close(); err != nil {
			p.t.Fatal(err)
		}
	}
	var err error
	if p.db, err = Open(p.options); err != nil {
		p.t.Fatal(err)
	}
}

func (p *player) play(history []byte) []byte {
	var out bytes.Buffer
	lines := bufio.NewScanner(bytes.NewReader(history))
	lines.Buffer(nil, 1<<20)
	reply := false
	for lines.Scan() {
		line := lines.Text()
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			reply = false
			fmt.Fprintln(&out, line)
		case reply && !ownLine.MatchString(line): // the old reply
		default:
			reply = false
			fmt.Fprintln(&out, line)
			if answer := p.do(line); answer != "" {
				fmt.Fprintf(&out, "----\n%s\n", answer)
				reply = true
			}
		}
	}
	return out.Bytes()
}

var (
	taskIDs   = regexp.MustCompile(`\d{14}-[0-9a-f]{8}`)
	uuids     = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	dataNames = regexp.MustCompile(`data/[a-z2-7]{26}`)
	ownLine   = regexp.MustCompile(`^(advance|wait|restart|strict|objects?|put)( |$)`)
	shownIDs  = regexp.MustCompile(`ID\d+`)
)

// do plays one line and returns what it answers.
func (p *player) do(line string) string {
	line = shownIDs.ReplaceAllStringFunc(line, func(name string) string {
		for id, shown := range p.names {
			if shown == name {
				return id
			}
		}
		return name
	})
	op, rest, _ := strings.Cut(line, " ")
	answer := ""
	switch op {
	case "advance":
		d, err := time.ParseDuration(rest)
		if err != nil {
			p.t.Fatal(err)
		}
		p.now = p.now.Add(d)
	case "wait":
		p.db.crew.done.Wait()
	case "restart":
		p.restart()
	case "strict":
		p.db.opts.StrictTimes = true
	case "put":
		name, text, _ := strings.Cut(rest, " ")
		text = strings.ReplaceAll(text, `\n`, "\n")
		if _, err := p.bucket.Put(p.t.Context(), name, []byte(text), blob.PutOptions{}); err != nil {
			p.t.Fatal(err)
		}
	case "objects":
		answer = p.objects(rest)
	case "object":
		answer = p.object(rest)
	default:
		status, body := post(p.db, op, inflate(rest))
		answer = fmt.Sprint(status, " ", body)
	}
	return p.shown(answer)
}

// shown is an answer with its random parts named.
func (p *player) shown(answer string) string {
	answer = taskIDs.ReplaceAllStringFunc(answer, func(id string) string {
		if p.names[id] == "" {
			p.names[id] = fmt.Sprintf("ID%d", len(p.names)+1)
		}
		return p.names[id]
	})
	return dataNames.ReplaceAllString(uuids.ReplaceAllString(answer, "(uuid)"), "data/(name)")
}

// objects lists what is in the bucket, files of data counted.
func (p *player) objects(prefix string) string {
	counts := map[string]int{}
	for info, err := range p.bucket.List(p.t.Context(), prefix, "") {
		if err != nil {
			p.t.Fatal(err)
		}
		counts[p.shown(info.Name)]++
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		lines = append(lines, fmt.Sprint(counts[name], " ", name))
	}
	return strings.Join(append(lines, fmt.Sprintf("%d names", len(counts))), "\n")
}

// object shows an object's text; one that ends in data/ shows the lines of all data files below it, sorted.
func (p *player) object(name string) string {
	var text []string
	for info, err := range p.bucket.List(p.t.Context(), name, "") {
		if err != nil {
			p.t.Fatal(err)
		}
		data, _, err := blob.ReadAll(p.t.Context(), p.bucket, info.Name, 1<<24)
		if err != nil {
			p.t.Fatal(err)
		}
		if strings.HasSuffix(info.Name, ".gz") {
			zip, err := gzip.NewReader(bytes.NewReader(data))
			if err != nil {
				p.t.Fatal(err)
			}
			if data, err = io.ReadAll(zip); err != nil {
				p.t.Fatal(err)
			}
		}
		for line := range strings.Lines(string(data)) {
			text = append(text, strings.TrimSuffix(line, "\n"))
		}
	}
	slices.Sort(text)
	return strings.Join(text, "\n")
}
