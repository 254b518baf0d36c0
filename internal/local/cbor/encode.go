package cbor

import (
	"encoding/binary"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Time is a time in a reply, which JSON has in seconds and CBOR in milliseconds since 1970.
type Time interface{ Millis() int64 }

// Marshal returns v in CBOR, as encoding/json would write it: structs by their exported fields and their json tags, []byte as
// bytes, a Time behind its tag, maps by sorted names. It knows nil, booleans, integers, strings, slices, maps with string keys,
// structs and pointers to them, and refuses other types.
func Marshal(v any) ([]byte, error) { return appendValue(nil, reflect.ValueOf(v)) }

func appendHead(dst []byte, major byte, n uint64) []byte {
	switch major <<= 5; {
	case n < 24:
		return append(dst, major|byte(n))
	case n < 1<<8:
		return append(dst, major|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, major|25), uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(dst, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, major|27), n)
}

func appendText(dst []byte, text string) []byte {
	return append(appendHead(dst, majorText, uint64(len(text))), text...)
}

func appendInt(dst []byte, n int64) []byte {
	if n < 0 {
		return appendHead(dst, majorNegative, uint64(-1-n))
	}
	return appendHead(dst, majorUnsigned, uint64(n))
}

var null = byte(majorSimple<<5 | 22)

func appendValue(dst []byte, v reflect.Value) ([]byte, error) {
	if !v.IsValid() {
		return append(dst, null), nil
	}
	if t, ok := v.Interface().(Time); ok {
		return appendInt(appendHead(dst, majorTag, tagTime), t.Millis()), nil
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return append(dst, null), nil
		}
		return appendValue(dst, v.Elem())
	case reflect.Bool:
		dst = append(dst, majorSimple<<5|20)
		if v.Bool() {
			dst[len(dst)-1]++
		}
		return dst, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return appendInt(dst, v.Int()), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return appendHead(dst, majorUnsigned, v.Uint()), nil
	case reflect.String:
		return appendText(dst, v.String()), nil
	case reflect.Slice:
		return appendSlice(dst, v)
	case reflect.Map:
		return appendMap(dst, v)
	case reflect.Struct:
		return appendStruct(dst, v)
	}
	return nil, fmt.Errorf("write CBOR: no form for %s", v.Type())
}

func appendSlice(dst []byte, v reflect.Value) ([]byte, error) {
	if v.IsNil() {
		return append(dst, null), nil
	}
	if v.Type().Elem().Kind() == reflect.Uint8 {
		return append(appendHead(dst, majorBytes, uint64(v.Len())), v.Bytes()...), nil
	}
	dst = appendHead(dst, majorArray, uint64(v.Len()))
	var err error
	for i := range v.Len() {
		if dst, err = appendValue(dst, v.Index(i)); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

func appendMap(dst []byte, v reflect.Value) ([]byte, error) {
	if v.IsNil() {
		return append(dst, null), nil
	}
	if v.Type().Key().Kind() != reflect.String {
		return nil, fmt.Errorf("write CBOR: no form for %s", v.Type())
	}
	members := map[string]reflect.Value{}
	for _, key := range v.MapKeys() {
		members[key.String()] = v.MapIndex(key)
	}
	dst = appendHead(dst, majorMap, uint64(len(members)))
	var err error
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if dst, err = appendValue(appendText(dst, name), members[name]); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// appendStruct writes a struct of unknown length, which spares counting what is left out.
func appendStruct(dst []byte, v reflect.Value) ([]byte, error) {
	dst = append(dst, majorMap<<5|indefinite)
	var err error
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" {
			name = field.Name
		}
		if options == "omitempty" && empty(v.Field(i)) {
			continue
		}
		if dst, err = appendValue(appendText(dst, name), v.Field(i)); err != nil {
			return nil, err
		}
	}
	return append(dst, breakByte), nil
}

// empty is what encoding/json leaves out by omitempty.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}
