package step

import (
	"strconv"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// flatten lifts the members of maps to the top: {"a":{"b":1}} becomes {"a.b":1}. Lists and empty maps stay.
type flatten struct {
	names map[string]bool // nil for every map
	sep   string
	depth int // of maps in each other
}

func parseFlatten(ws []word, _ string, _ int) (kind, error) {
	ws, given, err := options(ws, "sep", "depth")
	if err != nil {
		return nil, err
	}
	k := &flatten{sep: ".", depth: pathPartsMax}
	if w, ok := given["sep"]; ok {
		if k.sep = w.text; k.sep == "" || len(k.sep) > 8 {
			return nil, place(w.at, "sep=%s: it is 1 to 8 characters, for instance . or _", w.text)
		}
	}
	if w, ok := given["depth"]; ok {
		if k.depth, err = strconv.Atoi(w.text); err != nil || k.depth < 1 || k.depth > pathPartsMax {
			return nil, place(w.at, "depth=%s: it is 1 to %d", w.text, pathPartsMax)
		}
	}
	if len(ws) == 1 && ws[0].text == "*" && !ws[0].quoted() {
		return k, nil
	}
	if len(ws) == 0 {
		return nil, place(0, "flatten of which attributes? * is all")
	}
	k.names = map[string]bool{}
	for _, w := range ws {
		name, err := w.name()
		if err != nil {
			return nil, err
		}
		k.names[name] = true
	}
	return k, nil
}

func (k *flatten) pure() bool { return true }

func (k *flatten) outline(o *outline) { o.closed = nil }

func (k *flatten) start(*Runner) (worker, error) { return k, nil }

func (k *flatten) touches(it item.Item) bool {
	for at := 1; at < len(it.Tape); at += 1 + int(it.Tape[at+1].Skip) {
		if k.lifts(it, at) {
			return true
		}
	}
	return false
}

// lifts tells whether the value of the top-level name at index i is a map to be lifted.
func (k *flatten) lifts(it item.Item, i int) bool {
	if token := &it.Tape[i+1]; token.Type != item.M || token.Skip == 1 {
		return false
	}
	if k.names == nil {
		return true
	}
	_, named := lookupName(k.names, it, i)
	return named
}

func (k *flatten) image(w *item.Builder, it item.Item, _ *subject) (bool, error) {
	seen := map[string]bool{}
	for at := 1; at < len(it.Tape); at += 1 + int(it.Tape[at+1].Skip) {
		depth := 0
		if k.lifts(it, at) {
			depth = k.depth
		}
		if err := k.lift(w, it, at+1, string(it.Text(at)), depth, seen); err != nil {
			return false, err
		}
	}
	return true, nil
}

// lift writes the value at index i under its name, or what is in it under theirs.
func (k *flatten) lift(w *item.Builder, it item.Item, i int, name string, depth int, seen map[string]bool) error {
	if token := &it.Tape[i]; depth > 0 && token.Type == item.M && token.Skip > 1 {
		for at, end := i+1, i+int(token.Skip); at < end; at += 1 + int(it.Tape[at+1].Skip) {
			if err := k.lift(w, it, at+1, name+k.sep+string(it.Text(at)), depth-1, seen); err != nil {
				return err
			}
		}
		return nil
	}
	if seen[name] {
		return fault.New(fault.User, "two attributes would be %s", name)
	}
	seen[name] = true
	w.Name(name)
	w.Raw(it, i)
	return nil
}
