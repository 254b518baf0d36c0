package kinesis

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dynaferry/internal/fault"
	"dynaferry/internal/local/store"
)

// However shards were split and merged before, resizing leaves as many even open shards as asked for; the open shards
// always cover the space, and each closed one has children that cover what it did.
func TestResizeCoversTheSpace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "shards")
		d := &description{}
		for i := range n {
			sh := shard{Parent: -1, Adjacent: -1, Low: evenStart(i, n), High: hashMax, Start: 1}
			if i+1 < n {
				sh.High = evenStart(i+1, n).plus(-1)
			}
			d.Shards = append(d.Shards, sh)
		}
		seq := uint64(1)
		next := func() uint64 { seq++; return seq }
		for range rapid.IntRange(0, 5).Draw(t, "changes") {
			open := d.open()
			if i := rapid.IntRange(0, len(open)-1).Draw(t, "shard"); rapid.Bool().Draw(t, "split") {
				sh := d.Shards[open[i]]
				middle := new(big.Int).Add(sh.Low.big(), sh.High.big())
				d.split(open[i], fromBig(middle.Rsh(middle, 1)), next())
			} else if i+1 < len(open) {
				d.merge(open[i], open[i+1], next())
			}
			covers(t, d, d.open(), hash{}, hashMax)
		}
		want := rapid.IntRange(1, 9).Draw(t, "target")
		d.resize(want, next)
		if open := d.open(); len(open) != want {
			t.Fatalf("%d open shards, want %d", len(open), want)
		}
		for i, s := range d.open() {
			if d.Shards[s].Low != evenStart(i, want) {
				t.Fatalf("shard %d of %d begins at %s", i, want, d.Shards[s].Low)
			}
		}
		covers(t, d, d.open(), hash{}, hashMax)
		for i := range d.Shards {
			if sh := d.Shards[i]; !sh.isOpen() {
				children := d.children(i)
				if len(children) == 0 || d.Shards[children[0]].Start != sh.End {
					t.Fatalf("shard %d is closed at %d, its children are %v", i, sh.End, children)
				}
			}
		}
	})
}

// covers fails unless the shards, in order, cover the range without gap or overlap.
func covers(t *rapid.T, d *description, shards []int, low, high hash) {
	for i, s := range shards {
		if d.Shards[s].Low != low {
			t.Fatalf("shard %d begins at %s, %s is due", s, d.Shards[s].Low, low)
		}
		if i+1 < len(shards) {
			low = d.Shards[s].High.plus(1)
		} else if d.Shards[s].High != high {
			t.Fatalf("the last shard ends at %s", d.Shards[s].High)
		}
	}
}

// What is written down is read back: sequence numbers, iterators, records, hashes.
func TestRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		index, seq := rapid.IntRange(0, 1<<30).Draw(t, "shard"), rapid.Uint64().Draw(t, "seq")
		text := sequence(index, seq)
		if i, s, ok := parseSequence(text); len(text) != 56 || !ok || i != index || s != seq {
			t.Fatalf("%s: %d %d %v", text, i, s, ok)
		}
		if i, ok := parseShardID(shardID(index)); !ok || i != index {
			t.Fatalf("%s: %d", shardID(index), i)
		}
		it := iterator{madeMs: rapid.Int64().Draw(t, "ms"), shard: index, from: seq, stream: uuid(), name: "a-b.c"}
		if back, ok := parseIterator(it.String()); !ok || back != it {
			t.Fatalf("%+v came back as %+v", it, back)
		}
		r := record{rapid.String().Draw(t, "key"), rapid.SliceOf(rapid.Byte()).Draw(t, "data")}
		back, s, err := parseRecord(appendRecord(nil, seq, r))
		if err != nil || s != seq || back.key != r.key || !bytes.Equal(back.data, r.data) {
			t.Fatalf("%+v came back as %+v: %v", r, back, err)
		}
		h := hashOf(r.key)
		if same, ok := parseHash(h.String()); !ok || same != h {
			t.Fatal(h)
		}
	})
}

// Nothing that a client may send as an iterator or number is more than refused.
func FuzzTokens(f *testing.F) {
	f.Add("AQAAAZ8djiJQAAAAARnx2NwKgAFD")
	f.Add(sequence(3, 77))
	f.Add("shardId-000000000001")
	f.Fuzz(func(t *testing.T, text string) {
		if it, ok := parseIterator(text); ok && it.String() != text {
			if again, ok := parseIterator(it.String()); !ok || again != it {
				t.Error(text)
			}
		}
		if i, seq, ok := parseSequence(text); ok && sequence(i, seq) != text {
			t.Error(text)
		}
		_, _ = parseShardID(text)
		_, _ = parseHash(text)
		_, _, _ = parseRecord([]byte(text))
	})
}

// An event is framed as clients of event streams read it.
func TestEventFrame(t *testing.T) {
	frame := appendEvent([]byte("before"), "SubscribeToShardEvent", []byte(`{"Records":[]}`))[6:]
	if n := binary.BigEndian.Uint32(frame); int(n) != len(frame) {
		t.Errorf("total length %d of %d", n, len(frame))
	}
	if crc32.ChecksumIEEE(frame[:8]) != binary.BigEndian.Uint32(frame[8:]) ||
		crc32.ChecksumIEEE(frame[:len(frame)-4]) != binary.BigEndian.Uint32(frame[len(frame)-4:]) {
		t.Error("checksums")
	}
	if !bytes.Contains(frame, []byte("\x0b:event-type\x07\x00\x15SubscribeToShardEvent")) {
		t.Errorf("%q", frame)
	}
}

// A description of a later version is refused and not guessed at.
func TestNewerDescriptionIsRefused(t *testing.T) {
	s, err := store.Open(store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.CreateTable([]byte(`{"version":2}`), tablePrefix+"orders", store.Settings{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s, Options{Clock: time.Now}); fault.KindOf(err) != fault.Unsupported {
		t.Error(err)
	}
}
