package sim

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
)

// Wire answers the requests of AWS clients as S3, DynamoDB Streams and Kinesis do, from the ports of a process: what goes wrong
// there goes wrong here in the shape that it has on a wire. A reply that was lost is a broken connection, a damaged body has the
// checksum of the right one where the service sends one, and a body may end early. It is an http.RoundTripper, so that no socket is in the way of the
// bubble's clock, and knows one bucket, of the name Bucket.
type Wire struct {
	*Env
	part string // of the process, as of a bucket
}

// Part is the wire as a part of the process sees it that runs beside others, see Env.Part.
func (w *Wire) Part(name string) *Wire {
	own := *w.Env
	own.Bucket = w.p.bucket(name + " ")
	return &Wire{Env: &own, part: name + " "}
}

// Bucket is the name of the bucket that a Wire has.
const Bucket = "bucket"

// reply is what a request is answered with.
type reply struct {
	status int
	header http.Header
	body   []byte
	cut    bool // the body ends early
}

// RoundTrip implements http.RoundTripper.
func (w *Wire) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
	}
	out := &reply{status: http.StatusOK, header: http.Header{}}
	var err error
	service, operation, table := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if table {
		err = w.stream(r.Context(), service, operation, body, out)
	} else {
		err = w.objects(r, body, out)
	}
	if err != nil {
		if err = out.refuse(err, service); err != nil {
			return nil, err
		}
	}
	resp := &http.Response{StatusCode: out.status, Status: http.StatusText(out.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: out.header,
		ContentLength: int64(len(out.body)), Request: r, Body: io.NopCloser(bytes.NewReader(out.body))}
	if r.Method != http.MethodHead {
		out.header.Set("Content-Length", strconv.Itoa(len(out.body)))
	}
	switch {
	case r.Method == http.MethodHead:
		resp.Body = http.NoBody
		resp.ContentLength, _ = strconv.ParseInt(out.header.Get("Content-Length"), 10, 64)
	case out.cut:
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(out.body[:len(out.body)/2]), broken{}))
	}
	return resp, nil
}

// broken is a connection that ends in the middle of a body.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// refuse renders a port's error as the service does; what is no answer at all is the error of a connection.
func (o *reply) refuse(err error, service string) error {
	code, table := "", service != ""
	switch text := err.Error(); {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, feed.ErrExpired):
		o.status, code = 400, "ExpiredIteratorException"
	case errors.Is(err, feed.ErrTrimmed):
		o.status, code = 400, "TrimmedDataAccessException"
	case table && fault.KindOf(err) == fault.NotFound:
		o.status, code = 400, "ResourceNotFoundException"
	case fault.KindOf(err) == fault.NotFound:
		o.status, code = 404, "NoSuchKey"
	case fault.KindOf(err) == fault.Throttled && service == kinesisTarget:
		o.status, code = 400, "ProvisionedThroughputExceededException"
	case fault.KindOf(err) == fault.Throttled:
		o.status, code = 400, "LimitExceededException"
	case strings.Contains(text, "409"):
		o.status, code = 409, "ConditionalRequestConflict"
	case fault.KindOf(err) == fault.Conflict:
		o.status, code = 412, "PreconditionFailed"
	case strings.Contains(text, "503"):
		o.status, code = 503, "SlowDown"
	case strings.Contains(text, "500"):
		o.status, code = 500, "InternalError"
	case fault.KindOf(err) == fault.Unavailable:
		return syscall.ECONNRESET
	default:
		o.status, code = 400, "ValidationException"
	}
	if service == kinesisTarget {
		o.body, _ = json.Marshal(map[string]string{"__type": code, "message": err.Error()})
		return nil
	}
	if table {
		o.body, _ = json.Marshal(map[string]string{"__type": "com.amazonaws.dynamodb.v20120810#" + code, "message": err.Error()})
		return nil
	}
	o.body = fmt.Appendf(nil, "<Error><Code>%s</Code><Message>simulated</Message></Error>", code)
	return nil
}

const metadataStem = "X-Amz-Meta-"

