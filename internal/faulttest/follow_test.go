package faulttest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/changelog"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
	"dynaferry/internal/item/itemtest"
	"dynaferry/internal/world"
)

// stream is a table whose stream is followed. Each write has a number of its own in the attribute w, so that whatever
// shows items shows which writes it has.
type stream struct {
	address, endpoint, table, arn string

	client dynamo.Client
	writes int
}

// newStream makes a table with a stream that is empty.
func newStream(t testing.TB, endpoint, table string) *stream {
	t.Helper()
	s := &stream{address: "dynamodb://" + table + "?endpoint=" + endpoint, endpoint: endpoint, table: table}
	at, err := world.Parse(s.address)
	if err != nil {
		t.Fatal(err)
	}
	if s.client, err = world.New().Client(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Create(t.Context(), &dynamo.Definition{Version: dynamo.DefinitionVersion, Name: table, BillingMode: "PAY_PER_REQUEST", Keys: keysOf("pk")}); err != nil {
		t.Fatal(err)
	}
	d, err := dynamo.EnableStream(t.Context(), s.client, table, string(feed.BothImages))
	if err != nil {
		t.Fatal(err)
	}
	s.arn = d.Stream().ARN
	return s
}

// writeKeys is how many items there are; the rest of the writes change them.
const writeKeys = 12

func (s *stream) write(n int) error {
	for range n {
		i := s.writes
		changed := itemtest.Must(map[string]item.Value{"pk": {Type: item.S, Str: fmt.Sprintf("k%02d", i*7%writeKeys)}, "w": {Type: item.S, Str: fmt.Sprintf("w%05d", i)},
			"kind": {Type: item.S, Str: fmt.Sprintf("t%d", i*7%writeKeys%2)}, "n": {Type: item.N, Str: fmt.Sprint(i)}})
		if _, err := s.client.Write(context.Background(), &dynamo.WriteRequest{Table: s.table, Item: changed}); err != nil {
			return err
		}
		s.writes++
	}
	return nil
}

// split has one of the open shards be followed by two.
func (s *stream) split(r *rand.Rand) error {
	shards, err := s.feed()
	if err != nil {
		return err
	}
	shards = slices.DeleteFunc(shards, func(shard feed.Shard) bool { return shard.Closed })
	body, err := json.Marshal(map[string]string{"StreamArn": s.arn, "ShardId": shards[r.IntN(len(shards))].ID})
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPost, s.endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "DynaferryLocal.SplitShard")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
	reply, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return fmt.Errorf("split a shard: %s", reply.Status)
	}
	return nil
}

func (s *stream) feed() ([]feed.Shard, error) {
	at, err := world.Parse(s.address)
	if err != nil {
		return nil, err
	}
	c, arn, err := world.New().Feed(context.Background(), at)
	if err != nil {
		return nil, err
	}
	return c.Shards(context.Background(), arn, "")
}

// shown are the writes that something shows, and how often each.
type shown map[string]int

// once tells what is not there exactly once, of writes from 0 to n; with some it may also not be there yet.
func (s shown) once(what string, n int, some bool) error {
	for w, times := range s {
		if times != 1 {
			return fmt.Errorf("%s has write %s %d times", what, w, times)
		}
	}
	if len(s) > n || len(s) < n && !some {
		return fmt.Errorf("%s has %d writes, the table had %d", what, len(s), n)
	}
	return nil
}

// logged are the writes in a log: each item's must come in the order in which they happened.
func logged(address string) (shown, error) {
	at, err := world.Parse(address)
	if err != nil {
		return nil, err
	}
	loc, err := world.New().Location(context.Background(), at, blob.Settings{})
	if err != nil {
		return nil, err
	}
	log, err := changelog.Open(context.Background(), loc.Bucket, loc.Prefix)
	if err != nil {
		return nil, err
	}
	has := shown{}
	last := map[string]string{} // by item
	for group := range log.Groups {
		for batch, err := range log.Read(context.Background(), changelog.Range{Group: group}) {
			if err != nil {
				return nil, err
			}
			if batch.Gap != nil {
				return nil, fmt.Errorf("entry %d of group %d is a gap: %+v", batch.N, group, batch.Gap)
			}
			for i := range batch.Parts {
				records, err := batch.Parts[i].Records(nil)
				if err != nil {
					return nil, err
				}
				for line := range changelog.Lines(records) {
					key, w, err := writeOf(line)
					if err != nil {
						return nil, err
					}
					if has[w] == 0 && w < last[key] {
						return nil, fmt.Errorf("write %s of %s is behind %s", w, key, last[key])
					}
					last[key] = w
					has[w]++
				}
			}
		}
	}
	return has, nil
}

