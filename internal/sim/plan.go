package sim

import (
	"encoding/json"
	"math/rand/v2"
	"time"
)

// Fault is a thing that goes wrong with a call.
type Fault string

// The faults of a bucket, and of the services of a table.
const (
	Before   Fault = "before"   // 503 or 500, and nothing happened
	After    Fault = "after"    // 500, and it happened
	Lost     Fault = "lost"     // it happened; the connection broke before the answer
	Late     Fault = "late"     // the connection broke; it happens 20 ms to minutes later
	Busy     Fault = "busy"     // 409 of a conditional write: another is under way, says the store, and may be wrong
	Slow     Fault = "slow"     // takes 1 to 60 s
	Damaged  Fault = "damaged"  // one bit of what is read differs
	Stale    Fault = "stale"    // a list, of the bucket or of shards, is as of some time ago
	Throttle Fault = "throttle" // the service asks for less
	Empty    Fault = "empty"    // a page without records in the middle of a shard
	Expire   Fault = "expire"   // an iterator expires before its time
)

// Faults lists them in the order in which they are drawn.
var Faults = []Fault{Before, After, Lost, Late, Busy, Slow, Damaged, Stale, Throttle, Empty, Expire}

// Plan is all that decides a history. It prints as JSON and is read back from it.
type Plan struct {
	Seed      uint64        `json:"seed"`
	Kinesis   bool          `json:"kinesis,omitempty"`
	Writes    int           `json:"writes"`
	Keys      int           `json:"keys"`
	Every     time.Duration `json:"every"`             // the mean pause between two writes
	Jumps     int           `json:"jumps,omitempty"`   // pauses of 16 to 40 minutes among them
	Outage    bool          `json:"outage,omitempty"`  // all processes are down for more than a day, in the middle of the writes
	Groups    int           `json:"groups,omitempty"`  // of the change log; 0 is 1
	Shards    int           `json:"shards"`            // at first
	Orphans   bool          `json:"orphans,omitempty"` // the first shards have parents that are gone
	Splits    int           `json:"splits,omitempty"`  // of 100 writes, how many are followed by a shard's end
	Processes int           `json:"processes"`         // at once; those that replace killed ones are more
	Kills     int           `json:"kills,omitempty"`   // percent of lives that end so
	Freezes   int           `json:"freezes,omitempty"`
	Call      time.Duration `json:"call"`            // what each call takes at least
	Rates     map[Fault]int `json:"rates,omitempty"` // percent of calls
}

// Draw makes the plan of a seed. Which faults there are is drawn too: where all are always on, some hide others.
func Draw(seed uint64) Plan {
	r := rand.New(rand.NewPCG(seed, 1))
	p := Plan{Seed: seed, Kinesis: r.IntN(4) == 0, Writes: 5 + r.IntN(60), Keys: 1 + r.IntN(8),
		Every: time.Duration(50+r.IntN(1500)) * time.Millisecond, Shards: 1 + r.IntN(4), Splits: []int{0, 3, 15}[r.IntN(3)],
		Processes: 1 + r.IntN(3), Call: []time.Duration{200 * time.Microsecond, 20 * time.Millisecond}[r.IntN(2)], Rates: map[Fault]int{}}
	if r.IntN(10) == 0 {
		p.Jumps = 1
	}
	if r.IntN(10) == 0 {
		return p // nothing goes wrong
	}
	p.Kills, p.Freezes = []int{0, 30, 60}[r.IntN(3)], []int{0, 30}[r.IntN(2)]
	for _, f := range Faults {
		if rate := []int{0, 0, 1, 5, 15}[r.IntN(5)]; rate > 0 {
			p.Rates[f] = rate
		}
	}
	p.Outage, p.Groups = r.IntN(8) == 0, []int{1, 1, 1, 3}[r.IntN(4)]
	p.Orphans = r.IntN(3) == 0
	return p
}

// Stream is the ARN of the table's stream.
func (p *Plan) Stream() string {
	if p.Kinesis {
		return kinesisARN
	}
	return streamARN
}

// String is the plan as JSON.
func (p Plan) String() string {
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // numbers and names alone
	}
	return string(text)
}
