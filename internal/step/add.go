package step

import (
	"crypto/sha1"
	"encoding/hex"
	"strings"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// add puts an attribute into every item: a constant, a time, or a digest of other attributes. One that is there is replaced.
type add struct {
	name string
	kind item.Type // of what is put
	put  func(r *Runner) putter
	once bool // the value differs from run to run
	from []string
}

// putter writes the value for an item.
type putter func(w *item.Builder, it item.Item, s *subject) error

func parseAdd(ws []word, _ string, _ int) (kind, error) {
	if len(ws) != 1 {
		return nil, place(0, "it is NAME=VALUE: text in quotes, a number, true, false, null, now(), plantime(), changetime(), sha256(…) or uuid5(…)")
	}
	left, value, ok := ws[0].cut('=')
	if !ok {
		return nil, place(ws[0].at, "it is NAME=VALUE")
	}
	name, err := left.name()
	if err != nil {
		return nil, err
	}
	k := &add{name: name}
	if call, args, ok := value.cut('('); ok && !value.quoted() {
		return k, k.function(call, args)
	}
	return k, k.constant(value)
}

func (k *add) constant(w word) error {
	write := func(t item.Type, put func(*item.Builder)) {
		k.kind, k.put = t, func(*Runner) putter {
			return func(w *item.Builder, _ item.Item, _ *subject) error { put(w); return nil }
		}
	}
	switch {
	case w.quoted():
		write(item.S, func(b *item.Builder) { b.String([]byte(w.text)) })
	case w.text == "true" || w.text == "false":
		write(item.BOOL, func(b *item.Builder) { b.Bool(w.text == "true") })
	case w.text == "null":
		write(item.NULL, func(b *item.Builder) { b.Null() })
	default:
		d, err := item.ParseDecimal([]byte(w.text))
		if err != nil {
			return place(w.at, "%q is no number; text stands in quotes: '%s'", w.text, w.text)
		}
		write(item.N, func(b *item.Builder) { b.Decimal(d) })
	}
	return nil
}

// timeForms are the arguments of the times: how each is written.
var timeForms = map[string]struct {
	kind  item.Type
	write func(w *item.Builder, t time.Time)
}{
	"":      {item.S, func(w *item.Builder, t time.Time) { w.PlainString([]byte(t.UTC().Format("2006-01-02T15:04:05.000Z"))) }},
	"date":  {item.S, func(w *item.Builder, t time.Time) { w.PlainString([]byte(t.UTC().Format(time.DateOnly))) }},
	"epoch": {item.N, func(w *item.Builder, t time.Time) { w.Int(t.Unix()) }},
}

func (k *add) function(call, behind word) error {
	inner, found := strings.CutSuffix(behind.text, ")")
	if !found {
		return place(behind.at, "%s( is not closed", call.text)
	}
	var args []word
	for _, a := range (word{text: inner, literal: behind.literal, at: behind.at}).split(',') {
		for a.text != "" && isSpace(a.text[0]) && !a.literal[0] {
			a = a.slice(1, len(a.text))
		}
		for n := len(a.text); n > 0 && isSpace(a.text[n-1]) && !a.literal[n-1]; n-- {
			a = a.slice(0, n-1)
		}
		args = append(args, a)
	}
	switch call.text {
	case "now", "plantime", "changetime":
		form, ok := timeForms[args[0].text]
		if !ok || len(args) > 1 {
			return place(behind.at, "%s() takes nothing, date or epoch", call.text)
		}
		k.kind, k.once = form.kind, call.text == "now"
		k.put = func(r *Runner) putter { return r.times(call.text, form.write) }
		return nil
	case "sha256", "uuid5":
		return k.digestOf(call, args)
	}
	return place(call.at, "no function %s: there are now, plantime, changetime, sha256 and uuid5", call.text)
}

// times is the putter of one of the three times.
func (r *Runner) times(which string, write func(*item.Builder, time.Time)) putter {
	return func(w *item.Builder, _ item.Item, s *subject) error {
		t := r.env.Plan
		switch which {
		case "now":
			if t = time.Now(); r.env.Now != nil {
				t = r.env.Now()
			}
		case "changetime":
			if s.Micros == 0 {
				return fault.New(fault.User, "an item that is copied has no time of a change")
			}
			t = time.UnixMicro(s.Micros)
		}
		if t.IsZero() {
			return fault.New(fault.User, "what follows a stream has no plan, whose time this could be: use changetime() or now()")
		}
		write(w, t)
		return nil
	}
}

// namespaceOID is RFC 9562's namespace for object identifiers, which stands for no name of a system in particular.
const namespaceOID = "6ba7b812-9dad-11d1-80b4-00c04fd430c8"

func (k *add) digestOf(call word, args []word) error {
	k.kind = item.S
	space, _ := parseUUID(namespaceOID)
	if call.text == "uuid5" && args[0].quoted() {
		if u, ok := parseUUID(args[0].text); ok {
			space, args = u, args[1:]
		}
	}
	for _, a := range args {
		name, err := a.name()
		if err != nil {
			return err
		}
		k.from = append(k.from, name)
	}
	if len(k.from) == 0 {
		return place(call.at, "%s() of which attributes?", call.text)
	}
	k.put = func(*Runner) putter {
		d := newDigest(nil, false)
		var buf []byte
		return func(w *item.Builder, it item.Item, _ *subject) error {
			var err error
			if buf, err = k.gather(buf[:0], it); err != nil {
				return err
			}
			if call.text == "uuid5" {
				w.PlainString(uuid5(space, buf))
			} else {
				w.PlainString(d.bytes(buf))
			}
			return nil
		}
	}
	return nil
}

// gather writes the attributes that are digested: one string as its bytes, so that others can do the same; all else as
// canonical DynamoDB JSON, one behind the other.
func (k *add) gather(dst []byte, it item.Item) ([]byte, error) {
	for _, name := range k.from {
		i, ok := it.Get(name)
		if !ok {
			return dst, fault.New(fault.User, "the item has no %s", name)
		}
		if len(k.from) == 1 && it.Tape[i].Type == item.S {
			return it.AppendText(dst, i), nil
		}
		dst = item.AppendCanonicalValue(dst, it, i)
	}
	return dst, nil
}

// uuid5 is a UUID of version 5 (RFC 9562).
func uuid5(space [16]byte, name []byte) []byte {
	h := sha1.New()
	h.Write(space[:])
	h.Write(name)
	u := h.Sum(nil)[:16]
	u[6], u[8] = u[6]&0x0f|0x50, u[8]&0x3f|0x80
	text := hex.AppendEncode(nil, u)
	out := make([]byte, 0, 36)
	for i, cut := range []int{8, 12, 16, 20, 32} {
		if i > 0 {
			out = append(out, '-')
		}
		out = append(out, text[:cut][[]int{0, 8, 12, 16, 20}[i]:]...)
	}
	return out
}

func parseUUID(text string) (u [16]byte, ok bool) {
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return u, false
	}
	n, err := hex.Decode(u[:], []byte(strings.ReplaceAll(text, "-", "")))
	return u, err == nil && n == 16
}

