package backup

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/commit"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
)

// FormatVersion is the version of the objects of a catalogue.
const FormatVersion = 1

// catalogueFolder is where the catalogue lies below a place.
const catalogueFolder = "_dynaferry/backups"

// Kind is what a backup holds.
type Kind string

// The kinds.
const (
	Base    Kind = "base"    // every item
	Changes Kind = "changes" // what became of items in windows of time
)

// The ways a backup is made.
const (
	ByScan   = "scan"
	ByNative = "native" // by the service's own export
)

// Backup is one entry of a catalogue.
type Backup struct {
	Format     int               `json:"format"`
	Number     int               `json:"number"`
	Plan       string            `json:"plan"` // who made it
	Created    time.Time         `json:"created"`
	Kind       Kind              `json:"kind"`
	By         string            `json:"by"`
	Table      Table             `json:"table"`
	Links      []Link            `json:"links"` // of a base one; of changes windows in order, which fill holes first
	Definition dynamo.Definition `json:"definition"`
}

// Table is the table of a backup.
type Table struct {
	Address string `json:"address"`
	Name    string `json:"name"`
	ARN     string `json:"arn,omitempty"`
	ID      string `json:"id,omitempty"` // one that was deleted and made again has another
}

// Link is an export.
type Link struct {
	Dir         string    `json:"dir"`           // below the place
	From        time.Time `json:"from,omitzero"` // of changes: inclusive; of a scan: from when on changes are needed
	To          time.Time `json:"to"`            // of changes: exclusive; of a base the moment, of a scan its end
	Items       int64     `json:"items"`         // or changes
	Bytes       int64     `json:"bytes"`         // as stored
	Fingerprint string    `json:"fingerprint,omitempty"`
}

// scanned tells whether the link is a base without a single moment.
func (l Link) scanned(k Kind) bool { return k == Base && !l.From.IsZero() }

// Catalogue is a place's backups, in order of their numbers.
type Catalogue struct {
	Backups []Backup

	bucket blob.Bucket
	dir    string
}

func (c *Catalogue) name(n int) string {
	return path.Join(c.dir, catalogueFolder, fmt.Sprintf("%08d", n))
}

// Load reads the catalogue of the place below dir. A place without backups has an empty one. A number that is missing was
// removed by somebody; what is lost with it shows in the times.
func Load(ctx context.Context, b blob.Bucket, dir string) (*Catalogue, error) {
	c := &Catalogue{bucket: b, dir: strings.Trim(dir, "/")}
	prefix := path.Join(c.dir, catalogueFolder) + "/"
	for info, err := range b.List(ctx, prefix, "") {
		if err != nil {
			return nil, fmt.Errorf("look for backups at %s: %w", b.URL(), err)
		}
		n, err := strconv.Atoi(strings.TrimPrefix(info.Name, prefix))
		if err != nil {
			continue
		}
		body, err := commit.Read(ctx, b, info.Name)
		if err != nil {
			return nil, err
		}
		e, err := decode(info.Name, n, body)
		if err != nil {
			return nil, err
		}
		c.Backups = append(c.Backups, *e)
	}
	return c, nil
}

func decode(name string, n int, body json.RawMessage) (*Backup, error) {
	var b Backup
	if err := json.Unmarshal(body, &b); err != nil {
		return nil, fault.New(fault.Corrupt, "%s: %w", name, err)
	}
	if b.Format != FormatVersion {
		return nil, fault.Hint(fault.New(fault.Unsupported, "%s has format %d; this program reads %d", name, b.Format, FormatVersion), "use a newer dynaferry")
	}
	if b.Number != n {
		return nil, fault.New(fault.Corrupt, "%s holds backup %d", name, b.Number)
	}
	if len(b.Links) == 0 || b.Kind == Base && len(b.Links) != 1 || b.Kind != Base && b.Kind != Changes {
		return nil, fault.New(fault.Corrupt, "%s: a backup of the kind %q with %d exports", name, b.Kind, len(b.Links))
	}
	for i, l := range b.Links {
		if err := blob.CheckName(l.Dir); err != nil {
			return nil, fault.New(fault.Corrupt, "%s names an export %q: %w", name, l.Dir, err)
		}
		if b.Kind == Changes && (!l.From.Before(l.To) || i > 0 && l.From.Before(b.Links[i-1].To)) {
			return nil, fault.New(fault.Corrupt, "%s: its windows are in no order", name)
		}
	}
	return &b, nil
}

// next is the number that a new backup gets.
func (c *Catalogue) next() int {
	if n := len(c.Backups); n > 0 {
		return c.Backups[n-1].Number + 1
	}
	return 0
}

// Add puts a backup whose data is whole into the catalogue and returns what stands: the backup, or where its plan had added it
// before, that. Others may add theirs at the same time. Changes that another backup has told already, or that do not join it
// any more, are an *OvertakenError.
func (c *Catalogue) Add(ctx context.Context, b Backup) (*Backup, error) {
	b.Format = FormatVersion
	for {
		if i := slices.IndexFunc(c.Backups, func(have Backup) bool { return have.Plan == b.Plan }); i >= 0 {
			return &c.Backups[i], nil
		}
		if err := c.joins(&b); err != nil {
			return nil, err
		}
		b.Number = c.next()
		body, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		res, err := commit.Put(ctx, c.bucket, c.name(b.Number), body, commit.Options{})
		if err != nil {
			return nil, fmt.Errorf("add to the catalogue: %w", err)
		}
		stands, err := decode(c.name(b.Number), b.Number, res.Body)
		if err != nil {
			return nil, err
		}
		c.Backups = append(c.Backups, *stands)
	}
}

// OvertakenError tells that another backup was first.
type OvertakenError struct {
	From, To time.Time
	By       int // number of the backup
}

// Error names both.
func (e *OvertakenError) Error() string {
	return fmt.Sprintf("the changes from %s to %s are in backup %d already", Stamp(e.From), Stamp(e.To), e.By)
}

// joins tells whether the catalogue takes a backup: windows of one table may not tell what others tell.
func (c *Catalogue) joins(b *Backup) error {
	if b.Kind == Base {
		return nil
	}
	for _, have := range c.windows(b.Table.ID) {
		for _, l := range b.Links {
			if have.From.Before(l.To) && l.From.Before(have.To) {
				return &OvertakenError{l.From, l.To, have.of.Number}
			}
		}
	}
	return nil
}

// Last is the newest backup, nil when there is none.
func (c *Catalogue) Last() *Backup {
	if len(c.Backups) == 0 {
		return nil
	}
	return &c.Backups[len(c.Backups)-1]
}

// Stamp writes a time as everything of ours does: to the second, with a fraction only where there is one.
func Stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999Z") }
