package upstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dynaferry/internal/fault"
)

// script is a stream whose every answer is decided by the test.
type script struct {
	t      *testing.T
	mu     sync.Mutex
	now    time.Time
	shards []*scripted
	status string
	gone   bool
	page   int // records a page
	asked  []string
}

type scripted struct {
	id, parent string
	seconds    []int // of its records, from the start; their numbers count from 1 in the shard's own hundreds
	first      int   // number of the first
	closed     bool
	trimmed    int  // so many of the first are gone
	empties    int  // pages without records to come
	expired    bool // the next page is refused so
	hidden     bool // not described
}

func newScript(t *testing.T, shards ...*scripted) *script {
	s := &script{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), shards: shards, status: "ENABLED", page: 1000}
	for i, shard := range shards {
		shard.first = 100 * (i + 1)
	}
	return s
}

// start is the second that times of records count from.
func (s *script) start() int64 { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Unix() }

func (s *script) shard(id string) *scripted {
	for _, shard := range s.shards {
		if shard.id == id {
			return shard
		}
	}
	return nil
}

// RoundTrip implements http.RoundTripper.
func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var in struct{ StreamArn, ExclusiveStartShardId, ShardId, ShardIteratorType, SequenceNumber, ShardIterator string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		s.t.Error(err)
	}
	operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), streamsStem)
	s.asked = append(s.asked, operation)
	var body string
	switch operation {
	case "DescribeStream":
		body = s.describe(in.ExclusiveStartShardId)
	case "GetShardIterator":
		body = s.iterator(in.ShardId, in.ShardIteratorType, in.SequenceNumber)
	case "GetRecords":
		body = s.records(in.ShardIterator)
	default:
		s.t.Errorf("asked for %s", operation)
	}
	status := http.StatusOK
	if strings.Contains(body, "__type") {
		status = http.StatusBadRequest
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader([]byte(body)))}, nil
}

func refusal(kind string) string {
	return `{"__type":"com.amazonaws.dynamodb.v20120810#` + kind + `","message":"says the script"}`
}

// describe gives one shard a page.
func (s *script) describe(after string) string {
	if s.gone {
		return refusal("ResourceNotFoundException")
	}
	shown := slices.DeleteFunc(slices.Clone(s.shards), func(shard *scripted) bool { return shard.hidden })
	at := slices.IndexFunc(shown, func(shard *scripted) bool { return shard.id == after }) + 1
	var d struct {
		StreamDescription struct {
			StreamStatus         string
			LastEvaluatedShardId string `json:",omitempty"`
			Shards               []described
		}
	}
	d.StreamDescription.StreamStatus = s.status
	if at < len(shown) {
		d.StreamDescription.Shards = []described{{shown[at].id, shown[at].parent}}
	}
	if at+1 < len(shown) {
		d.StreamDescription.LastEvaluatedShardId = shown[at].id
	}
	text, _ := json.Marshal(d)
	return string(text)
}

func (s *script) iterator(id, kind, number string) string {
	shard := s.shard(id)
	if shard == nil || shard.hidden {
		return refusal("ResourceNotFoundException")
	}
	at := shard.trimmed
	if kind == "AFTER_SEQUENCE_NUMBER" {
		n, err := strconv.Atoi(number)
		if err != nil {
			s.t.Errorf("sequence number %q", number)
		}
		if at = n - shard.first + 1; at < shard.trimmed || shard.trimmed > 0 && at == shard.trimmed {
			return refusal("TrimmedDataAccessException")
		}
	}
	return fmt.Sprintf(`{"ShardIterator":"%s|%d"}`, id, at)
}

