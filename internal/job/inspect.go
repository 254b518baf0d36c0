package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	"dynaferry/internal/backup"
	"dynaferry/internal/blob"
	"dynaferry/internal/column"
	"dynaferry/internal/dataset"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/manifest"
	"dynaferry/internal/plan"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// InspectOptions say what of a thing is wanted beside its description.
type InspectOptions struct {
	Count     bool            // read everything: counts, sizes, types, fingerprint
	Schema    bool            // the column schema alone
	Item      int64           // the item of this number in source order, from 1; 0 is none
	Key       json.RawMessage // the items with this key, in DynamoDB JSON
	First     int             // items to show beside the description of files and tables
	ReadUnits string          // budget of reading a table
}

// Record is one line of what inspect says. Each is one of the struct types below; Type tells which.
type Record any

// Inspect looks at whatever stands at an address, changes nothing, and hands out its records in the order they read
// well.
func Inspect(ctx context.Context, env *Env, spec source.Spec, o InspectOptions, emit func(Record) error) error {
	at, err := world.Parse(spec.Address)
	if err != nil {
		return err
	}
	if !o.Count && !o.Schema { // a look at single items is no job: its budget is no news
		quiet := *env
		quiet.Say = nil
		env = &quiet
	}
	i := &inspection{ctx: ctx, env: env, at: at, spec: spec, o: o, emit: emit}
	if o.Schema || o.Item > 0 || len(o.Key) > 0 {
		return i.items()
	}
	if at.Scheme == world.DynamoDB {
		return i.source()
	}
	if i.loc, err = env.World.Existing(ctx, at); err != nil {
		return err
	}
	if i.loc.Prefix != "" {
		info, err := i.loc.Bucket.Head(ctx, i.loc.Prefix)
		if err == nil {
			return i.object(info)
		}
		if !errors.Is(err, blob.ErrNotFound) {
			return fmt.Errorf("look at %s: %w", at, err)
		}
	}
	return i.folder()
}

// inspection is one run of Inspect.
type inspection struct {
	ctx  context.Context
	env  *Env
	at   world.Address
	loc  world.Location
	spec source.Spec
	o    InspectOptions
	emit func(Record) error
	gov  governed
}

