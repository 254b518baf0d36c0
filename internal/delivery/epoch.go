package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/changelog"
	"dynaferry/internal/column"
	"dynaferry/internal/commit"
	"dynaferry/internal/dataset"
	"dynaferry/internal/fault"
)

// formatVersion is that of the objects below _dynaferry/delivery.
const formatVersion = 1

// Epoch is a cut: which entries are delivered as N, and how. All that its files depend on beside the entries is in it.
type Epoch struct {
	Format   int       `json:"format"`
	N        uint64    `json:"n"` // dense from 1
	Log      LogID     `json:"log"`
	Settings Settings  `json:"settings"`
	Impure   bool      `json:"impure,omitempty"` // its steps are: their outcomes are put below outcomes/<N>
	Spans    []Span    `json:"spans"`            // each becomes files of its own
	Ends     []uint64  `json:"ends"`             // by group, the last entry that epochs up to this one deliver
	Schema   uint64    `json:"schema,omitempty"` // the epoch whose schema this one begins with; 0: none
	Begin    *Begin    `json:"begin,omitempty"`  // nothing of before is delivered; nil: all that is in the log
	Gaps     []GapSeen `json:"gaps,omitempty"`   // that were passed over, or are healed by later entries
}

// LogID tells one log from another.
type LogID struct {
	Table   string    `json:"table,omitempty"`
	Stream  string    `json:"stream"` // that it began with
	Created time.Time `json:"created"`
	Groups  uint32    `json:"groups"`
}

