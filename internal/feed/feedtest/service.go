package feedtest

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"dynaferry/internal/feed"
)

// Service is an endpoint and a client of it.
type Service struct {
	URL     string
	Client  feed.Client
	Kinesis bool // the client is one of Kinesis, else of DynamoDB Streams

	Later  func(time.Duration) // moves the service's clock; nil where it cannot be moved
	Splits bool                // shards split on request
	// Endless: the pages of a closed shard do not end, and a merged one repeats what its parents held, as moto has it.
	Endless bool
}

// made counts the streams of this process, so that their names differ.
var made atomic.Int64

// post makes a request and returns its reply.
func (s Service) post(t *testing.T, target string, body any, reply any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	form, name := "1.0", "dynamodb"
	if s.Kinesis {
		form, name = "1.1", "kinesis"
	}
	req.Header.Set("Content-Type", "application/x-amz-json-"+form)
	req.Header.Set("X-Amz-Target", target)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/"+name+"/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %d %s, %v", target, text, resp.StatusCode, said, err)
	}
	if reply != nil {
		if err := json.Unmarshal(said, reply); err != nil {
			t.Fatalf("%s: %s: %v", target, said, err)
		}
	}
}

const (
	tables   = "DynamoDB_20120810."
	kinesisT = "Kinesis_20131202."
)

type object = map[string]any

// stream is a stream of the suite's own.
type stream struct {
	Service
	t    *testing.T
	name string // as the client's methods take it
	own  string // of the table or of the Kinesis stream
	last map[string]int
}

// open makes one. A Kinesis stream has two shards.
func (s Service) open(t *testing.T) *stream {
	t.Helper()
	own := fmt.Sprintf("feed-%d-%d", time.Now().UnixNano(), made.Add(1))
	out := &stream{Service: s, t: t, own: own, name: own, last: map[string]int{}}
	if s.Kinesis {
		s.post(t, kinesisT+"CreateStream", object{"StreamName": own, "ShardCount": 2}, nil)
		for deadline := time.Now().Add(20 * time.Second); ; {
			d, err := s.Client.Describe(t.Context(), own)
			if err == nil && d.Open {
				return out
			}
			if time.Now().After(deadline) {
				t.Fatalf("the stream is not there: %v", err)
			}
		}
	}
	var reply struct {
		TableDescription struct{ LatestStreamArn string }
	}
	s.post(t, tables+"CreateTable", object{"TableName": own, "BillingMode": "PAY_PER_REQUEST",
		"AttributeDefinitions": []object{{"AttributeName": "pk", "AttributeType": "S"}},
		"KeySchema":            []object{{"AttributeName": "pk", "KeyType": "HASH"}},
		"StreamSpecification":  object{"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"}}, &reply)
	out.name = reply.TableDescription.LatestStreamArn
	return out
}

// odd is in every item: escapes, several bytes a letter, depth, numbers that no float holds.
var odd = object{"M": object{"a \"b\"\n": object{"L": []object{{"NULL": true}, {"N": "12345678901234567890123456789012345678"}, {"S": "ü€😀\\/"}}}}}

func image(key string, n int) object {
	return object{"pk": object{"S": key}, "v": object{"N": fmt.Sprint(n)}, "odd": odd}
}

// put writes the item of a key with the next number, remove deletes it: one record each.
func (s *stream) put(key string) {
	s.t.Helper()
	n := s.last[key] + 1
	if s.Kinesis {
		s.send(key, payload(key, s.last[key], n))
	} else {
		s.post(s.t, tables+"PutItem", object{"TableName": s.own, "Item": image(key, n)}, nil)
	}
	s.last[key] = n
}

func (s *stream) remove(key string) {
	s.t.Helper()
	if s.Kinesis {
		s.send(key, payload(key, s.last[key], 0))
	} else {
		s.post(s.t, tables+"DeleteItem", object{"TableName": s.own, "Key": object{"pk": object{"S": key}}}, nil)
	}
	s.last[key] = 0
}

// payload is a record that DynamoDB puts into Kinesis: of an item that changes from old to now, 0 is none.
func payload(key string, old, now int) []byte {
	d := object{"ApproximateCreationDateTime": time.Now().UnixMicro(), "ApproximateCreationDateTimePrecision": "MICROSECOND",
		"Keys": object{"pk": object{"S": key}}, "SizeBytes": 99}
	name := "MODIFY"
	if old == 0 {
		name = "INSERT"
	} else {
		d["OldImage"] = image(key, old)
	}
	if now == 0 {
		name = "REMOVE"
	} else {
		d["NewImage"] = image(key, now)
	}
	text, err := json.Marshal(object{"awsRegion": "us-east-1", "eventID": fmt.Sprintf("id-%d", made.Add(1)), "eventName": name,
		"userIdentity": nil, "recordFormat": "application/json", "tableName": "T", "dynamodb": d, "eventSource": "aws:dynamodb"})
	if err != nil {
		panic(err) // none of it can fail
	}
	return text
}

// send puts bytes into a Kinesis stream.
func (s *stream) send(key string, data []byte) {
	s.t.Helper()
	s.post(s.t, kinesisT+"PutRecord", object{"StreamName": s.own, "PartitionKey": key, "Data": base64.StdEncoding.EncodeToString(data)}, nil)
}

// split splits a shard in two.
func (s *stream) split(shard string) {
	s.t.Helper()
	if !s.Kinesis {
		s.post(s.t, "DynaferryLocal.SplitShard", object{"StreamArn": s.name, "ShardId": shard}, nil)
		return
	}
	var reply struct {
		Shards []struct {
			ShardId      string
			HashKeyRange struct{ StartingHashKey, EndingHashKey string }
		}
	}
	s.post(s.t, kinesisT+"ListShards", object{"StreamName": s.own}, &reply)
	for _, sh := range reply.Shards {
		if sh.ShardId == shard {
			low, _ := new(big.Int).SetString(sh.HashKeyRange.StartingHashKey, 10)
			high, _ := new(big.Int).SetString(sh.HashKeyRange.EndingHashKey, 10)
			middle := new(big.Int).Rsh(new(big.Int).Add(low, high), 1)
			s.post(s.t, kinesisT+"SplitShard", object{"StreamName": s.own, "ShardToSplit": shard, "NewStartingHashKey": middle.String()}, nil)
		}
	}
}

// Aggregate is what a Kinesis producer makes of many records: keys and data in turn.
func Aggregate(keys []string, data [][]byte) []byte {
	field := func(dst []byte, number byte, content []byte) []byte {
		dst = binary.AppendUvarint(append(dst, number<<3|2), uint64(len(content)))
		return append(dst, content...)
	}
	var message []byte
	for _, key := range keys {
		message = field(message, 1, []byte(key))
	}
	for i := range data {
		record := binary.AppendUvarint([]byte{1 << 3}, uint64(i%len(keys)))
		message = field(message, 3, field(record, 3, data[i]))
	}
	sum := md5.Sum(message)
	return append(append([]byte("\xF3\x89\x9A\xC2"), message...), sum[:]...)
}
