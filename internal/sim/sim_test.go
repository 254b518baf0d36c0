package sim

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

var (
	planFlag = flag.String("plan", "", "run the history of this plan alone, and print it")
	seedFlag = flag.Uint64("seeds", 0, "how many seeds are tried, instead of the usual number")
	nameFlag = flag.String("scenario", "", "with -plan: of this scenario alone")
)

// scenarios are all that is tried: each makes one afresh, since it remembers a history.
var scenarios = []func() Scenario{counter, captured, delivered}

// replayed are those that a plan or a line of testdata may name.
func replayed() []func() Scenario { return append(slices.Clone(scenarios), wired) }

// seedsCI is how many seeds every run of the tests tries. DYNAFERRY_LONG tries a million.
const seedsCI = 20_000

func seeds(t *testing.T) uint64 {
	switch {
	case *seedFlag > 0:
		return *seedFlag
	case os.Getenv("DYNAFERRY_LONG") != "":
		return 1_000_000
	case testing.Short():
		return 200
	}
	return seedsCI
}

// bubble runs a history in a bubble of its own.
func bubble(t *testing.T, p Plan, make func() Scenario, tell io.Writer) (out Outcome) {
	t.Helper()
	synctest.Test(t, func(*testing.T) { out = Run(p, make(), tell) })
	return out
}

// failed shrinks what failed, and tells how it is seen again.
func failed(t *testing.T, p Plan, make func() Scenario, err error) {
	t.Helper()
	small := Shrink(p, func(q Plan) bool { return bubble(t, q, make, nil).Err != nil })
	t.Fatalf("seed %d of %s: %v\nsmaller: %v\nsee it with: go test ./internal/sim -run TestPlan -v -scenario %s -plan '%v'",
		p.Seed, make().Name, err, bubble(t, small, make, nil).Err, make().Name, small)
}

// TestSeeds: whatever a seed makes of the world, what must hold holds, and in the end the system comes to rest. Every
// twentieth history is made twice, and is the same.
func TestSeeds(t *testing.T) {
	trySeeds(t, seeds(t), func(seed uint64) func() Scenario { return scenarios[seed/2%uint64(len(scenarios))] })
}

func trySeeds(t *testing.T, n uint64, of func(seed uint64) func() Scenario) {
	percent := debug.SetGCPercent(400) // a history is small and makes much garbage
	t.Cleanup(func() { debug.SetGCPercent(percent) })
	for part := range uint64(2) { // one for each processor of the smallest machine
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			t.Parallel()
			for seed := part; seed < n; seed += 2 {
				which, p := of(seed), Draw(seed)
				out := bubble(t, p, which, nil)
				if out.Err != nil {
					failed(t, p, which, out.Err)
				}
				if seed%20 < 2 {
					again := bubble(t, p, which, nil)
					if again != out {
						t.Fatalf("seed %d: the same history went another way: %+v, then %+v", seed, out, again)
					}
				}
			}
		})
	}
}

// TestFound: histories that once failed do not fail again.
func TestFound(t *testing.T) {
	text, err := os.ReadFile("testdata/found.txt")
	if err != nil {
		t.Fatal(err)
	}
	run := 0
	for line := range strings.Lines(string(text)) {
		name, plan, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "#" {
			continue
		}
		var p Plan
		if err := json.Unmarshal([]byte(plan), &p); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		for _, which := range replayed() {
			if which().Name != name {
				continue
			}
			run++
			if out := bubble(t, p, which, nil); out.Err != nil {
				t.Errorf("%s%v", line, out.Err)
			}
		}
	}
	if run == 0 {
		t.Error("nothing was run")
	}
}

// TestAllHappens: in few seeds every fault meets a call and every fate a process; what never happens is not tried.
func TestAllHappens(t *testing.T) {
	met := map[Fault]int{}
	var told strings.Builder
	for seed := range uint64(60) {
		for _, which := range scenarios {
			var w *World
			bubble(t, Draw(seed), func() Scenario {
				s := which()
				begin := s.Begin
				s.Begin = func(made *World) error {
					if w = made; begin == nil {
						return nil
					}
					return begin(made)
				}
				return s
			}, &told)
			for f, n := range w.met {
				met[f] += n
			}
		}
	}
	for _, f := range Faults {
		if met[f] == 0 {
			t.Errorf("the fault %s met nothing", f)
		}
	}
	for _, what := range []string{" kill ", " freeze ", "given up", "not waited for", ": 409", ": late", ": throttled", ": expired", ": trimmed"} {
		if !strings.Contains(told.String(), what) {
			t.Errorf("%q never happened", what)
		}
	}
}

// TestPlan runs one history, as the failure of another test says.
func TestPlan(t *testing.T) {
	text := *planFlag
	if text == "" {
		text = Draw(1).String()
	}
	var p Plan
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	for _, which := range replayed() {
		if name := which().Name; *nameFlag != "" && *nameFlag != name {
			continue
		}
		var told strings.Builder
		out := bubble(t, p, which, &told)
		if out.Events == 0 || strings.Count(told.String(), "\n") != out.Events {
			t.Errorf("%d events, %d lines about them", out.Events, strings.Count(told.String(), "\n"))
		}
		if *planFlag != "" {
			t.Logf("%s\n%+v", told.String(), out)
		}
		if out.Err != nil {
			t.Error(out.Err)
		}
	}
}
