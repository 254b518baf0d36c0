package bench

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Options say what to measure and where.
type Options struct {
	Items  int    // of the corpus; 1,000,000 is the size the bars are stated for
	Growth int    // how many times more items the growth row converts
	Runs   int    // pairs a row
	Dir    string // scratch folder; removed at the end unless Keep
	Keep   bool
	Exe    string // this program
	Peers  string // folder with the peers' Python, for the rows against other engines; "" leaves them out
	Only   string // rows whose name contains one of these, with commas between
	Say    func(format string, args ...any)
	Build  string // version and commit of this program

	BucketCommand string   // of Exe, which serves the S3 half of a local world
	Long          bool     // rows that are shortened by default take their whole time
	Follow        []string // more flags of each follow that is measured
}

// Row is one number.
type Row struct {
	Type      string             `json:"type"` // "row"
	Name      string             `json:"name"`
	Value     float64            `json:"value"`
	Unit      string             `json:"unit"` // of Value
	Must      float64            `json:"must"`
	Aim       float64            `json:"aim"`
	AtMost    bool               `json:"atMost"` // smaller is better
	OK        bool               `json:"ok"`     // meets Must
	Ours      float64            `json:"ours,omitempty"`
	Reference float64            `json:"reference,omitempty"`
	Against   string             `json:"against,omitempty"`
	Spread    [2]float64         `json:"spread"` // least and greatest ratio of the pairs
	Notes     map[string]float64 `json:"notes,omitempty"`
}

// Result is a whole run.
type Result struct {
	Type    string    `json:"type"` // "bench"
	Time    time.Time `json:"time"`
	Build   string    `json:"build"`
	Go      string    `json:"go"`
	Machine string    `json:"machine"`
	CPUs    int       `json:"cpus"`
	Items   int       `json:"items"`
	Rows    []Row     `json:"rows"`
}

// bar makes a row of pairs of measurements.
func bar(name, unit, against string, must, aim float64, atMost bool, ours, reference []float64) Row {
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i] / reference[i]
		if !atMost {
			ratios[i] = 1 / ratios[i]
		}
	}
	r := Row{Type: "row", Name: name, Value: median(ratios), Unit: unit, Must: must, Aim: aim, AtMost: atMost, Against: against,
		Ours: median(ours), Reference: median(reference), Spread: [2]float64{slices.Min(ratios), slices.Max(ratios)}}
	return r.judged()
}

// plain makes a row of a single value.
func plain(name, unit string, value, must, aim float64, atMost bool) Row {
	return Row{Type: "row", Name: name, Value: value, Unit: unit, Must: must, Aim: aim, AtMost: atMost, Spread: [2]float64{value, value}}.judged()
}

func (r Row) judged() Row {
	r.OK = r.Value >= r.Must
	if r.AtMost {
		r.OK = r.Value <= r.Must
	}
	return r
}

func median(values []float64) float64 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// wants tells whether a row is to be measured.
func (o *Options) wants(name string) bool {
	return slices.ContainsFunc(strings.Split(o.Only, ","), func(part string) bool { return strings.Contains(name, part) })
}

// Run measures every row and hands each to show as it is known.
func Run(ctx context.Context, o Options, show func(Row)) (*Result, error) {
	if o.Runs < 1 {
		o.Runs = 3
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	if !o.Keep {
		defer os.RemoveAll(o.Dir)
	}
	b := &bench{o: o, result: &Result{Type: "bench", Time: time.Now().UTC().Truncate(time.Second), Build: o.Build, Go: runtime.Version(),
		Machine: machine(), CPUs: runtime.NumCPU(), Items: o.Items}, show: show}
	for _, row := range []struct {
		name    string
		measure func(context.Context) error
	}{
		{"fingerprint", b.fingerprint},
		{"scan", b.scan},
		{"batch-write", b.batchWrite},
		{"convert", b.convert},
		{"mixed", b.mixed},
		{"peers", b.peers},
		{"growth", b.growth},
		{"local", b.local},
		{"follow-log", b.followLog},
		{"follow-parquet", b.followParquet},
		{"follow-memory", b.followMemory},
		{"follow-lag", b.followLags},
		{"follow-restart", b.followRestart},
	} {
		if !o.wants(row.name) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := row.measure(ctx); err != nil {
			return nil, err
		}
	}
	return b.result, nil
}

type bench struct {
	o      Options
	result *Result
	show   func(Row)
	plain  corpus // uniform orders, made once
}

func (b *bench) add(r Row) {
	b.result.Rows = append(b.result.Rows, r)
	if b.show != nil {
		b.show(r)
	}
}

func (b *bench) say(format string, args ...any) {
	if b.o.Say != nil {
		b.o.Say(format, args...)
	}
}

func (b *bench) dir(name string) string { return filepath.Join(b.o.Dir, name) }

// machine names the processor.
func machine() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return runtime.GOARCH
}
