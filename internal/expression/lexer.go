package expression

import (
	"strings"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokenEOF     tokenKind = iota
	tokenWord              // attribute or function name, not a keyword
	tokenName              // #name
	tokenValue             // :value
	tokenIndex             // digits
	tokenSymbol            // ( ) [ ] , . + - = <> < <= > >=
	tokenKeyword           // and or not between in set remove add delete, in any case
	tokenStray             // a character that begins nothing
)

type token struct {
	kind     tokenKind
	from, to int
	text     string // keywords in lower case, else as written
}

const eofText = "<EOF>"

// keywords can never be attribute names, whatever the expression's kind.
var keywords = map[string]bool{"and": true, "or": true, "not": true, "between": true, "in": true,
	"set": true, "remove": true, "add": true, "delete": true}

// lex cuts the whole text. White space is blank, tab and line ends; nothing is an error here, the parser meets strays.
func lex(text string) []token {
	var tokens []token
	for at := 0; ; {
		for at < len(text) && strings.IndexByte(" \t\r\n", text[at]) >= 0 {
			at++
		}
		if at == len(text) {
			return append(tokens, token{kind: tokenEOF, from: at, to: at, text: eofText})
		}
		t := lexOne(text, at)
		tokens = append(tokens, t)
		at = t.to
	}
}

func lexOne(text string, at int) token {
	end := at + 1
	kind := tokenStray
	switch c := text[at]; {
	case isLetter(c):
		kind = tokenWord
		for end < len(text) && isWord(text[end]) {
			end++
		}
		if lower := strings.ToLower(text[at:end]); keywords[lower] {
			return token{kind: tokenKeyword, from: at, to: end, text: lower}
		}
	case (c == '#' || c == ':') && end < len(text) && isWord(text[end]):
		kind = tokenName
		if c == ':' {
			kind = tokenValue
		}
		for end < len(text) && isWord(text[end]) {
			end++
		}
	case c == '0':
		kind = tokenIndex
	case isDigit(c):
		kind = tokenIndex
		for end < len(text) && isDigit(text[end]) {
			end++
		}
	case strings.IndexByte("()[],.+-=", c) >= 0:
		kind = tokenSymbol
	case c == '<' || c == '>':
		kind = tokenSymbol
		if end < len(text) && (text[end] == '=' || c == '<' && text[end] == '>') {
			end++
		}
	case c >= utf8.RuneSelf:
		_, size := utf8.DecodeRuneInString(text[at:])
		end = at + size
	}
	return token{kind: kind, from: at, to: end, text: text[at:end]}
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isWord(c byte) bool   { return isLetter(c) || isDigit(c) || c == '_' }