func (s *script) records(iterator string) string {
	id, text, _ := strings.Cut(iterator, "|")
	at, _ := strconv.Atoi(text)
	shard := s.shard(id)
	switch {
	case shard == nil || shard.hidden:
		return refusal("ResourceNotFoundException")
	case shard.expired:
		shard.expired = false
		return refusal("ExpiredIteratorException")
	case at < shard.trimmed:
		return refusal("TrimmedDataAccessException")
	case shard.empties > 0:
		shard.empties--
		return `{"Records":[],"NextShardIterator":"` + iterator + `"}`
	}
	end := min(at+s.page, len(shard.seconds))
	var list []string
	for i := at; i < end; i++ {
		name, image := "MODIFY", `,"NewImage":{"k":{"S":"x"}}`
		if shard.seconds[i]%10 == 9 { // a deletion, by the service
			name, image = "REMOVE", ""
		}
		list = append(list, fmt.Sprintf(`{"eventName":"%s","userIdentity":{"type":"Service","PrincipalId":"dynamodb.amazonaws.com","Type":"Service"},"dynamodb":{"ApproximateCreationDateTime":%d.0,"Keys":{"k":{"S":"x"}}%s,"SequenceNumber":"%d"}}`,
			name, s.start()+int64(shard.seconds[i]), image, shard.first+i))
	}
	next := ""
	if !shard.closed || end < len(shard.seconds) {
		next = fmt.Sprintf(`,"NextShardIterator":"%s|%d"`, id, end)
	}
	return `{"Records":[` + strings.Join(list, ",") + `]` + next + `}`
}

// follower reads a script and keeps what it reads.
type follower struct {
	*script
	stream *Stream
	seqs   []string
	times  []int // seconds from the start
	kept   map[string]Position
}

func (s *script) follow(trust Trust, known ...Position) *follower {
	c, err := New(Options{URL: "http://script", Transport: s})
	if err != nil {
		s.t.Fatal(err)
	}
	f := &follower{script: s, kept: map[string]Position{}}
	for _, p := range known {
		f.kept[p.Shard] = p
	}
	f.stream = c.Follow("arn", known, trust, func() time.Time { s.mu.Lock(); defer s.mu.Unlock(); return s.now })
	return f
}

// again is a follower that knows what this one kept.
func (f *follower) again(trust Trust) *follower {
	var known []Position
	for _, p := range f.kept {
		known = append(known, p)
	}
	return f.script.follow(trust, known...)
}

// round reads once and keeps what there is. The clock moves by a second.
func (f *follower) round() error {
	err := f.stream.Read(f.t.Context())
	for _, shard := range f.stream.Shards() {
		for {
			run := shard.Run(math.MaxInt64, 2)
			if len(run) == 0 {
				break
			}
			for _, r := range run {
				f.seqs = append(f.seqs, r.Seq)
				f.times = append(f.times, int(r.Ms/1000-f.start()))
				if (r.New == nil) != (f.times[len(f.times)-1]%10 == 9) && r.Ms%1000 == 0 || !r.Service {
					f.t.Errorf("%+v", r)
				}
			}
			f.kept[shard.Shard] = shard.Behind(len(run))
			shard.Advance(len(run))
		}
		f.kept[shard.Shard] = shard.Behind(0)
	}
	f.mu.Lock()
	f.now = f.now.Add(time.Second)
	f.mu.Unlock()
	return err
}

func (f *follower) rounds(n int) {
	f.t.Helper()
	for range n {
		if err := f.round(); err != nil {
			f.t.Fatal(err)
		}
	}
}

// passed is what the stream has passed, in seconds from the start.
func (f *follower) passed() float64 {
	if f.stream.PassedMs() == 0 {
		return math.Inf(-1)
	}
	return float64(f.stream.PassedMs())/1000 - float64(f.start())
}

var quick = Trust{Lag: time.Second, Pages: 3}

