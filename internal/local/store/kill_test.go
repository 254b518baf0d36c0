package store

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

const killEnv = "DYNAFERRY_STORE_KILL_DIR"

// TestMain lets the test binary be the process that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(killEnv); dir != "" {
		victim(dir)
		return
	}
	os.Exit(m.Run())
}

const (
	victimWriters = 8
	victimKeys    = 40
)

func killOptions(dir string) Options {
	o := viewOptions(Options{Dir: dir, SegmentBytes: 256 << 10}, nil)
	o.changedMax = 1000
	return o
}

func killText(w, k, n int) string {
	return fmt.Sprintf("w%d k%d n%d %s", w, k, n, strings.Repeat(string(rune('a'+n%26)), 100+n*131%900))
}

// victim writes for ever, each goroutine its own keys with rising numbers, and tells what was acknowledged.
func victim(dir string) {
	s, err := Open(killOptions(dir))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	id := s.Tables()[0].ID
	fmt.Println("open")
	var out sync.Mutex
	for w := range victimWriters {
		go func() {
			rng := rand.New(rand.NewPCG(uint64(w), uint64(time.Now().UnixNano())))
			for {
				k, n := rng.IntN(victimKeys), 0
				_, err := s.Update(context.Background(), id, keyOf(fmt.Sprintf("w%d", w), fmt.Sprint(k)), func(old []byte) (Op, []byte, error) {
					var a, b int
					fmt.Sscanf(string(old), "w%d k%d n%d", &a, &b, &n)
					n++
					return OpPut, []byte(killText(w, k, n)), nil
				})
				out.Lock()
				if err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				fmt.Println("ack", w, k, n)
				out.Unlock()
			}
		}()
	}
	select {}
}

// TestKill: a process killed at random moments under load, again and again over the same folder, loses nothing it
// acknowledged and leaves no torn item. Its segments rotate and are compacted meanwhile.
func TestKill(t *testing.T) { killing(t, 8, false) }

// TestKillViews: the same with an index, a stream and history, whose segments stay.
func TestKillViews(t *testing.T) { killing(t, 4, true) }

func killing(t *testing.T, rounds int, views bool) {
	if long() {
		rounds = 100
	}
	dir := t.TempDir()
	s := mustOpen(t, killOptions(dir))
	id := mustCreate(t, s)
	if views {
		if err := s.UpdateTable(id, nil, viewsOf(s, 2)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	acked := map[[2]int]int{}
	rng := rand.New(rand.NewPCG(9, 9))
	total, worst := 0, time.Duration(0)
	for round := range rounds {
		total += killRound(t, dir, acked, time.Duration(50+rng.IntN(400))*time.Millisecond)
		began := time.Now()
		s := mustOpen(t, killOptions(dir))
		worst = max(worst, time.Since(began))
		checkAcked(t, s, id, acked, round)
		if views {
			records, err := checkViews(s, id)
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			if len(records) < total {
				t.Fatalf("round %d: %d records of %d acknowledged writes", round, len(records), total)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, %d acknowledged writes, worst open %v", rounds, total, worst)
	if total < rounds*100 {
		t.Fatalf("only %d acknowledged writes", total)
	}
}

// killRound runs a victim for a while after it opened, kills it, and notes what it acknowledged.
func killRound(t *testing.T, dir string, acked map[[2]int]int, after time.Duration) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killEnv+"="+dir)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n := 0
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		line := lines.Text()
		var w, k, v int
		switch {
		case line == "open":
			time.AfterFunc(after, func() { cmd.Process.Kill() })
		case strings.HasPrefix(line, "error"):
			cmd.Process.Kill()
			t.Fatal(line)
		default:
			// The last line may be cut by the kill; a cut number is smaller, so it claims nothing false.
			if c, _ := fmt.Sscanf(line, "ack %d %d %d", &w, &k, &v); c == 3 {
				acked[[2]int{w, k}] = max(acked[[2]int{w, k}], v)
				n++
			}
		}
	}
	cmd.Wait()
	return n
}

func checkAcked(t *testing.T, s *Store, id TableID, acked map[[2]int]int, round int) {
	t.Helper()
	items := int64(0)
	for w := range victimWriters {
		it := s.Query(id, EncodeString(nil, fmt.Appendf(nil, "w%d", w)), QueryOptions{})
		seen := map[int]int{}
		for it.Next() {
			var a, k, n int
			if c, err := fmt.Sscanf(string(it.Raw()), "w%d k%d n%d", &a, &k, &n); c != 3 || a != w || string(it.Raw()) != killText(w, k, n) {
				t.Fatalf("round %d: torn or foreign item %.60q of writer %d, %v", round, it.Raw(), w, err)
			}
			seen[k] = n
			items++
		}
		if err := it.Close(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for k := range victimKeys {
			if must := acked[[2]int{w, k}]; seen[k] < must || seen[k] > must+1 {
				t.Fatalf("round %d: writer %d key %d is version %d, acknowledged was %d", round, w, k, seen[k], must)
			}
			acked[[2]int{w, k}] = seen[k]
		}
	}
	if c, err := s.Counts(id); err != nil || c.Items != items {
		t.Fatalf("round %d: counts %+v %v, %d items", round, c, err, items)
	}
}
