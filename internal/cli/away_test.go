package cli

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/local"
)

// away is a world whose tables live through days, with a follower that is there now and then.
type away struct {
	*nativeWorld
	service victim
	began   time.Time
}

// newAway is a world whose clock begins at ours.
func newAway(t *testing.T, o local.Options) *away { return newAwayAt(t, o, 0) }

// newAwayAt is one that is there for longer: its tables were made so long ago.
func newAwayAt(t *testing.T, o local.Options, ago time.Duration) *away {
	a := &away{nativeWorld: newNativeWorldAt(t, o, -ago), began: time.Now()}
	a.service = victim{t: t, url: os.Getenv("AWS_ENDPOINT_URL_DYNAMODB"), client: http.DefaultClient}
	return a
}

// to moves the tables' clock to so long after its beginning. The program's own stays behind: what it knows of time, the service told.
func (a *away) to(since time.Duration) { a.ahead.Store(int64(since)) }

// put writes items NAME=NUMBER, and deletes those of -NAME.
func (a *away) put(table string, changes ...string) {
	a.t.Helper()
	for _, c := range changes {
		if name, gone := strings.CutPrefix(c, "-"); gone {
			a.service.must("DeleteItem", map[string]any{"TableName": table, "Key": map[string]any{"id": map[string]any{"S": name}}}, nil)
			continue
		}
		name, number, _ := strings.Cut(c, "=")
		a.service.must("PutItem", map[string]any{"TableName": table, "Item": map[string]any{"id": map[string]any{"S": name}, "v": map[string]any{"N": number}}}, nil)
	}
}

// says fails unless every text is in what was said.
func (a *away) says(said string, texts ...string) {
	a.t.Helper()
	for _, text := range texts {
		if !strings.Contains(said, text) {
			a.t.Errorf("%q is not in\n%s", text, said)
		}
	}
}

// backups turns continuous backups on.
func (a *away) backups(table string) {
	a.t.Helper()
	if err := a.client.EnableBackups(a.t.Context(), table); err != nil {
		a.t.Fatal(err)
	}
}

// expires writes an item whose time to live ends so long after the beginning.
func (a *away) expires(table, name string, after time.Duration) {
	a.t.Helper()
	exp := fmt.Sprint(a.began.Add(after).Unix())
	a.service.must("PutItem", map[string]any{"TableName": table, "Item": map[string]any{"id": map[string]any{"S": name}, "exp": map[string]any{"N": exp}}}, nil)
}

// expired waits until an item is gone.
func (a *away) expired(table, name string) {
	a.t.Helper()
	waitFor(a.t, func() bool {
		var got struct{ Item map[string]any }
		a.service.must("GetItem", map[string]any{"TableName": table, "Key": map[string]any{"id": map[string]any{"S": name}}}, &got)
		return got.Item == nil
	}, new(lockedBuffer))
}

// split has two shards follow each of those that are open.
func (a *away) split(table string) {
	a.t.Helper()
	var described struct {
		Table struct{ LatestStreamArn string }
	}
	a.service.must("DescribeTable", map[string]any{"TableName": table}, &described)
	var stream struct {
		StreamDescription struct {
			Shards []struct {
				ShardId             string
				SequenceNumberRange struct{ EndingSequenceNumber string }
			}
		}
	}
	arn := described.Table.LatestStreamArn
	a.service.must("DescribeStream", map[string]any{"StreamArn": arn}, &stream)
	for _, s := range stream.StreamDescription.Shards {
		if s.SequenceNumberRange.EndingSequenceNumber == "" {
			a.service.must("SplitShard", map[string]any{"StreamArn": arn, "ShardId": s.ShardId}, nil)
		}
	}
}

// replayed makes a table of a log, from nothing.
func (a *away) replayed(log, table string) {
	a.t.Helper()
	a.run(0, "import", writeItems(a.t, `{"id":"none"}`), "dynamodb://"+table, "--create", "--key", "id")
	a.put(table, "-none")
	a.says(a.run(5, "replay", log, "dynamodb://"+table, "--overwrite"), "--accept-compacted")
	a.run(0, "replay", log, "dynamodb://"+table, "--overwrite", "--accept-compacted")
}

