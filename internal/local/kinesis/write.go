package kinesis

import (
	"unicode/utf8"
)

// The bounds of puts (API reference, PutRecords).
const (
	recordsPerPut   = 500
	putBytesMax     = 10 << 20
	partitionKeyMax = 256
)

type putRecordIn struct {
	named
	Data                      *[]byte
	PartitionKey              *string
	ExplicitHashKey           *string
	SequenceNumberForOrdering *string
}

// readPut checks one record; at is where it stands in the request.
func readPut(v *checks, at string, data *[]byte, key, explicit *string) (p put) {
	v.need(data != nil, at+"data")
	v.need(key != nil, at+"partitionKey")
	if key != nil && (*key == "" || utf8.RuneCountInString(*key) > partitionKeyMax) {
		v.length(key, at+"partitionKey", 1, partitionKeyMax)
	}
	if data != nil {
		p.data = *data
	}
	if key != nil {
		p.key = *key
		p.hash = hashOf(p.key)
	}
	if explicit != nil && !allDigits(*explicit) {
		v.add("'"+*explicit+"'", at+"explicitHashKey", `Member must satisfy regular expression pattern: 0|([1-9]\d{0,38})`)
	}
	return p
}

func allDigits(text string) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return text != ""
}

// place puts a record where the request says, if it says so.
func (p *put) place(explicit *string) error {
	if explicit == nil {
		return nil
	}
	h, ok := parseHash(*explicit)
	if !ok {
		return invalidArgument("Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. "+
			"Specified value was %s", *explicit)
	}
	p.hash = h
	return nil
}

// fits refuses a record that is larger than its stream takes.
func (p *put) fits(d *description, at string) error {
	if limit := d.RecordKiB << 10; len(p.data)+len(p.key) > limit+partitionKeyMax || len(p.data) > limit {
		return validation("1 validation error detected: Value at '%sdata' failed to satisfy constraint: "+
			"Member must have length less than or equal to %d", at, limit)
	}
	return nil
}

func (c *call) putRecord(in *putRecordIn) (any, error) {
	v := &checks{}
	p := readPut(v, "", in.Data, in.PartitionKey, in.ExplicitHashKey)
	s, err := c.asked(v, in.named)
	if err != nil {
		return nil, err
	}
	d := s.now()
	if err := p.fits(d, ""); err != nil {
		return nil, err
	}
	if err := p.place(in.ExplicitHashKey); err != nil {
		return nil, err
	}
	if in.SequenceNumberForOrdering != nil {
		// Numbers of a stream only rise, so any number that was given is below the next one.
		_, seq, ok := parseSequence(*in.SequenceNumberForOrdering)
		if !ok || arrival(seq) > c.now().UnixMilli() {
			return nil, invalidArgument("ExclusiveMinimumSequenceNumber %s used in PutRecord on stream %s under account %s is invalid.",
				*in.SequenceNumberForOrdering, d.Name, account)
		}
	}
	puts := []put{p}
	if err := s.put(c.ctx, c.Engine, puts); err != nil {
		return nil, err
	}
	if puts[0].err != nil {
		return nil, puts[0].err
	}
	return map[string]any{"EncryptionType": "NONE", "SequenceNumber": sequence(puts[0].shard, puts[0].seq),
		"ShardId": shardID(puts[0].shard)}, nil
}

type putRecordsEntry struct {
	Data            *[]byte
	PartitionKey    *string
	ExplicitHashKey *string
}

type putRecordsIn struct {
	named
	Records []putRecordsEntry
}

type putRecordsResult struct {
	SequenceNumber string `json:",omitempty"`
	ShardId        string `json:",omitempty"`
	ErrorCode      string `json:",omitempty"`
	ErrorMessage   string `json:",omitempty"`
}

func (c *call) putRecords(in *putRecordsIn) (any, error) {
	v := &checks{}
	v.need(in.Records != nil, "records")
	switch n := len(in.Records); {
	case in.Records != nil && n == 0:
		v.add("'[]'", "records", "Member must have length greater than or equal to 1")
	case n > recordsPerPut:
		v.add("'["+plural(n)+"]'", "records", "Member must have length less than or equal to 500")
	}
	puts := make([]put, len(in.Records))
	total := 0
	for i := range in.Records {
		r := &in.Records[i]
		puts[i] = readPut(v, member("records", i), r.Data, r.PartitionKey, r.ExplicitHashKey)
		total += len(puts[i].data) + len(puts[i].key)
	}
	s, err := c.asked(v, in.named)
	if err != nil {
		return nil, err
	}
	d := s.now()
	for i := range puts {
		if err := puts[i].fits(d, member("records", i)); err != nil {
			return nil, err
		}
		if err := puts[i].place(in.Records[i].ExplicitHashKey); err != nil {
			return nil, err
		}
	}
	if total > putBytesMax {
		return nil, invalidArgument("Records size exceeds %d MB limit", putBytesMax>>20)
	}
	if err := s.put(c.ctx, c.Engine, puts); err != nil {
		return nil, err
	}
	failed := 0
	results := make([]putRecordsResult, len(puts))
	for i := range puts {
		if puts[i].err != nil {
			failed++
			e := answerOf(puts[i].err)
			results[i] = putRecordsResult{ErrorCode: e.kind, ErrorMessage: e.message}
			continue
		}
		results[i] = putRecordsResult{SequenceNumber: sequence(puts[i].shard, puts[i].seq), ShardId: shardID(puts[i].shard)}
	}
	return map[string]any{"EncryptionType": "NONE", "FailedRecordCount": failed, "Records": results}, nil
}
