package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/changelog"
	"dynaferry/internal/codec"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/commit"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// A gap of a table with continuous backups is healed by incremental exports of the time around it: what each key came to, when it
// was written, and what it was before. The log's stamps are approximate, so the window is wider than the gap by healMargin on
// both sides, as far as the service knows.

// healMargin is also the least window that the service exports.
const healMargin = windowLeast

// decided is the window of exports around a gap, the same for whoever goes on with its heal.
func (h *heal) decided(ctx context.Context, g *openGap) (window []time.Time, err error) {
	name := h.log.Name(g.exportName() + ".window")
	body, err := commit.Read(ctx, h.log.Bucket(), name)
	if errors.Is(err, blob.ErrNotFound) {
		if window, err = h.backedUp(ctx, g); err != nil || window == nil {
			return nil, err
		}
		var result commit.Result
		result, err = commit.Put(ctx, h.log.Bucket(), name, marshal(window), commit.Options{})
		body = result.Body
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, &window); err != nil || len(window) != 2 {
		return nil, fault.At(fault.New(fault.Corrupt, "it is no window of a heal: %w", err), fault.Place{File: name})
	}
	return window, nil
}

// backedUp is the window of exports around a gap as the service knows it; nil when the service does not know all of it, or cannot write where the log is.
func (h *heal) backedUp(ctx context.Context, g *openGap) (window []time.Time, err error) {
	client, err := h.env.World.Client(ctx, h.table)
	if err != nil {
		return nil, err
	}
	native, ok := dynamo.Power[dynamo.Native](client)
	if !ok || h.at.Scheme != world.S3 {
		return nil, nil
	}
	for {
		b, err := native.Backups(ctx, h.table.Host)
		if err != nil {
			return nil, err
		}
		if !b.Enabled || b.Earliest.IsZero() || b.Earliest.After(g.from) {
			return nil, nil
		}
		from, to := g.from.Add(-healMargin), g.to.Add(healMargin)
		if from.Before(b.Earliest) {
			from = b.Earliest
		}
		// The log has what came behind the gap; the service need only know all of the gap.
		if latest := b.Latest.UTC().Truncate(time.Second); to.After(latest) {
			to = latest
		}
		if !to.Before(g.to.Add(changelog.SettleMicros * time.Microsecond)) {
			return []time.Time{from.UTC().Truncate(time.Second), ceilSecond(to)}, nil
		}
		h.env.progress("waiting for the service to know the changes up to %s; it knows them up to %s", timeText(g.to), timeText(b.Latest))
		if err := pauseFor(ctx, backupsEvery(g.to.Sub(b.Latest))); err != nil {
			return nil, err
		}
	}
}

// backupsEvery is how long to wait until it is asked again up to when the service knows: it is minutes behind, a local one is not.
func backupsEvery(missing time.Duration) time.Duration {
	return min(max(missing/4, 500*time.Millisecond), 15*time.Second)
}

func pauseFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// export has the service tell what changed in the window, and takes that over.
func (h *heal) export(ctx context.Context, s *states, window []time.Time) error {
	dest := h.at.Join(s.gap.exportName())
	view := viewNewAndOld
	if !h.log.View.HasOld() {
		view = viewNew
	}
	set := NativeExport{Dest: dest.String(), Form: source.DynamoDBJSON, From: window[0].Format(time.RFC3339), To: window[1].Format(time.RFC3339), View: view, Told: true}
	env := *h.env
	env.State = ""
	r, err := NewNativeExport(ctx, &env, h.wish.Source, set, false)
	if err != nil {
		return err
	}
	end, p, err := Execute(ctx, &env, r)
	if err != nil {
		return err
	}
	var report NativeReport
	if err := json.Unmarshal(end.Report, &report); err != nil {
		return fault.New(fault.Corrupt, "report of plan %s: %w", p.ID, err)
	}
	if err := report.Err(); err != nil {
		return err
	}
	s.told = func() error { return Tell(ctx, r.State, p) } // whoever comes before takes the same exports
	src, err := source.Open(ctx, h.env.World, source.Spec{Address: dest.String(), Kind: source.KindIncremental})
	if err != nil {
		return err
	}
	windows := src.Info().Windows
	s.exported = map[[2]uint64]bool{}
	s.note = changelog.CompactedNote{From: windows[0].From.UnixMicro(), To: windows[len(windows)-1].To.UnixMicro(), Source: "incremental export " + dest.String()}
	for _, u := range src.(source.Changer).ChangeUnits() {
		if err := s.take(ctx, src.(source.Changer), u); err != nil {
			return err
		}
	}
	return h.vanished(ctx, s, windows[0].From)
}