// Span is a run of entries of one group.
type Span struct {
	Group uint32 `json:"group"`
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// GapSeen is a gap of the log among the entries of an epoch.
type GapSeen struct {
	Group  uint32 `json:"group"`
	Entry  uint64 `json:"entry"`
	Healed uint64 `json:"healed,omitempty"` // the compacted entry that holds the final states; 0: records are missing for good
	changelog.GapNote
}

// Done says that every file of an epoch is there, and which they are.
type Done struct {
	Format  int              `json:"format"`
	N       uint64           `json:"n"`
	Schema  uint64           `json:"schema,omitempty"` // the epoch whose schema the next one begins with
	Files   []File           `json:"files"`
	Records int64            `json:"records"`           // of the log
	Dropped int64            `json:"dropped,omitempty"` // that made no row: by a step, or deletions where only new images are asked for
	Refused int64            `json:"refused,omitempty"` // that are in files with Refused set
	Bytes   int64            `json:"bytes,omitempty"`   // of lines that a Sink took
	Misfits map[string]int64 `json:"misfits,omitempty"` // values in the catch-all column, by "path: reason"
}

// File is one visible file, or one of dead letters.
type File struct {
	Name    string `json:"name"` // below the destination
	Size    int64  `json:"size"`
	Records int64  `json:"records"`
	Refused bool   `json:"refused,omitempty"`
}

// ledger is the durable memory of one pipeline.
type ledger struct {
	bucket blob.Bucket
	dest   string // prefix of the destination in the bucket
	dir    string // of the pipeline's state
}

func newLedger(b blob.Bucket, dest, name string) *ledger {
	return &ledger{b, dest, path.Join(dest, dataset.Hidden, "delivery", name)}
}

// The names below dir. None ends as data do (decision 0008).

func (l *ledger) epochName(n uint64) string { return path.Join(l.dir, fmt.Sprintf("epochs/%012d", n)) }
func (l *ledger) doneName(n uint64) string  { return l.epochName(n) + ".done" }
func (l *ledger) schemaName(n uint64) string {
	return path.Join(l.dir, fmt.Sprintf("schemas/%012d", n))
}
func (l *ledger) headName() string { return path.Join(l.dir, "head") }

// place names an object for an error.
func (l *ledger) place(name string) fault.Place {
	return fault.Place{File: l.bucket.URL() + "/" + name}
}

// last finds the latest epoch, nil when there is none.
func (l *ledger) last(ctx context.Context) (*Epoch, error) {
	n, err := l.tail(ctx)
	if err != nil || n == 0 {
		return nil, err
	}
	return l.epoch(ctx, n)
}

// headEvery is how often the head is noted: a restart gallops from there.
const headEvery = 64

// tail finds the number of the latest epoch: from where the note says that there was one, by doubling steps, then by halving.
func (l *ledger) tail(ctx context.Context) (uint64, error) {
	low := uint64(0)
	if noted := l.noted(ctx); noted > 0 {
		if has, err := commit.Exists(ctx, l.bucket, l.epochName(noted)); err != nil {
			return 0, err
		} else if has {
			low = noted
		}
	}
	return commit.Last(low, 1, func(n uint64) (bool, error) { return commit.Exists(ctx, l.bucket, l.epochName(n)) })
}

// noted is the head that the note tells; what it says is a hint and may be wrong.
func (l *ledger) noted(ctx context.Context) uint64 {
	data, _, err := blob.ReadAll(ctx, l.bucket, l.headName(), 1<<10)
	var head struct{ N uint64 }
	if err != nil || json.Unmarshal(data, &head) != nil {
		return 0
	}
	return head.N
}

// note leaves a hint where the epochs are. Nothing depends on it.
func (l *ledger) note(ctx context.Context, n uint64) {
	if n%headEvery == 0 {
		_, _ = l.bucket.Put(ctx, l.headName(), fmt.Appendf(nil, "{\"n\":%d}\n", n), blob.PutOptions{})
	}
}

// epoch reads epoch n, which must be there.
func (l *ledger) epoch(ctx context.Context, n uint64) (*Epoch, error) {
	body, err := commit.Read(ctx, l.bucket, l.epochName(n))
	if err != nil {
		return nil, fmt.Errorf("read epoch %d: %w", n, err)
	}
	return l.parse(n, body)
}

func (l *ledger) parse(n uint64, body []byte) (*Epoch, error) {
	e := new(Epoch)
	if err := l.decode(l.epochName(n), body, e); err != nil {
		return nil, err
	}
	return e, l.check(n, e)
}

// decode reads an object of ours into one that has Format.
func (l *ledger) decode(name string, body []byte, into any) error {
	var head struct{ Format int }
	if err := json.Unmarshal(body, &head); err != nil {
		return fault.At(fault.New(fault.Corrupt, "it is no object of a delivery: %w", err), l.place(name))
	}
	if head.Format != formatVersion {
		return fault.Hint(fault.At(fault.New(fault.Unsupported, "it has format %d; this program reads %d", head.Format, formatVersion),
			l.place(name)), "use the release of dynaferry that wrote it, or a later one")
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fault.At(fault.New(fault.Corrupt, "it is no object of a delivery: %w", err), l.place(name))
	}
	return nil
}

func (l *ledger) check(n uint64, e *Epoch) error {
	bad := func(format string, args ...any) error {
		return fault.At(fault.New(fault.Corrupt, format, args...), l.place(l.epochName(n)))
	}
	if e.N != n {
		return bad("it says that it is epoch %d", e.N)
	}
	if len(e.Ends) != int(e.Log.Groups) {
		return bad("a log of %d groups, and %d ends", e.Log.Groups, len(e.Ends))
	}
	for i, s := range e.Spans {
		if int(s.Group) >= len(e.Ends) || s.First == 0 || s.Last < s.First || s.Last > e.Ends[s.Group] {
			return bad("span %d is of the entries %d to %d of group %d", i, s.First, s.Last, s.Group)
		}
		if i > 0 && e.Spans[i-1].Group == s.Group && e.Spans[i-1].Last+1 != s.First {
			return bad("span %d begins at entry %d; the one before ends at %d", i, s.First, e.Spans[i-1].Last)
		}
	}
	return nil
}

// follows checks that an epoch goes on where the one before ended.
func (e *Epoch) follows(before *Epoch) error {
	at := make([]uint64, len(e.Ends))
	if before != nil {
		copy(at, before.Ends)
	}
	for _, s := range e.Spans {
		if s.First != at[s.Group]+1 {
			return fault.New(fault.Corrupt, "epoch %d begins at entry %d of group %d; %d are delivered", e.N, s.First, s.Group, at[s.Group])
		}
		at[s.Group] = s.Last
	}
	for g, end := range e.Ends {
		if end != at[g] {
			return fault.New(fault.Corrupt, "epoch %d ends at entry %d of group %d; its spans at %d", e.N, end, g, at[g])
		}
	}
	return nil
}

// propose puts an epoch, if none of its number is there, and returns the one that stands.
func (l *ledger) propose(ctx context.Context, e *Epoch, o commit.Options) (stands *Epoch, won bool, err error) {
	body, err := json.Marshal(e)
	if err != nil {
		return nil, false, fmt.Errorf("propose epoch %d: %w", e.N, err)
	}
	result, err := commit.Put(ctx, l.bucket, l.epochName(e.N), body, o)
	if err != nil {
		return nil, false, fmt.Errorf("propose epoch %d: %w", e.N, err)
	}
	stands, err = l.parse(e.N, result.Body)
	return stands, result.Won, err
}

// done reads whether an epoch is finished; nil when it is not.
func (l *ledger) done(ctx context.Context, n uint64) (*Done, error) {
	body, err := commit.Read(ctx, l.bucket, l.doneName(n))
	if errors.Is(err, blob.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read whether epoch %d is finished: %w", n, err)
	}
	d := new(Done)
	return d, l.decode(l.doneName(n), body, d)
}

// finish says that every file of an epoch is there. Who else said so before said the same.
func (l *ledger) finish(ctx context.Context, d *Done, o commit.Options) (*Done, error) {
	body, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("finish epoch %d: %w", d.N, err)
	}
	result, err := commit.Put(ctx, l.bucket, l.doneName(d.N), body, o)
	if err != nil || result.Won {
		return d, err
	}
	stands := new(Done)
	return stands, l.decode(l.doneName(d.N), result.Body, stands)
}

// durableSchema is what columns files have from an epoch on.
type durableSchema struct {
	Format  int            `json:"format"`
	N       uint64         `json:"n"`
	Parquet *column.Schema `json:"parquet,omitempty"`
	CSV     []csvColumn    `json:"csv,omitempty"`
}

// schema reads the schema of an epoch; an empty one for 0.
func (l *ledger) schema(ctx context.Context, n uint64) (*durableSchema, error) {
	d := new(durableSchema)
	if n == 0 {
		return d, nil
	}
	body, err := commit.Read(ctx, l.bucket, l.schemaName(n))
	if err != nil {
		return nil, fmt.Errorf("read the schema of epoch %d: %w", n, err)
	}
	return d, l.decode(l.schemaName(n), body, d)
}

// decideSchema puts the schema that an epoch brings, if there is none yet, and returns the one that stands.
func (l *ledger) decideSchema(ctx context.Context, d *durableSchema, o commit.Options) (*durableSchema, error) {
	d.Format = formatVersion
	body, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("schema of epoch %d: %w", d.N, err)
	}
	result, err := commit.Put(ctx, l.bucket, l.schemaName(d.N), body, o)
	if err != nil || result.Won {
		return d, err
	}
	stands := new(durableSchema)
	return stands, l.decode(l.schemaName(d.N), result.Body, stands)
}
