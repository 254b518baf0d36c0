package cli

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"dynaferry/internal/local"
)

// Two ways to a time: the service restores the table by its continuous backups, and we by a base and the log. At any second both are the same.
func TestRestoreTwoWays(t *testing.T) {
	a := newAwayAt(t, local.Options{ShardLife: 1000 * time.Hour}, 10*time.Minute)
	times, seed := 4, uint64(11)
	if os.Getenv("DYNAFERRY_LONG") != "" {
		times, seed = 40, uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	a.backups("Orders")
	follow := []string{"follow", "dynamodb://Orders", "--log", "s3://lake/log", "--enable-stream", "new-and-old", "--exit-when-idle", "300ms"}
	a.run(0, follow...)
	a.to(0) // a log begins well before what it is laid over
	a.run(0, "export", "dynamodb://Orders", "s3://lake/base", "--format", "dynamodb-json")
	const minutes = 60
	for minute := 2; minute < minutes; minute++ {
		a.to(time.Duration(minute)*time.Minute + time.Duration(r.IntN(30))*time.Second)
		for i := range 1 + r.IntN(4) {
			if name := fmt.Sprintf("k%d", r.IntN(9)); r.IntN(3) == 0 {
				a.put("Orders", "-"+name)
			} else {
				a.put("Orders", fmt.Sprintf("%s=%d", name, minute*10+i))
			}
		}
	}
	a.put("Orders", "a=1")
	a.run(0, follow...)
	for n := range times {
		// In the half of a minute in which nothing is written: stamps of records are to the second, and may be one off.
		at := a.began.Add(time.Duration(2+r.IntN(minutes-4))*time.Minute + 45*time.Second).UTC().Format(time.RFC3339)
		theirs, ours := fmt.Sprintf("dynamodb://Theirs%d", n), fmt.Sprintf("dynamodb://Ours%d", n)
		a.run(0, "restore", "dynamodb://Orders", theirs, "--at", at)
		a.says(a.run(0, "restore", "s3://lake/base", ours, "--at", at, "--log", "s3://lake/log"), "proof        equal")
		a.says(a.run(0, "verify", theirs, ours), "equal")
	}
}
