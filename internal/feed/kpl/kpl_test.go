package kpl_test

import (
	"bytes"
	"crypto/md5"
	"testing"

	"pgregory.net/rapid"

	"dynaferry/internal/feed/feedtest"
	"dynaferry/internal/feed/kpl"
)

// TestAggregatesComeApart: what a producer aggregates comes out again, records of no bytes too, and a change of any byte
// makes it a record by itself.
func TestAggregatesComeApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfN(rapid.String(), 1, 4).Draw(t, "keys")
		data := rapid.SliceOf(rapid.SliceOf(rapid.Byte())).Draw(t, "data")
		whole := feedtest.Aggregate(keys, data)
		a, ok := kpl.Parse(whole)
		if !ok || a.Len() != len(data) {
			t.Fatalf("%d of %d records, %v", a.Len(), len(data), ok)
		}
		i := 0
		for key, part := range a.Records() {
			if string(key) != keys[i%len(keys)] || !bytes.Equal(part, data[i]) {
				t.Fatalf("record %d: %q %q", i, key, part)
			}
			i++
		}
		whole[rapid.IntRange(0, len(whole)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, ok := kpl.Parse(whole); ok {
			t.Fatal("a changed byte is not noticed")
		}
	})
}

// sealed makes an aggregate of any message.
func sealed(message []byte) []byte {
	sum := md5.Sum(message)
	return append(append([]byte("\xF3\x89\x9A\xC2"), message...), sum[:]...)
}

// TestNoAggregates: messages with a right checksum that name what is not there, or are broken.
func TestNoAggregates(t *testing.T) {
	for name, message := range map[string]string{
		"no table of keys":          "\x1a\x04\x08\x00\x1a\x00",
		"an index beyond the table": "\x0a\x01k\x1a\x04\x08\x01\x1a\x00",
		"a record without data":     "\x0a\x01k\x1a\x02\x08\x00",
		"a record without key":      "\x0a\x01k\x1a\x02\x1a\x00",
		"data that is a number":     "\x0a\x01k\x1a\x04\x08\x00\x18\x01",
		"a length beyond the end":   "\x0a\x7fk",
		"a length of 64 bits":       "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"a number that never ends":  "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		"a group":                   "\x0b",
		"field 0":                   "\x00\x00",
	} {
		if a, ok := kpl.Parse(sealed([]byte(message))); ok {
			t.Errorf("%s: %d records", name, a.Len())
		}
	}
	if a, ok := kpl.Parse(sealed([]byte("\x1a\x04\x08\x00\x1a\x00\x0a\x01k\x21........\x2d....\x30\x01"))); !ok || a.Len() != 1 {
		t.Errorf("keys behind their record, and fields of later versions: %d records, %v", a.Len(), ok)
	}
	if _, ok := kpl.Parse(sealed(bytes.Repeat([]byte("\x0a\x00"), kpl.RecordsMax+1))); ok {
		t.Error("too many keys")
	}
}

// FuzzParse: no message panics, and what is an aggregate yields as many records as it says.
func FuzzParse(f *testing.F) {
	f.Add([]byte("\x0a\x01k\x1a\x04\x08\x00\x1a\x00"), true)
	f.Add([]byte("\xF3\x89\x9A\xC2"), false)
	f.Fuzz(func(t *testing.T, message []byte, seal bool) {
		if seal {
			message = sealed(message)
		}
		a, ok := kpl.Parse(message)
		n := 0
		for range a.Records() {
			n++
		}
		if ok && n != a.Len() {
			t.Errorf("%d records of %d", n, a.Len())
		}
	})
}
