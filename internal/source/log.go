package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/changelog"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/feed"
	"dynaferry/internal/item"
	"dynaferry/internal/row"
	"dynaferry/internal/step"
	"dynaferry/internal/world"
)

// Words for what happened, of LogSpec.Ops.
const (
	OpPut       = "put"        // insert or modify
	OpInsert    = "insert"     // the item was not there before
	OpModify    = "modify"     // it was
	OpDelete    = "delete"     // whoever deleted it
	OpTTL       = "ttl"        // DynamoDB deleted it, since its time to live was over
	OpAppDelete = "app-delete" // somebody else did
)

// Ops are these words.
var Ops = []string{OpPut, OpInsert, OpModify, OpDelete, OpTTL, OpAppDelete}

// LogSpec makes a Spec one of a change log, and says which of its records are meant: those of a window of time, (from, to], that
// pass all filters. The window is told as it was typed, so that the same command has the same plan; which entries it comes to,
// units say.
type LogSpec struct {
	FromText string    `json:"from,omitempty"` // "" is the log's beginning
	ToText   string    `json:"to,omitempty"`   // "" is its end as it is found
	From, To time.Time `json:"-"`              // what the texts mean

	// After are the last entries, by group, that are not wanted: what an archive has had already.
	After []LogSpan `json:"after,omitempty"`

	Key   json.RawMessage `json:"key,omitempty"`   // records of this key alone, in DynamoDB JSON
	Ops   []string        `json:"ops,omitempty"`   // any of these
	Where string          `json:"where,omitempty"` // an expression of package step that holds of the change

	Steps []string `json:"steps,omitempty"` // what happens to each of them then, as package step reads it

	// AcceptCompacted takes windows in which records are missing, with the final states that healed them.
	AcceptCompacted bool `json:"acceptCompacted,omitempty"`
	// Healed refuses windows whose end is not known to be whole all the same: gaps for which nothing stands, and final states of
	// later than it.
	Healed bool `json:"healed,omitempty"`
	// Deleted makes the source one of items: what the records deleted, as it was before.
	Deleted bool `json:"deleted,omitempty"`
	// Images makes the source one of items likewise: rows that tell the changes.
	Images row.Images `json:"images,omitempty"`
	// Whole refuses a log that holds only a part of another: what is missing from it would be taken for what did not happen.
	Whole bool `json:"whole,omitempty"`
	// Found tells that the window was found and checked when the plan was made: whoever opens the spec again has units.
	Found bool `json:"found,omitempty"`
}

// LogSpan is a run of entries of one group, and in a Unit the times of the records in it that are meant: (From, To], µs.
type LogSpan struct {
	Group uint32 `json:"group"`
	First uint64 `json:"first,omitempty"`
	Last  uint64 `json:"last"`
	From  int64  `json:"from,omitempty"`
	To    int64  `json:"to,omitempty"`
}

// LogInfo is what is known of a window once it was found.
type LogInfo struct {
	Table   string // name
	Region  string // of the stream
	View    feed.View
	Kinesis bool
	Spans   []LogSpan // by group: all entries that were looked at
	Copies  []LogCopy // by group: what a log that holds this part of it is made of
	// Gaps names what is missing in the window, and Compacted what stands for it.
	Gaps      []string
	Compacted []string
}

// log is a window of a change log.
type log struct {
	at     world.Address
	spec   Spec
	info   Info
	log    *changelog.Log
	key    []byte // canonical, of Spec.Log.Key
	filter *step.Chain
	steps  *step.Chain
	units  []Unit
}

// items tells whether the source is one of items, not of changes.
func (o *LogSpec) items() bool { return o.Deleted || o.Images != "" }

func (s *log) Spec() Spec             { return s.spec }
func (s *log) Info() Info             { return s.info }
func (s *log) Address() world.Address { return s.at }

// Units are runs of entries.
func (s *log) Units(context.Context, int64, int) ([]Unit, error) { return s.units, nil }

// ChangeUnits implements Changer.
func (s *log) ChangeUnits() []Unit { return s.units }

func openLog(ctx context.Context, w *world.World, at world.Address, spec Spec) (*log, error) {
	loc, err := w.Existing(ctx, at)
	if err != nil {
		return nil, err
	}
	s := &log{at: at, spec: spec}
	wish := *spec.Log
	s.spec.Log = &wish
	s.log, err = changelog.Open(ctx, loc.Bucket, loc.Prefix)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, fault.Hint(fault.New(fault.NotFound, "%s is no change log", at), "a change log is what dynaferry follow keeps: name its folder")
	}
	if err != nil {
		return nil, err
	}
	l := s.log
	if l.Part != nil && wish.Whole {
		return nil, fault.Hint(fault.New(fault.User, "%s holds %s: what else happened is not in it", at, l.Part), "name the log that it is a part of")
	}
	s.spec.Kind = KindIncremental
	s.info = Info{Kind: KindIncremental, Form: DynamoDBJSON, URL: at.String(), Bytes: 0, Log: &LogInfo{Table: l.Table, Region: RegionOf(l.Stream), View: l.View, Kinesis: l.Kinesis}}
	if wish.items() {
		s.spec.Kind, s.info.Kind = KindLog, KindLog
	}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	if keys := s.arriving(); keys != nil {
		s.info.Keys, s.info.Definition = keys, &dynamo.Definition{Version: 1, Name: l.Table, Keys: *keys, BillingMode: "PAY_PER_REQUEST"}
	}
	if !wish.Found {
		if err := s.spec.Log.times(); err != nil {
			return nil, err
		}
	}
	window := Window{URL: at.String(), From: s.spec.Log.From, To: s.spec.Log.To, Table: tableOf(l.Stream), View: string(l.View), Form: DynamoDBJSON, Log: true}
	if !wish.Found {
		if err := s.find(ctx, &window); err != nil {
			return nil, err
		}
		s.spec.Log.Found = true
	}
	if !wish.items() {
		s.info.Windows = []Window{window}
	}
	s.info.Items, s.info.Bytes = window.Items, window.Bytes
	return s, nil
}

