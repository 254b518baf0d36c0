package ddbjson

import (
	"bytes"
	"unsafe"

	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
)

// ParseRecords parses a reply of GetRecords of DynamoDB Streams, page.Items.Src, into page's Records, Items and Next, as
// page.Keep says. A record that spans lines is put on one, in place. An error carries offset and attribute path and leaves the page
// without records.
func ParseRecords(page *feed.Page) error {
	return parseRecordPage(page, func(r *recordParser) error {
		if spansLines(r.src) {
			n := len(onOneLine(r.src))
			r.src[:len(r.src)+1][n] = 0
			r.src, r.b.Src, r.checked.src = r.src[:n], r.b.Src[:n], r.src[:n]
		}
		return r.checked.each(r.streamMember)
	})
}

// parseRecordPage lends a parser to one reply.
func parseRecordPage(page *feed.Page, run func(*recordParser) error) error {
	b := &page.Items
	page.Records, b.Tape, b.Rows = page.Records[:0], b.Tape[:0], b.Rows[:0]
	if err := fits(b); err != nil {
		return err
	}
	p := parsers.Get().(*Parser)
	defer parsers.Put(p)
	a := p.automaton(Bare)
	restore := a.begin(b)
	r := &p.records
	*r = recordParser{automaton: a, b: b, page: page, checked: checked{src: b.Src, tape: r.checked.tape[:0]}}
	err := run(r)
	if err == nil {
		err = r.checked.finish()
	}
	restore()
	r.automaton, r.b, r.page, r.checked.src, r.stamp, r.precision = nil, nil, nil, nil, nil, nil
	r.record = feed.Record{}
	if err != nil {
		page.Records, b.Tape, b.Rows = page.Records[:0], b.Tape[:0], b.Rows[:0]
		return shift(err, b)
	}
	return nil
}

// recordParser is one reply with records. Its checked part walks the members; keys and images go to the automaton first.
type recordParser struct {
	*automaton
	checked checked
	b       *item.Batch
	page    *feed.Page

	record           feed.Record
	has              uint32 // members of the record seen so far, a bit each
	stamp, precision []byte // of the record's creation, as they stand
	entry            shardEntry
}

// streamMember takes one member of the reply.
func (r *recordParser) streamMember(name []byte) error {
	switch string(name) {
	case "Records":
		return r.list(r.streamRecord)
	case "NextShardIterator":
		return r.iterator()
	}
	return r.checked.skip(0)
}

// iterator takes the iterator of the next page, null at the end of a shard.
func (r *recordParser) iterator() error {
	text, err := r.checked.view()
	r.page.Next = string(text)
	return err
}

// list takes an array, or null for an empty one.
func (r *recordParser) list(element func() error) error {
	if r.checked.next() == 'n' {
		return r.checked.skip(0)
	}
	return r.checked.array(element)
}

func (r *recordParser) streamRecord() error {
	r.checked.space()
	start := r.checked.p
	if err := r.change(); err != nil {
		return err
	}
	if r.record.Seq == "" && r.has&hasNumber == 0 {
		return r.checked.place(fault.New(fault.Corrupt, "a record without SequenceNumber"), start)
	}
	r.record.Raw = r.src[start:r.checked.p:r.checked.p]
	r.page.Records = append(r.page.Records, r.record)
	return nil
}

// Members that may not come twice.
const (
	hasKeys = 1 << iota
	hasNew
	hasOld
	hasNumber
	hasChange
	hasNewImage // and it is no null
)

// change takes one record's JSON object into r.record.
func (r *recordParser) change() error {
	r.begin()
	if err := r.checked.each(r.changeMember); err != nil {
		return err
	}
	return r.created()
}

// begin forgets the record before.
func (r *recordParser) begin() {
	r.record = feed.Record{Keys: item.NoImage, New: item.NoImage, Old: item.NoImage}
	r.has, r.stamp, r.precision = 0, nil, nil
}

// created takes the record's time from its stamp, if it has one.
func (r *recordParser) created() error {
	if r.stamp == nil {
		return nil
	}
	micros, err := creationMicros(r.stamp, r.precision)
	r.record.Micros = micros
	if err != nil {
		return r.checked.place(err, r.checked.p)
	}
	return nil
}

func (r *recordParser) changeMember(name []byte) (err error) {
	c := &r.checked
	switch string(name) {
	case "eventID":
		r.record.EventID, err = c.view()
	case "eventName":
		var event []byte
		event, err = c.view()
		r.record.Event = eventOf(event)
	case "tableName":
		r.record.Table, err = c.view()
	case "userIdentity":
		return r.identity()
	case "dynamodb":
		if err := r.once(hasChange, name); err != nil || c.next() == 'n' {
			return or(err, c)
		}
		return c.each(r.imageMember)
	default:
		return c.skip(0)
	}
	return err
}

// or skips the null that comes next, unless there is an error already.
func or(err error, c *checked) error {
	if err != nil {
		return err
	}
	return c.skip(0)
}