// folder tells what stands below a prefix: a plan, a state root, backups, a change log, a data set, exports, or loose files, in this order.
func (i *inspection) folder() error {
	slashed := strings.TrimSuffix(strings.ReplaceAll(i.at.Path, `\`, "/"), "/")
	if path.Base(path.Dir(slashed)) == "plans" {
		if found, err := i.plan(path.Base(slashed)); found || err != nil {
			return err
		}
	}
	if path.Base(slashed) == dataset.Hidden {
		return i.state()
	}
	if catalogue, err := backup.Load(i.ctx, i.loc.Bucket, i.loc.Prefix); err != nil || len(catalogue.Backups) > 0 {
		if err != nil {
			return err
		}
		return i.backups(catalogue)
	}
	if l, err := i.openLog(); err != nil || l != nil {
		if err != nil {
			return err
		}
		return i.changeLog(l)
	}
	set, err := dataset.Load(i.ctx, i.loc.Bucket, i.loc.Prefix)
	if err != nil {
		return err
	}
	if set.Head >= 0 || len(set.Open) > 0 {
		return i.dataset(set)
	}
	finished, unfinished, err := manifest.Find(i.ctx, i.loc.Bucket, i.loc.Prefix)
	if err != nil {
		return err
	}
	if len(finished)+len(unfinished) > 0 {
		return i.exports(finished, unfinished)
	}
	if ids, err := i.plans(i.loc.Prefix); err != nil || len(ids) > 0 {
		if err != nil {
			return err
		}
		return i.state()
	}
	return i.source()
}

// object tells what a single object is, by its name where the name is ours, else by its first bytes.
func (i *inspection) object(info blob.Info) error {
	if found, err := i.logObject(info); found {
		return err
	}
	head, _, err := blob.ReadRange(i.ctx, i.loc.Bucket, info.Name, blob.ReadOptions{Length: sniffBytes}, sniffBytes)
	if err != nil {
		return fmt.Errorf("look at %s: %w", i.at, err)
	}
	dir, base := path.Split(i.name(info))
	switch {
	case plan.IsObject(base) && path.Base(path.Dir(path.Dir(dir))) == "plans":
		i.at.Path = path.Dir(i.at.Path)
		if found, err := i.plan(path.Base(dir)); found || err != nil {
			return err
		}
	case isEnvelope(head):
		return i.commitObject(info)
	case strings.HasPrefix(base, "manifest-"):
		return i.exports([]string{path.Dir(info.Name)}, nil)
	case base == path.Base(source.DefinitionName), base == path.Base(source.DefinitionNameOld):
		if done, err := i.definition(info); done || err != nil {
			return err
		}
	case strings.Contains(dir, "/staged/") || strings.HasPrefix(dir, "staged/"):
		return i.staged(info)
	}
	return i.source()
}

// name is the object's whole path as far as it is known: a folder's bucket begins at the folder of the file.
func (i *inspection) name(info blob.Info) string {
	if i.at.Scheme == world.File {
		return strings.ReplaceAll(i.at.Path, `\`, "/")
	}
	return info.Name
}

// sniffBytes is enough of an object's beginning to tell what it is.
const sniffBytes = 512

// TableRecord describes a table.
type TableRecord struct {
	Type    string          `json:"type"` // "table"
	Address string          `json:"address"`
	ARN     string          `json:"arn"`
	ID      string          `json:"id,omitempty"`
	Status  string          `json:"status"`
	Keys    item.KeySchema  `json:"keys"`
	Billing string          `json:"billing"`
	Read    float64         `json:"readUnits,omitempty"` // provisioned
	Write   float64         `json:"writeUnits,omitempty"`
	Items   int64           `json:"items"` // as the service counted them, about every six hours
	Bytes   int64           `json:"bytes"`
	Raw     json.RawMessage `json:"description,omitempty"` // DescribeTable's answer
}

// FilesRecord describes loose files, or one.
type FilesRecord struct {
	Type     string   `json:"type"` // "files"
	Address  string   `json:"address"`
	Format   string   `json:"format"`
	Files    int      `json:"files"`
	Bytes    int64    `json:"bytes"`
	Warnings []string `json:"warnings,omitempty"`
}

// FileRecord is one file of whatever holds files.
type FileRecord struct {
	Type        string                     `json:"type"` // "file"
	Name        string                     `json:"name"`
	Format      string                     `json:"format,omitempty"`
	Compression string                     `json:"compression,omitempty"`
	Bytes       int64                      `json:"bytes"`
	Items       *int64                     `json:"items,omitempty"` // where it is written down somewhere
	MD5         string                     `json:"md5,omitempty"`
	Partition   []string                   `json:"partition,omitempty"`
	Constants   map[string]json.RawMessage `json:"constants,omitempty"`
}

// ColumnRecord is one column of a data set, in the words of the schema file.
type ColumnRecord struct {
	Type      string `json:"type"` // "column"
	Name      string `json:"name"`
	Attribute string `json:"attribute"`
	Kind      string `json:"kind"`
	DynamoDB  string `json:"dynamodb,omitempty"`
}

// SchemaRecord is the column schema: what --schema of export and convert reads.
type SchemaRecord struct {
	Type   string         `json:"type"` // "schema"
	Schema *column.Schema `json:"schema"`
}

// ItemRecord is one item in canonical DynamoDB JSON, with what DynamoDB counts for it.
type ItemRecord struct {
	Type       string          `json:"type"` // "item"
	File       string          `json:"file,omitempty"`
	Line       int64           `json:"line,omitempty"` // or row, from 1
	Item       json.RawMessage `json:"item"`
	Bytes      int             `json:"bytes"`
	ReadUnits  float64         `json:"readUnits"` // strongly consistent; half of that eventually consistent
	WriteUnits float64         `json:"writeUnits"`
	Refused    string          `json:"refused,omitempty"` // why DynamoDB would refuse a put of it
}

// DefinitionRecord is a table definition as it is stored beside data.
type DefinitionRecord struct {
	Type       string          `json:"type"` // "definition"
	Table      string          `json:"table"`
	Keys       item.KeySchema  `json:"keys"`
	Billing    string          `json:"billing"`
	Definition json.RawMessage `json:"definition"`
}

// source describes what source.Open finds, with its files and first items.
func (i *inspection) source() error {
	src, err := source.Open(i.ctx, i.env.World, i.spec)
	if err != nil {
		return err
	}
	info := src.Info()
	switch {
	case info.Kind == source.KindTable:
		err = i.table(info)
	default:
		err = i.files(src)
	}
	if err != nil {
		return err
	}
	return i.contents(src)
}

// contents are the first items, or with Count what reading everything comes to.
func (i *inspection) contents(src source.Source) error {
	if i.o.Count {
		return i.count(src)
	}
	if i.o.First <= 0 {
		return nil
	}
	left := i.o.First
	return i.walk(src, func(r ItemRecord, _ item.Item) (bool, error) {
		left--
		return left > 0, i.emit(r)
	})
}

func (i *inspection) table(info source.Info) error {
	t := info.Table
	billing := "PAY_PER_REQUEST"
	if t.Provisioned {
		billing = "PROVISIONED"
	}
	return i.emit(TableRecord{Type: "table", Address: i.at.String(), ARN: t.ARN, ID: t.ID, Status: t.Status, Keys: t.Keys,
		Billing: billing, Read: t.ReadUnits, Write: t.WriteUnits, Items: t.Items, Bytes: t.Bytes, Raw: t.Raw})
}

// state lists the plans of a state root, and says whose it is.
func (i *inspection) state() error {
	ids, err := i.plans(i.loc.Prefix)
	if err != nil {
		return err
	}
	st := plan.State{Bucket: i.loc.Bucket, Prefix: i.loc.Prefix}
	if err := i.emit(StateRecord{Type: "state", Address: i.at.String(), Plans: len(ids)}); err != nil {
		return err
	}
	for _, id := range ids {
		r, _, err := i.planRecord(st, id)
		if err != nil {
			return err
		}
		if err := i.emit(r); err != nil {
			return err
		}
	}
	return nil
}

// plans lists the plans below a state root, skipping over what lies below each.
func (i *inspection) plans(root string) ([]string, error) {
	prefix := path.Join(root, "plans") + "/"
	var ids []string
	for after := ""; ; {
		found := ""
		for info, err := range i.loc.Bucket.List(i.ctx, prefix, after) {
			if err != nil {
				return nil, fmt.Errorf("list plans: %w", err)
			}
			found, _, _ = strings.Cut(strings.TrimPrefix(info.Name, prefix), "/")
			break
		}
		if found == "" {
			return ids, nil
		}
		if made, err := plan.Exists(i.ctx, plan.State{Bucket: i.loc.Bucket, Prefix: root}, found); err != nil {
			return nil, err
		} else if made {
			ids = append(ids, found)
		}
		after = prefix + found + "/\U0010FFFF"
	}
}

// unreadable turns an error of the thing looked at into one that says what it was taken for.
func unreadable(what string, err error) error {
	return fault.As(fault.Corrupt, fmt.Errorf("read %s: %w", what, err))
}