func (o *reply) describe(info blob.Info) {
	o.header.Set("ETag", info.ETag)
	o.header.Set("Last-Modified", info.Modified.UTC().Format(http.TimeFormat))
	for name, value := range info.Metadata {
		o.header.Set(metadataStem+name, value)
	}
}

// objects answers what S3 is asked.
func (w *Wire) objects(r *http.Request, body []byte, out *reply) error {
	ctx, name := r.Context(), strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/"+Bucket), "/")
	switch query := r.URL.Query(); {
	case r.Method == http.MethodPut:
		o := blob.PutOptions{Condition: blob.Condition{IfAbsent: r.Header.Get("If-None-Match") == "*", IfMatch: r.Header.Get("If-Match")}, Metadata: map[string]string{}}
		for header := range r.Header {
			if strings.HasPrefix(header, metadataStem) {
				o.Metadata[strings.ToLower(header[len(metadataStem):])] = r.Header.Get(header)
			}
		}
		info, err := w.Bucket.Put(ctx, name, body, o)
		out.header.Set("ETag", info.ETag)
		return err
	case r.Method == http.MethodHead:
		info, err := w.Bucket.Head(ctx, name)
		out.describe(info)
		out.header.Set("Content-Length", strconv.FormatInt(info.Size, 10))
		return err
	case r.Method == http.MethodGet && name != "":
		return w.get(r, name, out)
	case r.Method == http.MethodGet:
		return w.list(ctx, query, out)
	case r.Method == http.MethodPost && query.Has("delete"):
		var asked struct{ Object []struct{ Key string } }
		if err := xml.Unmarshal(body, &asked); err != nil {
			return err
		}
		var names []string
		for _, o := range asked.Object {
			names = append(names, o.Key)
		}
		out.body = []byte("<DeleteResult></DeleteResult>")
		return w.Bucket.Delete(ctx, names...)
	}
	return fault.New(fault.Unsupported, "%s %s", r.Method, r.URL)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (w *Wire) get(r *http.Request, name string, out *reply) error {
	o := blob.ReadOptions{IfMatch: r.Header.Get("If-Match")}
	ranged := strings.TrimPrefix(r.Header.Get("Range"), "bytes=")
	if from, to, _ := strings.Cut(ranged, "-"); from != "" {
		o.Offset, _ = strconv.ParseInt(from, 10, 64)
		if last, err := strconv.ParseInt(to, 10, 64); err == nil {
			o.Length = last - o.Offset + 1
		}
	} else if to != "" {
		n, _ := strconv.ParseInt(to, 10, 64)
		o.Offset = -n
	}
	read, info, err := w.Bucket.Get(r.Context(), name, o)
	if err != nil {
		return err
	}
	if out.body, err = io.ReadAll(read); err != nil {
		return err
	}
	out.describe(info)
	if ranged != "" {
		first, _ := blob.Span(o, info.Size)
		out.status = http.StatusPartialContent
		out.header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, first+int64(len(out.body))-1, info.Size))
	} else if there, err := w.p.w.Store.find(name); err == nil && there.info.ETag == info.ETag {
		sum := crc32.Checksum(there.data, castagnoli)
		out.header.Set("X-Amz-Checksum-Crc32c", base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum)))
	}
	out.cut = w.p.w.pick(w.p.w.Rand(w.Name, w.part+"body", name, w.p.nth(w.part+"body", name)), Damaged) == Damaged
	return nil
}

