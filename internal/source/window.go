package source

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec"
	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/codec/ion"
	"dynaferry/internal/dataset"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/manifest"
	"dynaferry/internal/world"
)

// Window is an incremental export: the changes of a table from From, included, to To, excluded.
type Window struct {
	URL      string
	From, To time.Time
	View     string // NEW_AND_OLD_IMAGES or NEW_IMAGE
	Table    TableIdentity
	Form     string
	Items    int64 // changes
	Bytes    int64 // as stored
	Files    int
	Log      bool // of a change log: every change is told, those at one time in order
}

// TableIdentity is what exports say of their table; both may be unknown.
type TableIdentity struct {
	ARN string `json:"tableArn,omitempty"`
	ID  string `json:"tableId,omitempty"`
}

// Moment is when the items of a source stood so. A scan has no single moment: each of its items is of some time between Start
// and End. It is stored in a data set's history (docs/formats/dataset.md).
type Moment struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
	TableIdentity
}

// Placeholders that exports have which were made of something whose table is not known.
const (
	UnknownTableARN = "arn:aws:dynamodb:unknown:000000000000:table/"
	UnknownTableID  = "00000000-0000-0000-0000-000000000000"
)

func identityOf(s manifest.Summary) TableIdentity {
	t := TableIdentity{s.TableARN, s.TableID}
	if strings.HasPrefix(t.ARN, UnknownTableARN) {
		t.ARN = ""
	}
	if t.ID == UnknownTableID {
		t.ID = ""
	}
	return t
}

// other tells whether two identities are of different tables, as far as both are known. A table that was deleted and made
// again has the same ARN and another id.
func (t TableIdentity) other(u TableIdentity) bool {
	return t.ID != "" && u.ID != "" && t.ID != u.ID || t.ARN != "" && u.ARN != "" && t.ARN != u.ARN
}

func (t TableIdentity) String() string {
	switch {
	case t.ARN == "" && t.ID == "":
		return "an unknown table"
	case t.ID == "":
		return t.ARN
	case t.ARN == "":
		return "table id " + t.ID
	}
	return t.ARN + " (id " + t.ID + ")"
}

// ShowsKey is where a data set's history keeps the Moment of a version, in Extra.
const ShowsKey = "shows"

// showsOf takes the moment of a data set's items: that of its last version when all of them are of it.
func (s *files) showsOf(set *dataset.Set) error {
	raw := set.Last.Extra[ShowsKey]
	if len(raw) == 0 || len(set.Last.Added) != len(set.Files) {
		return nil
	}
	var m Moment
	if err := json.Unmarshal(raw, &m); err != nil {
		return fault.New(fault.Corrupt, "%s: version %d: %w", s.at, set.Last.Number, err)
	}
	s.info.Shows = &m
	return nil
}

