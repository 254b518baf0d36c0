package step

import (
	"bytes"
	"math/big"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
)

// Redaction takes attributes out of the records of a stream, or puts tokens in their place, before the log sees them: what is
// logged stays. It is parsed from rules, one a text:
//
//	drop PATH …                leaves them out
//	hash PATH … key=env:NAME   a string in their place, HMAC-SHA-256 in base64 for URLs
//	token PATH … key=env:NAME  the same, but a number becomes a number and a binary a binary, so that keys stay keys
//
// Equal values have equal tokens, in every attribute and in key and images alike; without the key nobody can try values. It
// never fails open: a record that cannot be read to its end, or that has members which might hold attributes and are not known, is
// an error that says so, and nothing of it is kept.
type Redaction struct {
	texts []string
	drops *tree
	puts  *tree
	rules []redactionRule // of the targets of puts
	pool  sync.Pool       // of *redactor
	keys  [][]byte        // of the rules, once started
}

type redactionRule struct {
	paths []path
	key   reference
	token bool
}

// ParseRedaction reads rules. Errors are as those of Parse.
func ParseRedaction(texts []string) (*Redaction, error) {
	r := &Redaction{texts: texts, drops: &tree{}, puts: &tree{}}
	all := &tree{}
	for i, text := range texts {
		if err := r.parse(text, all); err != nil {
			return nil, unreadable(i, text, err)
		}
	}
	return r, nil
}

func (r *Redaction) parse(text string, all *tree) error {
	ws, err := words(text)
	if err != nil {
		return err
	}
	ws, given, err := options(ws, "key")
	if err != nil {
		return err
	}
	if len(ws) < 2 {
		return place(0, "it is drop, hash or token, and the attributes")
	}
	rule := redactionRule{token: ws[0].text == "token"}
	w, keyed := given["key"]
	switch kind := ws[0].text; {
	case kind != "drop" && kind != "hash" && kind != "token":
		return place(ws[0].at, "no rule %q: it is drop, hash or token", kind)
	case kind == "drop" && keyed:
		return place(w.at, "what is dropped needs no key")
	case kind != "drop" && !keyed:
		return fault.Hint(place(ws[0].at, "%s without a key: whoever tries values finds them", kind), "name one: key=env:NAME or key=file:PATH")
	case keyed:
		if rule.key, err = parseReference(w); err != nil {
			return err
		}
	}
	for _, w := range ws[1:] {
		p, err := parsePath(w)
		if err != nil {
			return err
		}
		if err := all.add(p, 0); err != nil {
			return place(w.at, "%s", fault.Reason(err))
		}
		into, target := r.drops, 0
		if keyed {
			into, target = r.puts, len(r.rules)
		}
		if err := into.add(p, target); err != nil {
			return err
		}
		rule.paths = append(rule.paths, p)
	}
	if keyed {
		r.rules = append(r.rules, rule)
	}
	return nil
}

// Texts are the rules, for those who note what a log was made with.
func (r *Redaction) Texts() []string { return r.texts }

// CheckKeys refuses rules that take the key away or change its type; types may be unknown (0), as a stream tells names alone.
func (r *Redaction) CheckKeys(keys item.KeySchema) error {
	for _, attr := range keys.Attrs() {
		if r.drops.members[attr.Name] != nil {
			return fault.Hint(fault.New(fault.User, "--redact: %s is of the key, and a change without its key is none", attr.Name),
				"hide it: token %s key=env:NAME", attr.Name)
		}
		if t := r.puts.members[attr.Name]; t != nil && t.leaf && !r.rules[t.value].token && attr.Type != item.S {
			return fault.Hint(fault.New(fault.User, "--redact: a hash of %s, which is of the key, need not be of its type", attr.Name),
				"keep the type: token %s key=env:NAME", attr.Name)
		}
	}
	return nil
}

// Start reads the keys of the rules. It is to be called once, before Record.
func (r *Redaction) Start(env Env) error {
	r.keys = nil
	for i, rule := range r.rules {
		key, err := rule.key.read(&env)
		if err != nil {
			return fault.New(fault.User, "--redact: rule of %s: %w", r.rules[i].paths[0], err)
		}
		r.keys = append(r.keys, key)
	}
	r.pool.New = func() any { return r.newRedactor() }
	return nil
}

// Record redacts a record of a page: its raw JSON, and the rows of its key and images, alike. It may be called concurrently
// for different pages. After an error the record is not to be kept.
func (r *Redaction) Record(p *feed.Page, rec *feed.Record) error {
	w := r.pool.Get().(*redactor)
	defer r.pool.Put(w)
	err := w.record(p, rec)
	if err != nil {
		rec.Raw = nil
		return fault.Hint(fault.New(fault.Corrupt, "the record at %s cannot be redacted, so it is not logged: %w", rec.Position, err),
			"read it with the AWS CLI; a log without --redact takes it as it is")
	}
	return nil
}

// redactor is what one call of Record works with.
type redactor struct {
	*Redaction
	digests []*digest
	spare   item.Batch
}

func (r *Redaction) newRedactor() *redactor {
	w := &redactor{Redaction: r}
	for _, key := range r.keys {
		w.digests = append(w.digests, newDigest(key, true))
	}
	return w
}

// attributes is a member of a record that holds some: where its value stands in the raw bytes, and its row.
type attributes struct {
	from, to int
	row      int32
}

// harmless are objects of a record that hold no attributes. One that is not known is refused: it might.
var harmless = map[string]bool{"userIdentity": true}

