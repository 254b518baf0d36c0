package job

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"dynaferry/internal/blob"
	"dynaferry/internal/codec/compress"
	"dynaferry/internal/codec/parquet"
	"dynaferry/internal/column"
	"dynaferry/internal/commit"
	"dynaferry/internal/dataset"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/manifest"
	"dynaferry/internal/plan"
	"dynaferry/internal/sink"
	"dynaferry/internal/source"
)

// scanMargin is how far before a scan's first page the export time of a scan-made export lies.
const scanMargin = time.Minute

// publishers is how many files are published at once: each is a handful of small requests.
const publishers = 32

// version describes what this plan is about to publish. It is a function of the plan's sealed results and the history, so
// that every process that commits the plan proposes the same.
func (j *copyJob) version(ctx context.Context, c *plan.Committing, set *dataset.Set, made *carried, schema *column.Schema) (dataset.Version, error) {
	if err := j.env.alone(ctx, j.set.Dest); err != nil { // a data set around it may have come about meanwhile
		return dataset.Version{}, err
	}
	keys, unique := j.set.arriving()
	v := dataset.Version{Number: set.Next(), Plan: c.Plan.ID, Created: made.End, Form: j.set.Form, Compression: j.set.Compression,
		Keys: keys, Partition: partitionNames(j.set.Partition), Items: made.Items, Fingerprint: made.Fingerprint,
		Extra: map[string]json.RawMessage{}}
	if schema != nil && j.set.Form == source.Parquet {
		v.Schema = schema.AppendJSON(nil)
	}
	if j.set.Form == source.CSV {
		cells := j.set.Cells
		if len(cells) == 0 {
			cells = j.set.chosenCells()
		}
		v.Options = marshal(j.set.csvSpec(cells))
	}
	src, err := j.src.open(ctx, j.env, j.spec)
	if err != nil {
		return v, fmt.Errorf("open the source again: %w", err)
	}
	if src.Info().Unique && unique && j.set.Into != IntoAppend {
		v.Extra["unique"] = json.RawMessage("true")
	}
	touched := touchedBy(made.Files)
	for _, f := range set.Files {
		if j.replaces(f, touched) {
			v.Removed = append(v.Removed, f.Name)
		}
	}
	// Files of before stand first, as they did: where a key occurs twice, the later file has the newer item.
	widen, err := j.toWiden(set, schema, touched)
	if err != nil {
		return v, err
	}
	for _, f := range widen {
		v.Removed = append(v.Removed, f.Name)
		f.From, f.Name, f.Size = f.Name, dataset.Widened(f.Name, v.Number), 0
		v.Added = append(v.Added, f)
	}
	for _, f := range made.Files {
		v.Added = append(v.Added, dataset.File{Name: j.finalName(c.Plan, made, f), Items: f.Items, Fingerprint: f.Fingerprint, MD5: f.MD5,
			Partition: f.Partition, Constants: f.Constants})
	}
	if len(widen) == 0 { // else not all that it adds is of that moment
		j.noteMoment(v.Extra, src, made)
	}
	return v, j.noteArchived(ctx, set, v.Extra, made)
}

func partitionPath(name string) string {
	dir := path.Dir(name)
	if dir == "." {
		return ""
	}
	return dir
}

// finalName depends on plan, task and number alone.
func (j *copyJob) finalName(p *plan.Plan, made *carried, f sink.File) string {
	suffix := map[string]string{source.Parquet: ".parquet", source.JSON: ".json", source.CSV: ".csv"}[j.set.Form]
	if j.set.native() {
		sum := sha256.Sum256([]byte(f.Final))
		name := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))[:26]
		return path.Join(manifest.Folder, exportID(made), "data", name+map[string]string{source.DynamoDBJSON: ".json.gz", source.Ion: ".ion.gz"}[j.set.Form])
	}
	if j.set.Form != source.Parquet {
		suffix += compress.Codec(j.set.Compression).Suffix()
	}
	return path.Join(append(slices.Clone(f.Segments), f.Final+suffix)...)
}