// momentOf is the moment that a full export shows; nil when it does not tell.
func momentOf(e *manifest.Export) (*Moment, error) {
	if e.Summary.ExportTime == "" {
		return nil, nil
	}
	t, err := exportTime(e, "exportTime", e.Summary.ExportTime)
	if err != nil {
		return nil, nil // no overlay begins there, all else does not need it
	}
	m := &Moment{Start: t, End: t, TableIdentity: identityOf(e.Summary)}
	if scan := e.Summary.Scan; scan != nil {
		if m.End, err = exportTime(e, "dynaferryScan", scan.End); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func exportTime(e *manifest.Export, member, text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fault.New(fault.Corrupt, "%s/manifest-summary.json: %s %q is no time", e.Dir, member, text)
	}
	return t.UTC(), nil
}

// windowFiles are the files of a window and where they lie, or the log that it is of.
type windowFiles struct {
	loc   world.Location
	files []File
	log   *log
}

// openIncremental takes all incremental exports that were found as one chain. Full exports beside them are passed over where
// changes are wanted; where anything is, found is false then, as it is when there are no changes, and full names them.
func (s *files) openIncremental(ctx context.Context, finished, unfinished []string) (found bool, full []string, err error) {
	exports, full, err := manifest.Incrementals(ctx, s.loc.Bucket, finished, unfinished)
	if err != nil || len(exports) == 0 || len(full) > 0 && s.spec.Kind != KindIncremental {
		return false, full, err
	}
	s.info.Kind, s.info.Exact, s.info.Items = KindIncremental, true, 0
	given := s.spec.Overlay
	s.spec.Overlay = nil
	for _, e := range exports {
		w, files, err := s.window(e)
		if err != nil {
			return false, nil, err
		}
		s.info.Warnings = append(s.info.Warnings, e.Warnings...)
		s.info.Windows = append(s.info.Windows, w)
		s.changes = append(s.changes, windowFiles{loc: s.loc, files: files})
		s.spec.Overlay = append(s.spec.Overlay, Overlay{Address: s.at.String(), Dir: e.Dir, Seal: sealOf(files)})
	}
	s.spec.Overlay = append(s.spec.Overlay, given...)
	return true, nil, nil
}

func (s *files) window(e *manifest.Export) (Window, []File, error) {
	form, err := exportForm(s.at, e)
	if err != nil {
		return Window{}, nil, err
	}
	w := Window{URL: strings.TrimSuffix(s.loc.Bucket.URL(), "/") + "/" + e.Dir, View: e.Summary.OutputView, Table: identityOf(e.Summary),
		Form: form, Items: e.Summary.ItemCount, Files: len(e.Files)}
	if w.From, err = exportTime(e, "exportFromTime", e.Summary.ExportFromTime); err != nil {
		return w, nil, err
	}
	if w.To, err = exportTime(e, "exportToTime", e.Summary.ExportToTime); err != nil {
		return w, nil, err
	}
	if !w.From.Before(w.To) {
		return w, nil, fault.New(fault.Corrupt, "%s: its window ends at %s, before it begins at %s", w.URL, stamp(w.To), stamp(w.From))
	}
	files := exportFiles(e, form)
	for _, f := range files {
		w.Bytes += f.Size
	}
	return w, files, nil
}

// addWindows opens what the spec lays over the source and checks the whole chain, before a byte of data is read.
func (s *files) addWindows(ctx context.Context, w *world.World) error {
	own := 0
	if s.info.Kind == KindIncremental {
		own = len(s.info.Windows)
	}
	all := slices.Clone(s.spec.Overlay[:own])
	var logs []Overlay
	for _, o := range s.spec.Overlay[own:] {
		if o.Log != nil {
			logs = append(logs, o)
			continue
		}
		opened, err := Open(ctx, w, Spec{Address: o.Address, Dir: o.Dir, Kind: KindIncremental})
		if err != nil {
			return fmt.Errorf("overlay: %w", err)
		}
		over, ok := opened.(*files)
		if !ok || over.info.Kind != KindIncremental {
			return fault.Hint(fault.New(fault.User, "%s is no incremental export: only changes can be laid over a source", o.Address),
				"the base comes first: convert BASE --overlay INCREMENTAL DEST")
		}
		s.info.Warnings = append(s.info.Warnings, over.info.Warnings...)
		s.info.Windows = append(s.info.Windows, over.info.Windows...)
		s.changes = append(s.changes, over.changes...)
		all = append(all, over.spec.Overlay...)
	}
	order := make([]int, len(s.info.Windows))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return s.info.Windows[a].From.Compare(s.info.Windows[b].From) })
	windows, changes := make([]Window, len(order)), make([]windowFiles, len(order))
	s.spec.Overlay = make([]Overlay, len(order))
	for to, from := range order {
		windows[to], changes[to], s.spec.Overlay[to] = s.info.Windows[from], s.changes[from], all[from]
	}
	s.info.Windows, s.changes = windows, changes
	for _, o := range logs {
		if err := s.addLog(ctx, w, o); err != nil {
			return fmt.Errorf("log: %w", err)
		}
	}
	windows, changes = s.info.Windows, s.changes
	if err := checkChain(windows); err != nil {
		return err
	}
	if s.info.Kind == KindIncremental {
		s.info.Form = windows[0].Form
		for _, w := range windows {
			s.info.Items += w.Items
			s.info.Bytes += w.Bytes
		}
		return nil
	}
	old, err := checkBase(&s.info, windows)
	if err == nil { // the base is newer than they are
		s.info.Windows, s.changes, s.spec.Overlay = windows[old:], changes[old:], s.spec.Overlay[old:]
	}
	return err
}