func (k *add) pure() bool         { return !k.once }
func (k *add) outline(o *outline) { o.put(k.name, k.kind) }

func (k *add) start(r *Runner) (worker, error) {
	return &adder{name: k.name, put: k.put(r)}, nil
}

type adder struct {
	name string
	put  putter
}

func (k *adder) touches(item.Item) bool { return true }

func (k *adder) image(w *item.Builder, it item.Item, s *subject) (bool, error) {
	return putMember(w, it, s, k.name, func(from item.Item) error { return k.put(w, from, s) })
}

// putMember writes the item with one attribute replaced, in its place, or added at the end. In a key nothing is added, and what is replaced
// is made of the whole item.
func putMember(w *item.Builder, it item.Item, s *subject, name string, put func(from item.Item) error) (bool, error) {
	at, there := it.Get(name)
	from := it
	if s.inKey {
		if !there {
			return false, nil
		}
		from = s.current()
	}
	behind := len(it.Tape)
	if there {
		behind = at + int(it.Tape[at].Skip)
		w.Members(it, 0, 1, at-1)
	} else {
		w.Members(it, 0, 1, behind)
	}
	w.Name(name)
	if err := put(from); err != nil {
		return false, err
	}
	w.Members(it, 0, behind, len(it.Tape))
	return true, nil
}