// A follower that was away for longer than the stream keeps its records tells the gap by its place and goes on; a heal closes it, by as
// many exports as it takes or by a look at the table, and then the log, replayed, tells the table, and an archive what it can know.
func TestAway(t *testing.T) {
	for _, c := range []struct {
		hours   int
		backups bool
		short   bool // is run always
	}{{30, true, false}, {75, true, true}, {49, true, false}, {30, false, true}, {49, false, false}} {
		t.Run(fmt.Sprintf("%d hours, backups %v", c.hours, c.backups), func(t *testing.T) {
			if !c.short && os.Getenv("DYNAFERRY_LONG") == "" {
				t.Skip("another like the others; DYNAFERRY_LONG=1 runs it")
			}
			wentAway(t, local.Options{ShardLife: 1000 * time.Hour, TTLInterval: 20 * time.Millisecond}, time.Duration(c.hours)*time.Hour, c.backups, false)
		})
	}
}

// Shards come and go meanwhile, so that the service no longer knows those of before.
func TestAwayFromShards(t *testing.T) {
	if os.Getenv("DYNAFERRY_LONG") == "" {
		t.Skip("that a shard is gone is believed after a minute; DYNAFERRY_LONG=1 runs it")
	}
	for _, backups := range []bool{false, true} {
		t.Run(fmt.Sprintf("backups %v", backups), func(t *testing.T) {
			wentAway(t, local.Options{ShardLife: 1000 * time.Hour, TTLInterval: 20 * time.Millisecond}, 75*time.Hour, backups, true)
		})
	}
}

func wentAway(t *testing.T, o local.Options, whole time.Duration, backups, splits bool) {
	a := newAway(t, o)
	const log = "s3://lake/orders/_dynaferry/log"
	follow := []string{"follow", "dynamodb://Orders", "s3://lake/orders", "--exit-when-idle", "300ms"}
	if backups {
		a.backups("Orders")
	}
	a.service.must("UpdateTimeToLive", map[string]any{"TableName": "Orders", "TimeToLiveSpecification": map[string]any{"Enabled": true, "AttributeName": "exp"}}, nil)
	a.run(0, append(follow, "--enable-stream", "new-and-old")...)
	a.put("Orders", "a=1", "b=1", "old=1", "kept=1", "gone=1")
	a.expires("Orders", "missed", 30*time.Minute)
	a.expires("Orders", "seen", whole)
	a.run(0, follow...)
	a.to(20 * time.Minute)
	a.put("Orders", "margin=1", "vanished=1") // within what is exported around the gap
	a.run(0, follow...)

	// Nobody looks, and these are trimmed.
	a.to(31 * time.Minute)
	a.put("Orders", "-vanished", "b=2", "-gone", "flash=1", "-flash")
	a.expired("Orders", "missed")
	if splits {
		a.split("Orders")
	}
	a.to(whole - 25*time.Hour)
	a.put("Orders", "c=2", "old=2", "a=2")
	if splits {
		a.split("Orders")
	}
	// These are not.
	a.to(whole - time.Hour)
	a.put("Orders", "a=3", "-c", "d=3")
	a.to(whole + time.Second)
	a.expired("Orders", "seen")
	out := a.run(4, follow...)
	a.says(out, "warning: "+log+" entry ", "try: dynaferry follow dynamodb://Orders "+log+" --heal")
	told := missing.FindStringSubmatch(out)
	end := whole - time.Hour // when the first record was written that is there again
	if splits {
		end = whole // what else is gone with a shard nobody knows
	}
	for i, want := range []time.Duration{20 * time.Minute, end} {
		if told == nil || (a.since(told[i+1])-want).Abs() > 2*time.Minute {
			t.Errorf("%v of the gap: %q\n%s", want, told, out)
		}
	}
	a.put("Orders", "e=4")
	a.says(a.run(0, "follow", "dynamodb://Orders", "--log", log, "--exit-when-idle", "300ms"), "captured   1 in")

	out = a.run(0, "follow", "dynamodb://Orders", "s3://lake/orders", "--heal")
	a.says(out, "healed     1 gaps")
	if windows := strings.Count(out, " has begun"); backups && windows != int((whole+24*time.Hour-1)/(24*time.Hour)) || !backups && windows > 0 {
		t.Errorf("%v: %d exports\n%s", whole, windows, out)
	}
	a.run(0, follow...)
	a.replayed(log, "Copy")
	a.says(a.run(0, "verify", "dynamodb://Orders", "dynamodb://Copy"), "equal")
	a.run(5, "archive", log, "s3://lake/archive")
	a.says(a.run(0, "archive", log, "s3://lake/archive", "--accept-compacted"), "items        1\n") // seen; nobody knows who deleted the other
}