// RegionOf is the Region of an ARN.
func RegionOf(arn string) string {
	parts := strings.SplitN(arn, ":", 5)
	if len(parts) < 5 {
		return ""
	}
	return parts[3]
}

// prepare checks the filters.
func (s *log) prepare() (err error) {
	o := s.spec.Log
	for _, op := range o.Ops {
		if !slices.Contains(Ops, op) {
			return fault.New(fault.User, "--op %s: it is %s", op, strings.Join(Ops, ", "))
		}
	}
	if o.Deleted && !s.log.View.HasOld() {
		return fault.Hint(fault.New(fault.User, "%s has the view %s: what was deleted is not in it", s.at, s.log.View),
			"follow the table with a stream of NEW_AND_OLD_IMAGES")
	}
	if len(o.Key) > 0 {
		if s.log.Keys.Empty() {
			return fault.New(fault.Unsupported, "%s does not know the keys of its table: --key finds nothing there", s.at)
		}
		b := item.Batch{Src: item.WithSlack(o.Key)}
		err := ddbjson.Parse(&b, 0)
		if err == nil {
			s.key, err = s.log.Keys.AppendKey(nil, b.Item(0))
		}
		if err != nil {
			return fault.Hint(fault.New(fault.User, "--key: %w", err), `give the whole key as DynamoDB JSON: {"pk":{"S":"a"},"sk":{"N":"1"}}`)
		}
	}
	if o.Images == row.New && !s.log.View.HasNew() {
		return fault.Hint(fault.New(fault.User, "%s has the view %s: what items became is not in it", s.at, s.log.View),
			"take rows of changes, --images changes; or follow the table with a stream of NEW_AND_OLD_IMAGES")
	}
	if o.Where != "" {
		if s.filter, err = step.Parse([]string{"filter " + o.Where}); err != nil {
			return fmt.Errorf("--where: %w", err)
		}
	}
	if len(o.Steps) > 0 {
		s.steps, err = step.Parse(o.Steps)
	}
	return err
}

// arriving is the key of the items behind the steps; nil where none is known, or a row is not an item.
func (s *log) arriving() *item.KeySchema {
	o := s.spec.Log
	if s.log.Keys.Empty() || o.Images != "" && o.Images != row.New {
		return nil
	}
	keys := s.log.Keys
	if s.steps != nil {
		var err error
		if keys, _, err = s.steps.Keys(keys); err != nil {
			return nil
		}
	}
	return &keys
}

// writtenAfter is how much earlier than a record an entry may have been written by another clock of the service's.
const writtenAfter = time.Minute

// find walks the footers of the window: which entries it comes to, how much is in them, and that nothing is missing.
func (s *log) find(ctx context.Context, w *Window) error {
	o := s.spec.Log
	from, to := int64(math.MinInt64), int64(math.MaxInt64)
	if !o.From.IsZero() {
		from = o.From.UnixMicro()
	}
	if !o.To.IsZero() {
		to = o.To.UnixMicro()
	}
	if from >= to {
		return fault.New(fault.User, "the window ends at %s, before it begins at %s", stamp(o.To), stamp(o.From))
	}
	if err := s.within(from, to); err != nil {
		return err
	}
	for group := range s.log.Groups {
		if err := s.findGroup(ctx, w, group, from, to); err != nil {
			return err
		}
	}
	if info := s.info.Log; len(info.Gaps) > 0 && !o.AcceptCompacted {
		what := "and nothing stands for them yet"
		hint := fmt.Sprintf("dynaferry inspect %s shows what is missing; --accept-compacted takes the window as it is", s.at)
		if len(info.Compacted) > 0 {
			what, hint = "final states alone stand for some of them: "+strings.Join(info.Compacted, ", "), "take final states for history: --accept-compacted"
		}
		return fault.Hint(fault.New(fault.Conflict, "%s: records of the window are missing (%s); %s", s.at, strings.Join(info.Gaps, "; "), what), "%s", hint)
	}
	s.info.Warnings = append(s.info.Warnings, s.info.Log.Gaps...)
	return nil
}

