package step

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// cast gives values another type. What cannot be cast exactly is refused, or what else= says.
type cast struct {
	tree  *tree
	paths []path
	to    []string
	other string // refuse, null, drop or keep
}

// castTypes are the names of the types that cast knows, and what they come to.
var castTypes = map[string]string{
	"S": "S", "string": "S", "N": "N", "number": "N", "B": "B", "binary": "B", "BOOL": "BOOL", "bool": "BOOL",
	"L": "L", "list": "L", "SS": "SS", "NS": "NS", "BS": "BS", "set": "set", "ddbjson": "ddbjson",
	"iso": "iso", "iso-ms": "iso-ms", "epoch": "epoch", "epoch-ms": "epoch-ms",
}

func parseCast(ws []word, _ string, _ int) (kind, error) {
	ws, given, err := options(ws, "else")
	if err != nil {
		return nil, err
	}
	k := &cast{tree: &tree{}, other: "refuse"}
	if w, ok := given["else"]; ok {
		if k.other = w.text; !slices.Contains([]string{"refuse", "null", "drop", "keep"}, w.text) {
			return nil, place(w.at, "else=%s: it is refuse, null, drop or keep", w.text)
		}
	}
	for i, w := range ws {
		left, right, ok := w.cut('=')
		if !ok {
			return nil, place(w.at, "it is PATH=TYPE")
		}
		to, ok := castTypes[right.text]
		if !ok {
			return nil, place(right.at, "no type %q: it is string, number, binary, bool, list, set, SS, NS, BS, iso, iso-ms, epoch, epoch-ms or ddbjson", right.text)
		}
		p, err := parsePath(left)
		if err != nil {
			return nil, err
		}
		if err := k.tree.add(p, i); err != nil {
			return nil, place(w.at, "%s", fault.Reason(err))
		}
		k.paths, k.to = append(k.paths, p), append(k.to, to)
	}
	if len(k.to) == 0 {
		return nil, place(0, "cast of which attributes?")
	}
	return k, nil
}

func (k *cast) pure() bool { return true }

func (k *cast) outline(o *outline) {
	for i, p := range k.paths {
		if len(p) > 1 {
			continue
		}
		var t item.Type
		switch k.to[i] {
		case "iso", "iso-ms", "ddbjson":
			t = item.S
		case "epoch", "epoch-ms":
			t = item.N
		case "set":
		default:
			t, _ = item.ParseType(k.to[i])
		}
		if k.other != "refuse" {
			t = 0
		}
		o.alter(p[0].name, t, false)
	}
}

func (k *cast) start(*Runner) (worker, error) { return k, nil }

func (k *cast) touches(it item.Item) bool { return k.tree.touches(it, 0) }

func (k *cast) image(w *item.Builder, it item.Item, s *subject) (bool, error) {
	if k.other == "drop" {
		return true, k.dropping(w, it)
	}
	return true, k.tree.rewrite(w, it, 0, false, func(w *item.Builder, it item.Item, i, target int) error {
		err := castValue(w, it, i, k.to[target])
		switch {
		case err == nil:
		case k.other == "null":
			w.Null()
		case k.other == "keep":
			w.Raw(it, i)
		default:
			return fault.At(err, fault.Place{Path: k.paths[target].String()})
		}
		return nil
	})
}

// dropping finds first what cannot be cast: a member that is written has a name already.
func (k *cast) dropping(w *item.Builder, it item.Item) error {
	var b item.Batch
	trial := item.NewBuilder(&b)
	trial.Begin(0)
	bad := map[int]bool{}
	err := k.tree.rewrite(trial, it, 0, false, func(w *item.Builder, it item.Item, i, target int) error {
		if castValue(w, it, i, k.to[target]) != nil {
			bad[i] = true
			w.Null()
		}
		return nil
	})
	if err != nil {
		return err
	}
	k.tree.rewriteLess(w, it, 0, bad, func(w *item.Builder, it item.Item, i, target int) error { return castValue(w, it, i, k.to[target]) })
	return nil
}

