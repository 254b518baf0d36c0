package cbor

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Items of RFC 8949's appendix A, and the JSON that says the same.
func TestToJSON(t *testing.T) {
	for _, c := range []struct{ hex, want string }{
		{"00", "0"}, {"17", "23"}, {"1818", "24"}, {"1903e8", "1000"}, {"1b000000e8d4a51000", "1000000000000"},
		{"1bffffffffffffffff", "18446744073709551615"}, {"20", "-1"}, {"3903e7", "-1000"}, {"3863", "-100"},
		{"f90000", "0"}, {"f93c00", "1"}, {"f93e00", "1.5"}, {"f97bff", "65504"}, {"f90001", "5.960464477539063e-08"},
		{"f9c400", "-4"}, {"fa47c35000", "100000"}, {"fb3ff199999999999a", "1.1"}, {"fb7e37e43c8800759c", "1e+300"},
		{"f4", "false"}, {"f5", "true"}, {"f6", "null"}, {"f7", "null"},
		{"40", `""`}, {"4401020304", `"AQIDBA=="`}, {"60", `""`}, {"6161", `"a"`}, {"62225c", `"\"\\"`}, {"62c3bc", `"ü"`},
		{"80", "[]"}, {"83010203", "[1,2,3]"}, {"9f01820203ff", "[1,[2,3]]"}, {"a0", "{}"}, {"a26161016162820203", `{"a":1,"b":[2,3]}`},
		{"bf6346756ef563416d7421ff", `{"Fun":true,"Amt":-2}`}, {"5f42010243030405ff", `"AQIDBAU="`}, {"7f657374726561646d696e67ff", `"streaming"`},
		{"c11b0000019f1d8e2250", "1782907282.000"}, {"c12403", ""}, {"c138e7", "-0.232"}, {"d9d9f7a0", "{}"},
	} {
		src, _ := hex.DecodeString(c.hex)
		got, err := ToJSON(src)
		if c.want == "" {
			if err == nil {
				t.Errorf("%s is read as %s", c.hex, got)
			}
			continue
		}
		if err != nil || string(got) != c.want {
			t.Errorf("%s is read as %s, %v; want %s", c.hex, got, err, c.want)
		}
	}
}

// What is not well-formed, and what JSON cannot say, is refused with its place.
func TestMalformed(t *testing.T) {
	for text, want := range map[string]string{
		"": "it ends at offset 0", "18": "it ends at offset 1", "62c3": "it ends at offset 2", "61ff": "not UTF-8 at offset 0",
		"82": "it ends", "8201": "it ends", "a1": "it ends", "a10102": "name is no text at offset 1", "a16161": "it ends",
		"bf6161ff": "byte 0xff at offset 3", "ff": "byte 0xff", "1c": "byte 0x1c", "1f": "byte 0x1f", "f8ff": "byte 0xf8",
		"f97e00": "JSON does not have", "f97c00": "JSON does not have", "fb7ff8000000000000": "JSON does not have", "c0613a": "tag 0", "81d9d9f700": "tag 55799",
		"c16161": "no number of milliseconds", "c1fb3ff199999999999a": "no number of milliseconds", "3bffffffffffffffff": "out of range", "0000": "more at offset 1",
		"5f4101616101ff": "byte 0x61 at offset 3", "5f5f4101ffff": "byte 0x5f", "5bffffffffffffffff": "it ends", "9bffffffffffffffff00": "it ends",
		"7f61c361bcff": "not UTF-8 at offset 1", strings.Repeat("81", 40) + "00": "deeper than 32",
	} {
		src, _ := hex.DecodeString(text)
		got, err := ToJSON(src)
		if err == nil || !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is read as %s, %v; want %s", text, got, err, want)
		}
	}
}

type moment int64

func (m moment) Millis() int64 { return int64(m) }

func (m moment) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%d.%03d", m/1000, m%1000), nil
}

// reply has all that replies are made of.
type reply struct {
	Name    string
	Data    []byte
	At      moment
	Count   int
	Left    string   `json:",omitempty"`
	Other   string   `json:"Renamed"`
	Nothing []string `json:",omitempty"`
	List    []reply  `json:",omitempty"`
	Tags    map[string]string
	Pointer *int `json:",omitempty"`
	hidden  int
}

// A reply in CBOR says what it says in JSON.
func TestMarshal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var draw func(depth int) reply
		draw = func(depth int) reply {
			r := reply{Name: rapid.String().Draw(t, "name"), Data: rapid.SliceOf(rapid.Byte()).Draw(t, "data"),
				At: moment(rapid.Int64Range(0, 1<<45).Draw(t, "at")), Count: rapid.Int().Draw(t, "count"),
				Left: rapid.SampledFrom([]string{"", "x"}).Draw(t, "left"), Tags: map[string]string{"b": "1", "a": rapid.String().Draw(t, "tag")}, hidden: 1}
			if rapid.Bool().Draw(t, "pointer") {
				r.Pointer = &r.Count
			}
			for depth < 2 && rapid.Bool().Draw(t, "more") {
				r.List = append(r.List, draw(depth+1))
			}
			return r
		}
		v := map[string]any{"Reply": draw(0), "More": rapid.Bool().Draw(t, "flag"), "None": nil, "Empty": []string{}}
		body, err := Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ToJSON(body)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := json.Marshal(v)
		if same(t, got) != same(t, want) {
			t.Fatalf("%s\n%s", got, want)
		}
	})
	// JSON does not tell these from text and numbers.
	body, err := Marshal(map[string]any{"Data": []byte{0, 1}, "At": moment(1000)})
	if want := "a2624174c11903e86444617461420001"; err != nil || hex.EncodeToString(body) != want {
		t.Errorf("%x, %v", body, err)
	}
	if _, err := Marshal(1.5); err == nil {
		t.Error("a float was written")
	}
}

// same is a form of JSON text that is equal when the values are.
func same(t interface{ Fatal(...any) }, text []byte) string {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	out, _ := json.Marshal(v)
	return string(out)
}

// Whatever comes is JSON or an error, and no larger than a multiple of what came. What JSON says of it, written again, says
// the same.
func FuzzToJSON(f *testing.F) {
	for _, text := range []string{"bf6346756ef563416d7421ff", "5f42010243030405ff", "c11b0000019f1d8e2250", "d9d9f7a0", "9f01820203ff", "fb3ff199999999999a"} {
		src, _ := hex.DecodeString(text)
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		text, err := ToJSON(src)
		if err != nil {
			return
		}
		if !json.Valid(text) || len(text) > 8*len(src)+16 {
			t.Fatalf("%x is read as %s", src, text)
		}
		var v any
		if json.Unmarshal(text, &v) != nil {
			return
		}
		body, err := Marshal(spelled(v))
		if err != nil {
			t.Fatal(err)
		}
		again, err := ToJSON(body)
		if err != nil {
			t.Fatal(err)
		}
		if want, _ := json.Marshal(spelled(v)); same(t, again) != same(t, want) {
			t.Fatalf("%s\n%s", again, want)
		}
	})
}

// spelled makes text of numbers, which Marshal does not write as fractions.
func spelled(v any) any {
	switch v := v.(type) {
	case float64:
		return fmt.Sprint(v)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = spelled(v[i])
		}
		return list
	case map[string]any:
		members := make(map[string]any, len(v))
		for name := range v {
			members[name] = spelled(v[name])
		}
		return members
	}
	return v
}
