package job

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"unicode/utf8"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/plan"
	"dynaferry/internal/sink"
)

// deadLetters stages what could not pass, one JSON object a line (docs/formats/dead-letters.md). It may be used concurrently.
type deadLetters struct {
	ctx   context.Context
	a     *plan.Attempt
	name  string
	mu    sync.Mutex
	out   *blob.Writer // nil until the first letter
	count int64
}

// letter is one line: where the record came from, why it was put aside, and the record: Item when it is one, else Raw
// (or RawBase64 when it is no text).
type letter struct {
	File          string          `json:"file,omitempty"`
	Line          int64           `json:"line,omitempty"`
	Offset        int64           `json:"offset,omitempty"`
	Path          string          `json:"path,omitempty"`
	ErrorMessages []string        `json:"errorMessages"`
	Item          json.RawMessage `json:"item,omitempty"`
	Raw           string          `json:"raw,omitempty"`
	RawBase64     []byte          `json:"rawBase64,omitempty"`
}

func newDeadLetters(ctx context.Context, a *plan.Attempt) *deadLetters {
	return newLines(ctx, a, "dead")
}

// newLines stages lines of another kind.
func newLines(ctx context.Context, a *plan.Attempt, name string) *deadLetters {
	return &deadLetters{ctx: ctx, a: a, name: name}
}

// reject is a codec.Rejects.
func (d *deadLetters) reject(r codec.Reject) error {
	l := letter{File: r.Place.File, Line: r.Place.Line, Offset: r.Place.Offset, Path: fault.PlaceOf(r.Err).Path, ErrorMessages: []string{fault.Reason(r.Err)}}
	raw := r.Raw
	if len(raw) > rawBytesMax {
		l.ErrorMessages = append(l.ErrorMessages, fmt.Sprintf("the record has %d bytes or more; its first %d are here", len(raw), rawBytesMax))
		raw = raw[:rawBytesMax]
		for n := len(raw); n > len(raw)-utf8.UTFMax; n-- { // not through the middle of a letter
			if utf8.RuneStart(r.Raw[n]) {
				raw = raw[:n]
				break
			}
		}
	}
	if utf8.Valid(raw) {
		l.Raw = string(raw)
	} else {
		l.RawBase64 = raw
	}
	return d.add(l)
}

// rawBytesMax is how much of a record that is no item is kept: the largest item with six bytes a character fits. Records that
// never end are put aside in pieces of 16 MB, and as a JSON text they would be six times that.
const rawBytesMax = 3 << 20

// item puts an item aside.
func (d *deadLetters) item(b *item.Batch, row int, it item.Item, err error) error {
	l := letter{File: b.File, ErrorMessages: []string{err.Error()}, Item: item.AppendCanonical(nil, it)}
	if b.FirstLine > 0 {
		l.Line = b.FirstLine + int64(b.Rows[row].Line)
	}
	return d.add(l)
}

// change puts a change aside as the record that it was: an item would be put where the change deletes.
func (d *deadLetters) change(b *item.Changes, i int, err error) error {
	raw := append([]byte(`{"Keys":`), item.AppendCanonical(nil, b.Key(i))...)
	if it, put := b.New(i); put {
		raw = item.AppendCanonical(append(raw, `,"NewImage":`...), it)
	}
	return d.add(letter{File: b.File, Line: b.FirstLine + int64(b.List[i].Line), ErrorMessages: []string{fault.Reason(err)}, Raw: string(append(raw, '}'))})
}

// record puts a change aside as a record of which one image, of this name, is known.
func (d *deadLetters) record(b *item.Changes, line uint32, name string, it item.Item, err error) error {
	raw := append(item.AppendCanonical([]byte(`{"`+name+`":`), it), '}')
	return d.add(letter{File: b.File, Line: b.FirstLine + int64(line), ErrorMessages: []string{fault.Reason(err)}, Raw: string(raw)})
}

func (d *deadLetters) add(l letter) error {
	d.a.Meter.Note("dead letters", 1)
	return d.line(marshal(l))
}

// line stages a line as it is.
func (d *deadLetters) line(line []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.out == nil {
		d.out = blob.NewWriter(d.ctx, d.a.State.Bucket, d.a.Staged(d.name), blob.WriterOptions{Flight: 1})
	}
	d.count++
	if _, err := d.out.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write %s: %w", d.name, err)
	}
	return nil
}

// close makes the letters durable; nil when there are none.
func (d *deadLetters) close() (*sink.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.out == nil {
		return nil, nil
	}
	if _, err := d.out.Finish(); err != nil {
		return nil, fmt.Errorf("write %s: %w", d.name, err)
	}
	return &sink.File{Staged: d.a.Staged(d.name), Size: d.out.Bytes(), Items: d.count}, nil
}

func (d *deadLetters) abandon() {
	if d.out != nil {
		d.out.Close()
	}
}

// isPoison tells whether an error is about this very item, so that no retry can help and the others may go on.
func isPoison(err error) bool {
	switch fault.KindOf(err) {
	case fault.User, fault.Limit:
		return true
	}
	return false
}
