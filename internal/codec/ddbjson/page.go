package ddbjson

import (
	"bytes"
	"strconv"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// Page is what a reply of Scan, Query, BatchGetItem or GetItem says beside its items. Byte slices point into b.Src.
type Page struct {
	Last        []byte  // LastEvaluatedKey as it came; nil when absent: the end of the segment
	Count       int     // -1 when absent
	Scanned     int     // ScannedCount, -1 when absent
	Units       float64 // ConsumedCapacity.CapacityUnits, summed over tables
	Unprocessed []byte  // UnprocessedKeys as they came; nil when absent or empty
}

// ParsePage parses a reply's body, b.Src, and appends a row for each item of Items, of Responses (all tables in their
// order) and for Item, with Row.Line counting them. Members may come in any order; unknown ones are checked to be JSON
// and skipped. An error carries offset and attribute path and leaves b without rows.
func ParsePage(b *item.Batch) (Page, error) {
	p := parsers.Get().(*Parser)
	defer parsers.Put(p)
	return p.ParsePage(b)
}

// ParsePage is the function ParsePage.
func (p *Parser) ParsePage(b *item.Batch) (Page, error) {
	if err := fits(b); err != nil {
		return Page{}, err
	}
	a := p.automaton(Bare)
	tape, rows := len(b.Tape), len(b.Rows)
	restore := a.begin(b)
	r := &pageParser{automaton: a, b: b, checked: checked{src: b.Src}, page: Page{Count: -1, Scanned: -1}}
	err := r.run()
	if err != nil {
		a.tape, b.Rows = a.tape[:tape], b.Rows[:rows]
	}
	restore()
	if err != nil {
		return Page{}, shift(err, b)
	}
	return r.page, nil
}

// pageParser is one call of ParsePage. Its checked part walks the reply; items go to the automaton first.
type pageParser struct {
	*automaton
	checked checked
	b       *item.Batch
	page    Page
}

func (r *pageParser) run() error {
	if err := r.checked.object(r.member); err != nil {
		return err
	}
	return r.checked.finish()
}

// member takes the value of one member of the reply.
func (r *pageParser) member(name []byte) error {
	c := &r.checked
	switch string(name) {
	case "Items":
		return r.items()
	case "Responses":
		return c.object(func([]byte) error { return r.items() })
	case "Item":
		return r.item()
	case "LastEvaluatedKey":
		return r.raw(&r.page.Last)
	case "UnprocessedKeys":
		return r.raw(&r.page.Unprocessed)
	case "Count":
		return c.count(&r.page.Count)
	case "ScannedCount":
		return c.count(&r.page.Scanned)
	case "ConsumedCapacity":
		return r.capacity()
	}
	return c.skip(0)
}

// items takes an array of attribute maps.
func (r *pageParser) items() error {
	c := &r.checked
	if c.next() == 'n' {
		return c.skip(0)
	}
	return c.array(r.item)
}

// item takes one attribute map as a row.
func (r *pageParser) item() error {
	c := &r.checked
	if c.next() == 'n' {
		return c.skip(0)
	}
	first := len(r.tape)
	if end, ok := r.automaton.item(uint(c.p)); ok {
		c.p = int(end)
	} else {
		c.tape = r.tape
		err := c.attributeMap()
		if err != nil {
			return err
		}
		r.tape, c.tape, c.first = c.tape, nil, 0
	}
	r.b.Rows = append(r.b.Rows, item.Row{First: uint32(first), Line: uint32(len(r.b.Rows))})
	return nil
}

// raw keeps a member as it came; null and {} are like its absence.
func (r *pageParser) raw(dst *[]byte) error {
	c := &r.checked
	c.space()
	start := c.p
	if err := c.skip(0); err != nil {
		return err
	}
	if value := c.src[start:c.p:c.p]; value[0] == '{' && len(bytes.TrimSpace(value[1:len(value)-1])) > 0 {
		*dst = value
	}
	return nil
}

// capacity sums CapacityUnits of one table's ConsumedCapacity or of an array of them.
func (r *pageParser) capacity() error {
	c := &r.checked
	one := func() error {
		if c.next() != '{' {
			return c.skip(0)
		}
		return c.object(func(name []byte) error {
			c.space()
			start := c.p
			if err := c.skip(0); err != nil {
				return err
			}
			if string(name) == "CapacityUnits" {
				units, err := strconv.ParseFloat(string(c.src[start:c.p]), 64)
				if err != nil {
					return c.corrupt("CapacityUnits is no number")
				}
				r.page.Units += units
			}
			return nil
		})
	}
	if c.next() == '[' {
		return c.array(one)
	}
	return one()
}

// object walks the members of a JSON object; member is called with each name, in front of the value.
func (c *checked) object(member func(name []byte) error) error {
	if err := c.expect('{'); err != nil {
		return err
	}
	if c.next() == '}' {
		c.p++
		return nil
	}
	seen := map[string]bool{}
	for {
		at := len(c.tape)
		c.tape = append(c.tape, item.Token{Type: item.Name})
		start := c.p
		if err := c.text(at, "a name"); err != nil {
			return err
		}
		name := string(c.content(at))
		c.tape = c.tape[:at]
		if seen[name] {
			return c.place(fault.New(fault.Corrupt, "duplicate member %.40q", name), start)
		}
		seen[name] = true
		if err := c.expect(':'); err != nil {
			return err
		}
		if err := member([]byte(name)); err != nil {
			return err
		}
		if c.next() == ',' {
			c.p++
			c.space()
			continue
		}
		return c.expect('}')
	}
}

// array walks the elements of a JSON array.
func (c *checked) array(element func() error) error {
	if err := c.expect('['); err != nil {
		return err
	}
	if c.next() == ']' {
		c.p++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if c.next() == ',' {
			c.p++
			continue
		}
		return c.expect(']')
	}
}

// count takes a whole number.
func (c *checked) count(dst *int) error {
	c.space()
	start := c.p
	if err := c.skip(0); err != nil {
		return err
	}
	n, err := strconv.Atoi(string(c.src[start:c.p]))
	if err != nil || n < 0 {
		c.p = start
		return c.corrupt("want a count")
	}
	*dst = n
	return nil
}

// skipDepthMax bounds the nesting of what is skipped: far above any reply, far below what the stack holds.
const skipDepthMax = 1000

// skip takes any JSON value.
func (c *checked) skip(depth int) error {
	if depth > skipDepthMax {
		return c.corrupt("nested deeper than %d levels", skipDepthMax)
	}
	switch b := c.next(); {
	case b == '{':
		return c.object(func([]byte) error { return c.skip(depth + 1) })
	case b == '[':
		return c.array(func() error { return c.skip(depth + 1) })
	case b == '"':
		end, _, flaw := scanText(c.src, c.p+1)
		if flaw != fine {
			c.p = end
			return c.corrupt("%s", flawTexts[flaw])
		}
		c.p = end + 1
		return nil
	case b == '-' || b-'0' <= 9:
		return c.number()
	}
	for _, literal := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(c.src[c.p:], []byte(literal)) {
			c.p += len(literal)
			return nil
		}
	}
	return c.unexpected("a JSON value")
}

// number takes a JSON number (RFC 8259 section 6).
func (c *checked) number() error {
	if c.src[c.p] == '-' {
		c.p++
	}
	zero := c.p < len(c.src) && c.src[c.p] == '0'
	if n := c.digits(); n == 0 || zero && n > 1 {
		return c.corrupt("malformed number")
	}
	if c.p < len(c.src) && c.src[c.p] == '.' {
		c.p++
		if c.digits() == 0 {
			return c.corrupt("malformed number")
		}
	}
	if c.p < len(c.src) && c.src[c.p]|0x20 == 'e' {
		c.p++
		if c.p < len(c.src) && (c.src[c.p] == '+' || c.src[c.p] == '-') {
			c.p++
		}
		if c.digits() == 0 {
			return c.corrupt("malformed number")
		}
	}
	return nil
}

func (c *checked) digits() int {
	start := c.p
	for c.p < len(c.src) && c.src[c.p]-'0' <= 9 {
		c.p++
	}
	return c.p - start
}
