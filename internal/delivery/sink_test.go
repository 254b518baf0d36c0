package delivery

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/blob/faulty"
	"dynaferry/internal/fault"
	"dynaferry/internal/outlet"
)

// taker is a sink that keeps what it takes.
type taker struct {
	limits outlet.Limits
	got    []outlet.Record
	breaks int // the take after which the sink is away once, 0 never
}

func (k *taker) Limits() outlet.Limits { return k.limits }

func (k *taker) Send(ctx context.Context, records iter.Seq[outlet.Record]) error {
	for r := range records {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		k.got = append(k.got, r)
		if k.breaks > 0 && len(k.got) == k.breaks {
			return fault.New(fault.Unavailable, "away")
		}
	}
	return nil
}

// lines are what was taken, each once, in the order of the first time.
func (k *taker) lines() (lines []string) {
	seen := map[string]bool{}
	for _, r := range k.got {
		if line := strings.TrimSuffix(string(r.Data), "\n"); !seen[line] {
			seen[line] = true
			lines = append(lines, line)
		}
	}
	return lines
}

func into(s Settings) Settings { s.Into = "kinesis://changes"; return s }

// TestSink: a sink gets every record of the log once, in its order, with the key of its item; and nothing a second time.
func TestSink(t *testing.T) {
	w := newLog(t, 1)
	for range 3 {
		w.orders(0, 20)
		w.cut(0)
	}
	for _, c := range []struct {
		set  Settings
		ends string
		line string // the first
	}{
		{Settings{}, "\n", w.lines[0]},
		{Settings{Bare: true, BufferBytes: 1}, "}", w.lines[0]},
		{Settings{Form: JSON}, "\n", `{"_op":"INSERT","_time":"2026-11-25T23:59:50.000000Z","_position":"1",`},
		{Settings{Form: JSON, Images: Both}, "\n", `{"op":"INSERT","time":"2026-11-25T23:59:50.000000Z","position":"1","keys":{"orderId":"o-1"},"new":{`},
	} {
		k, dst := new(taker), newMemory()
		var p Progress
		must(t, Run(t.Context(), w.log, dst, into(c.set), Options{Dir: "log", Once: true, Sink: k, Progress: &p}))
		if len(k.got) != len(w.lines) || !strings.HasPrefix(string(k.got[0].Data), c.line) || k.got[0].Key != `{"orderId":{"S":"o-1"}}` {
			t.Fatalf("%+v: %d records, the first %v", c.set, len(k.got), k.got[:min(1, len(k.got))])
		}
		size := int64(0)
		for i, r := range k.got {
			if size += int64(len(r.Data)); !strings.HasSuffix(string(r.Data), c.ends) || r.Key != fmt.Sprintf(`{"orderId":{"S":"o-%d"}}`, i+1) {
				t.Errorf("%+v: record %d is %q with key %s", c.set, i, r.Data, r.Key)
			}
		}
		if p.Records.Load() != int64(len(w.lines)) || p.Bytes.Load() != size {
			t.Errorf("%+v: %d records of %d bytes, not %d", c.set, p.Records.Load(), p.Bytes.Load(), size)
		}
		must(t, Run(t.Context(), w.log, dst, into(c.set), Options{Dir: "log", Once: true, Sink: k}))
		if len(k.got) != len(w.lines) {
			t.Errorf("%+v: the second run sent %d records", c.set, len(k.got)-len(w.lines))
		}
		for name := range objects(t, dst, false) {
			if !strings.HasPrefix(name, "log/sinks/changes/epochs/") {
				t.Errorf("there is %s", name)
			}
		}
		other := into(c.set)
		other.Into = "firehose://other"
		if err := Run(t.Context(), w.log, dst, other, Options{Dir: "log", Once: true, Sink: k}); fault.KindOf(err) != fault.Conflict {
			t.Errorf("another sink under the same name: %v", err)
		}
	}
	for _, wrong := range []Settings{{Form: Parquet}, {Form: CSV}, {Compression: "gzip"}, {Prefix: "a/"}, {ErrorPrefix: "a/"}, {Extension: ".x"}, {Level: 3}} {
		if err := into(wrong).Check(); fault.KindOf(err) != fault.User {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
}

// TestSinkTooLarge: what a service can never take is a dead letter with its place, and holds nothing up.
func TestSinkTooLarge(t *testing.T) {
	w := newLog(t, 1)
	w.orders(0, 3)
	w.record(0, `"INSERT";"Keys":{"orderId":{"S":"big"}},"NewImage":{"orderId":{"S":"big"},"x":{"S":%q}}`, strings.Repeat("x", 5000))
	w.orders(0, 2)
	w.cut(0)
	k, dst := &taker{limits: outlet.Limits{Record: 4000}}, newMemory()
	var p Progress
	must(t, Run(t.Context(), w.log, dst, into(Settings{}), Options{Once: true, Sink: k, Progress: &p}))
	letter := objects(t, dst, false)["sinks/changes/dead-letters/changes-000000000001-0000.dead"]
	if len(k.got) != 5 || p.Refused.Load() != 1 || !strings.Contains(letter, `"shard":"shard-0","position":"4","errorMessages":["`) ||
		!strings.Contains(letter, "kinesis://changes takes at most 4000 in a record") {
		t.Errorf("%d records, %d refused: %.300s", len(k.got), p.Refused.Load(), letter)
	}
}

// TestSinkLongKey: a key that is longer than a partition key may be is told by its hash.
func TestSinkLongKey(t *testing.T) {
	w := newLog(t, 1)
	w.record(0, `"INSERT";"Keys":{"orderId":{"S":%q}}`, strings.Repeat("k", 300))
	w.cut(0)
	k := new(taker)
	must(t, Run(t.Context(), w.log, newMemory(), into(Settings{}), Options{Once: true, Sink: k}))
	if len(k.got) != 1 || len(k.got[0].Key) != 32 {
		t.Errorf("%v", k.got)
	}
}

// TestSinkKilledAnywhere: whatever call of the store a process dies at, or wherever the sink goes away, and another goes on: every
// record arrives, for the first time in the order of the log, and nothing arrives after all is there.
func TestSinkKilledAnywhere(t *testing.T) {
	w := newLog(t, 1)
	for range 4 {
		w.orders(0, 8)
		w.cut(0)
	}
	s := into(Settings{BufferBytes: 5000})
	run := func(k *taker, dst *memory, rule string) (calls int) {
		plan, err := faulty.Parse(rule)
		must(t, err)
		ctx, die := context.WithCancel(t.Context())
		defer die()
		b := faulty.New(dst, plan, faulty.Options{Crash: func(faulty.Call) { die() }})
		must(t, Run(ctx, w.log, b, s, Options{Once: true, Sink: k, Commit: quick, Interval: time.Hour, Retry: time.Millisecond}))
		return b.Calls()
	}
	calls := run(new(taker), newMemory(), "call#100000: crash before")
	for n := 1; n <= calls+len(w.lines); n++ {
		for _, when := range []string{"before", "after"} {
			k, dst := new(taker), newMemory()
			rule := fmt.Sprintf("call#%d: crash %s", n, when)
			if n > calls {
				rule, k.breaks = "call#100000: crash before", n-calls
			}
			run(k, dst, rule)
			run(k, dst, "call#100000: crash before")
			if got := k.lines(); !slices.Equal(got, w.lines) {
				t.Fatalf("%s, away after %d: %d lines came, in this order or not; the log has %d", rule, k.breaks, len(got), len(w.lines))
			}
			sent := len(k.got)
			if run(k, dst, "call#100000: crash before"); len(k.got) != sent {
				t.Errorf("%s: %d records came when all was there", rule, len(k.got)-sent)
			}
		}
	}
}