func (r *recordParser) once(bit uint32, name []byte) error {
	if r.has&bit != 0 {
		return r.checked.corrupt("duplicate member %.40q", name)
	}
	r.has |= bit
	return nil
}

func eventOf(name []byte) feed.Event {
	switch string(name) {
	case "INSERT":
		return feed.Insert
	case "MODIFY":
		return feed.Modify
	case "REMOVE":
		return feed.Remove
	}
	return 0
}

func (r *recordParser) imageMember(name []byte) (err error) {
	c := &r.checked
	switch string(name) {
	case "Keys":
		return r.imageOnce(hasKeys, name, &r.record.Keys, true)
	case "NewImage":
		return r.imageOnce(hasNew, name, &r.record.New, r.page.KeepsNew())
	case "OldImage":
		return r.imageOnce(hasOld, name, &r.record.Old, r.page.KeepsOld())
	case "SequenceNumber":
		if err := r.once(hasNumber, name); err != nil {
			return err
		}
		r.record.Seq, err = c.sequence()
	case "ApproximateCreationDateTime":
		c.space()
		start := c.p
		if err := c.skip(0); err != nil {
			return err
		}
		if text := bytes.Trim(c.src[start:c.p], `"`); string(text) != "null" {
			r.stamp = text
		}
	case "ApproximateCreationDateTimePrecision":
		r.precision, err = c.view()
	default:
		return c.skip(0)
	}
	return err
}

// imageOnce takes an image as a row, or checks one that is not to be kept: its tape, more than its text, is used again.
func (r *recordParser) imageOnce(bit uint32, name []byte, into *int32, keep bool) error {
	if err := r.once(bit, name); err != nil {
		return err
	}
	tape, rows := len(r.automaton.tape), len(r.b.Rows)
	err := r.automaton.image(r.b, &r.checked, uint32(len(r.page.Records)), into)
	if bit == hasNew && *into != item.NoImage {
		r.has |= hasNewImage
	}
	if !keep && err == nil {
		*into = item.NoImage
		r.automaton.tape, r.b.Rows = r.automaton.tape[:tape], r.b.Rows[:rows]
		r.b.Tape = r.automaton.tape
	}
	return err
}

// identity takes userIdentity, in the spelling of the service's records ("type") or of its API ("Type").
func (r *recordParser) identity() error {
	c := &r.checked
	if c.next() == 'n' {
		return c.skip(0)
	}
	service, dynamo := false, false
	err := c.each(func(name []byte) error {
		switch string(name) {
		case "type", "Type":
			text, err := c.view()
			service = string(text) == "Service"
			return err
		case "principalId", "PrincipalId":
			text, err := c.view()
			dynamo = string(text) == "dynamodb.amazonaws.com"
			return err
		}
		return c.skip(0)
	})
	r.record.Service = service && dynamo
	return err
}

// each walks the members of a JSON object and leaves it to member whether a name may come twice.
func (c *checked) each(member func(name []byte) error) error {
	if err := c.expect('{'); err != nil {
		return err
	}
	if c.next() == '}' {
		c.p++
		return nil
	}
	for {
		if c.next() != '"' {
			return c.unexpected("a name")
		}
		name, err := c.view()
		if err != nil {
			return err
		}
		if err := c.expect(':'); err != nil {
			return err
		}
		if err := member(name); err != nil {
			return err
		}
		if c.next() == ',' {
			c.p++
			continue
		}
		return c.expect('}')
	}
}

// view takes a string and returns its content where it stands, or beside when it has escapes; nil of null.
func (c *checked) view() ([]byte, error) {
	switch c.next() {
	case 'n':
		return nil, c.skip(0)
	case '"':
	default:
		return nil, c.unexpected("a string")
	}
	start := c.p + 1
	end, flags, flaw := scanText(c.src, start)
	if flaw != fine {
		c.p = end
		return nil, c.corrupt("%s", flawTexts[flaw])
	}
	c.p = end + 1
	if flags&item.Escaped != 0 {
		return item.AppendUnescaped(nil, c.src[start:end]), nil
	}
	return c.src[start:end:end], nil
}

// sequence takes a sequence number, as a view.
func (c *checked) sequence() (feed.Number, error) {
	start := c.p
	text, err := c.view()
	if err != nil || text == nil {
		return "", err
	}
	n, err := feed.ParseNumber(unsafe.String(unsafe.SliceData(text), len(text)))
	if err != nil {
		return "", c.place(err, start)
	}
	return n, nil
}

// spansLines tells whether a JSON text has line breaks.
func spansLines(src []byte) bool {
	return bytes.IndexByte(src, '\n') >= 0 || bytes.IndexByte(src, '\r') >= 0
}

// onOneLine takes the white space between the tokens of a JSON text away, in place. Line breaks in strings, which no JSON has,
// stay for the parser to refuse.
func onOneLine(src []byte) []byte {
	out, quoted := src[:0], false
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted && i+1 < len(src):
			out = append(out, c)
			i++
		case !quoted && (c == ' ' || c == '\t' || c == '\r' || c == '\n'):
			continue
		}
		out = append(out, src[i])
	}
	return out
}