func writeOf(line []byte) (key, w string, err error) {
	var record struct {
		Dynamodb struct{ NewImage map[string]map[string]string }
	}
	if err := json.Unmarshal(line, &record); err != nil {
		return "", "", fmt.Errorf("%w: %s", err, line)
	}
	return record.Dynamodb.NewImage["pk"]["S"], record.Dynamodb.NewImage["w"]["S"], nil
}

// follower is a way to follow.
type follower struct {
	name   string
	suffix string // of what is visible
	flags  []string
	remote bool
	points int
}

var followers = []follower{
	{name: "follow", suffix: ".jsonl", flags: []string{"--compression", "none", "--extension", ".jsonl"}, points: 26},
	{name: "follow parquet on S3", suffix: ".parquet", flags: []string{"--format", "parquet", "--images", "new", "--groups", "2",
		"--prefix", "kind=!{partitionKeyFromQuery:kind}/", "--partition-key", "kind=kind"}, remote: true, points: 20},
	{name: "follow csv on S3", suffix: ".csv", flags: []string{"--format", "csv", "--images", "new", "--compression", "none", "--step", "filter new.n >= 0"}, remote: true, points: 14},
}

// args follow a stream to its end: what nothing came of for half a second has ended.
func (f *follower) args(from *stream, to string) []string {
	return append([]string{"follow", from.address, to, "--freshness", "200ms", "--buffer-size", "4KiB", "--buffer-interval", "300ms", "--exit-when-idle", "600ms"}, f.flags...)
}

// visible are the writes that a pattern sees in a folder.
func (f *follower) visible(dir string) (shown, error) {
	if f.suffix == ".parquet" {
		sight, err := look(dir, f.suffix, "w")
		return sight.keys, err
	}
	has := shown{}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(name, f.suffix) {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if len(data) == 0 || data[len(data)-1] != '\n' {
			return fmt.Errorf("%s is no whole file", name)
		}
		for i, line := range bytes.Split(bytes.TrimSpace(data), []byte("\n")) {
			w := ""
			if f.suffix == ".csv" {
				if w = string(line[bytes.LastIndexByte(line, ',')+1:]); i == 0 { // columns stand in the order of their names
					if w != "w" {
						return fmt.Errorf("%s begins with %s", name, line)
					}
					continue
				}
			} else if _, w, err = writeOf(line); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			has[w]++
		}
		return nil
	})
	return has, err
}

// site is where a follower writes.
type site struct{ dest, log, sight string }

var siteNumber atomic.Int64

func (f *follower) site(dir, remote, remoteDir string) site {
	name := fmt.Sprintf("follow%05d", siteNumber.Add(1))
	if f.remote {
		return site{"s3://lake/" + name + "?endpoint=" + remote, "s3://lake/" + name + "/_dynaferry/log?endpoint=" + remote, filepath.Join(remoteDir, "buckets", "lake", name)}
	}
	dest := filepath.Join(dir, name)
	return site{dest, filepath.Join(dest, "_dynaferry", "log"), dest}
}

// glimpse holds what lies there at some moment against what may lie there.
func (f *follower) glimpse(at site, writes int) error {
	if _, err := os.Stat(at.sight); err != nil {
		return nil
	}
	has, err := f.visible(at.sight)
	if err == nil {
		err = has.once("what is visible", writes, true)
	}
	if err != nil || len(has) == 0 {
		return err
	}
	log, err := logged(at.log)
	if err != nil {
		return err
	}
	for w := range has {
		if log[w] == 0 {
			return fmt.Errorf("write %s is visible and not in the log", w)
		}
	}
	return log.once("the log", writes, true)
}

// result holds the end against the table's stream.
func (f *follower) result(at site, writes int) error {
	log, err := logged(at.log)
	if err == nil {
		err = log.once("the log", writes, false)
	}
	if err != nil {
		return err
	}
	has, err := f.visible(at.sight)
	if err == nil {
		err = has.once("what is visible", writes, false)
	}
	return err
}

// runsMost is how often a crowded machine may take a stream that is read slowly for one that rests.
const runsMost = 6

// finish runs a follower again until it has come to the end, which each run may take for the end too early.
func (f *follower) finish(from *stream, at site) error {
	for run := 1; ; run++ {
		if o := inside(nil, f.args(from, at.dest)...); o.code != 0 {
			return fmt.Errorf("run again: %s", o)
		}
		err := f.result(at, from.writes)
		if err == nil || run == runsMost || f.glimpse(at, from.writes) != nil {
			return err
		}
	}
}