// exportID is the id of the native export that this job writes: its start, and eight digits of its first plan.
func exportID(made *carried) string {
	sum := sha256.Sum256([]byte(made.Root))
	return manifest.ExportID(made.Start, hex.EncodeToString(sum[:4]))
}

// publish makes a decided version visible, step by step; each step may have been done before or be under way elsewhere.
func (j *copyJob) publish(ctx context.Context, c *plan.Committing, set *dataset.Set, v dataset.Version, made *carried) (plan.Outcome, error) {
	shown := set.Last != nil && set.Last.Number >= v.Number
	if !shown {
		// Old files leave before new ones appear: a reader in between sees too little, never a row twice.
		if err := setReplacedAside(ctx, set, v); err != nil {
			return plan.Outcome{}, err
		}
		objects, err := j.publishFiles(ctx, c, set, &v, made)
		if err != nil {
			return plan.Outcome{}, err
		}
		if err := j.publishBeside(ctx, set, v, made, objects); err != nil {
			return plan.Outcome{}, err
		}
		if err := set.Show(ctx, v); err != nil {
			return plan.Outcome{}, err
		}
	}
	if _, err := set.Root.Put(ctx, set.Name("_SUCCESS"), nil, blob.PutOptions{}); err != nil {
		return plan.Outcome{}, fmt.Errorf("write _SUCCESS: %w", err)
	}
	dead, err := publishDead(ctx, c.State, made.Dead)
	if err != nil {
		return plan.Outcome{}, err
	}
	report := j.report(set, v, made)
	report.DeadLetters = dead
	return plan.Outcome{Report: marshal(report)}, nil
}

// publishFiles publishes every file and fills in the sizes; it returns the objects in the order of v.Added.
func (j *copyJob) publishFiles(ctx context.Context, c *plan.Committing, set *dataset.Set, v *dataset.Version, made *carried) ([]blob.Info, error) {
	byName := map[string]sink.File{}
	for _, f := range made.Files {
		byName[j.finalName(c.Plan, made, f)] = f
	}
	var schema *column.Schema
	if j.set.Form == source.Parquet {
		var err error
		if schema, err = column.ParseSchema(v.Schema); err != nil {
			return nil, err
		}
	}
	files, widened := set.ByName(), made.widenedTo(schema)
	objects := make([]blob.Info, len(v.Added))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(publishers)
	for i := range v.Added {
		group.Go(func() error {
			info, err := func() (blob.Info, error) {
				if from := v.Added[i].From; from != "" {
					return j.publishWidened(ctx, c, set, v.Added[i], files[from].Size, widened[from])
				}
				f, ok := byName[v.Added[i].Name]
				if !ok {
					return blob.Info{}, fault.New(fault.Corrupt, "version %d names %s, which no result has", v.Number, v.Added[i].Name)
				}
				return j.publishFile(ctx, c, set.Name(v.Added[i].Name), f, v, schema)
			}()
			objects[i] = info
			v.Added[i].Size = info.Size
			return err
		})
	}
	return objects, group.Wait()
}

func (j *copyJob) publishFile(ctx context.Context, c *plan.Committing, final string, f sink.File, v *dataset.Version, schema *column.Schema) (blob.Info, error) {
	var tail []byte
	if schema != nil {
		meta, err := j.readMeta(ctx, f)
		if err != nil {
			return j.published(ctx, final, publishID(c.Plan, f), err)
		}
		if tail, err = j.footer(ctx, f, meta, v, schema); err != nil {
			return blob.Info{}, fmt.Errorf("footer of %s: %w", final, err)
		}
	}
	staged, err := j.inDest(ctx, c.Plan, f.Staged)
	if err != nil {
		return blob.Info{}, err
	}
	return commit.Publish(ctx, j.dest.Bucket, blob.Staged{Name: staged, Size: f.Size}, tail, final, publishID(c.Plan, f), blob.PutOptions{ContentType: contentType(j.set)}, commit.Options{})
}

