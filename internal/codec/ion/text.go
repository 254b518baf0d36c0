package ion

import (
	"errors"
	"strconv"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// errShort asks for more bytes: what is there ends within a value.
var errShort = errors.New("ion: more bytes are needed")

// textCursor walks Ion text from p on.
type textCursor struct {
	src     []byte // end bytes of the stream, a NUL and slack behind them
	end     int
	p       int
	final   bool // nothing follows in the stream
	comma   bool // a value precedes in the innermost container
	open    []byte
	symbols *symbols

	notes, fields, texts, digits, blobs []byte // scratch
}

// begin puts the cursor on b, whose capacity leaves item.Slack bytes that may be written to.
func (c *textCursor) begin(b []byte, final bool) {
	b = item.EnsureSlack(b)
	c.src, c.end, c.final = b[:len(b)+item.Slack], len(b), final
	c.src[c.end] = 0
	c.restart(0)
}

// restart puts it at top-level at p.
func (c *textCursor) restart(p int) { c.p, c.open, c.comma = p, c.open[:0], false }

func (c *textCursor) where() int { return c.p }

// here gives an error of the grammar its offset.
func (c *textCursor) here(err error) error {
	if err == errShort {
		return err
	}
	return fault.At(err, fault.Place{Offset: int64(c.p)})
}

// Classes of bytes.
const (
	isSpace  = 1 << iota // white space, line ends included
	isIdent              // letters, digits, $ and _
	isDigit              // 0 to 9
	isStop               // may stand behind a number
	isOper               // operators of an s-expression
	isBase64             // with the padding
)

var class = func() (class [256]byte) {
	set := func(flag byte, chars string) {
		for _, c := range []byte(chars) {
			class[c] |= flag
		}
	}
	set(isSpace|isStop, " \t\n\v\f\r")
	set(isStop, "{}[](),\"'")
	set(isDigit|isIdent|isBase64, "0123456789")
	set(isIdent|isBase64, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
	set(isIdent, "$_")
	set(isBase64, "+/=")
	set(isOper, "!#%&*+-./;<=>?@^`|~")
	return class
}()

// short is errShort, or the error of an end that is the stream's.
func (c *textCursor) short() error {
	if !c.final {
		return errShort
	}
	c.p = c.end
	return corrupt("unexpected end")
}

// unexpected is the refusal of the byte at p.
func (c *textCursor) unexpected(want string) error {
	if c.p >= c.end {
		return c.short()
	}
	return corrupt("unexpected %q, want %s", c.src[c.p], want)
}

// space passes over white space and comments. It leaves p on a byte, or at the end of the stream.
func (c *textCursor) space() error {
	for {
		for class[c.src[c.p]]&isSpace != 0 {
			c.p++
		}
		switch {
		case c.p >= c.end:
			if !c.final {
				return errShort
			}
			return nil
		case c.src[c.p] != '/':
			return nil
		case c.p+1 >= c.end:
			if !c.final {
				return errShort
			}
			return nil
		}
		switch c.src[c.p+1] {
		case '/':
			if err := c.lineComment(); err != nil {
				return err
			}
		case '*':
			if err := c.blockComment(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

func (c *textCursor) lineComment() error {
	for p := c.p + 2; p < c.end; p++ {
		if c.src[p] == '\n' || c.src[p] == '\r' {
			c.p = p + 1
			return nil
		}
	}
	if !c.final {
		return errShort
	}
	c.p = c.end
	return nil
}

func (c *textCursor) blockComment() error {
	for p := c.p + 2; p+1 < c.end; p++ {
		if c.src[p] == '*' && c.src[p+1] == '/' {
			c.p = p + 2
			return nil
		}
	}
	if !c.final {
		return errShort
	}
	return corrupt("a comment without end")
}

// enter opens the container whose bracket was the last byte read.
func (c *textCursor) enter(v *value) {
	closer := [...]byte{kindList: ']', kindSexp: ')', kindStruct: '}'}[v.kind]
	c.open, c.comma = append(c.open, closer), false
}

// next implements cursor.
func (c *textCursor) next(v *value) (more bool, err error) {
	if err := c.space(); err != nil {
		return false, err
	}
	closer := c.open[len(c.open)-1]
	b := c.src[c.p]
	if c.comma && b == ',' && closer != ')' {
		c.p++
		if err := c.space(); err != nil {
			return false, err
		}
		c.comma, b = false, c.src[c.p]
	}
	if b == closer {
		c.p++
		c.open, c.comma = c.open[:len(c.open)-1], true
		return false, nil
	}
	if c.comma && closer != ')' {
		return false, c.unexpected("',' or '" + string(rune(closer)) + "'")
	}
	if closer == '}' {
		if k := v.expect; k != nil && k.at(c.src, c.p) {
			v.field, v.met = k.text, true
			v.field.at = c.p
			c.p += len(k.raw)
		} else if err := c.field(&v.field); err != nil {
			return false, err
		}
	}
	if err := c.value(v); err != nil {
		return false, err
	}
	c.comma = true
	return true, nil
}

// field reads a name and the colon behind it.
func (c *textCursor) field(t *text) error {
	switch b := c.src[c.p]; {
	case class[b]&(isIdent|isDigit) == isIdent:
		start := c.p
		if err := c.identifier(t); err != nil {
			return err
		}
		if keyword(c.src[start:c.p]) {
			c.p = start
			return corrupt("%s cannot be a name without quotes", c.src[start:start+len(t.b)])
		}
	case b == '"':
		if err := c.shortString(t, &c.fields); err != nil {
			return err
		}
	case b == '\'':
		if _, err := c.quoted(t, &c.fields); err != nil {
			return err
		}
	default:
		return c.unexpected("a name")
	}
	if c.src[c.p] != ':' {
		if err := c.space(); err != nil {
			return err
		}
		if c.src[c.p] != ':' {
			return c.unexpected("':'")
		}
	}
	c.p++
	return nil
}

// keyword tells whether an identifier is none but a value of its own.
func keyword(b []byte) bool {
	return len(b) >= 3 && len(b) <= 5 && (string(b) == "null" || string(b) == "true" || string(b) == "false" || string(b) == "nan")
}

// identifier reads an unquoted symbol. That of the form $12 stands for a symbol of the table.
func (c *textCursor) identifier(t *text) error {
	start := c.p
	for class[c.src[c.p]]&isIdent != 0 {
		c.p++
	}
	if c.p >= c.end && !c.final {
		return errShort
	}
	*t = text{b: c.src[start:c.p], plain: true, at: start}
	if c.src[start] != '$' || c.p == start+1 {
		return nil
	}
	for _, b := range t.b[1:] {
		if class[b]&isDigit == 0 {
			return nil
		}
	}
	id, err := strconv.ParseUint(string(t.b[1:]), 10, 32)
	if err != nil {
		id = 1 << 32
	}
	found, err := c.symbols.find(id)
	if err != nil {
		c.p = start
		return err
	}
	*t = text{b: found.b, plain: found.plain, unknown: found.unknown, quoted: true, at: start}
	return nil
}

// value reads annotations and a value. Of a container only the bracket is read.
func (c *textCursor) value(v *value) error {
	v.notes, v.null, v.at = 0, false, c.p
	switch b := c.src[c.p]; { // the most frequent by themselves
	case b == '"':
		v.kind = kindString
		return c.shortString(&v.text, &c.texts)
	case class[b]&isDigit != 0:
		return c.number(v)
	}
	if err := c.space(); err != nil {
		return err
	}
	v.at = c.p
	for {
		again, err := c.one(v)
		if err != nil || !again {
			return err
		}
		if err := c.space(); err != nil {
			return err
		}
	}
}

// one reads a value, or an annotation: then it is to be called again.
func (c *textCursor) one(v *value) (again bool, err error) {
	b := c.src[c.p]
	switch {
	case b == '"':
		v.kind = kindString
		return false, c.shortString(&v.text, &c.texts)
	case class[b]&isDigit != 0:
		return false, c.number(v)
	case b == '{':
		return false, c.brace(v)
	case b == '[':
		v.kind = kindList
		c.p++
		return false, nil
	case b == '\'':
		long, err := c.quoted(&v.text, &c.texts)
		v.kind = kindSymbol
		if long {
			v.kind = kindString
		}
		if long || err != nil {
			return false, err
		}
		return c.annotates(v)
	case class[b]&isIdent != 0:
		return c.word(v)
	case b == '-' || b == '+':
		return false, c.signed(v)
	case b == '(':
		v.kind = kindSexp
		c.p++
		return false, nil
	}
	return false, c.operator(v)
}

// annotates tells whether the symbol just read is an annotation: :: follows.
func (c *textCursor) annotates(v *value) (bool, error) {
	if b := c.src[c.p]; b == ',' || b == '}' || b == ']' {
		return false, nil
	}
	if err := c.space(); err != nil {
		return false, err
	}
	if c.src[c.p] != ':' {
		return false, nil
	}
	if c.p+1 >= c.end {
		return false, c.short()
	}
	if c.src[c.p+1] != ':' {
		return false, nil
	}
	c.p += 2
	if v.notes++; v.notes == 1 {
		v.note = v.text
		if len(c.texts) > 0 && !v.text.plain { // the text may lie in the scratch that the value will use
			c.notes = append(c.notes[:0], v.text.b...)
			v.note.b = c.notes
		}
	}
	return true, nil
}

// word reads what begins with a letter: a keyword, a typed null, a symbol, an annotation.
func (c *textCursor) word(v *value) (again bool, err error) {
	start := c.p
	if err := c.identifier(&v.text); err != nil {
		return false, err
	}
	v.kind = kindSymbol
	raw := c.src[start:c.p]
	if !keyword(raw) {
		return c.annotates(v)
	}
	switch raw[0] {
	case 't', 'f':
		v.kind, v.truth = kindBool, raw[0] == 't'
	default:
		if len(raw) == 3 { // nan
			v.kind = kindFloat
			return false, nil
		}
		v.kind, v.null = kindNull, true
		if c.src[c.p] == '.' {
			return false, c.typedNull(v)
		}
	}
	return false, nil
}

func (c *textCursor) typedNull(v *value) error {
	start := c.p + 1
	p := start
	for class[c.src[p]]&isIdent != 0 {
		p++
	}
	if p >= c.end && !c.final {
		return errShort
	}
	for k, name := range kindNames {
		if string(c.src[start:p]) == name {
			v.kind, c.p = kind(k), p
			return nil
		}
	}
	return corrupt("null.%.20s is no type", c.src[start:p])
}

// operator reads an operator of an s-expression; anything else begins no value.
func (c *textCursor) operator(v *value) error {
	start := c.p
	if n := len(c.open); n > 0 && c.open[n-1] == ')' {
		for class[c.src[c.p]]&isOper != 0 {
			c.p++
		}
	}
	if c.p == start {
		return c.unexpected("a value")
	}
	if c.p >= c.end && !c.final {
		return errShort
	}
	v.kind, v.text = kindSymbol, text{b: c.src[start:c.p], at: start}
	return nil
}
