package step

import (
	"strconv"
	"unicode/utf8"

	"dynaferry/internal/item"
)

// mask hides values: all of a text but its last characters, or a fixed text in the place of any value.
type mask struct {
	tree  *tree
	paths []path
	last  int
	with  []byte // stands for each character that is hidden
	fixed *string
}

// maskLastMax bounds last=: more than that hides nothing that is worth hiding.
const maskLastMax = 1000

func parseMask(ws []word, _ string, _ int) (kind, error) {
	ws, given, err := options(ws, "last", "with", "fixed")
	if err != nil {
		return nil, err
	}
	k := &mask{with: []byte("*")}
	if w, ok := given["last"]; ok {
		if k.last, err = strconv.Atoi(w.text); err != nil || k.last < 0 || k.last > maskLastMax {
			return nil, place(w.at, "last=%s: it is a number of characters, 0 to %d", w.text, maskLastMax)
		}
	}
	if w, ok := given["with"]; ok {
		if utf8.RuneCountInString(w.text) != 1 {
			return nil, place(w.at, "with=%s: it is one character", w.text)
		}
		k.with = []byte(w.text)
	}
	if w, ok := given["fixed"]; ok {
		if _, last := given["last"]; last {
			return nil, place(w.at, "fixed= or last=, not both")
		}
		k.fixed = &w.text
	}
	if len(ws) == 0 {
		return nil, place(0, "mask of which attributes?")
	}
	k.tree, k.paths, err = parseTree(ws)
	return k, err
}

func (k *mask) pure() bool { return true }

func (k *mask) outline(o *outline) {
	for _, p := range k.paths {
		if len(p) == 1 {
			o.alter(p[0].name, item.S, false)
		}
	}
}

func (k *mask) start(*Runner) (worker, error) { return k, nil }

func (k *mask) touches(it item.Item) bool { return k.tree.touches(it, 0) }

func (k *mask) image(w *item.Builder, it item.Item, _ *subject) (bool, error) {
	return true, k.tree.rewrite(w, it, 0, false, k.value)
}

// value hides one value. A NULL has nothing to hide; a container is hidden as a whole, so that not even its shape is told.
func (k *mask) value(w *item.Builder, it item.Item, i, _ int) error {
	switch t := it.Tape[i].Type; {
	case t == item.NULL:
		w.Null()
	case k.fixed != nil:
		w.String([]byte(*k.fixed))
	case t == item.S:
		w.String(k.hide(it.Text(i)))
	case t == item.N:
		w.String(k.hide(it.AppendNumber(nil, i)))
	default:
		w.String(k.with)
	}
	return nil
}

// hide keeps the last characters. A text that is not longer than those shows none.
func (k *mask) hide(text []byte) []byte {
	n := utf8.RuneCount(text)
	shown := k.last
	if n <= shown {
		shown = 0
	}
	var out []byte
	for at := 0; at < len(text); n-- {
		_, size := utf8.DecodeRune(text[at:])
		if n <= shown {
			return append(out, text[at:]...)
		}
		out = append(out, k.with...)
		at += size
	}
	return out
}