func publishID(p *plan.Plan, f sink.File) string { return p.ID + "/" + path.Base(f.Staged) }

// inDest gives the staged object's name in the destination's bucket. With a state root elsewhere it is copied there first.
func (j *copyJob) inDest(ctx context.Context, p *plan.Plan, staged string) (string, error) {
	_, name := j.besideData(p.ID, staged)
	if name == staged {
		return staged, nil
	}
	return name, copyObject(ctx, j.st.Bucket, staged, j.dest.Bucket, name)
}

func (j *copyJob) footer(ctx context.Context, f sink.File, meta *parquet.FileMeta, v *dataset.Version, schema *column.Schema) ([]byte, error) {
	keyValue := map[string]string{}
	if v.Keys != nil {
		keyValue["dynaferry.keys"] = string(marshal(v.Keys))
	}
	if len(f.Constants) > 0 {
		keyValue["dynaferry.constants"] = string(marshal(f.Constants))
	}
	o := parquet.FooterOptions{KeyValue: keyValue, Version: j.env.Version}
	need, err := parquet.NeedLevels(meta, schema)
	if err != nil {
		return nil, err
	}
	if len(need) > 0 {
		info, err := j.st.Bucket.Head(ctx, f.Staged)
		if err != nil {
			return nil, err
		}
		at, err := blob.NewReaderAt(ctx, j.st.Bucket, info, blob.ReaderAtOptions{})
		if err != nil {
			return nil, err
		}
		defer at.Close()
		o.Staged = at
	}
	return parquet.Footer(meta, schema, o)
}

func contentType(set Copy) string {
	switch {
	case set.Form == source.Parquet:
		return "application/vnd.apache.parquet"
	case set.Compression == "gzip":
		return "application/gzip"
	case set.Compression == "zstd":
		return "application/zstd"
	case set.Form == source.CSV:
		return "text/csv; charset=utf-8"
	}
	return "application/x-ndjson"
}

// replacedSuffix ends the names of files set aside.
const replacedSuffix = ".replaced"

// setReplacedAside moves the files aside that no other one takes the place of.
func setReplacedAside(ctx context.Context, set *dataset.Set, v dataset.Version) error {
	widened := map[string]bool{}
	for _, f := range v.Added {
		widened[f.From] = true
	}
	files := set.ByName()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(publishers)
	for _, name := range v.Removed {
		if !widened[name] {
			group.Go(func() error {
				_, err := setAside(ctx, set, v.Plan, name, files[name].Size)
				return err
			})
		}
	}
	return group.Wait()
}

// setAside moves a file out of readers' sight, to where it says; vacuum alone frees its bytes. Done again it does nothing.
func setAside(ctx context.Context, set *dataset.Set, plan, name string, size int64) (to string, err error) {
	// Patterns such as **/*.parquet look into our folder too: the name no longer ends as data do.
	from := set.Name(name)
	to = set.Name(dataset.Hidden, "replaced", plan, name+replacedSuffix)
	_, err = commit.Publish(ctx, set.Root, blob.Staged{Name: from, Size: size}, nil, to, plan+"/replaced", blob.PutOptions{}, commit.Options{})
	if err == nil {
		err = set.Root.Delete(ctx, from)
	}
	if err != nil {
		return "", fmt.Errorf("set %s aside: %w", from, err)
	}
	return to, nil
}

// publishBeside writes the definition and, for the native layout, the manifests.
func (j *copyJob) publishBeside(ctx context.Context, set *dataset.Set, v dataset.Version, made *carried, objects []blob.Info) error {
	def, err := j.definition(ctx)
	if err != nil {
		return err
	}
	if def != nil {
		if _, err := set.Root.Put(ctx, set.Name(source.DefinitionName), marshal(def), blob.PutOptions{ContentType: "application/json"}); err != nil {
			return fmt.Errorf("write the table's definition: %w", err)
		}
	}
	if !j.set.native() {
		return nil
	}
	return j.writeManifests(ctx, set, v, made, objects, def)
}

