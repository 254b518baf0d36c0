package job

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"time"

	"github.com/zeebo/xxh3"

	"dynaferry/internal/blob"
	"dynaferry/internal/changelog"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/commit"
	"dynaferry/internal/dataset"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
	"dynaferry/internal/step"
	"dynaferry/internal/world"
)

// HealWish says which log is healed, and from which table.
type HealWish struct {
	Source     string // the table
	At         string // the log, or the destination that it stands in
	LogObjects blob.Settings
	ReadUnits  string // of a scan, as Tuning has it
}

// HealReport is what a heal came to.
type HealReport struct {
	Type   string      `json:"type"` // "heal"
	Log    string      `json:"log"`
	Healed []HealedGap `json:"healed"` // by this run
	Before int         `json:"healedBefore,omitempty"`
}

// HealedGap is a gap that is closed.
type HealedGap struct {
	Group   uint32 `json:"group"`
	Entry   uint64 `json:"entry"`  // of kind gap
	By      uint64 `json:"healed"` // the compacted entry that closes it
	Reason  string `json:"reason"`
	From    string `json:"from"` // of the window whose final states these are
	To      string `json:"to"`
	Source  string `json:"source"`
	Records int64  `json:"records"` // final states
}

// heal closes the gaps of a log.
type heal struct {
	env       *Env
	wish      HealWish
	table     world.Address
	at        world.Address // of the log
	log       *changelog.Log
	redaction *step.Redaction
	writer    string
}

// openGap is a gap that nothing stands for yet.
type openGap struct {
	changelog.Entry
	from, to time.Time
}

// Heal closes every gap of a log by what the table's continuous backups know of it, or, where there are none, by comparing the
// log with the table as it is now. It may run beside a follower, and again after it was killed.
func Heal(ctx context.Context, env *Env, w HealWish) (*HealReport, error) {
	h := &heal{env: env, wish: w, writer: commit.NewID(ctx, "heal").String()}
	if err := h.open(ctx); err != nil {
		return nil, err
	}
	report := &HealReport{Type: "heal", Log: h.log.URL(), Healed: []HealedGap{}}
	gaps, before, err := h.gaps(ctx)
	if err != nil {
		return nil, err
	}
	report.Before = before
	for i := range gaps {
		g := &gaps[i]
		if env.DryRun {
			env.say("would heal the gap of entry %d of group %d: %s to %s: %s", g.N, g.Group, timeText(g.from), timeText(g.to), g.Gap.Reason)
			continue
		}
		healed, err := h.close(ctx, g)
		if err != nil {
			return nil, fmt.Errorf("heal the gap of entry %d of group %d: %w", g.N, g.Group, err)
		}
		report.Healed = append(report.Healed, *healed)
	}
	return report, nil
}

// open finds the table and the log.
func (h *heal) open(ctx context.Context) (err error) {
	if h.table, err = world.Parse(h.wish.Source); err != nil {
		return err
	}
	if h.table.Scheme != world.DynamoDB {
		return fault.Hint(fault.New(fault.User, "%s is no table: what its stream lost, the table tells", h.table), "name the table that the log is of: dynamodb://…")
	}
	if h.at, err = world.Parse(h.wish.At); err != nil {
		return err
	}
	for _, at := range []world.Address{h.at, h.at.Join(dataset.Hidden).Join(logFolder)} {
		var loc world.Location
		if loc, err = h.env.location(ctx, at, h.wish.LogObjects); err != nil {
			return err
		}
		h.log, err = changelog.Open(ctx, loc.Bucket, loc.Prefix)
		if h.at = at; !errors.Is(err, blob.ErrNotFound) {
			break
		}
	}
	if errors.Is(err, blob.ErrNotFound) {
		return fault.Hint(fault.New(fault.NotFound, "%s holds no change log", h.wish.At), "name the log, or the destination of the follower")
	}
	if err != nil {
		return err
	}
	if h.log.Part != nil {
		return fault.Hint(fault.New(fault.User, "%s holds %s: it is healed by that", h.log.URL(), h.log.Part),
			"dynaferry follow %s %s --heal; then the same replay goes on with the part", h.table, h.log.Part.Log)
	}
	if h.log.Table != "" && h.log.Table != h.table.Host {
		return fault.New(fault.User, "%s is the log of the table %s, not of %s", h.log.URL(), h.log.Table, h.table.Host)
	}
	if h.log.Keys.Empty() {
		return fault.New(fault.Unsupported, "%s does not know the keys of its table: final states of it cannot be told", h.log.URL())
	}
	h.redaction, err = startRedaction(h.log.Redact, h.log.Keys)
	return err
}

