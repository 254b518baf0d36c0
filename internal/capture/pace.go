package capture

import "time"

// paceCalls is over how many calls of a shard CallsPerSecond counts: five in a second, however they lie in it. What a busy
// process, or a slow page, is late with is made up for, and no second has more calls.
const paceCalls = 5

// pace remembers when a shard was asked last.
type pace struct {
	asked [paceCalls]time.Time
	next  int // of asked, the longest ago
}

func (p *pace) ask(at time.Time) {
	p.asked[p.next] = at
	p.next = (p.next + 1) % paceCalls
}

// free is when the shard may be asked again.
func (p *pace) free(callsPerSecond float64) time.Time {
	return p.asked[p.next].Add(time.Duration(paceCalls * float64(time.Second) / callsPerSecond))
}

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
