package kpl

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"iter"
)

// magic begins every aggregate; no JSON does.
const magic = "\xF3\x89\x9A\xC2"

// RecordsMax bounds the records of one aggregate: a change has a hundred bytes at least, and 10 MiB are the most that
// one record of Kinesis holds.
const RecordsMax = 1 << 17

// Aggregate is one that was checked; its slices point into the data.
type Aggregate struct {
	message []byte
	keys    [][]byte
	n       int
}

// Parse checks data. ok is false for what is no aggregate: without magic, with another MD5, of a message that is broken,
// names keys that it does not have, or has more than RecordsMax records.
func Parse(data []byte) (a Aggregate, ok bool) {
	if len(data) < len(magic)+md5.Size || string(data[:len(magic)]) != magic {
		return Aggregate{}, false
	}
	end := len(data) - md5.Size
	a.message = data[len(magic):end]
	if sum := md5.Sum(a.message); !bytes.Equal(sum[:], data[end:]) {
		return Aggregate{}, false
	}
	for rest := a.message; len(rest) > 0; {
		number, value, ok := field(&rest)
		if !ok {
			return Aggregate{}, false
		}
		switch number {
		case fieldKeys: // of another wire type: an empty key
			if len(a.keys) == RecordsMax {
				return Aggregate{}, false
			}
			a.keys = append(a.keys, value)
		case fieldRecords:
			a.n++
			if _, _, ok := record(value); !ok || a.n > RecordsMax {
				return Aggregate{}, false
			}
		}
	}
	for rest := a.message; len(rest) > 0; { // keys may stand behind the records
		if number, value, _ := field(&rest); number == fieldRecords {
			if key, _, _ := record(value); key >= uint64(len(a.keys)) {
				return Aggregate{}, false
			}
		}
	}
	return a, true
}

// Len is how many records it holds.
func (a Aggregate) Len() int { return a.n }

// Records yields partition key and data of each, in order.
func (a Aggregate) Records() iter.Seq2[[]byte, []byte] {
	return func(yield func(key, data []byte) bool) {
		for rest := a.message; len(rest) > 0; {
			number, value, _ := field(&rest)
			if number != fieldRecords {
				continue
			}
			key, data, _ := record(value)
			if !yield(a.keys[key], data) {
				return
			}
		}
	}
}

// The fields of AggregatedRecord and of Record that matter.
const (
	fieldKeys    = 1 // repeated string partition_key_table
	fieldRecords = 3 // repeated Record records

	recordKey  = 1 // uint64 partition_key_index
	recordData = 3 // bytes data
)

// record reads a Record.
func record(message []byte) (key uint64, data []byte, ok bool) {
	haveKey, haveData := false, false
	for len(message) > 0 {
		before := message
		number, value, ok := field(&message)
		if !ok {
			return 0, nil, false
		}
		switch number {
		case recordKey:
			_, n := binary.Uvarint(before)
			if before[0]&7 != wireVarint {
				return 0, nil, false
			}
			key, _ = binary.Uvarint(before[n:])
			haveKey = true
		case recordData:
			if before[0]&7 != wireBytes {
				return 0, nil, false
			}
			data, haveData = value, true
		}
	}
	return key, data, haveKey && haveData
}

// The wire types of protobuf that are in use.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// field takes one field off the front of a message. value is the content of one with a length; 0 of other numbers is none.
func field(message *[]byte) (number uint64, value []byte, ok bool) {
	m := *message
	tag, n := binary.Uvarint(m)
	if n <= 0 || tag>>3 == 0 {
		return 0, nil, false
	}
	m = m[n:]
	size := uint64(0)
	switch tag & 7 {
	case wireVarint:
		if _, n = binary.Uvarint(m); n <= 0 {
			return 0, nil, false
		}
		size = uint64(n)
	case wireFixed64:
		size = 8
	case wireFixed32:
		size = 4
	case wireBytes:
		if size, n = binary.Uvarint(m); n <= 0 {
			return 0, nil, false
		}
		m = m[n:]
	default:
		return 0, nil, false
	}
	if size > uint64(len(m)) {
		return 0, nil, false
	}
	if tag&7 == wireBytes {
		value = m[:size:size]
	}
	*message = m[size:]
	return tag >> 3, value, true
}