// gaps lists those that nothing stands for, in order, and counts the others.
func (h *heal) gaps(ctx context.Context) (open []openGap, healed int, err error) {
	for group := range h.log.Groups {
		tail, err := h.log.Tail(ctx, group)
		if err != nil {
			return nil, 0, err
		}
		var own []openGap
		at := h.log.Created.UnixMicro()
		for b, err := range h.log.Entries(ctx, group, 1, tail) {
			if err != nil {
				return nil, 0, err
			}
			if b.Gap != nil {
				g := openGap{Entry: *b.Entry, from: time.UnixMicro(at).UTC(), to: time.UnixMicro(b.At).UTC()}
				if b.Gap.From > 0 {
					g.from = time.UnixMicro(b.Gap.From).UTC()
				}
				if b.Gap.To > 0 {
					g.to = time.UnixMicro(b.Gap.To).UTC()
				}
				own = append(own, g)
			}
			kept := own[:0]
			for i := range own {
				if b.Heals(own[i].N) {
					healed++
				} else {
					kept = append(kept, own[i])
				}
			}
			own, at = kept, b.At
		}
		open = append(open, own...)
	}
	return open, healed, nil
}

// close heals one gap.
func (h *heal) close(ctx context.Context, g *openGap) (*HealedGap, error) {
	window, err := h.decided(ctx, g)
	if err != nil {
		return nil, err
	}
	s := &states{heal: h, gap: g}
	if s.chain, err = h.log.Chain(ctx, g.Group, h.writer, changelog.ChainOptions{}); err != nil {
		return nil, err
	}
	if s.build, err = changelog.NewBuilder(s.chain.State(), changelog.BuilderOptions{}); err != nil {
		return nil, err
	}
	if window != nil {
		err = h.export(ctx, s, window)
	} else {
		err = h.compare(ctx, s)
	}
	if err != nil {
		return nil, err
	}
	e, err := s.put(ctx, false)
	if err == nil && s.told != nil {
		err = s.told()
	}
	if err != nil {
		return nil, err
	}
	h.env.say("healed the gap of entry %d of group %d by %d final states of %s", g.N, g.Group, s.records, s.note.Source)
	return &HealedGap{Group: g.Group, Entry: g.N, By: e.N, Reason: g.Gap.Reason, From: timeText(time.UnixMicro(s.note.From)), To: timeText(time.UnixMicro(s.note.To)),
		Source: s.note.Source, Records: s.records}, nil
}

// states are final states on their way into the log: lines as an incremental export has them.
type states struct {
	*heal
	gap     *openGap
	chain   *changelog.Chain
	build   *changelog.Builder
	note    changelog.CompactedNote
	records int64
	told    func() error // of the job that the states come from; nil of none
	// exported are the keys, by their hashes, that an export tells of.
	exported map[[2]uint64]bool
	line     []byte
	page     feed.Page
	key      []byte
}

// state is what one key came to: to the new image, or with none to nothing.
type state struct {
	micros        int64 // when it was written, as far as that is known
	key, new, old item.Item
}