// rewriteLess is rewrite without the values at the tape indices bad.
func (t *tree) rewriteLess(w *item.Builder, it item.Item, i int, bad map[int]bool, change change) {
	isMap := it.Tape[i].Type == item.M
	for at, end := i+1, i+int(it.Tape[i].Skip); at < end; at += int(it.Tape[at].Skip) {
		sub, value := t.each, at
		if isMap {
			sub, value = t.member(it, at), at+1
		}
		name := at
		at = value
		if bad[value] {
			continue
		}
		if isMap {
			w.RawName(it, name)
		}
		kind := it.Tape[value].Type
		switch {
		case sub == nil || !sub.leaf && !(kind == item.M && sub.members != nil) && !(kind == item.L && sub.each != nil):
			w.Raw(it, value)
		case sub.leaf:
			_ = change(w, it, value, sub.value) // it did so before
		case kind == item.M:
			w.BeginMap()
			sub.rewriteLess(w, it, value, bad, change)
			w.End()
		default:
			w.BeginList()
			sub.rewriteLess(w, it, value, bad, change)
			w.End()
		}
	}
}

// castValue writes the value at index i as another type, or nothing and why not. A NULL has no value to cast.
func castValue(w *item.Builder, it item.Item, i int, to string) error {
	from := it.Tape[i].Type
	if from == item.NULL || from.String() == to {
		w.Raw(it, i)
		return nil
	}
	cannot := func() error { return fault.New(fault.User, "%s is no %s", shown(it, i), castWords[to]) }
	switch to {
	case "S":
		return castString(w, it, i, cannot)
	case "N":
		switch {
		case from == item.S && w.Number(it.Text(i)) == nil:
		case from == item.BOOL && it.Bool(i):
			w.Int(1)
		case from == item.BOOL:
			w.Int(0)
		default:
			return cannot()
		}
	case "BOOL":
		return castBool(w, it, i, cannot)
	case "B":
		raw, err := base64.StdEncoding.Strict().DecodeString(string(it.Text(i)))
		if from != item.S || err != nil {
			return cannot()
		}
		w.Binary(raw)
	case "L":
		if !from.IsSet() {
			return cannot()
		}
		w.BeginList()
		copyElements(w, it, i)
		w.End()
	case "ddbjson":
		w.String(item.AppendCanonicalValue(nil, it, i))
	case "iso", "iso-ms", "epoch", "epoch-ms":
		return castTime(w, it, i, to, cannot)
	default:
		return castSet(w, it, i, to, cannot)
	}
	return nil
}

var castWords = map[string]string{"S": "string", "N": "number", "B": "base64", "BOOL": "truth value", "L": "list", "SS": "set of strings",
	"NS": "set of numbers", "BS": "set of binaries", "set": "set", "iso": "time", "iso-ms": "time", "epoch": "time", "epoch-ms": "time"}

// shownMax is how much of a value an error repeats.
const shownMax = 60

func shown(it item.Item, i int) string {
	text := string(it.AppendValue(nil, i))
	if len(text) > shownMax {
		text = strings.ToValidUTF8(text[:shownMax], "") + "…"
	}
	return text
}

func copyElements(w *item.Builder, it item.Item, i int) {
	for at, end := i+1, i+int(it.Tape[i].Skip); at < end; at += int(it.Tape[at].Skip) {
		w.Raw(it, at)
	}
}

func castString(w *item.Builder, it item.Item, i int, cannot func() error) error {
	switch it.Tape[i].Type {
	case item.N:
		w.PlainString(it.AppendNumber(nil, i))
	case item.BOOL:
		w.PlainString(it.Src[it.Tape[i].Off:it.Tape[i].End])
	case item.B:
		w.PlainString(base64.StdEncoding.AppendEncode(nil, it.Bytes(i, nil)))
	default:
		return cannot()
	}
	return nil
}