// Changer is a Source with windows of changes.
type Changer interface {
	// ChangeUnits are the files of all windows, in their order.
	ChangeUnits() []Unit
	// Changes streams the changes of one of them. The caller closes it.
	Changes(ctx context.Context, u Unit, o ReadOptions) (ChangeStream, error)
}

// ChangeStream yields a unit's changes. At io.EOF everything the export promises of the unit has been checked.
type ChangeStream interface {
	codec.ChangeReader
	Close() error
}

// ChangeUnits implements Changer.
func (s *files) ChangeUnits() []Unit {
	var units []Unit
	for w := range s.changes {
		if log := s.changes[w].log; log != nil {
			for _, u := range log.units {
				u.Order, u.Window = len(units), w+1
				units = append(units, u)
			}
			continue
		}
		for i := range s.changes[w].files {
			units = append(units, Unit{Order: len(units), File: &s.changes[w].files[i], Window: w + 1})
		}
	}
	return units
}

// Changes implements Changer.
func (s *files) Changes(ctx context.Context, u Unit, o ReadOptions) (ChangeStream, error) {
	if u.Window < 1 || u.Window > len(s.changes) || (u.File == nil) != (s.changes[u.Window-1].log != nil) {
		return nil, fault.New(fault.Corrupt, "unit %d is of no window of %s", u.Order, s.at)
	}
	if log := s.changes[u.Window-1].log; log != nil {
		return log.Changes(ctx, u, o)
	}
	f := *u.File
	if err := blob.CheckName(f.Name); err != nil {
		return nil, fault.New(fault.Corrupt, "unit %d: %w", u.Order, err)
	}
	bucket := s.changes[u.Window-1].loc.Bucket
	st := &changeStream{stream: stream{file: f, url: strings.TrimSuffix(bucket.URL(), "/") + "/" + f.Name, rejects: o.Rejects}}
	plain, err := st.openPlain(ctx, bucket)
	if err != nil {
		st.Close()
		return nil, st.at(err)
	}
	if f.Form == Ion {
		st.changes = ion.NewChangeReader(plain, ion.ReaderOptions{Rejects: st.reject})
	} else {
		st.changes = ddbjson.NewChangeReader(plain, ddbjson.ReaderOptions{Rejects: st.reject})
	}
	return st, nil
}

// changeStream is a stream whose records are changes.
type changeStream struct {
	stream
	changes codec.ChangeReader
}

// ReadChanges yields the next changes. The batch's File is the file's address.
func (st *changeStream) ReadChanges(b *item.Changes) error {
	err := st.changes.ReadChanges(b)
	if err == codec.EOF {
		if err := st.finish(); err != nil {
			return st.at(err)
		}
		b.Reset()
		return codec.EOF
	}
	if err != nil {
		return st.at(err)
	}
	b.File = st.url
	st.count += int64(len(b.List))
	return nil
}

// NotItems is the refusal of changes where items are wanted.
func NotItems(info Info) error {
	if info.Log != nil {
		return fault.Hint(fault.New(fault.User, "%s is a change log: it holds changes, not the items of a table", info.URL), "apply it: dynaferry replay %s dynamodb://TABLE", info.URL)
	}
	return fault.Hint(fault.New(fault.User, "%s is an incremental export: it holds changes, not the items of a table", info.URL),
		"lay it over what it follows: dynaferry convert BASE --overlay %s DEST; or apply it: dynaferry import %s dynamodb://TABLE --overwrite", info.URL, info.URL)
}
