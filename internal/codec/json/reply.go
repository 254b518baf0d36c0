package json

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// itemsMember is the member of a reply that holds its items.
const itemsMember = "Items"

// replyMembers are the members that replies of Scan and Query have, as the service, the AWS CLI and the SDKs write them.
var replyMembers = []string{itemsMember, "Count", "ScannedCount", "ConsumedCapacity", "LastEvaluatedKey", "NextToken", "ResponseMetadata",
	"$metadata"}

// IsReplyMember tells whether a reply of Scan or Query has a member of that name. One with others is none, so that nothing
// of a file is left out because it looks like one.
func IsReplyMember(name string) bool { return slices.Contains(replyMembers, name) }

// replyRecord reads a member of a reply up to where the items begin, or the reply's end. Replies may follow each other, as
// the pages of a scan do.
func (r *Reader) replyRecord() error {
	c, err := r.skipSpace()
	if err != nil {
		return r.cut(err)
	}
	switch {
	case c == '}' && !r.comma:
		r.win.AdvanceLines(1)
		if !r.items {
			return r.damaged("a reply without " + itemsMember)
		}
		r.shape = replies
		return nil
	case c != '"':
		return r.damaged("no name where a member of the reply begins")
	}
	name, err := r.memberName()
	if err != nil {
		return err
	}
	if !IsReplyMember(name) {
		return r.damaged("no reply of Scan or Query has a member " + name)
	}
	if name != itemsMember {
		return r.skipMember()
	}
	if c, err = r.skipSpace(); err != nil {
		return r.cut(err)
	}
	if c != '[' || r.items {
		return r.damaged(itemsMember + " is no array, or there are two")
	}
	r.win.AdvanceLines(1)
	r.shape, r.first, r.items = array, true, true
	return nil
}

// memberName uses up a name and the colon behind it.
func (r *Reader) memberName() (string, error) {
	n := 1
	for escaped := false; ; n++ {
		if n > nameBytesMax {
			return "", r.damaged("a name longer than any of a reply")
		}
		if err := r.win.AtLeast(n + 1); err != nil {
			return "", r.cut(err)
		}
		c := r.win.Bytes()[n]
		if c == '"' && !escaped {
			break
		}
		escaped = c == '\\' && !escaped
	}
	name, err := jsontext.AppendUnquote(nil, r.win.Bytes()[:n+1])
	if err != nil {
		return "", r.damaged("a name that is no JSON string")
	}
	r.win.AdvanceLines(n + 1)
	c, err := r.skipSpace()
	if err != nil {
		return "", r.cut(err)
	}
	if c != ':' {
		return "", r.damaged("no colon behind the name of a member")
	}
	r.win.AdvanceLines(1)
	return string(name), nil
}

// nameBytesMax is more than any of replyMembers has, with every letter escaped.
const nameBytesMax = 256

// skipMember uses up the value of a member that says nothing of the items.
func (r *Reader) skipMember() error {
	c, err := r.skipSpace()
	if err != nil {
		return r.cut(err)
	}
	end, err := r.elementEnd(c)
	if err != nil {
		return r.cut(err)
	}
	if !end.closed || end.n > r.opts.RecordBytesMax || !well(bytes.TrimSpace(r.win.Bytes()[:end.n])) {
		return r.damaged("a member of the reply that is no JSON")
	}
	r.win.AdvanceLines(end.n)
	return r.afterMember()
}

// afterMember uses up the comma behind a member; the bracket that ends the reply stays.
func (r *Reader) afterMember() error {
	c, err := r.skipSpace()
	if err != nil {
		return r.cut(err)
	}
	r.shape, r.comma = reply, c == ','
	switch {
	case c == ',':
		r.win.AdvanceLines(1)
	case c != '}':
		return r.damaged("no comma behind a member of the reply")
	}
	return nil
}

// nextReply begins the next reply; at the end of the stream there is none.
func (r *Reader) nextReply() error {
	c, err := r.skipSpace()
	if err != nil {
		return err
	}
	if c != '{' {
		return r.damaged("something other than another reply behind a reply")
	}
	r.win.AdvanceLines(1)
	r.shape, r.comma, r.items = reply, false, false
	return nil
}