// bury takes the leases of a killed process away, as the ten seconds do after which they are believed no more. Whether a
// process goes on after these is tried where few wait for them.
func bury(at site) error {
	address, err := world.Parse(at.log)
	if err != nil {
		return err
	}
	loc, err := world.New().Location(context.Background(), address, blob.Settings{})
	if err != nil {
		return err
	}
	var names []string
	for info, err := range loc.Bucket.List(context.Background(), path.Join(loc.Prefix, "lease")+"/", "") {
		if err != nil {
			return err
		}
		names = append(names, info.Name)
	}
	if len(names) == 0 {
		return nil
	}
	return loc.Bucket.Delete(context.Background(), names...)
}

// manyShards is a stream of 150 writes in shards that were split four times.
func manyShards(t testing.TB, endpoint, table string) *stream {
	t.Helper()
	s := newStream(t, endpoint, table)
	r := rand.New(rand.NewPCG(5, 5))
	for i := range 5 {
		err := s.write(30)
		if err == nil && i < 4 {
			err = s.split(r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// TestKillFollow kills followers at a numbered call: of the stream, of the log, of the deliveries. Whatever is visible then
// is whole and in the log; and a follower that is started again comes to the same end as if nothing had been.
func TestKillFollow(t *testing.T) {
	from := manyShards(t, tables(t), "Followed")
	dir := scratch(t)
	remote, remoteDir := objects(t)
	var points, killed, doubled, late, waited atomic.Int64
	started := time.Now()
	var work []func() error
	for n := range followers {
		f := &followers[n]
		trace := &trace{}
		at := f.site(dir, remote, remoteDir)
		if o := inside(trace, f.args(from, at.dest)...); o.code != 0 {
			t.Fatalf("%s: %s", f.name, o)
		}
		if err := f.finish(from, at); err != nil {
			t.Fatalf("%s, undisturbed: %v", f.name, err)
		}
		random := rand.New(rand.NewPCG(9, uint64(n)))
		drawn := f.draw(random, trace.list(), f.points*count(2, 10, 36)/10)
		for i, crash := range drawn {
			second := drawn[random.IntN(len(drawn))]
			work = append(work, func() error {
				points.Add(1)
				at := f.site(dir, remote, remoteDir)
				crashes := []string{crash}
				if i%3 == 0 {
					crashes = append(crashes, second)
				}
				for life, crash := range crashes {
					o := outside(t, "cli", []string{crashVariable + "=" + crash}, f.args(from, at.dest)...)
					switch {
					case o.killed:
						killed.Add(1)
						doubled.Add(int64(life))
					case o.code == 0:
						late.Add(1)
					case o.code != 130 || !strings.HasSuffix(crash, "term"):
						return fmt.Errorf("%s, crash %s: %s", f.name, crash, o)
					}
					if err := f.glimpse(at, from.writes); err != nil {
						return fmt.Errorf("%s, after crash %s: %w", f.name, crash, err)
					}
					if i%8 == 0 {
						waited.Add(1)
					} else if err := bury(at); err != nil {
						return err
					}
				}
				if err := f.finish(from, at); err != nil {
					return fmt.Errorf("%s, crashes %q: %w", f.name, crashes, err)
				}
				return nil
			})
		}
	}
	atOnce(t, 8, work) // they wait most of the time
	if killed.Load() < points.Load()/2 {
		t.Errorf("of %d points %d killed", points.Load(), killed.Load())
	}
	t.Logf("kill follow: %d points of %d followers, %d killed (%d in a recovery), %d had ended before, %d waited for leases to run out; %v", points.Load(), len(followers),
		killed.Load(), doubled.Load(), late.Load(), waited.Load(), time.Since(started).Round(time.Second))
}

// draw draws crashes among the calls of a run, as many of each kind of operation: those that are made all the time would
// hide the others. What is put is drawn three times as often.
func (f *follower) draw(random *rand.Rand, calls []string, n int) (crashes []string) {
	of := map[string]int{}
	for _, call := range calls {
		operation, _, _ := strings.Cut(call, " ")
		of[operation]++
	}
	operations := append(slices.Sorted(maps.Keys(of)), "put", "put")
	for i := range n {
		operation := operations[i%len(operations)]
		phases := []string{"before", "after", "term"}
		switch operation {
		case "put", "publish", "complete", "create", "part":
			phases = []string{"before", "after", fmt.Sprintf("mid %dµs", random.IntN(400))}
		case "step":
			phases = []string{"before"}
		}
		crashes = append(crashes, fmt.Sprintf("%s:%d %s", operation, 1+random.IntN(of[operation]), phases[random.IntN(len(phases))]))
	}
	return crashes
}