// Parents come before their children, closed shards are read to their end, shards are told in several pages, pages may be empty
// and iterators expire: every record is read once, and those of a lineage in their order.
func TestLineage(t *testing.T) {
	s := newScript(t,
		&scripted{id: "a", seconds: []int{-50, -49, -48}, closed: true, empties: 1},
		&scripted{id: "b", parent: "a", seconds: []int{-40, -39}, closed: true},
		&scripted{id: "c", parent: "b", seconds: []int{-30}},
		&scripted{id: "d", parent: "a", seconds: []int{-45, -44}, expired: true},
		&scripted{id: "e", parent: "trimmed long ago", seconds: []int{-35}})
	s.page = 1
	f := s.follow(quick)
	f.rounds(14)
	if got := strings.Join(slices.Sorted(slices.Values(f.seqs)), " "); got != "100 101 102 200 201 300 400 401 500" {
		t.Error(got)
	}
	at := func(seq string) int { return slices.Index(f.seqs, seq) }
	for _, chain := range []string{"100 101 102 200 201 300", "102 400 401"} {
		seqs := strings.Fields(chain)
		if !slices.IsSortedFunc(seqs, func(a, b string) int { return at(a) - at(b) }) {
			t.Errorf("%s: read as %v", chain, f.seqs)
		}
	}
	if got := f.passed(); got < 5 {
		t.Errorf("passed %g s", got)
	}
	// Another process goes on, with what is new only.
	s.shard("c").seconds = append(s.shard("c").seconds, 14)
	g := f.again(quick)
	g.rounds(3)
	if !slices.Equal(g.seqs, []string{"301"}) || g.passed() < f.passed() {
		t.Errorf("%v, passed %g and then %g", g.seqs, f.passed(), g.passed())
	}
}

// A time is passed when enough pages asked for a lag later were empty; one page proves nothing, and a record that says to be
// older than what was passed is as old as that.
func TestPassed(t *testing.T) {
	s := newScript(t, &scripted{id: "a", seconds: []int{-5}})
	f := s.follow(quick)
	f.rounds(1)
	if got := f.passed(); got != -5 {
		t.Errorf("after a record of -5: %g", got)
	}
	f.rounds(2) // pages of 1 and 2
	if got := f.passed(); got != -5 {
		t.Errorf("after two empty pages: %g", got)
	}
	f.rounds(1) // of 3
	if got := f.passed(); got != 0 {
		t.Errorf("after three pages, the first of second 1: %g", got)
	}
	f.rounds(2)
	s.shard("a").seconds = append(s.shard("a").seconds, -4, 5, 98)
	f.rounds(1) // page of 6: what lies ahead of it cannot be
	if !slices.Equal(f.times, []int{-5, 2, 5, 6}) {
		t.Error(f.times)
	}
}

// A short page of DynamoDB Local is the end of what there is, whose times are of the minute.
func TestPassedImmediate(t *testing.T) {
	s := newScript(t, &scripted{id: "a"})
	f := s.follow(immediate)
	for i := range 5 {
		s.shard("a").seconds = append(s.shard("a").seconds, 0)
		f.rounds(1)
		if got := f.passed(); got != max(0, float64(i)-0.5) {
			t.Errorf("after the page of second %d, with a record of 0: %g", i, got)
		}
	}
	if !slices.Equal(f.times, []int{0, 0, 0, 1, 2}) { // each no older than what the page before had passed
		t.Error(f.times)
	}
}

// The end of a shard is passed when its children are known, all of them: one may be told later than the other. ScyllaDB's shards
// need not have any.
func TestPassedEnd(t *testing.T) {
	s := newScript(t, &scripted{id: "a", seconds: []int{-5}, closed: true}, &scripted{id: "b", parent: "a", hidden: true}, &scripted{id: "c", parent: "a", hidden: true})
	f := s.follow(quick)
	f.rounds(20)
	if got := f.passed(); got != -5 {
		t.Errorf("with an end and no children: %g", got)
	}
	s.shard("b").hidden = false
	f.rounds(6)
	s.shard("c").hidden = false
	if f.passed() < 15 {
		t.Errorf("with a child: %g", f.passed())
	}
	s = newScript(t, &scripted{id: "a", seconds: []int{-5}, closed: true}, &scripted{id: "b"})
	f = s.follow(quick)
	f.rounds(70)
	if f.passed() < 50 {
		t.Errorf("without children for a minute: %g", f.passed())
	}
}

