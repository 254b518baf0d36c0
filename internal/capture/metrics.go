package capture

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// Metrics count what happens. They may be read at any time.
type Metrics struct {
	Records    atomic.Int64 // in the log
	Bytes      atomic.Int64 // of entries in the log
	Entries    atomic.Int64
	Gaps       atomic.Int64
	Calls      atomic.Int64 // of the stream's service, for groups that are held: 0 while another process has all
	Read       atomic.Int64 // records that came; more than Records as long as a draft waits
	Retries    atomic.Int64 // calls of it that failed and are repeated
	Throttles  atomic.Int64 // of them, those that asked for less
	Puts       atomic.Int64 // appends that failed and are repeated
	Duplicates atomic.Int64 // records that were dropped because they were there before
	Fences     atomic.Int64 // groups that were taken over
	Lost       atomic.Int64 // groups that were lost to another
	// Unsure is of how many shards and lists no answer counts yet: who waits until nothing comes waits for them first.
	Unsure atomic.Int64
	// Progress is when an entry was appended, or a shard seen at its open end, last: µs since 1970 by the service's clock.
	Progress atomic.Int64

	mu      sync.Mutex
	lag     map[string]time.Duration
	holders map[uint32]string
}

// Lags tells for each shard that is read here how old what is not yet in the log is: 0 at its open end.
func (m *Metrics) Lags() map[string]time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.lag)
}

// Holders tells who captures each group, as far as it is known here.
func (m *Metrics) Holders() map[uint32]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.holders)
}

func (m *Metrics) setLag(shard string, lag time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lag == nil {
		m.lag = map[string]time.Duration{}
	}
	m.lag[shard] = max(lag, 0)
}

func (m *Metrics) forget(shard string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.lag, shard)
}

func (m *Metrics) setHolder(group uint32, writer string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.holders == nil {
		m.holders = map[uint32]string{}
	}
	m.holders[group] = writer
}
