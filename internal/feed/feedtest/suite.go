package feedtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
)

// Run runs the suite. What the service cannot do is skipped by name.
func Run(t *testing.T, s Service) {
	s.Client = patient{s.Client}
	t.Run("describes", s.describes)
	t.Run("records", s.records)
	t.Run("resumes behind each record", s.resumes)
	t.Run("memory of a page is used again", s.reuses)
	t.Run("parents before children", s.lineage)
	t.Run("expired iterators", s.expires)
	t.Run("trimmed records", s.trims)
	if s.Kinesis {
		t.Run("aggregates and strangers", s.aggregates)
		t.Run("merged shards", s.merges)
	}
}

// change is a record that was copied out of its page.
type change struct {
	key        string
	old, new   string // the number v; "" without image
	event      feed.Event
	pos        feed.Position
	raw, id    string
	partition  string
	newItem    string
	micros     int64
	imagesRows [2]int32
}

func (s *stream) copied(p *feed.Page) (list []change) {
	s.t.Helper()
	for i := range p.Records {
		r := &p.Records[i]
		c := change{event: r.Event, raw: string(r.Raw), id: string(r.EventID), micros: r.Micros, partition: string(r.PartitionKey),
			pos: feed.Position{Seq: feed.Number(strings.Clone(string(r.Seq))), Sub: r.Sub}, imagesRows: [2]int32{r.New, r.Old}}
		number := func(row int32) string {
			if row == item.NoImage {
				return ""
			}
			it := p.Items.Item(int(row))
			at, _ := it.Get("v")
			return string(it.Text(at))
		}
		if r.Event != 0 {
			keys := p.Items.Item(int(r.Keys))
			at, _ := keys.Get("pk")
			c.key, c.old, c.new = string(keys.Text(at)), number(r.Old), number(r.New)
			if r.New != item.NoImage {
				c.newItem = string(p.Items.Item(int(r.New)).Raw())
			}
		}
		list = append(list, c)
	}
	return list
}

// quietPages is how many empty pages in a row at the tip are the end of what was written before.
const quietPages = 3

// rest reads a shard from an iterator on to its end or tip.
func (s *stream) rest(it string, limit int, p *feed.Page) (list []change, ended bool) {
	s.t.Helper()
	for quiet := 0; it != ""; it = p.Next {
		if err := s.Client.Read(s.t.Context(), it, limit, p); err != nil {
			s.t.Fatal(err)
		}
		if p.Bytes == 0 || time.Since(p.Date).Abs() > 400*24*time.Hour || (p.Behind < 0) == s.Kinesis {
			s.t.Fatalf("a page of %d bytes at %v, behind %v", p.Bytes, p.Date, p.Behind)
		}
		list = append(list, s.copied(p)...)
		if quiet++; len(p.Records) > 0 || p.Behind > 0 {
			quiet = 0
		}
		if quiet == quietPages {
			return list, false
		}
	}
	return list, true
}

