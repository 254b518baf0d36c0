package sink

import (
	"encoding/json"

	"dynaferry/internal/item"
)

// Stripper takes a file's constants out of its items; it is for one goroutine.
type Stripper struct{ scratch item.Batch }

// Item returns it without the named attributes: it itself when there are none, else a copy that is valid until the next
// call.
func (s *Stripper) Item(it item.Item, without map[string]json.RawMessage) item.Item {
	if len(without) == 0 {
		return it
	}
	s.scratch.Reset()
	s.add(item.NewBuilder(&s.scratch), it, 0, without)
	return s.scratch.Item(0)
}

// Batch is Item for a batch.
func (s *Stripper) Batch(b *item.Batch, without map[string]json.RawMessage) *item.Batch {
	if len(without) == 0 {
		return b
	}
	s.scratch.Reset()
	w := item.NewBuilder(&s.scratch)
	for i, row := range b.Rows {
		s.add(w, b.Item(i), row.Line, without)
	}
	return &s.scratch
}

func (s *Stripper) add(w *item.Builder, it item.Item, line uint32, without map[string]json.RawMessage) {
	w.Begin(line)
	for i := 1; i < len(it.Tape); i += 1 + int(it.Tape[i+1].Skip) {
		name := it.Text(i)
		if _, out := without[string(name)]; out {
			continue
		}
		w.Name(string(name))
		w.Raw(it, i+1)
	}
	w.Finish()
}