// What cannot be read without a hole is a gap, with its reason; what can, is not.
func TestGap(t *testing.T) {
	for name, c := range map[string]struct {
		break_ func(f *follower)
		gap    string // "": none
	}{
		"quiet for an hour":         {func(f *follower) { f.now = f.now.Add(time.Hour) }, ""},
		"trimmed but passed before": {func(f *follower) { f.shard("a").trimmed = 2 }, ""},
		"away for a day":            {func(f *follower) { f.now = f.now.Add(25 * time.Hour) }, "shard a: nothing of it was read since"},
		"trimmed unread": {func(f *follower) {
			f.shard("a").trimmed = 3
			f.now = f.now.Add(23*time.Hour + 30*time.Minute)
		}, "were trimmed before they were read"},
		"a shard is gone":       {func(f *follower) { f.shard("a").hidden = true }, "shard a: it is gone and was not read to its end"},
		"the stream is gone":    {func(f *follower) { f.gone = true }, "the stream arn is gone"},
		"the stream was off":    {func(f *follower) { f.status, f.shard("a").closed = "DISABLED", true }, "the stream arn was turned off"},
		"a parent never read":   {func(f *follower) { f.shards = append(f.shards, &scripted{id: "z", parent: "y"}) }, "shard z: its parent y was never read and is gone"},
		"a new lineage is none": {func(f *follower) { f.shards = append(f.shards, &scripted{id: "z"}) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, &scripted{id: "a", seconds: []int{-5, -4}})
			f := s.follow(quick)
			f.rounds(5)
			c.break_(f)
			g := f.again(quick)
			var err error
			for n := 0; n < 8 && err == nil; n++ {
				err = g.round()
			}
			if c.gap == "" {
				if err != nil || len(g.seqs) > 0 {
					t.Error(err, g.seqs)
				}
				return
			}
			gap := new(Gap)
			if !errors.As(err, &gap) || !strings.Contains(gap.Error(), c.gap) {
				t.Error(err)
			}
		})
	}
}

// A run is of one time and no longer than asked for, and none comes before its time.
func TestRun(t *testing.T) {
	s := newScript(t, &scripted{id: "a", seconds: []int{-9, -8, -8, -8, -7}})
	f := s.follow(quick)
	if err := f.stream.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	shard := f.stream.Shards()[0]
	var got []int
	for {
		run := shard.Run((s.start()-8)*1000, 2)
		if len(run) == 0 {
			break
		}
		got = append(got, len(run))
		shard.Advance(len(run))
	}
	if !slices.Equal(got, []int{1, 2, 1}) || f.passed() != -7 {
		t.Errorf("%v, passed %g", got, f.passed())
	}
}

// Numbers are compared as numbers.
func TestBehind(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"10", "9", true}, {"9", "10", false}, {"000010", "10", false}, {"340282366920938463463374607431768211456", "340282366920938463463374607431768211455", true}} {
		if behind(c.a, c.b) != c.want {
			t.Errorf("%s behind %s: %t", c.a, c.b, !c.want)
		}
	}
}

// Answers other than 200 say what they are; what is no DynamoDB's is told so.
func TestRefusals(t *testing.T) {
	for text, want := range map[string]fault.Kind{
		refusal("ResourceNotFoundException"): fault.NotFound, refusal("LimitExceededException"): fault.Throttled, "<html>": fault.Unavailable,
	} {
		c, err := New(Options{URL: "http://script", Transport: answer(text)})
		if err != nil {
			t.Fatal(err)
		}
		err = c.Call(t.Context(), "DescribeTable", struct{}{}, &struct{}{})
		if fault.KindOf(err) != want || errors.Is(err, ErrAway) != (want == fault.Unavailable) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

type answer string

// RoundTrip implements http.RoundTripper.
func (a answer) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(a)))}, nil
}
