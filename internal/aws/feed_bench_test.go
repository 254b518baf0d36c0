package aws

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"golang.org/x/sys/unix"

	"dynaferry/internal/feed"
	"dynaferry/internal/sample"
)

// ready answers every request with the same body.
type ready []byte

func (r ready) Do(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Request: req,
		ContentLength: int64(len(r)), Body: io.NopCloser(bytes.NewReader(r))}, nil
}

// readyPage is a page of at least so many bytes of records of 1.8 KB with both images, as GetRecords replies it.
func readyPage(ofKinesis bool, size int) (body ready, records int) {
	body = append(body, `{"NextShardIterator":"next","MillisBehindLatest":0,"Records":[`...)
	for ; len(body) < size; records++ {
		if records > 0 {
			body = append(body, ',')
		}
		i := uint64(records)
		change := fmt.Appendf(nil, `{"eventID":"%032x","eventName":"MODIFY","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"eu-west-1",`+
			`"dynamodb":{"ApproximateCreationDateTime":%d,"Keys":{"id":{"S":"%d"}},"NewImage":%s,"OldImage":%s,"SequenceNumber":"7%029d","SizeBytes":1800,`+
			`"StreamViewType":"NEW_AND_OLD_IMAGES"}}`, i, 1_700_000_000+i/1000, i, sample.AppendOrder(nil, 2, i), sample.AppendOrder(nil, 1, i), i)
		if ofKinesis {
			change = fmt.Appendf(nil, `{"SequenceNumber":"4959033827149025660855969253836157109592157598913%07d","ApproximateArrivalTimestamp":1.7E9,`+
				`"Data":"%s","PartitionKey":"%032X","EncryptionType":"NONE"}`, i, base64.StdEncoding.EncodeToString(change), i)
		}
		body = append(body, change...)
	}
	return append(body, "]}"...), records
}

// readyClients are the two clients, and the SDK's own, before a page that is there already.
func readyClients(ofKinesis bool, size int) (ours feed.Client, theirs func(b *testing.B) int, body ready, records int) {
	body, records = readyPage(ofKinesis, size)
	creds, url, it := credentials.NewStaticCredentialsProvider("a", "b", ""), "http://127.0.0.1:1", "it"
	if ofKinesis {
		c := kinesis.New(kinesis.Options{Region: "x", BaseEndpoint: &url, HTTPClient: body, Credentials: creds, Retryer: sdk.NopRetryer{}})
		return &Kinesis{sdk: c}, func(b *testing.B) int {
			out, err := c.GetRecords(b.Context(), &kinesis.GetRecordsInput{ShardIterator: &it})
			if err != nil {
				b.Fatal(err)
			}
			return len(out.Records)
		}, body, records
	}
	c := dynamodbstreams.New(dynamodbstreams.Options{Region: "x", BaseEndpoint: &url, HTTPClient: body, Credentials: creds, Retryer: sdk.NopRetryer{}})
	return &Streams{sdk: c}, func(b *testing.B) int {
		out, err := c.GetRecords(b.Context(), &dynamodbstreams.GetRecordsInput{ShardIterator: &it})
		if err != nil {
			b.Fatal(err)
		}
		return len(out.Records)
	}, body, records
}

func cpuTime() time.Duration {
	var used unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkRead is one GetRecords without the network: request, signature, copy of the body, records.
//
// The bound: the tokenizer passes 1.5 GB/s, so 1 MB of records of 1.8 KB takes 0.7 ms, 800,000 records a second; copying
// the body takes 0.1 ms, a request and its signature 0.1 ms, the members around the images 0.3 µs a record. Of Kinesis
// decoding base64 comes on top, about 1 GB/s. The SDK makes maps of values of each image, and of Kinesis only bytes. Measured
// on a busy Milan core: 672,000 records a CPU second, the SDK 44,000; of Kinesis 254,000, the SDK's bytes alone 74,000. The
// gap to the bound of Kinesis: each byte is looked at as a string, decoded, and parsed, three passes out of the cache.
func BenchmarkRead(b *testing.B) {
	for _, ofKinesis := range []bool{false, true} {
		ours, theirs, body, records := readyClients(ofKinesis, 1<<20)
		run := func(name string, read func(b *testing.B) int) {
			b.Run(fmt.Sprintf("%s/kinesis=%v", name, ofKinesis), func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				busy, n := cpuTime(), 0
				for b.Loop() {
					n += read(b)
				}
				b.ReportMetric(float64(n)/(cpuTime()-busy).Seconds(), "records/CPU-s")
				b.ReportMetric(float64(len(body)/records), "B/record")
			})
		}
		var p feed.Page
		run("ours", func(b *testing.B) int {
			if err := ours.Read(b.Context(), "it", 10_000, &p); err != nil {
				b.Fatal(err)
			}
			return len(p.Records)
		})
		run("sdk", theirs)
	}
}

// TestReadAllocatesNoRecords: what a page costs does not grow with its records.
func TestReadAllocatesNoRecords(t *testing.T) {
	for _, ofKinesis := range []bool{false, true} {
		var allocs [2]float64
		for i, size := range []int{1 << 10, 1 << 20} {
			ours, _, _, records := readyClients(ofKinesis, size)
			var p feed.Page
			read := func() {
				if err := ours.Read(t.Context(), "it", 10_000, &p); err != nil || len(p.Records) != records {
					t.Fatalf("%d records of %d, %v", len(p.Records), records, err)
				}
			}
			read()
			allocs[i] = testing.AllocsPerRun(20, read)
		}
		if allocs[1] > allocs[0]+100 { // a parser that the collector took away learns anew
			t.Errorf("kinesis %v: %.0f allocations for 1 KB, %.0f for 1 MB", ofKinesis, allocs[0], allocs[1])
		}
	}
}
