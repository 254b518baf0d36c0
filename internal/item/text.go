package item

import (
	"bytes"
	"encoding/base64"
	"unicode/utf16"
	"unicode/utf8"
)

// AppendUnescaped appends the text behind a JSON string's content that the tokenizer has accepted: every escape is
// whole and surrogates come in pairs.
func AppendUnescaped(dst, content []byte) []byte {
	for {
		i := bytes.IndexByte(content, '\\')
		if i < 0 {
			return append(dst, content...)
		}
		dst = append(dst, content[:i]...)
		content = content[i+1:]
		switch c := content[0]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := hex4(content[1:])
			content = content[5:]
			if utf16.IsSurrogate(r) {
				r = utf16.DecodeRune(r, hex4(content[2:]))
				content = content[6:]
			}
			dst = utf8.AppendRune(dst, r)
			continue
		default: // quote, backslash, slash
			dst = append(dst, c)
		}
		content = content[1:]
	}
}

func hex4(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		r = r<<4 | rune(hexDigit(c))
	}
	return r
}

func hexDigit(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string with quotes and the fewest escapes that RFC 8259 allows: quote, backslash and
// control characters, of these \b \f \n \r \t in their short form. s must be valid UTF-8 for the result to be JSON.
func AppendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	from := 0
	for i, c := range s {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// appendBinary appends b as a JSON string of padded standard base64.
func appendBinary(dst, b []byte) []byte {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, '"')
}

// appendDecoded appends the bytes behind base64 content that the tokenizer has accepted. JSON may write the slash
// of base64 with an escape.
func appendDecoded(dst, content []byte, escaped bool) []byte {
	if escaped {
		content = AppendUnescaped(nil, content)
	}
	dst, _ = base64.StdEncoding.AppendDecode(dst, content) // checked by the tokenizer
	return dst
}
