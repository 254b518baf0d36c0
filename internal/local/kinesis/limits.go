package kinesis

import (
	"sync"
	"time"
)

// The service's rates of a shard, a second.
const (
	writeBytes   = 1 << 20
	writeRecords = 1000
	readBytes    = 2 << 20
	readCalls    = 5
)

// bucket is a token bucket that holds a second's worth and may be overdrawn by one request.
type bucket struct {
	tokens float64
	at     time.Time
}

func (b *bucket) fill(rate float64, now time.Time) {
	if b.at.IsZero() {
		b.tokens, b.at = rate, now
	}
	if d := now.Sub(b.at).Seconds(); d > 0 {
		b.tokens, b.at = min(b.tokens+d*rate, rate), now
	}
}

// limits are the buckets of a stream's shards.
type limits struct {
	mu     sync.Mutex
	shards map[int]*shardLimits
}

type shardLimits struct{ inBytes, inRecords, outBytes, outCalls bucket }

func (l *limits) of(shard int) *shardLimits {
	if l.shards == nil {
		l.shards = map[int]*shardLimits{}
	}
	if l.shards[shard] == nil {
		l.shards[shard] = new(shardLimits)
	}
	return l.shards[shard]
}

// mayWrite takes a record's share, or tells that there is none left.
func (l *limits) mayWrite(e *Engine, stream string, shard, size int) error {
	if !e.opts.Throttle {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s, now := l.of(shard), e.now()
	s.inBytes.fill(writeBytes, now)
	s.inRecords.fill(writeRecords, now)
	if s.inBytes.tokens <= 0 || s.inRecords.tokens < 1 {
		return exceeded(stream, shard)
	}
	s.inBytes.tokens -= float64(size)
	s.inRecords.tokens--
	return nil
}

// mayRead takes a call's share; didRead books the bytes it returned.
func (l *limits) mayRead(e *Engine, stream string, shard int) error {
	if !e.opts.Throttle {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s, now := l.of(shard), e.now()
	s.outBytes.fill(readBytes, now)
	s.outCalls.fill(readCalls, now)
	if s.outBytes.tokens <= 0 || s.outCalls.tokens < 1 {
		return exceeded(stream, shard)
	}
	s.outCalls.tokens--
	return nil
}

func (l *limits) didRead(e *Engine, shard, size int) {
	if !e.opts.Throttle {
		return
	}
	l.mu.Lock()
	l.of(shard).outBytes.tokens -= float64(size)
	l.mu.Unlock()
}

func exceeded(stream string, shard int) error {
	return failf("ProvisionedThroughputExceededException",
		"Rate exceeded for shard %s in stream %s under account %s.", shardID(shard), stream, account)
}
