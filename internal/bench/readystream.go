package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"dynaferry/internal/sample"
)

// ReadyStream is a table's stream of which every page is there already: an endpoint that costs next to nothing, so that what
// is measured is who reads it. Each shard holds Pages pages of about 1 MB of records of 1.8 KB with both images; no two
// records are of one item. The shards are closed, so that who has read them is done.
type ReadyStream struct {
	Shards int
	Pages  int           // in each shard
	Delay  time.Duration // before every reply
	Open   bool          // the shards stay open: behind the last page come empty ones

	page readyPage
	pool *sync.Pool // of pages: each reply writes its numbers into one and leaves the rest
}

const (
	readyTable    = "Ready"
	readyARN      = "arn:aws:dynamodb:us-east-1:000000000000:table/Ready/stream/2026-01-01T00:00:00.000"
	readyHead     = `{"Records":[`
	readyPageSize = 1 << 20
	seqDigits     = 20 // behind a 1
	keyDigits     = 10
	idDigits      = 32
)

// readyPage is a page's text, and where in it stands what differs from page to page.
type readyPage struct {
	text    []byte
	keys    []int // of keyDigits, three a record
	seqs    []int // of seqDigits, one a record
	ids     []int // of idDigits, one a record
	records int
}

// readyImage is an order with a trace, which brings a record to 1.8 KB.
func readyImage(seed, i uint64) []byte {
	r := sample.NewRandom(seed+100, i)
	image := sample.AppendOrder(nil, seed, i)
	return fmt.Appendf(image[:len(image)-1], `,"trace":{"S":"%016x"}}`, r.Next())
}

func makeReadyPage() (p readyPage) {
	at := time.Now().Unix()
	for {
		i := uint64(p.records)
		record := fmt.Appendf(nil, `{"eventID":"%0*x","eventName":"MODIFY","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"us-east-1",`+
			`"dynamodb":{"ApproximateCreationDateTime":%d,"Keys":{"orderId":{"S":"o-%0*d"}},"NewImage":%s,"OldImage":%s,"SequenceNumber":"1%0*d","SizeBytes":1400,`+
			`"StreamViewType":"NEW_AND_OLD_IMAGES"}},`, idDigits, i, at, keyDigits, i, readyImage(2, i), readyImage(1, i), seqDigits, i)
		if len(p.text)+len(record) > readyPageSize {
			p.text = p.text[:len(p.text)-1] // the last comma
			return p
		}
		start := len(p.text)
		p.text = append(p.text, record...)
		for from := start; ; {
			n := bytes.Index(p.text[from:], []byte(`"S":"o-`))
			if n < 0 {
				break
			}
			from += n + len(`"S":"o-`)
			p.keys = append(p.keys, from)
		}
		p.seqs = append(p.seqs, start+bytes.Index(record, []byte(`"SequenceNumber":"`))+len(`"SequenceNumber":"1`))
		p.ids = append(p.ids, start+len(`{"eventID":"`))
		p.records++
	}
}

// digits overwrites dst with v.
func digits(dst []byte, v uint64) {
	i := len(dst) - 1
	for ; v > 0; i, v = i-1, v/10 {
		dst[i] = byte('0' + v%10)
	}
	for ; i >= 0; i-- {
		dst[i] = '0'
	}
}

// Records is how many the stream holds.
func (s *ReadyStream) Records() int { return s.Shards * s.Pages * s.page.records }

// Serve serves the stream on loopback until the context ends; announce learns the address once it answers.
func (s *ReadyStream) Serve(ctx context.Context, announce func(url string, records int)) error {
	s.page = makeReadyPage()
	s.pool = &sync.Pool{New: func() any { return new(append([]byte(readyHead), s.page.text...)) }}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	announce("http://"+listener.Addr().String(), s.Records())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// ServeHTTP answers what a follower of the stream asks.
func (s *ReadyStream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var in struct {
		ShardId, ShardIteratorType, SequenceNumber, ShardIterator string
		ShardFilter                                               *struct{ Type string }
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&in); err != nil {
		s.refuse(w, "SerializationException")
		return
	}
	if s.Delay > 0 {
		time.Sleep(s.Delay)
	}
	switch operation {
	case "DescribeTable":
		s.reply(w, fmt.Appendf(nil, `{"Table":{"TableName":%q,"TableStatus":"ACTIVE","TableArn":"arn:aws:dynamodb:us-east-1:000000000000:table/Ready","TableId":"00000000-0000-0000-0000-000000000001",`+
			`"KeySchema":[{"AttributeName":"orderId","KeyType":"HASH"}],"AttributeDefinitions":[{"AttributeName":"orderId","AttributeType":"S"}],"ItemCount":0,"TableSizeBytes":0,`+
			`"BillingModeSummary":{"BillingMode":"PAY_PER_REQUEST"},"LatestStreamArn":%q,"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"}}}`, readyTable, readyARN))
	case "DescribeStream":
		s.describe(w, in.ShardFilter == nil)
	case "GetShardIterator":
		s.iterator(w, in.ShardId, in.ShardIteratorType, in.SequenceNumber)
	case "GetRecords":
		s.records(w, in.ShardIterator)
	default:
		s.refuse(w, "UnknownOperationException")
	}
}

func (s *ReadyStream) refuse(w http.ResponseWriter, kind string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, `{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"not served here"}`, kind)
}