// within refuses a window that is not in the part of another log that the log holds, and tells that it is one.
func (s *log) within(from, to int64) error {
	if s.log.Part == nil {
		return nil
	}
	least, most := s.log.Part.Bounds()
	if !s.spec.Log.From.IsZero() && from < least || !s.spec.Log.To.IsZero() && to > most {
		return fault.Hint(fault.New(fault.User, "%s holds %s: the window is not all in it", s.at, s.log.Part), "choose --from and --to within it, or name the log that it is a part of")
	}
	s.info.Warnings = append(s.info.Warnings, fmt.Sprintf("%s holds %s", s.at, s.log.Part))
	return nil
}

// unitBytes is how many compressed bytes of a log one unit reads: a task's worth.
const unitBytes = 64 << 20

func (s *log) findGroup(ctx context.Context, w *Window, group uint32, from, to int64) error {
	o := s.spec.Log
	since := int64(0)
	if from > math.MinInt64 {
		since = from - writtenAfter.Microseconds()
	}
	first, last, err := s.log.Since(ctx, group, since)
	if err != nil {
		return err
	}
	for _, after := range o.After {
		if after.Group == group {
			first = max(first, after.Last+1)
		}
	}
	span := LogSpan{Group: group, First: first, Last: last, From: from, To: to}
	whole := LogCopy{LogSpan: span}
	gaps := map[uint64]gapped{} // by entry
	unit, size := span, int64(0)
	add := func(n uint64) {
		unit.Last = n
		s.units = append(s.units, Unit{Order: len(s.units), Window: 1, Log: &LogSpan{unit.Group, unit.First, unit.Last, unit.From, unit.To}})
		unit.First, size = n+1, 0
	}
	passed := first > last && to == math.MaxInt64
	for b, err := range s.log.Entries(ctx, group, first, last) {
		if err != nil {
			return err
		}
		s.note(b, gaps, from, to, passed)
		for i := range b.Blocks {
			if block := &b.Blocks[i]; block.From <= to && block.To > from {
				w.Items, w.Bytes, size = w.Items+int64(block.Records), w.Bytes+block.Length, size+block.Length
			}
		}
		if size >= unitBytes {
			add(b.N)
		}
		if !passed {
			whole.Last = b.N
		} else if b.Compacted != nil && b.Compacted.Meets(from, to) {
			whole.Heals = append(whole.Heals, b.N)
		}
		// Behind the end of the window only what heals a gap of it is of interest.
		if passed = passed || to < math.MaxInt64 && b.State.Passed(to+1); passed && (len(gaps) == 0 || !o.AcceptCompacted) {
			span.Last = b.N
			break
		}
	}
	if to < math.MaxInt64 && !passed {
		return fault.Hint(fault.New(fault.Unavailable, "%s does not reach %s yet: group %d ends before it", s.at, stamp(o.To), group),
			"follow the table until then, or leave --to away: the window ends where the log does")
	}
	if o.Healed && o.AcceptCompacted && !healed(gaps) {
		return fault.Hint(fault.New(fault.Conflict, "%s: what group %d is missing is not healed up to the end of the window (%s)", s.at, group, strings.Join(s.info.Log.Gaps, "; ")),
			"choose a time before it; dynaferry inspect %s shows what is missing", s.at)
	}
	if size > 0 {
		add(span.Last)
	}
	s.info.Log.Spans = append(s.info.Log.Spans, span)
	s.info.Log.Copies = append(s.info.Log.Copies, whole)
	return nil
}

// gapped is what becomes of a gap of the window.
type gapped int

const (
	open   gapped = iota // nothing stands for it
	stood                // final states do
	beyond               // they do, some of a time behind the window's end
)

// healed tells whether final states stand for each gap, and of no later time than the window's end.
func healed(gaps map[uint64]gapped) bool {
	for _, g := range gaps {
		if g != stood {
			return false
		}
	}
	return true
}

// note takes down what an entry says of missing records. A gap's records are of before it was written, and of after the last
// that its shards had.
func (s *log) note(b *changelog.Batch, gaps map[uint64]gapped, from, to int64, passed bool) {
	info := s.info.Log
	switch {
	case b.Gap != nil && !passed:
		least, most := b.Gap.From, b.Gap.To
		if most == 0 {
			most = b.At
		}
		if least > to || most <= from {
			return
		}
		gaps[b.N] = open
		info.Gaps = append(info.Gaps, fmt.Sprintf("entry %d of group %d is a gap: %s", b.N, b.Group, b.Gap.Reason))
	case b.Compacted != nil && b.Compacted.Meets(from, to):
		if _, known := gaps[b.Compacted.Gap]; !known {
			info.Gaps = append(info.Gaps, fmt.Sprintf("entry %d of group %d stands for the gap of entry %d", b.N, b.Group, b.Compacted.Gap))
		}
		what := stood
		switch {
		case b.Compacted.To > to:
			what = beyond
		case b.Compacted.More:
			what = open
		}
		gaps[b.Compacted.Gap] = max(gaps[b.Compacted.Gap], what)
		info.Compacted = append(info.Compacted, b.Compacted.Source)
	}
}