// writeManifests writes what the service writes beside the data of a full export, the summary last.
func (j *copyJob) writeManifests(ctx context.Context, set *dataset.Set, v dataset.Version, made *carried, objects []blob.Info, def *dynamo.Definition) error {
	dir := path.Join(manifest.Folder, exportID(made))
	src, err := j.src.open(ctx, j.env, j.spec)
	if err != nil {
		return err
	}
	s := manifest.Summary{Version: manifest.FullVersion, StartTime: made.Start.Format(manifest.TimeLayout), EndTime: made.End.Format(manifest.TimeLayout),
		S3Bucket: j.at.Host, S3SseAlgorithm: "AES256", ManifestFilesS3Key: set.Name(dir, "manifest-files.json"), ItemCount: v.Items, OutputFormat: source.OutputFormat(j.set.Form)}
	if j.dest.Prefix != "" {
		s.S3Prefix = &j.dest.Prefix
	}
	if j.set.Objects.SSE == "aws:kms" {
		s.S3SseAlgorithm = "KMS"
		s.S3SseKmsKeyID = &j.set.Objects.KMSKey
	}
	j.exportTimes(&s, src, made, def)
	s.ExportARN = s.TableARN + "/export/" + exportID(made)
	var list []manifest.File
	for i, f := range v.Added {
		s.BilledSizeBytes += made.Files[i].Bytes
		list = append(list, manifest.File{ItemCount: f.Items, MD5: f.MD5, ETag: strings.Trim(objects[i].ETag, `"`), Key: set.Name(f.Name)})
	}
	files, err := manifest.AppendFiles(nil, list)
	if err != nil {
		return err
	}
	summary := marshal(s)
	for _, o := range []struct {
		name string
		body []byte
	}{{"_started", nil}, {"manifest-files.json", files}, {"manifest-files.md5", []byte(manifest.MD5(files))},
		{"manifest-summary.md5", []byte(manifest.MD5(summary))}, {"manifest-summary.json", summary}} {
		if _, err := set.Root.Put(ctx, set.Name(dir, o.name), o.body, blob.PutOptions{}); err != nil {
			return fmt.Errorf("write %s: %w", o.name, err)
		}
	}
	return nil
}

// exportTimes says which moment the export shows, and of which table.
func (j *copyJob) exportTimes(s *manifest.Summary, src source.Source, made *carried, def *dynamo.Definition) {
	exportTime := made.Start
	shows := j.momentOf(src, made)
	if t := src.Info().Time; !t.IsZero() {
		exportTime = t
	}
	if shows != nil {
		s.TableARN, s.TableID = shows.ARN, shows.ID
		exportTime = shows.Start
	}
	switch {
	case src.Info().Table != nil:
		// A scan has no single time. Whoever joins changes to it must begin before its first page, by more than clocks differ.
		s.Scan = &manifest.ScanTimes{Start: s.StartTime, End: s.EndTime}
		exportTime = made.Start.Add(-scanMargin)
		s.TableARN, s.TableID = src.Info().Table.ARN, src.Info().Table.ID
	case shows != nil && !shows.Start.Equal(shows.End):
		s.Scan = &manifest.ScanTimes{Start: shows.Start.Add(scanMargin).Format(manifest.TimeLayout), End: shows.End.Format(manifest.TimeLayout)}
	}
	s.ExportTime = exportTime.UTC().Format(manifest.TimeLayout)
	if s.TableARN == "" {
		s.TableARN = source.UnknownTableARN + tableNameOf(def)
	}
	if s.TableID == "" {
		s.TableID = source.UnknownTableID
	}
}

func tableNameOf(def *dynamo.Definition) string {
	if def == nil {
		return "unknown"
	}
	return def.Name
}

