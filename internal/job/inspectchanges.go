package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"dynaferry/internal/codec"
	"dynaferry/internal/item"
	"dynaferry/internal/source"
)

// ChangeRecord is one change of an incremental export, its images in canonical DynamoDB JSON; new is null of a deletion, old
// where it is not told.
type ChangeRecord struct {
	Type    string          `json:"type"` // "change"
	File    string          `json:"file"`
	Line    int64           `json:"line"`
	Written *time.Time      `json:"written,omitempty"` // the last write in the window
	Keys    json.RawMessage `json:"keys"`
	New     json.RawMessage `json:"new"`
	Old     json.RawMessage `json:"old"`
}

// ChangeCountRecord is what reading an incremental export came to.
type ChangeCountRecord struct {
	Type        string     `json:"type"` // "change-count"
	Changes     int64      `json:"changes"`
	Puts        int64      `json:"puts"`
	Deletions   int64      `json:"deletions"`
	OldImages   int64      `json:"oldImages"`
	Rejects     int64      `json:"rejects"` // records that are no changes
	FirstReject string     `json:"firstReject,omitempty"`
	First       *time.Time `json:"first,omitempty"` // earliest and latest of the items' last writes
	Last        *time.Time `json:"last,omitempty"`
}

// changes shows the first changes of an incremental export, or with Count what all come to.
func (i *inspection) changes(src source.Source) error {
	sum := &ChangeCountRecord{Type: "change-count"}
	for _, u := range src.(source.Changer).ChangeUnits() {
		more, err := i.changesOf(src.(source.Changer), u, sum)
		if err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
	if !i.o.Count {
		return nil
	}
	return i.emit(*sum)
}

// changesOf reads one file; more is false once enough was shown.
func (i *inspection) changesOf(src source.Changer, u source.Unit, sum *ChangeCountRecord) (more bool, err error) {
	in, err := src.Changes(i.ctx, u, source.ReadOptions{Rejects: func(r codec.Reject) error {
		if sum.Rejects++; sum.FirstReject == "" {
			sum.FirstReject = fmt.Sprintf("%s:%d: %v", r.Place.File, r.Place.Line, r.Err)
		}
		return nil
	}})
	if err != nil {
		return false, err
	}
	defer in.Close()
	var b item.Changes
	for {
		if err := in.ReadChanges(&b); errors.Is(err, io.EOF) {
			return true, nil
		} else if err != nil {
			return false, err
		}
		for n := range b.List {
			sum.add(&b, n)
			if i.o.Count {
				continue
			}
			if sum.Changes > int64(i.o.First) {
				return false, nil
			}
			if err := i.emit(changeRecord(&b, n)); err != nil {
				return false, err
			}
		}
	}
}

func (r *ChangeCountRecord) add(b *item.Changes, n int) {
	c := b.List[n]
	r.Changes++
	if c.New != item.NoImage {
		r.Puts++
	} else {
		r.Deletions++
	}
	if c.Old != item.NoImage {
		r.OldImages++
	}
	if t := written(c); t != nil {
		if r.First == nil || t.Before(*r.First) {
			r.First = t
		}
		if r.Last == nil || t.After(*r.Last) {
			r.Last = t
		}
	}
}

func written(c item.Change) *time.Time {
	if c.Micros == 0 {
		return nil
	}
	t := time.UnixMicro(c.Micros).UTC()
	return &t
}

func changeRecord(b *item.Changes, n int) ChangeRecord {
	image := func(it item.Item, ok bool) json.RawMessage {
		if !ok {
			return json.RawMessage("null")
		}
		return item.AppendCanonical(nil, it)
	}
	return ChangeRecord{Type: "change", File: b.File, Line: b.FirstLine + int64(b.List[n].Line), Written: written(b.List[n]),
		Keys: item.AppendCanonical(nil, b.Key(n)), New: image(b.New(n)), Old: image(b.Old(n))}
}
