package aws

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"dynaferry/internal/fault"
	"dynaferry/internal/outlet"
)

// grudging is a Firehose and a Kinesis that refuse every other record at first and lose every third answer.
type grudging struct {
	mu    sync.Mutex
	calls int
	seen  map[string]int
	took  []string
}

func (g *grudging) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var in struct {
		DeliveryStreamName, StreamName string
		Records                        []struct {
			Data         []byte
			PartitionKey string
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.DeliveryStreamName+in.StreamName != "out" {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"__type":"ResourceNotFoundException","message":"no such stream"}`)
		return
	}
	g.calls++
	lost := g.calls%3 == 0
	var replies []string
	failed := 0
	for _, record := range in.Records {
		if g.seen[string(record.Data)]++; g.seen[string(record.Data)] == 1 && len(g.seen)%2 == 0 {
			failed++
			replies = append(replies, `{"ErrorCode":"ServiceUnavailableException","ErrorMessage":"slow down"}`)
			continue
		}
		g.took = append(g.took, string(record.Data))
		replies = append(replies, `{"RecordId":"1","SequenceNumber":"2","ShardId":"shardId-0"}`)
	}
	if lost {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	list := strings.Join(replies, ",")
	if in.StreamName != "" {
		fmt.Fprintf(w, `{"FailedRecordCount":%d,"Records":[%s]}`, failed, list)
	} else {
		fmt.Fprintf(w, `{"FailedPutCount":%d,"RequestResponses":[%s]}`, failed, list)
	}
}

// TestOutlets: both services get everything, though they take requests in part and lose answers.
func TestOutlets(t *testing.T) {
	for _, name := range []string{"firehose", "kinesis"} {
		t.Run(name, func(t *testing.T) {
			g := &grudging{seen: map[string]int{}}
			server := httptest.NewServer(g)
			defer server.Close()
			s := session(t, server.URL, "test", "secret")
			var c outlet.Client
			var err error
			if name == "firehose" {
				c, err = s.Firehose()
			} else {
				c, err = s.Kinesis()
			}
			if err != nil {
				t.Fatal(err)
			}
			var records []outlet.Record
			for i := range 40 {
				records = append(records, outlet.Record{Key: fmt.Sprint("k", i%7), Data: fmt.Appendf(nil, "record %d", i)})
			}
			if err := outlet.Send(t.Context(), c, "out", slices.Values(records), outlet.Options{}); err != nil {
				t.Fatal(err)
			}
			for _, r := range records {
				if !slices.Contains(g.took, string(r.Data)) {
					t.Errorf("%s did not arrive", r.Data)
				}
			}
			if len(g.took) < 41 {
				t.Errorf("%d records: no answer was lost", len(g.took))
			}
			err = outlet.Send(t.Context(), c, "missing", slices.Values(records[:1]), outlet.Options{})
			if fault.KindOf(err) != fault.NotFound || fault.HintOf(err) == "" {
				t.Errorf("of a stream that is not there: %v", err)
			}
		})
	}
}