// Report is what a finished export or convert says.
type Report struct {
	Type        string  `json:"type"` // "report"
	Destination string  `json:"destination"`
	Format      string  `json:"format"`
	Version     int     `json:"version"` // of the data set
	Items       int64   `json:"items"`
	Read        int64   `json:"read"`              // before a filter
	Changes     int64   `json:"changes,omitempty"` // laid over what was read
	Fingerprint string  `json:"fingerprint"`
	Files       int     `json:"files"`
	Bytes       int64   `json:"bytes"`
	Partitions  int     `json:"partitions,omitempty"`
	Columns     int     `json:"columns,omitempty"`
	Units       float64 `json:"readUnits"`
	// Native is the service's own export that the files were made of; it took no read units.
	Native      *NativeExported `json:"native,omitempty"`
	Rejects     int64           `json:"rejects,omitempty"`
	Steps       int             `json:"steps,omitempty"`   // what the items went through; the fingerprint is of what came of them
	Dropped     int64           `json:"dropped,omitempty"` // by a step
	Refused     int64           `json:"refused,omitempty"` // of the rejects, those by a step
	DeadLetters []string        `json:"deadLetters,omitempty"`
	Replaced    int             `json:"replaced,omitempty"`
	Widened     int             `json:"widened,omitempty"` // files of earlier versions that got the new columns
	Recoded     int64           `json:"recodedBytes,omitempty"`
	Losses      losses          `json:"losses,omitempty"`
	Misfits     losses          `json:"misfits,omitempty"`
}

func (j *copyJob) report(set *dataset.Set, v dataset.Version, made *carried) *Report {
	r := &Report{Type: "report", Destination: j.at.String(), Format: v.Form, Version: v.Number, Items: v.Items, Read: made.Read, Changes: made.Told, Fingerprint: v.Fingerprint,
		Units: made.Units, Rejects: made.Rejects, Widened: v.Widens(), Recoded: made.Recoded, Losses: made.Losses, Native: j.set.Native,
		Steps: len(j.set.Steps), Dropped: made.Dropped, Refused: made.Refused}
	partitions := map[string]bool{}
	r.Files, r.Replaced = len(v.Added)-r.Widened, len(v.Removed)-r.Widened
	for _, f := range v.Added {
		if f.From != "" {
			continue
		}
		r.Bytes += f.Size
		if len(f.Partition) > 0 {
			partitions[partitionPath(f.Name)] = true
		}
	}
	r.Partitions = len(partitions)
	if schema, err := column.ParseSchema(v.Schema); err == nil && len(v.Schema) > 0 {
		r.Columns = len(schema.Fields)
	}
	for _, f := range made.Files {
		r.Misfits.addAll(f.Misfits)
	}
	return r
}

// publishDead makes the dead-letter files visible below the state root and returns their addresses.
func publishDead(ctx context.Context, st plan.State, files []sink.File) ([]string, error) {
	return publishLines(ctx, st, "dead-letters", files)
}

// publishLines makes files visible in a folder below the state root and returns their addresses.
func publishLines(ctx context.Context, st plan.State, folder string, files []sink.File) ([]string, error) {
	var names []string
	for _, f := range files {
		final := st.Name(folder, f.Final)
		if _, err := commit.Publish(ctx, st.Bucket, blob.Staged{Name: f.Staged, Size: f.Size}, nil, final, f.Staged, blob.PutOptions{}, commit.Options{}); err != nil {
			return nil, err
		}
		names = append(names, strings.TrimSuffix(st.Bucket.URL(), "/")+"/"+final)
	}
	return names, nil
}

// copyObject streams an object from one bucket to another; done again it does nothing.
func copyObject(ctx context.Context, from blob.Bucket, name string, to blob.Bucket, as string) error {
	r, info, err := from.Get(ctx, name, blob.ReadOptions{})
	if err != nil {
		return err
	}
	defer r.Close()
	if have, err := to.Head(ctx, as); err == nil && have.Size == info.Size {
		return nil
	} else if err != nil && !errors.Is(err, blob.ErrNotFound) {
		return err
	}
	w := blob.NewWriter(ctx, to, as, blob.WriterOptions{})
	defer w.Close()
	if _, err := io.Copy(w, r); err != nil {
		return fmt.Errorf("copy %s: %w", name, err)
	}
	_, err = w.Finish()
	return err
}