// take adds the changes of one file.
func (s *states) take(ctx context.Context, src source.Changer, u source.Unit) error {
	in, err := src.Changes(ctx, u, source.ReadOptions{Rejects: func(r codec.Reject) error {
		return fmt.Errorf("a record of the export that is no change: %w", r.Err)
	}})
	if err != nil {
		return err
	}
	defer in.Close()
	return eachChange(in, func(b *item.Changes, i int) error {
		st := state{micros: b.List[i].Micros, key: b.Key(i)}
		st.new, _ = b.New(i)
		if s.log.View.HasOld() {
			st.old, _ = b.Old(i)
		}
		if !s.log.View.HasNew() {
			st.new = item.Item{}
		}
		if err := s.redact(&st); err != nil {
			return err
		}
		hash, err := s.hash(st.key)
		if err != nil {
			return err
		}
		s.exported[hash] = true
		return s.add(ctx, st)
	})
}

// vanished adds what an export does not tell, since its window begins before the gap: of an item that was made in the window it says
// nothing once that is deleted, and the log may know that it was made and not that it is gone. Where keys are tokens the table cannot
// be asked for them; then what was made at the very beginning of the window, as stamps are to the second, is left.
func (h *heal) vanished(ctx context.Context, s *states, from time.Time) error {
	made, err := h.made(ctx, s, from)
	if err != nil || len(made) == 0 {
		return err
	}
	client, err := h.env.World.Client(ctx, h.table)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(slices.Sorted(maps.Values(made)), getKeys) {
		keys := make([]item.Item, len(some))
		for i, text := range some {
			if keys[i], err = ddbjson.ParseItem(item.WithSlack([]byte(text))); err != nil {
				return err
			}
		}
		there := map[[2]uint64]bool{}
		if h.redaction == nil {
			var found item.Batch
			if _, err := client.Get(ctx, h.table.Host, keys, &found); err != nil {
				return fmt.Errorf("look whether items of the log are still there: %w", err)
			}
			for i := range found.Rows {
				hash, err := s.hash(found.Item(i))
				if err != nil {
					return err
				}
				there[hash] = true
			}
		}
		for _, key := range keys {
			hash, err := s.hash(key)
			if err != nil {
				return err
			}
			if there[hash] {
				continue
			}
			if err := s.add(ctx, state{micros: ceilSecond(s.gap.to).Add(time.Second).UnixMicro(), key: key}); err != nil {
				return err
			}
		}
	}
	return nil
}

// made are the keys of items that the log saw since the window's beginning and until the gap, and that no export tells.
func (h *heal) made(ctx context.Context, s *states, from time.Time) (map[[2]uint64]string, error) {
	settle := changelog.SettleMicros * time.Microsecond
	if h.redaction == nil {
		settle = -settle
	}
	src, err := source.Open(ctx, h.env.World, source.Spec{Address: h.at.String(), Log: &source.LogSpec{From: from.Add(settle), AcceptCompacted: true}})
	if err != nil {
		return nil, err
	}
	made := map[[2]uint64]string{}
	for _, u := range src.(source.Changer).ChangeUnits() {
		in, err := src.(source.Changer).Changes(ctx, u, source.ReadOptions{})
		if err != nil {
			return nil, err
		}
		err = eachChange(in, func(b *item.Changes, i int) error {
			hash, err := s.hash(b.Key(i))
			if err != nil || s.exported[hash] || b.List[i].Micros > s.gap.to.UnixMicro() {
				return err
			}
			if _, put := b.New(i); put {
				made[hash] = string(item.AppendCanonical(nil, b.Key(i)))
			} else {
				delete(made, hash)
			}
			return nil
		})
		in.Close()
		if err != nil {
			return nil, err
		}
	}
	return made, nil
}
