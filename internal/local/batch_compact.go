package local

import (
	"bytes"
	"slices"

	"dynaferry/internal/codec/ddbjson"
)

// RequestItems of BatchWriteItem as SDKs write it, without white space, is read in one walk: a load sends little else,
// and the general way walks its bytes once for each level. Whatever is written in another way, and whatever is to be
// refused, goes the general way, which has the last word.

// compact is a place in such a text.
type compact struct {
	raw []byte
	at  int
}

// take steps over a literal text.
func (p *compact) take(text string) bool {
	if !bytes.HasPrefix(p.raw[p.at:], []byte(text)) {
		return false
	}
	p.at += len(text)
	return true
}

// name steps over a member's name without escapes and the colon behind it.
func (p *compact) name() (string, bool) {
	if p.at == len(p.raw) || p.raw[p.at] != '"' {
		return "", false
	}
	end := skipString(p.raw, p.at)
	if end < 0 {
		return "", false
	}
	name := p.raw[p.at+1 : end-1]
	p.at = end
	return string(name), bytes.IndexByte(name, '\\') < 0 && p.take(":")
}

// compactWrites reads {"T":[{"PutRequest":{"Item":{...}}},...],...}; false: it is to be read the general way.
func (c *call) compactWrites(raw []byte) (list []tableBatch, ok bool) {
	c.batch.Src = raw
	p := &compact{raw: raw}
	for ok = p.take("{"); ok; ok = p.take(",") {
		var b tableBatch
		if b.named, ok = p.name(); !ok || !p.take("[") || !c.compactPart(p, &b) || !p.take("]") {
			return nil, false
		}
		list = append(list, b)
	}
	return list, p.take("}") // a value that was cut out of the request goes no further
}

// compactPart reads the elements of one table.
func (c *call) compactPart(p *compact, b *tableBatch) bool {
	first := c.batch.Len()
	verbs := make([]*verb, 0, batchWritesMax)
	b.raws = make([][]byte, 0, batchWritesMax)
	for more := true; more; more = p.take(",") {
		if len(verbs) == batchWritesMax {
			return false
		}
		start, verb := p.at, &verbPut
		if !p.take(`{"PutRequest":{"Item":`) {
			if verb = &verbDelete; !p.take(`{"DeleteRequest":{"Key":`) {
				return false
			}
		}
		end, ok := ddbjson.Next(&c.batch, p.at)
		if p.at = end; !ok || !p.take("}}") {
			return false
		}
		verbs, b.raws = append(verbs, verb), append(b.raws, p.raw[start:p.at])
	}
	c.room(b, len(verbs))
	for i, verb := range verbs {
		if b.records[i].accept(c.batch.Item(first+i)) != nil {
			return false
		}
		b.deeds[i].verb = verb
	}
	return true
}

// room gives one table's part its records and deeds, out of the call's own memory.
func (c *call) room(b *tableBatch, n int) {
	from := len(c.records)
	c.records, c.deeds = slices.Grow(c.records, n)[:from+n], slices.Grow(c.deeds, n)[:from+n]
	b.records, b.deeds = c.records[from:], c.deeds[from:]
	for i := range b.deeds {
		b.deeds[i] = deed{settings: settings{values: returnNone}, subject: &b.records[i], compiled: &unconditional}
	}
}