func castBool(w *item.Builder, it item.Item, i int, cannot func() error) error {
	var text string
	switch it.Tape[i].Type {
	case item.S:
		text = strings.ToLower(string(it.Text(i)))
	case item.N:
		text = string(it.AppendNumber(nil, i))
	}
	switch text {
	case "true", "1":
		w.Bool(true)
	case "false", "0":
		w.Bool(false)
	default:
		return cannot()
	}
	return nil
}

// castSet makes a set of a list whose elements are of one type and distinct.
func castSet(w *item.Builder, it item.Item, i int, to string, cannot func() error) error {
	if it.Tape[i].Type != item.L || it.Tape[i].Skip == 1 {
		return cannot()
	}
	member := it.Tape[i+1].Type
	set, err := item.ParseType(member.String() + "S")
	if member > item.B || err != nil || to != "set" && to != set.String() {
		return cannot()
	}
	seen := map[string]bool{}
	for at, end := i+1, i+int(it.Tape[i].Skip); at < end; at += int(it.Tape[at].Skip) {
		key := string(item.AppendCanonicalValue(nil, it, at))
		if it.Tape[at].Type != member || seen[key] {
			return cannot()
		}
		seen[key] = true
	}
	w.BeginSet(set)
	copyElements(w, it, i)
	w.End()
	return nil
}

// castTime turns seconds or milliseconds since 1970 into RFC 3339 in UTC and back. A time with finer parts than the form
// has is not cut: it cannot be cast.
func castTime(w *item.Builder, it item.Item, i int, to string, cannot func() error) error {
	milli := strings.HasSuffix(to, "-ms")
	if strings.HasPrefix(to, "epoch") {
		if it.Tape[i].Type == item.N {
			w.Raw(it, i)
			return nil
		}
		t, err := time.Parse(time.RFC3339Nano, string(it.Text(i)))
		if it.Tape[i].Type != item.S || err != nil {
			return cannot()
		}
		return w.Number(epochText(t, milli))
	}
	switch it.Tape[i].Type {
	case item.S:
		if _, err := time.Parse(time.RFC3339Nano, string(it.Text(i))); err != nil {
			return cannot()
		}
		w.Raw(it, i)
	case item.N:
		d := it.Decimal(i)
		if milli {
			d = shift(d, -3)
		}
		t, ok := timeOf(d)
		if !ok {
			return cannot()
		}
		w.PlainString([]byte(t.UTC().Format(time.RFC3339Nano)))
	default:
		return cannot()
	}
	return nil
}

// shift multiplies by a power of ten.
func shift(d item.Decimal, exp int16) item.Decimal {
	if d.Digits > 0 {
		d.Exp += exp
	}
	return d
}

// timeOf is the time that many seconds after 1970, in the years 1 to 9999, when it is whole in nanoseconds.
func timeOf(seconds item.Decimal) (time.Time, bool) {
	text := seconds.Append(nil)
	whole, part, _ := bytes.Cut(text, []byte("."))
	if len(part) > 9 || len(whole) > 13 {
		return time.Time{}, false
	}
	nanos, ok := shift(seconds, 9).Int()
	if !ok { // beyond the years that nanoseconds in 64 bits can tell
		s, whole := seconds.Int()
		if !whole {
			return time.Time{}, false
		}
		t := time.Unix(s, 0).UTC()
		return t, t.Year() >= 1 && t.Year() <= 9999
	}
	return time.Unix(0, nanos).UTC(), true
}

// epochText is a time as seconds or milliseconds since 1970.
func epochText(t time.Time, milli bool) []byte {
	whole, part := t.Unix(), int64(t.Nanosecond())
	d, err := addDecimals(decimalOf(whole), shift(decimalOf(part), -9))
	if err != nil {
		return nil
	}
	if milli {
		d = shift(d, 3)
	}
	return d.Append(nil)
}