// add appends one that is redacted.
func (s *states) add(ctx context.Context, st state) error {
	if s.build.Full() {
		if _, err := s.put(ctx, true); err != nil {
			return err
		}
	}
	s.line = fmt.Appendf(s.line[:0], `{"Metadata":{"WriteTimestampMicros":{"N":"%d"}},"Keys":`, st.micros)
	s.line = item.AppendCanonical(s.line, st.key)
	for _, image := range []struct {
		name string
		it   item.Item
	}{{"NewImage", st.new}, {"OldImage", st.old}} {
		if len(image.it.Tape) > 0 {
			s.line = item.AppendCanonical(append(append(append(s.line, `,"`...), image.name...), `":`...), image.it)
		}
	}
	s.line = append(s.line, '}')
	var err error
	if s.key, err = s.log.Keys.AppendKey(s.key[:0], st.key); err != nil {
		return err
	}
	s.records++
	return s.build.AddLoose(changelog.Record{Raw: s.line, Micros: st.micros, Key: changelog.KeyHash(s.key)})
}

// hash tells keys apart.
func (s *states) hash(key item.Item) ([2]uint64, error) {
	var err error
	if s.key, err = s.log.Keys.AppendKey(s.key[:0], key); err != nil {
		return [2]uint64{}, err
	}
	h := xxh3.Hash128(s.key)
	return [2]uint64{h.Hi, h.Lo}, nil
}

// redact does to a state what was done to the log's records.
func (s *states) redact(st *state) error {
	if s.redaction == nil {
		return nil
	}
	src := []byte(`{"Records":[{"eventName":"MODIFY","dynamodb":{"Keys":`)
	src = item.AppendCanonical(src, st.key)
	if len(st.new.Tape) > 0 {
		src = item.AppendCanonical(append(src, `,"NewImage":`...), st.new)
	}
	if len(st.old.Tape) > 0 {
		src = item.AppendCanonical(append(src, `,"OldImage":`...), st.old)
	}
	s.page.Reset()
	s.page.Items.Src = item.GrowSlack(append(src, `,"SequenceNumber":"1"}}]}`...))
	if err := ddbjson.ParseRecords(&s.page); err != nil {
		return err
	}
	if len(s.page.Records) != 1 {
		return fault.New(fault.Bug, "a state that is no record: %s", src)
	}
	r := &s.page.Records[0]
	if err := s.redaction.Record(&s.page, r); err != nil {
		return err
	}
	for _, image := range []struct {
		row int32
		it  *item.Item
	}{{r.Keys, &st.key}, {r.New, &st.new}, {r.Old, &st.old}} {
		if image.row != item.NoImage {
			*image.it = s.page.Items.Item(int(image.row))
		}
	}
	return nil
}

// put makes what was added an entry: durable on return. Whoever else writes the chain goes on behind it, and it behind them.
func (s *states) put(ctx context.Context, more bool) (*changelog.Entry, error) {
	d := s.build.Cut()
	note := s.note
	note.Gap, note.More = s.gap.N, more
	d.Kind, d.Compacted, d.At = changelog.Compacted, &note, time.Now().UnixMicro()
	for pause := time.Second / 8; ; pause = min(2*pause, 10*time.Second) {
		e, err := s.chain.Append(ctx, d)
		var fenced *changelog.FencedError
		switch {
		case err == nil:
			return e, nil
		case errors.As(err, &fenced) && ctx.Err() == nil:
			continue // the chain has learnt what stands there
		case !fault.Retryable(err) || fault.KindOf(err) == fault.Unknown || ctx.Err() != nil:
			return nil, err
		}
		select {
		case <-time.After(time.Duration(rand.Int64N(int64(pause)))):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// startRedaction readies the rules of a log, nil of none.
func startRedaction(rules []string, keys item.KeySchema) (*step.Redaction, error) {
	if len(rules) == 0 {
		return nil, nil
	}
	r, err := step.ParseRedaction(rules)
	if err != nil {
		return nil, err
	}
	if err := r.CheckKeys(keys); err != nil {
		return nil, err
	}
	return r, r.Start(step.Env{})
}

// exportName is where a gap's exports lie, below the log.
func (g *openGap) exportName() string {
	return path.Join("heal", fmt.Sprintf("%03d-%012d", g.Group, g.N))
}
