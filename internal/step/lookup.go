package step

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"

	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// lookupBytesMax bounds the table that one lookup holds: a join of more is a job of its own.
const lookupBytesMax = 64 << 20

// lookup joins attributes from another source, whose items it holds in memory by the attributes that on names.
type lookup struct {
	address  string
	from, to int         // where it stands in the setting
	on       [][2]string // attribute of the item, attribute of the source
	take     [][2]string // attribute of the source, name in the item
	missing  string      // keep, null, drop or refuse

	mu    sync.Mutex
	table *joined
}

func parseLookup(ws []word, _ string, _ int) (kind, error) {
	ws, given, err := options(ws, "on", "take", "missing")
	if err != nil {
		return nil, err
	}
	if len(ws) != 1 {
		return nil, place(0, "it is SOURCE on=ATTRIBUTE[=COLUMN] take=COLUMN[=NAME],…")
	}
	k := &lookup{address: ws[0].text, from: ws[0].at, to: ws[0].end, missing: "keep"}
	if k.on, err = pairs(given, "on"); err != nil {
		return nil, err
	}
	if k.take, err = pairs(given, "take"); err != nil {
		return nil, err
	}
	if w, ok := given["missing"]; ok {
		if k.missing = w.text; !slices.Contains([]string{"keep", "null", "drop", "refuse"}, w.text) {
			return nil, place(w.at, "missing=%s: it is keep, null, drop or refuse", w.text)
		}
	}
	return k, nil
}

// pairs reads a=b,c as {a,b},{c,c}.
func pairs(given map[string]word, option string) ([][2]string, error) {
	w, ok := given[option]
	if !ok {
		return nil, place(0, "%s= is missing", option)
	}
	var all [][2]string
	seen := map[string]bool{}
	for _, one := range w.split(',') {
		left, right, two := one.cut('=')
		if !two {
			right = left
		}
		a, err := left.name()
		if err != nil {
			return nil, err
		}
		b, err := right.name()
		if err != nil {
			return nil, err
		}
		if seen[b] {
			return nil, place(one.at, "%s twice", b)
		}
		seen[b] = true
		all = append(all, [2]string{a, b})
	}
	return all, nil
}

func (k *lookup) pure() bool { return false } // the source may change between two attempts

func (k *lookup) outline(o *outline) {
	for _, t := range k.take {
		o.put(t[1], 0)
	}
}

// joined is the source in memory: what is taken of each item, by its key.
type joined struct {
	batch item.Batch
	rows  map[string]int
}

func (k *lookup) start(r *Runner) (worker, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.table == nil {
		table, err := k.load(r.ctx, &r.env)
		if err != nil {
			return nil, err
		}
		k.table = table
	}
	return &looking{lookup: k}, nil
}

func (k *lookup) load(ctx context.Context, env *Env) (*joined, error) {
	if env.Open == nil {
		return nil, fault.New(fault.Unsupported, "nothing can be looked up here")
	}
	most := env.MemoryMax
	if most == 0 {
		most = lookupBytesMax
	}
	t := &joined{rows: map[string]int{}}
	w := item.NewBuilder(&t.batch)
	var key []byte
	var held int64
	err := env.Open(ctx, k.address, func(b *item.Batch) error {
		for i := range b.Rows {
			it := b.Item(i)
			var ok bool
			if key, ok = k.key(key[:0], it, 1); !ok {
				continue // without the key nothing finds it
			}
			if _, twice := t.rows[string(key)]; twice {
				return fault.New(fault.User, "%s has two items with %s", k.address, k.keyText(it))
			}
			w.Begin(0)
			for _, take := range k.take {
				if at, ok := it.Get(take[0]); ok {
					w.Name(take[1])
					w.Raw(it, at)
				}
			}
			w.Finish()
			t.rows[string(key)] = t.batch.Len() - 1
			held += int64(len(key)) + 48
			if held+int64(len(t.batch.Src)+16*len(t.batch.Tape)) > most {
				return fault.Hint(fault.New(fault.Limit, "%s is too large to be joined: what is taken of it needs more than %d MB", k.address, most>>20),
					"take fewer columns, or join in SQL")
			}
		}
		return nil
	})
	return t, err
}

// key writes the attributes to join by; side is 0 for the item's, 1 for the source's. Numbers are their normal text, so that
// a number finds the text of a CSV file.
func (k *lookup) key(dst []byte, it item.Item, side int) ([]byte, bool) {
	for _, on := range k.on {
		i, ok := it.Get(on[side])
		if !ok {
			return dst, false
		}
		at := len(dst)
		dst = append(dst, 0, 0, 0, 0)
		switch it.Tape[i].Type {
		case item.S:
			dst = it.AppendText(dst, i)
		case item.N:
			dst = it.AppendNumber(dst, i)
		case item.B:
			dst = it.Bytes(i, dst)
		default:
			return dst, false
		}
		binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	}
	return dst, true
}

func (k *lookup) keyText(it item.Item) string {
	text := ""
	for _, on := range k.on {
		if i, ok := it.Get(on[1]); ok {
			text += " " + on[1] + " " + shown(it, i)
		}
	}
	return text[min(1, len(text)):]
}

type looking struct {
	*lookup
	buf []byte
}

// find is the row of the item's partner.
func (k *looking) find(it item.Item) (int, bool) {
	var ok bool
	if k.buf, ok = k.key(k.buf[:0], it, 0); !ok {
		return 0, false
	}
	row, ok := k.table.rows[string(k.buf)]
	return row, ok
}

// passes drops records without partner, where that is asked for.
func (k *looking) passes(s *subject) (bool, error) {
	if k.missing != "drop" && k.missing != "refuse" {
		return true, nil
	}
	_, found := k.find(s.current())
	if !found && k.missing == "refuse" {
		return false, fault.New(fault.User, "%s has no partner for it", k.address)
	}
	return found, nil
}

func (k *looking) touches(item.Item) bool { return true }

func (k *looking) image(w *item.Builder, it item.Item, s *subject) (bool, error) {
	if s.inKey {
		return false, nil
	}
	row, found := k.find(it)
	if !found && k.missing != "null" {
		return false, nil
	}
	for i := 1; i < len(it.Tape); i += 1 + int(it.Tape[i+1].Skip) {
		if name := it.Text(i); slices.ContainsFunc(k.take, func(t [2]string) bool { return t[1] == string(name) }) {
			continue
		}
		w.RawName(it, i)
		w.Raw(it, i+1)
	}
	if !found {
		for _, take := range k.take {
			w.Name(take[1])
			w.Null()
		}
		return true, nil
	}
	partner := k.table.batch.Item(row)
	w.Members(partner, 0, 1, len(partner.Tape))
	return true, nil
}
