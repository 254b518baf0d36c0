package ddbjson

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"dynaferry/internal/item"
)

// The reference decoder reads DynamoDB JSON from jsontext's tokens, strictly and without any thought of speed. It
// shares with the parser nothing but item.ParseNumber, which has tests of its own.

var errReference = errors.New("refused by the reference")

func reference(src []byte) (map[string]item.Value, error) {
	d := jsontext.NewDecoder(bytes.NewReader(src))
	members, err := referenceMap(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return nil, errReference
	}
	return members, nil
}

// referenceWrapped reads {"Item":{...}}.
func referenceWrapped(src []byte) (map[string]item.Value, error) {
	d := jsontext.NewDecoder(bytes.NewReader(src))
	if err := want(d, '{'); err != nil {
		return nil, err
	}
	if name, err := text(d); err != nil || name != "Item" {
		return nil, errReference
	}
	members, err := referenceMap(d, 0)
	if err != nil {
		return nil, err
	}
	if err := want(d, '}'); err != nil {
		return nil, err
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return nil, errReference
	}
	return members, nil
}

func want(d *jsontext.Decoder, kind jsontext.Kind) error {
	token, err := d.ReadToken()
	if err != nil {
		return err
	}
	if token.Kind() != kind {
		return errReference
	}
	return nil
}

func text(d *jsontext.Decoder) (string, error) {
	token, err := d.ReadToken()
	if err != nil {
		return "", err
	}
	if token.Kind() != '"' {
		return "", errReference
	}
	return token.String(), nil
}

func referenceMap(d *jsontext.Decoder, level int) (map[string]item.Value, error) {
	if err := want(d, '{'); err != nil {
		return nil, err
	}
	members := map[string]item.Value{}
	for d.PeekKind() != '}' {
		name, err := text(d)
		if err != nil {
			return nil, err
		}
		if members[name], err = referenceValue(d, level+1); err != nil {
			return nil, err
		}
	}
	return members, want(d, '}')
}

func referenceValue(d *jsontext.Decoder, level int) (item.Value, error) {
	var v item.Value
	if level > item.NestingMax {
		return v, errReference
	}
	if err := want(d, '{'); err != nil {
		return v, err
	}
	descriptor, err := text(d)
	if err != nil {
		return v, err
	}
	types := []string{"S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS"}
	i := slices.Index(types, descriptor)
	if i < 0 {
		return v, errReference
	}
	v.Type = item.S + item.Type(i)
	switch v.Type {
	case item.M:
		v.Map, err = referenceMap(d, level)
	case item.L:
		v.List, err = referenceList(d, func() (item.Value, error) { return referenceValue(d, level+1) })
	case item.SS, item.NS, item.BS:
		v.List, err = referenceList(d, func() (item.Value, error) { return referenceScalar(d, v.Type.Member()) })
	case item.BOOL, item.NULL:
		token, e := d.ReadToken()
		err = e
		if err == nil && token.Kind() != 't' && (token.Kind() != 'f' || v.Type == item.NULL) {
			err = errReference
		}
		v.Bool = err == nil && v.Type == item.BOOL && token.Kind() == 't'
	default:
		v, err = referenceScalar(d, v.Type)
	}
	if err != nil {
		return v, err
	}
	return v, want(d, '}')
}

func referenceList(d *jsontext.Decoder, element func() (item.Value, error)) ([]item.Value, error) {
	if err := want(d, '['); err != nil {
		return nil, err
	}
	list := []item.Value{}
	for d.PeekKind() != ']' {
		e, err := element()
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, want(d, ']')
}

func referenceScalar(d *jsontext.Decoder, t item.Type) (item.Value, error) {
	v := item.Value{Type: t}
	s, err := text(d)
	if err != nil {
		return v, err
	}
	switch t {
	case item.S:
		v.Str = s
	case item.N:
		v.Str = s
		_, err = item.ParseNumber([]byte(s))
	case item.B:
		v.Bin, err = base64.StdEncoding.DecodeString(s)
		if strings.ContainsAny(s, "\r\n") { // which the library skips
			err = errReference
		}
		if v.Bin == nil {
			v.Bin = []byte{}
		}
	}
	return v, err
}
