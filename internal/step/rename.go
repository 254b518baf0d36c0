package step

import (
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// rename gives top-level attributes other names, all at once: a=b b=a swaps two.
type rename struct {
	to map[string]string
}

func parseRename(ws []word, _ string, _ int) (kind, error) {
	k := &rename{to: map[string]string{}}
	targets := map[string]bool{}
	for _, w := range ws {
		left, right, ok := w.cut('=')
		if !ok {
			return nil, place(w.at, "it is OLD=NEW")
		}
		from, err := left.name()
		if err != nil {
			return nil, err
		}
		to, err := right.name()
		if err != nil {
			return nil, err
		}
		if _, twice := k.to[from]; twice || targets[to] {
			return nil, place(w.at, "two names for one attribute, or one for two")
		}
		k.to[from], targets[to] = to, true
	}
	return k, nil
}

func (k *rename) pure() bool { return true }

func (k *rename) outline(o *outline) {
	type move struct {
		key *keyAt
		t   item.Type
	}
	moved, possible := map[string]move{}, map[string]bool{}
	for from, to := range k.to {
		moved[to] = move{o.key(from), o.types[from]}
		possible[to] = o.gone[from] == nil && (o.closed == nil || o.open[from])
	}
	for from := range k.to {
		o.gone[from] = o.at
		delete(o.open, from)
		delete(o.types, from)
	}
	for to, m := range moved {
		if over := o.key(to); over != nil && k.to[to] == "" {
			over.lost = o.refuse(o.at, "puts another attribute in the place of %s, which is of the key", to)
		}
		if possible[to] {
			o.possible(to, m.t)
		}
	}
	for to, m := range moved { // last: until now keys were found by the names of before
		if m.key != nil && m.key.lost == nil {
			m.key.Name = to
		}
	}
}

func (k *rename) start(*Runner) (worker, error) { return k, nil }

func (k *rename) touches(it item.Item) bool {
	for from := range k.to {
		if _, has := it.Get(from); has {
			return true
		}
	}
	return false
}

// lookupName finds what m has under the name at tape index i.
func lookupName[V any](m map[string]V, it item.Item, i int) (V, bool) {
	v, ok := m[string(it.Text(i))]
	return v, ok
}

func (k *rename) image(w *item.Builder, it item.Item, _ *subject) (bool, error) {
	for from, to := range k.to {
		if _, has := it.Get(from); !has {
			continue
		}
		if _, away := k.to[to]; away {
			continue
		}
		if _, there := it.Get(to); there {
			return false, fault.New(fault.User, "%s cannot become %s: the item has both", from, to)
		}
	}
	run := 1
	for at := 1; at < len(it.Tape); at += 1 + int(it.Tape[at+1].Skip) {
		if to, ok := lookupName(k.to, it, at); ok {
			w.Members(it, 0, run, at)
			w.Name(to)
			w.Raw(it, at+1)
			run = at + 1 + int(it.Tape[at+1].Skip)
		}
	}
	w.Members(it, 0, run, len(it.Tape))
	return true, nil
}

// drop leaves attributes out, also nested ones.
type drop struct {
	tree  *tree
	paths []path
}

func parseDrop(ws []word, _ string, _ int) (kind, error) {
	t, paths, err := parseTree(ws)
	return &drop{t, paths}, err
}

func (k *drop) pure() bool { return true }

func (k *drop) outline(o *outline) {
	for _, p := range k.paths {
		if len(p) == 1 {
			o.take(p[0].name)
		}
	}
}

func (k *drop) start(*Runner) (worker, error) { return k, nil }

func (k *drop) touches(it item.Item) bool { return k.tree.touches(it, 0) }

func (k *drop) image(w *item.Builder, it item.Item, _ *subject) (bool, error) {
	return true, k.tree.rewrite(w, it, 0, true, nil)
}

// keep leaves out whatever it does not name.
type keep struct {
	tree  *tree
	names map[string]bool // top-level ones
}

func parseKeep(ws []word, _ string, _ int) (kind, error) {
	t, paths, err := parseTree(ws)
	k := &keep{t, map[string]bool{}}
	for _, p := range paths {
		k.names[p[0].name] = true
	}
	return k, err
}

func (k *keep) pure() bool                    { return true }
func (k *keep) outline(o *outline)            { o.only(k.names) }
func (k *keep) start(*Runner) (worker, error) { return k, nil }
func (k *keep) touches(it item.Item) bool     { return !k.whole(it) }

// whole tells whether the item has nothing but whole attributes that are kept.
func (k *keep) whole(it item.Item) bool {
	for at := 1; at < len(it.Tape); at += 1 + int(it.Tape[at+1].Skip) {
		if sub := k.tree.member(it, at); sub == nil || !sub.leaf {
			return false
		}
	}
	return true
}

func (k *keep) image(w *item.Builder, it item.Item, _ *subject) (bool, error) {
	k.tree.keepOnly(w, it, 0)
	return true, nil
}