// A service that holds its times is followed by what it answers: a heal waits until it knows the changes of the gap, and of a table whose
// backups are young until the window is as long as it wants; a bootstrap waits until it can be exported.
func TestAwayStrictTimes(t *testing.T) {
	for name, old := range map[string]bool{"backups are young": false, "backups are old": true} {
		t.Run(name, func(t *testing.T) {
			if old && os.Getenv("DYNAFERRY_LONG") == "" {
				t.Skip("the simpler case; DYNAFERRY_LONG=1 runs it")
			}
			a := newAway(t, local.Options{StrictTimes: true, ShardLife: 1000 * time.Hour})
			const log = "s3://lake/orders/_dynaferry/log"
			follow := []string{"follow", "dynamodb://Orders", "s3://lake/orders", "--exit-when-idle", "300ms", "--enable-stream", "new-and-old"}
			a.backups("Orders")
			a.put("Orders", "a=1", "b=1")
			if old {
				a.to(20 * time.Minute)
			}
			a.run(0, follow...)
			a.put("Orders", "a=2", "b=2", "c=2", "vanished=2")
			a.run(0, follow...)
			a.service.must("UpdateTable", map[string]any{"TableName": "Orders", "StreamSpecification": map[string]any{"StreamEnabled": false}}, nil)
			a.put("Orders", "b=3", "-c", "-vanished", "d=3")
			a.says(a.run(4, follow...), "another stream of the table takes over")
			stop := a.pace(5 * time.Second)
			out := a.run(0, "follow", "dynamodb://Orders", "s3://lake/orders", "--heal")
			stop()
			a.says(out, "healed     1 gaps", "incremental export")
			if waited := strings.Contains(out, "the service takes no window of "); waited == old {
				t.Errorf("waited for a longer window: %v\n%s", waited, out)
			}
			a.put("Orders", "b=4")
			a.run(0, follow...)
			a.replayed(log, "Copy")
			a.says(a.run(0, "verify", "dynamodb://Orders", "dynamodb://Copy"), "equal")

			stop = a.pace(5 * time.Second)
			a.put("Orders", "e=5")
			out = a.run(0, "follow", "dynamodb://Orders", "s3://lake/second", "--bootstrap", "export", "--exit-when-idle", "300ms")
			stop()
			a.says(out, "bootstrapped: s3://lake/second/snapshot as of ")
			a.run(0, "import", "s3://lake/second/snapshot", "dynamodb://Second", "--create", "--key", "id")
			a.run(0, "replay", "s3://lake/second/_dynaferry/log", "dynamodb://Second", "--overwrite")
			a.says(a.run(0, "verify", "dynamodb://Orders", "dynamodb://Second"), "equal")
		})
	}
}

var missing = regexp.MustCompile(`group 0: changes are missing from the log, of (\S+) to (\S+) at the latest: (?:shard \S+: )?the service no longer has`)

// since is how long after the beginning a time is that was told.
func (a *away) since(text string) time.Duration {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		a.t.Error(err)
	}
	return at.Sub(a.began)
}

func writeItems(t *testing.T, lines ...string) string {
	name := filepath.Join(t.TempDir(), "items.jsonl")
	if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