func (w *redactor) record(p *feed.Page, rec *feed.Record) error {
	found, err := w.find(rec)
	if err != nil {
		return err
	}
	var raw []byte
	from := 0
	for _, a := range found {
		it, err := ddbjson.ParseItem(rec.Raw[a.from:a.to])
		if err != nil {
			return err
		}
		out, err := w.item(p, it)
		if err != nil {
			return err
		}
		if a.row == rec.Keys && !sameShape(it, p.Items.Item(out)) {
			return fault.New(fault.User, "a rule takes an attribute of its key away, or changes its type")
		}
		raw = append(append(raw, rec.Raw[from:a.from]...), p.Items.Item(out).Raw()...)
		from = a.to
		p.Items.Rows[a.row].First = p.Items.Rows[out].First
		p.Items.Rows = p.Items.Rows[:out]
	}
	rec.Raw = append(raw, rec.Raw[from:]...)
	return nil
}

// find reads a record to its end and tells where its attributes stand, in their order.
func (w *redactor) find(rec *feed.Record) ([]attributes, error) {
	if rec.Event == 0 {
		return nil, fault.New(fault.Corrupt, "it is no change of DynamoDB's")
	}
	rows := map[string]int32{"Keys": rec.Keys, "NewImage": rec.New, "OldImage": rec.Old}
	dec := jsontext.NewDecoder(bytes.NewReader(rec.Raw)) // which refuses a name that comes twice
	var found []attributes
	err := members(dec, func(name string) error {
		if name == "dynamodb" && dec.PeekKind() == '{' {
			return members(dec, func(name string) error {
				row, has := rows[name]
				if !has {
					return scalar(dec, name)
				}
				value, err := dec.ReadValue()
				if err != nil {
					return err
				}
				if row == item.NoImage {
					return fault.New(fault.Corrupt, "it has a %s that was not read as one", name)
				}
				delete(rows, name)
				to := int(dec.InputOffset())
				found = append(found, attributes{to - len(value), to, row})
				return nil
			})
		}
		return scalar(dec, name)
	})
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(rec.Raw[dec.InputOffset():])) > 0 {
		return nil, fault.New(fault.Corrupt, "something stands behind it")
	}
	for name, row := range rows {
		if row != item.NoImage {
			return nil, fault.New(fault.Corrupt, "it has no %s where one was read", name)
		}
	}
	return found, nil
}

// members calls each for every member of the object that comes next; each reads the value.
func members(dec *jsontext.Decoder, each func(name string) error) error {
	if dec.PeekKind() != '{' {
		return fault.New(fault.Corrupt, "it is no object")
	}
	if _, err := dec.ReadToken(); err != nil {
		return fault.New(fault.Corrupt, "%w", err)
	}
	for dec.PeekKind() == '"' {
		t, err := dec.ReadToken()
		if err != nil {
			return fault.New(fault.Corrupt, "%w", err)
		}
		if err := each(t.String()); err != nil {
			return err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return fault.New(fault.Corrupt, "%w", err)
	}
	return nil
}

// scalar passes over a member that holds no attributes.
func scalar(dec *jsontext.Decoder, name string) error {
	if kind := dec.PeekKind(); (kind == '{' || kind == '[') && !harmless[name] {
		return fault.New(fault.Corrupt, "its member %s is not known: it might hold attributes", name)
	}
	if err := dec.SkipValue(); err != nil {
		return fault.New(fault.Corrupt, "%w", err)
	}
	return nil
}

// item appends the redacted item to the page and returns its row.
func (w *redactor) item(p *feed.Page, it item.Item) (int, error) {
	if w.drops.touches(it, 0) {
		w.spare.Reset()
		b := item.NewBuilder(&w.spare)
		b.Begin(0)
		if err := w.drops.rewrite(b, it, 0, true, nil); err != nil {
			return 0, err
		}
		b.Finish()
		it = w.spare.Item(0)
	}
	b := item.NewBuilder(&p.Items)
	b.Begin(0)
	if err := w.puts.rewrite(b, it, 0, false, w.put); err != nil {
		b.Abort()
		return 0, err
	}
	b.Finish()
	return p.Items.Len() - 1, nil
}

// put writes the token of a value.
func (w *redactor) put(b *item.Builder, it item.Item, i, target int) error {
	rule, d := w.rules[target], w.digests[target]
	t := it.Tape[i].Type
	if t == item.NULL {
		b.Null()
		return nil
	}
	d.buf = append(d.buf[:0], t.String()...) // a string and a number of one text are two values
	d.buf = item.AppendCanonicalValue(append(d.buf, ' '), it, i)
	text := d.bytes(d.buf)
	sum := d.sum[:len(d.sum)-len(text)]
	switch {
	case rule.token && t == item.N:
		n := new(big.Int).SetBytes(sum[:tokenBytes])
		return b.Number(n.Mod(n, pow10(item.NumberDigitsMax)).Append(nil, 10))
	case rule.token && t == item.B:
		b.Binary(sum)
	default:
		b.PlainString(text)
	}
	return nil
}

// tokenBytes are those of a digest that a number's token is made of: many more than its 38 digits hold, so that these are even.
const tokenBytes = 24

// sameShape tells whether two keys have as many attributes, of the same types.
func sameShape(a, b item.Item) bool {
	if len(a.Tape) != len(b.Tape) {
		return false
	}
	for i := range a.Tape {
		if a.Tape[i].Type != b.Tape[i].Type {
			return false
		}
	}
	return true
}