func (s *stream) shards(of string) []feed.Shard {
	s.t.Helper()
	list, err := s.Client.Shards(s.t.Context(), s.name, of)
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

func (s *stream) iterator(shard string, after feed.Position) string {
	s.t.Helper()
	it, err := s.Client.Iterator(s.t.Context(), s.name, shard, after)
	if err != nil {
		s.t.Fatal(err)
	}
	return it
}

// all reads the whole stream, shard by shard as they are listed.
func (s *stream) all() (list []change) {
	s.t.Helper()
	var p feed.Page
	for _, shard := range s.shards("") {
		part, ended := s.rest(s.iterator(shard.ID, feed.Position{}), 7, &p)
		if ended != shard.Closed && !s.Endless {
			s.t.Errorf("shard %s is closed: %v, it ends: %v", shard.ID, shard.Closed, ended)
		}
		if s.Kinesis && ended && len(p.Children) != len(s.shards(shard.ID)) {
			s.t.Errorf("the last page of shard %s tells children %v", shard.ID, p.Children)
		}
		list = append(list, part...)
	}
	return list
}

// busiest is a shard that holds records, and these.
func (s *stream) busiest() (shard string, list []change) {
	s.t.Helper()
	for _, sh := range s.shards("") {
		if part, _ := s.rest(s.iterator(sh.ID, feed.Position{}), 100, &feed.Page{}); len(part) > len(list) {
			shard, list = sh.ID, part
		}
	}
	return shard, list
}

func (s Service) describes(t *testing.T) {
	st := s.open(t)
	d, err := s.Client.Describe(t.Context(), st.name)
	if err != nil || !d.Open || d.View != feed.BothImages || d.Kinesis != s.Kinesis || !strings.HasPrefix(d.ARN, "arn:") {
		t.Fatalf("%+v, %v", d, err)
	}
	if !s.Kinesis && (d.Table != st.own || d.Keys.Hash.Name != "pk" || d.ARN != st.name) {
		t.Errorf("%+v", d)
	}
	missing := strings.Replace(d.ARN, "feed-", "none-", 1)
	if _, err := s.Client.Describe(t.Context(), missing); fault.KindOf(err) != fault.NotFound || fault.HintOf(err) == "" {
		t.Errorf("a stream that is not there: %v", err)
	}
	if _, err := s.Client.Shards(t.Context(), missing, ""); fault.KindOf(err) != fault.NotFound {
		t.Errorf("its shards: %v", err)
	}
	for i, shard := range st.shards("") {
		if shard.ID == "" || shard.Closed || len(shard.Parents) > 0 {
			t.Errorf("shard %d: %+v", i, shard)
		}
		gone := shard.ID[:len(shard.ID)-1] + "9"
		if _, err := s.Client.Iterator(t.Context(), st.name, gone, feed.Position{}); fault.KindOf(err) != fault.NotFound {
			t.Errorf("a shard that is not there: %v", err)
		}
	}
	if s.Kinesis {
		if by, err := s.Client.Describe(t.Context(), d.ARN); err != nil || by.ARN != d.ARN {
			t.Errorf("by its ARN: %+v, %v", by, err)
		}
	}
}

func (s Service) records(t *testing.T) {
	st := s.open(t)
	st.put("a")
	st.put("a")
	st.remove("a")
	st.put("ключ \"1\"")
	var mine []change
	ids := map[string]bool{}
	for _, c := range st.all() {
		if ids[c.id] || c.id == "" {
			t.Errorf("event id %q", c.id)
		}
		ids[c.id] = true
		var told struct {
			EventName string
			Dynamodb  struct{ NewImage object }
		}
		if err := json.Unmarshal([]byte(c.raw), &told); err != nil || strings.ContainsAny(c.raw, "\r\n") || told.EventName == "" {
			t.Errorf("raw %s: %v", c.raw, err)
		}
		if c.newItem != "" && !reflect.DeepEqual(told.Dynamodb.NewImage["odd"], decoded(t, odd)) {
			t.Errorf("the image holds %v", told.Dynamodb.NewImage["odd"])
		}
		if age := time.Since(time.UnixMicro(c.micros)); s.Later == nil && age.Abs() > time.Hour {
			t.Errorf("a record of %v ago", age)
		}
		if c.key == "a" {
			mine = append(mine, c)
		} else if c.key != "ключ \"1\"" || c.event != feed.Insert {
			t.Errorf("%+v", c)
		}
	}
	if len(ids) != 4 || len(mine) != 3 {
		t.Fatalf("%d records", len(ids))
	}
	for i, want := range []change{{event: feed.Insert, new: "1"}, {event: feed.Modify, old: "1", new: "2"}, {event: feed.Remove, old: "2"}} {
		got := mine[i]
		if got.event != want.event || got.old != want.old || got.new != want.new || i > 0 && mine[i-1].pos.Compare(got.pos) >= 0 {
			t.Errorf("record %d: %+v", i, got)
		}
	}
}

func decoded(t *testing.T, v any) (out any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s Service) resumes(t *testing.T) {
	st := s.open(t)
	for i := range 12 {
		st.put(fmt.Sprint(i % 5))
	}
	shard, want := st.busiest()
	if len(want) < 3 {
		t.Fatalf("%d records", len(want))
	}
	for i := range want {
		got, _ := st.rest(st.iterator(shard, want[i].pos), 1+i%3, &feed.Page{})
		if !reflect.DeepEqual(raws(got), raws(want[i+1:])) {
			t.Errorf("behind record %d of %d: %d records", i, len(want), len(got))
		}
	}
}

func raws(list []change) []string {
	out := []string{}
	for _, c := range list {
		out = append(out, c.pos.String()+c.raw)
	}
	return out
}

func (s Service) reuses(t *testing.T) {
	st := s.open(t)
	for range 9 {
		st.put("a")
	}
	shard, want := st.busiest()
	var p feed.Page
	for _, limit := range []int{9, 1, 4, 9, 2} {
		got, _ := st.rest(st.iterator(shard, feed.Position{}), limit, &p)
		if !reflect.DeepEqual(raws(got), raws(want)) {
			t.Errorf("in pages of %d: %d records of %d", limit, len(got), len(want))
		}
	}
	if err := s.Client.Read(t.Context(), "no iterator", 1, &p); err == nil || len(p.Records)+p.Items.Len() > 0 || p.Next != "" {
		t.Errorf("what is no iterator: %v, %d records left", err, len(p.Records))
	}
}

func (s Service) lineage(t *testing.T) {
	if !s.Splits {
		t.Skip("SKIPPED, NOT PASSED: the service does not split its shards on request; our own does, and there it runs")
	}
	st := s.open(t)
	const rounds = 6
	for round := range rounds {
		for key := range 16 {
			st.put(fmt.Sprint(key))
		}
		if round < rounds-2 {
			for _, sh := range st.shards("") {
				if !sh.Closed {
					st.split(sh.ID)
					break
				}
			}
		}
	}
	next := map[string]int{}
	for _, c := range st.all() {
		if next[c.key]++; c.new != fmt.Sprint(next[c.key]) {
			t.Fatalf("key %s: %s where %d was due", c.key, c.new, next[c.key])
		}
	}
	for key, n := range next {
		if n != rounds {
			t.Errorf("key %s: %d records", key, n)
		}
	}
	all, parents := st.shards(""), 0
	for i, sh := range all {
		children := st.shards(sh.ID)
		if want := feed.ChildrenOf(sh.ID, all); !reflect.DeepEqual(children, want) {
			t.Errorf("children of %s: %v, want %v", sh.ID, children, want)
		}
		for _, p := range sh.Parents {
			for _, later := range all[i:] {
				if later.ID == p {
					t.Errorf("shard %s comes before its parent %s", sh.ID, p)
				}
			}
		}
		if len(children) > 0 {
			parents++
			if !sh.Closed {
				t.Errorf("shard %s has children and is open", sh.ID)
			}
		}
	}
	if len(next) != 16 || parents != rounds-2 {
		t.Errorf("%d keys, %d parents", len(next), parents)
	}
}

func (s Service) expires(t *testing.T) {
	if s.Later == nil {
		t.Skip("SKIPPED, NOT PASSED: the service's clock cannot be moved; our own can, and there it runs")
	}
	st := s.open(t)
	it := st.iterator(st.shards("")[0].ID, feed.Position{})
	s.Later(16 * time.Minute)
	if err := s.Client.Read(t.Context(), it, 10, &feed.Page{}); !errors.Is(err, feed.ErrExpired) {
		t.Errorf("after 16 minutes: %v", err)
	}
}

func (s Service) trims(t *testing.T) {
	if s.Later == nil {
		t.Skip("SKIPPED, NOT PASSED: the service's clock cannot be moved; our own can, and there it runs")
	}
	st := s.open(t)
	for range 3 {
		st.put("a")
	}
	shard, old := st.busiest()
	s.Later(25 * time.Hour)
	if _, err := s.Client.Iterator(t.Context(), st.name, shard, old[2].pos); s.Kinesis && !errors.Is(err, feed.ErrTrimmed) {
		t.Errorf("behind the last record, which is gone: %v", err) // of DynamoDB Streams it may be known that nothing followed
	}
	st.put("a")
	if _, err := s.Client.Iterator(t.Context(), st.name, shard, old[0].pos); !errors.Is(err, feed.ErrTrimmed) {
		t.Errorf("behind a record that is gone: %v", err)
	}
	if list, _ := st.rest(st.iterator(shard, feed.Position{}), 10, &feed.Page{}); len(list) != 1 || list[0].new != "4" {
		t.Errorf("from the oldest that is kept: %+v", list)
	}
}

func (s Service) aggregates(t *testing.T) {
	st := s.open(t)
	stranger := []byte("not JSON\nat all \xff")
	var lines bytes.Buffer
	if err := json.Indent(&lines, payload("a", 2, 3), "\r", "\t"); err != nil {
		t.Fatal(err)
	}
	parts := [][]byte{payload("a", 0, 1), stranger, payload("a", 1, 2), {}, lines.Bytes()}
	st.send("a", Aggregate([]string{"k0", "k1"}, parts))
	st.send("a", stranger)
	broken := Aggregate([]string{"k"}, parts)
	broken[len(broken)-1]++
	st.send("a", broken)
	st.send("a", []byte(`{"eventName":"INSERT","dynamodb":{"NewImage":{"a":{"S":"without keys"}}}}`))
	shard, list := st.busiest()
	if len(list) != 8 {
		t.Fatalf("%d records", len(list))
	}
	for i, want := range [][]byte{parts[0], parts[1], parts[2], parts[3], payload("a", 2, 3), stranger, broken} {
		c := list[i]
		known := i == 0 || i == 2 || i == 4
		if (c.event != 0) != known || !known && (c.raw != string(want) || c.imagesRows != [2]int32{item.NoImage, item.NoImage}) {
			t.Errorf("record %d: %+v", i, c)
		}
		if i < 5 && (c.pos.Sub != uint64(i+1) || c.partition != []string{"k0", "k1"}[i%2] || c.pos.Seq != list[0].pos.Seq) {
			t.Errorf("record %d of the aggregate: %+v", i, c)
		}
		if i >= 5 && (c.pos.Sub != 0 || c.partition != "a") {
			t.Errorf("record %d: %+v", i, c)
		}
	}
	if c := list[4]; c.old != "2" || c.new != "3" || strings.ContainsAny(c.raw, "\t\r\n") {
		t.Errorf("the change over several lines: %+v", c)
	}
	again, _ := st.rest(st.iterator(shard, list[1].pos), 100, &feed.Page{})
	if !reflect.DeepEqual(raws(again), raws(list)) {
		t.Errorf("behind the second of an aggregate: %d records, want the whole of it and the rest", len(again))
	}
	again, _ = st.rest(st.iterator(shard, list[5].pos), 100, &feed.Page{})
	if !reflect.DeepEqual(raws(again), raws(list[6:])) {
		t.Errorf("behind a stranger: %d records", len(again))
	}
}

// merges checks that a shard with two parents stands behind both, and is a child of each.
func (s Service) merges(t *testing.T) {
	st := s.open(t)
	for key := range 8 {
		st.put(fmt.Sprint(key))
	}
	two := st.shards("")
	s.post(t, kinesisT+"MergeShards", object{"StreamName": st.own, "ShardToMerge": two[0].ID, "AdjacentShardToMerge": two[1].ID}, nil)
	for key := range 8 {
		st.put(fmt.Sprint(key))
	}
	all := st.shards("")
	if len(all) != 3 || len(all[2].Parents) != 2 || !all[0].Closed || !all[1].Closed || all[2].Closed {
		t.Fatalf("%+v", all)
	}
	for _, parent := range all[:2] {
		if children := st.shards(parent.ID); !reflect.DeepEqual(children, all[2:]) {
			t.Errorf("children of %s: %+v", parent.ID, children)
		}
	}
	if s.Endless {
		return
	}
	next := map[string]int{}
	for _, c := range st.all() {
		if next[c.key]++; c.new != fmt.Sprint(next[c.key]) {
			t.Errorf("key %s: %s where %d was due", c.key, c.new, next[c.key])
		}
	}
	if len(next) != 8 || next["0"] != 2 {
		t.Errorf("%v", next)
	}
}
