package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/blob/folder"
	"dynaferry/internal/changelog"
	"dynaferry/internal/feed"
)

// Entries of every kind are told: a chain that another writer took over, a shard that split, one that went to another group, a gap and
// what healed it.
func TestInspectLogOfAllKinds(t *testing.T) {
	dir := t.TempDir()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	bucket, err := folder.Open(dir, folder.Options{})
	ok(err)
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(minute int) int64 { return noon.Add(time.Duration(minute) * time.Minute).UnixMicro() }
	l, err := changelog.Create(t.Context(), bucket, "", changelog.Info{Stream: "arn:stream/1", Kinesis: true, Groups: 2, Created: noon})
	ok(err)
	record := func(seq feed.Number, minute int) changelog.Record {
		return changelog.Record{Raw: []byte(`{"kinesis":{"sequenceNumber":"` + string(seq) + `"},"data":{}}`), Position: feed.Position{Seq: seq}, Micros: at(minute)}
	}
	chain := func(group uint32, writer string) (*changelog.Chain, *changelog.Builder) {
		c, err := l.Chain(t.Context(), group, writer, changelog.ChainOptions{})
		ok(err)
		b, err := changelog.NewBuilder(c.State(), changelog.BuilderOptions{})
		ok(err)
		return c, b
	}
	put := func(c *changelog.Chain, d *changelog.Draft, minute int) {
		t.Helper()
		d.At = at(minute)
		_, err := c.Append(t.Context(), d)
		ok(err)
	}

	c, b := chain(0, "one")
	ok(b.Begin(changelog.Shard{ID: "root"}))
	ok(b.Begin(changelog.Shard{ID: "leaves"}))
	ok(b.Add("root", record("5", 1)))
	ok(b.Add("leaves", record("6", 2)))
	put(c, b.Cut(), 3)
	ok(b.Close("root", "left", "right"))
	ok(b.Begin(changelog.Shard{ID: "left", Parents: []string{"root"}}))
	put(c, b.Cut(), 4)
	gap, err := b.Gap(changelog.GapNote{Reason: "trimmed", From: at(5), To: at(6)}, map[string]feed.Position{"left": {Seq: "9"}})
	ok(err)
	put(c, gap, 7)
	release, err := b.Release(1, "leaves")
	ok(err)
	put(c, release, 8)
	left := c.State().N
	c, b = chain(0, "two")
	put(c, &changelog.Draft{Kind: changelog.Fence}, 9)
	ok(b.AddLoose(record("9", 6)))
	healed := b.Cut()
	healed.Kind, healed.Compacted = changelog.Compacted, &changelog.CompactedNote{Gap: 3, From: at(5), To: at(6), Source: "arn:export/1"}
	put(c, healed, 10)
	c, b = chain(1, "three")
	ok(b.Begin(changelog.Shard{ID: "leaves", End: feed.Position{Seq: "6"}, Time: at(2), Total: 1, Taken: &changelog.Taken{Group: 0, N: left}}))
	put(c, b.Cut(), 11)

	for _, look := range []struct {
		at   string
		says []string
	}{
		{"", []string{
			"  change log     of a Kinesis stream, format 1, since 2026-03-01T12:00:00Z\n",
			"  entries        7 in 2 groups, ", "  records        3, of 2026-03-01T12:01:00Z to 2026-03-01T12:06:00Z\n  gaps           1, 0 of them not healed\n",
			"  0              6 entries to 2026-03-01T12:10:00Z, 3 records, ", "  1              1 entries to 2026-03-01T12:11:00Z, 0 records, 0 B, 1 shards\n",
			"  left           open at 9, 0 records to 2026-03-01T12:01:00Z, of root\n",
			"  leaves         open at 6, 1 records to 2026-03-01T12:02:00Z, taken from entry 4 of group 0\n",
			"  root           closed at 5, 1 records to 2026-03-01T12:01:00Z, became left and right\n",
			"  0 entry 3      trimmed, of 2026-03-01T12:05:00Z to 2026-03-01T12:06:00Z, healed by entry 6\n",
			"left: what is behind its beginning, up to 9\n"}},
		{"/chain/000/000000000001", []string{"  entry          1 of group 0: segment\n", "  records        2 in 2 blocks, ", "  0              1 records of root, 5 to 5, ",
			"  1              1 records of leaves, 6 to 6, "}},
		{"/chain/000/000000000003", []string{": gap\n", "  gap            trimmed, of 2026-03-01T12:05:00Z to 2026-03-01T12:06:00Z\n"}},
		{"/chain/000/000000000004", []string{": release\n", "  release        leaves to group 1\n"}},
		{"/chain/000/000000000005", []string{": fence\n", "by two, write id ", "  fence          shuts out one\n", "shards, all of the group\n"}},
		{"/chain/000/000000000006", []string{": compacted\n", "  compacted      what changed from 2026-03-01T12:05:00Z to 2026-03-01T12:06:00Z, in the gap of entry 3, as arn:export/1 has it\n",
			"  0              1 records, 2026-03-01T12:06:00Z to 2026-03-01T12:06:00Z; "}},
	} {
		var out, story bytes.Buffer
		if code := Main([]string{"inspect", dir + look.at}, strings.NewReader(""), &out, &story); code != 0 {
			t.Fatalf("%s: exit code %d\n%s", look.at, code, &story)
		}
		for _, say := range look.says {
			if !strings.Contains(out.String(), say) {
				t.Errorf("%s does not say %q:\n%s", look.at, say, &out)
			}
		}
	}
}
