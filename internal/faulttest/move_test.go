package faulttest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// moved is a table of 60 items of which archive --where moves the older half.
type moved struct{ table, dest string }

const movedItems = 60

func (m moved) args() []string {
	return []string{"archive", m.table, m.dest, "--where", fmt.Sprintf("n < %d", movedItems/2), "--workers", "1", "--read-units", "unlimited", "--write-units", "unlimited"}
}

// printsOf are the items of a source; none where it is not there yet.
func printsOf(spec source.Spec) (prints map[string]int, err error) {
	prints = map[string]int{}
	err = eachItem(world.New(), spec, func(it item.Item) { prints[string(item.AppendCanonical(nil, it))]++ })
	if k := fault.KindOf(err); k == fault.NotFound || k == fault.User || k == fault.Conflict { // an empty folder, or one whose first version is not published
		return prints, nil
	}
	return prints, err
}

// kept tells whether nothing is lost: each item is in the table or in published files, and no young one has left. At the end each is in
// one place, once.
func (m moved) kept(all map[string]int, old func(string) bool, end bool) error {
	there, err := printsOf(source.Spec{Address: m.table, Consistent: true})
	if err != nil {
		return err
	}
	away, err := printsOf(source.Spec{Address: m.dest})
	if err != nil {
		return err
	}
	for it := range all {
		switch {
		case there[it]+away[it] == 0:
			return fmt.Errorf("%s is lost", it)
		case !old(it) && (there[it] != 1 || away[it] != 0):
			return fmt.Errorf("%s is young: %d in the table, %d in the files", it, there[it], away[it])
		case end && old(it) && (there[it] != 0 || away[it] != 1):
			return fmt.Errorf("%s is old: in the end %d in the table, %d in the files", it, there[it], away[it])
		}
	}
	return nil
}

// TestKillMove kills archive --where at numbered calls: nothing is deleted that no published file holds, and the same command
// run again ends with each item in one place.
func TestKillMove(t *testing.T) {
	endpoint, dir := tables(t), scratch(t)
	input := filepath.Join(dir, "items.json")
	write(t, input, lines(movedItems, whole))
	all, err := printsOf(source.Spec{Address: input, Form: source.DynamoDBJSON})
	if err != nil || len(all) != movedItems {
		t.Fatalf("%d items, %v", len(all), err)
	}
	young, err := printsOf(source.Spec{Address: func() string {
		name := filepath.Join(dir, "young.json")
		write(t, name, lines(movedItems/2, shifted(movedItems/2)))
		return name
	}(), Form: source.DynamoDBJSON})
	if err != nil {
		t.Fatal(err)
	}
	old := func(it string) bool { return young[it] == 0 }
	var number atomic.Int64
	fresh := func() moved {
		n := number.Add(1)
		m := moved{fmt.Sprintf("dynamodb://Moved%04d?endpoint=%s", n, endpoint), filepath.Join(dir, fmt.Sprint(n))}
		must(t, "import", input, m.table, "--create", "--key", "pk", "--from-format", "dynamodb-json", "--write-units", "unlimited", "--state", filepath.Join(dir, "state"))
		return m
	}
	trace, first := &trace{}, fresh()
	if o := inside(trace, first.args()...); o.code != 0 {
		t.Fatal(o)
	}
	if err := first.kept(all, old, true); err != nil {
		t.Fatal(err)
	}
	s := scenario{calls: trace.list()}
	random := rand.New(rand.NewPCG(23, 23))
	points := s.draw(random, count(4, 40, 400), 0, len(s.calls))
	var killed atomic.Int64
	started := time.Now()
	var work []func() error
	for i, crash := range points {
		work = append(work, func() error {
			m := fresh()
			defer os.RemoveAll(m.dest)
			crashes := []string{crash}
			if i%3 == 0 {
				crashes = append(crashes, points[(i*7+1)%len(points)])
			}
			for _, crash := range crashes {
				o := outside(t, "cli", []string{crashVariable + "=" + crash}, m.args()...)
				if o.killed {
					killed.Add(1)
				} else if o.code != 0 {
					return fmt.Errorf("crash %s: %s", crash, o)
				}
				if err := m.kept(all, old, false); err != nil {
					return fmt.Errorf("after crash %s: %w", crash, err)
				}
			}
			if o := inside(nil, m.args()...); o.code != 0 {
				return fmt.Errorf("crashes %q, then: %s", crashes, o)
			}
			if err := m.kept(all, old, true); err != nil {
				return fmt.Errorf("crashes %q: %w", crashes, err)
			}
			return nil
		})
	}
	inParallel(t, work)
	if killed.Load() < int64(len(points))/2 {
		t.Errorf("of %d points %d killed", len(points), killed.Load())
	}
	t.Logf("kill move: %d points of %d calls, %d killed; %v", len(points), len(s.calls), killed.Load(), time.Since(started).Round(time.Second))
}