func (s *ReadyStream) reply(w http.ResponseWriter, parts ...[]byte) {
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("Content-Length", strconv.Itoa(size))
	for _, part := range parts {
		_, _ = w.Write(part) // whoever is gone asks no more
	}
}

// describe lists the shards; a filter is for children, and none has any.
func (s *ReadyStream) describe(w http.ResponseWriter, all bool) {
	body := fmt.Appendf(nil, `{"StreamDescription":{"StreamArn":%q,"StreamStatus":"ENABLED","StreamViewType":"NEW_AND_OLD_IMAGES","TableName":%q,`+
		`"KeySchema":[{"AttributeName":"orderId","KeyType":"HASH"}],"Shards":[`, readyARN, readyTable)
	for i := range s.Shards {
		if !all {
			break
		}
		if i > 0 {
			body = append(body, ',')
		}
		end := ""
		if !s.Open {
			end = fmt.Sprintf(`,"EndingSequenceNumber":"1%0*d"`, seqDigits, s.sequence(s.Pages*s.page.records))
		}
		body = fmt.Appendf(body, `{"ShardId":"shardId-%020d-ready","SequenceNumberRange":{"StartingSequenceNumber":"1%0*d"%s}}`, i, seqDigits, s.sequence(0), end)
	}
	s.reply(w, append(body, "]}}"...))
}

// sequence is the number of a shard's n-th record, from 0.
func (s *ReadyStream) sequence(n int) uint64 { return 1_000_000_000 + uint64(n) }

func (s *ReadyStream) iterator(w http.ResponseWriter, shard, kind, after string) {
	page := 0
	if kind == "AFTER_SEQUENCE_NUMBER" || kind == "AT_SEQUENCE_NUMBER" {
		number, err := strconv.ParseUint(strings.TrimPrefix(after, "1"), 10, 64)
		if err != nil {
			s.refuse(w, "ValidationException")
			return
		}
		page = int(number+1-s.sequence(0)) / s.page.records // positions are those of whole pages
	}
	s.reply(w, fmt.Appendf(nil, `{"ShardIterator":"%s/%d"}`, shard, page))
}

func (s *ReadyStream) records(w http.ResponseWriter, iterator string) {
	shard, page, ok := strings.Cut(iterator, "/")
	n, err := strconv.Atoi(page)
	number, err2 := strconv.Atoi(strings.Trim(shard, "shardId-ready"))
	if !ok || errors.Join(err, err2) != nil {
		s.refuse(w, "ExpiredIteratorException")
		return
	}
	tail := "]}"
	if n < s.Pages-1 || s.Open {
		tail = fmt.Sprintf(`],"NextShardIterator":"%s/%d"}`, shard, min(n+1, s.Pages))
	}
	if n >= s.Pages {
		s.reply(w, []byte(readyHead+tail))
		return
	}
	text := s.pool.Get().(*[]byte)
	defer s.pool.Put(text)
	s.number((*text)[len(readyHead):], number, n)
	s.reply(w, *text, []byte(tail))
}

// number writes into a page what is its own.
func (s *ReadyStream) number(text []byte, shard, page int) {
	first := page * s.page.records
	unique := (uint64(shard)*uint64(s.Pages) + uint64(page)) * uint64(s.page.records)
	for i := range s.page.records {
		digits(text[s.page.seqs[i]:][:seqDigits], s.sequence(first+i))
		digits(text[s.page.ids[i]:][:idDigits], unique+uint64(i))
	}
	for i, at := range s.page.keys {
		digits(text[at:][:keyDigits], unique+uint64(i/3))
	}
}
