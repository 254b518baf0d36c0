package outlet

import "context"

// Record is what goes into a stream. Firehose knows no keys; there they only keep the order of requests.
type Record struct {
	Key  string // partition key, of Kinesis 1 to 256 characters; "" of a record whose order does not matter
	Data []byte
}

// Limits bound one request.
type Limits struct {
	Records int  // in a request
	Bytes   int  // of all records of a request, keys included where the service counts them
	Record  int  // bytes of one record, likewise
	Keys    bool // keys count as data do
}

// Size is what a record counts.
func (l Limits) Size(r Record) int {
	if l.Keys {
		return len(r.Data) + len(r.Key)
	}
	return len(r.Data)
}

// Refusal is what the service says of one record of a request.
type Refusal struct {
	Code    string // "" of a record that was taken
	Message string
}

// Client puts records into streams of one kind. Methods may be called concurrently.
type Client interface {
	// Limits are the service's.
	Limits() Limits

	// Put makes one request, once. What it says of each record stands at the record's place; nil when all were taken. An
	// error tells nothing about any: they may be in the stream or not.
	Put(ctx context.Context, stream string, records []Record) ([]Refusal, error)
}