func (w *Wire) list(ctx context.Context, query url.Values, out *reply) error {
	body := bytes.NewBufferString("<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>")
	for info, err := range w.Bucket.List(ctx, query.Get("prefix"), query.Get("start-after")) {
		if err != nil {
			return err
		}
		fmt.Fprintf(body, "<Contents><Key>%s</Key><Size>%d</Size><ETag>%s</ETag><LastModified>%s</LastModified></Contents>", url.QueryEscape(info.Name), info.Size,
			strings.ReplaceAll(info.ETag, `"`, "&quot;"), info.Modified.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	body.WriteString("</ListBucketResult>")
	out.body = body.Bytes()
	return nil
}

// kinesisTarget is the service in the target of a request of Kinesis.
const kinesisTarget = "Kinesis_20131202"

// stream answers what the services of streams are asked. DynamoDB sends a checksum with every body. Of Kinesis there is none but
// TLS's, below HTTP: a body that it refuses ends early.
func (w *Wire) stream(ctx context.Context, service, operation string, body []byte, out *reply) error {
	answer, checked := w.streams, service != kinesisTarget
	if !checked {
		answer = w.kinesis
	}
	said, date, err := answer(ctx, operation, body)
	if err != nil {
		return err
	}
	if out.body, err = json.Marshal(said); err != nil {
		return err
	}
	out.header.Set("Content-Type", "application/x-amz-json-1.0")
	if !date.IsZero() {
		out.header.Set("Date", date.UTC().Format(http.TimeFormat))
	}
	if checked {
		out.header.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(out.body)), 10))
	}
	r := w.p.w.Rand(w.Name, "body", operation, w.p.nth("body", operation))
	if w.p.w.pick(r, Damaged) == Damaged {
		if out.cut = !checked || r.IntN(2) == 0; !out.cut {
			out.body[r.IntN(len(out.body))] ^= 1 << r.IntN(8)
		}
	}
	return nil
}

// streams answers what DynamoDB Streams is asked.
func (w *Wire) streams(ctx context.Context, operation string, body []byte) (said any, date time.Time, err error) {
	var in struct {
		StreamArn, ShardId, ShardIterator, SequenceNumber string
		Limit                                             int
		ShardFilter                                       struct{ ShardId string }
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, date, err
	}
	switch operation {
	case "DescribeStream":
		d, err := w.describeStream(ctx, in.StreamArn, in.ShardFilter.ShardId, in.Limit == 1)
		return map[string]any{"StreamDescription": d}, date, err
	case "GetShardIterator":
		var after feed.Position
		if in.SequenceNumber != "" {
			after.Seq = feed.Number(in.SequenceNumber)
		}
		iterator, err := w.Feed.Iterator(ctx, in.StreamArn, in.ShardId, after)
		return map[string]string{"ShardIterator": iterator}, date, err
	case "GetRecords":
		var p feed.Page
		if err := w.Feed.Read(ctx, in.ShardIterator, in.Limit, &p); err != nil {
			return nil, date, err
		}
		records := []json.RawMessage{}
		for i := range p.Records {
			records = append(records, p.Records[i].Raw)
		}
		page := map[string]any{"Records": records}
		if p.Next != "" {
			page["NextShardIterator"] = p.Next
		}
		return page, p.Date, nil
	}
	return nil, date, fault.New(fault.Unsupported, "%s", operation)
}

func (w *Wire) describeStream(ctx context.Context, arn, of string, alone bool) (map[string]any, error) {
	d := map[string]any{"StreamArn": arn, "StreamStatus": "ENABLED", "TableName": TableName, "StreamViewType": feed.BothImages,
		"KeySchema": []map[string]string{{"AttributeName": "id", "KeyType": "HASH"}}, "Shards": []any{}}
	if alone {
		_, err := w.Feed.Describe(ctx, arn)
		return d, err
	}
	list, err := w.Feed.Shards(ctx, arn, of)
	if err != nil {
		return nil, err
	}
	d["Shards"] = shardReplies(list)
	return d, nil
}

// shardReplies are shards as both services list them.
func shardReplies(list []feed.Shard) any {
	shards := []map[string]any{}
	for _, s := range list {
		numbers := map[string]string{"StartingSequenceNumber": "1"}
		if s.Closed {
			numbers["EndingSequenceNumber"] = "99999999"
		}
		shard := map[string]any{"ShardId": s.ID, "SequenceNumberRange": numbers}
		for i, parent := range s.Parents {
			shard[[...]string{"ParentShardId", "AdjacentParentShardId"}[i]] = parent
		}
		shards = append(shards, shard)
	}
	return shards
}
