package job

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/dataset"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/plan"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// NativeImport are the settings of an import that the service itself makes, into a table that it makes.
type NativeImport struct {
	Table       string            `json:"table"`
	Bucket      string            `json:"bucket"`
	Prefix      string            `json:"prefix"`
	Owner       string            `json:"bucketOwner,omitempty"`
	Format      string            `json:"format"`
	Compression string            `json:"compression"`
	Delimiter   string            `json:"delimiter,omitempty"`
	Header      []string          `json:"header,omitempty"`
	Definition  dynamo.Definition `json:"definition"`
}

type nativeImportJob struct {
	env    *Env
	set    NativeImport
	spec   source.Spec
	at     world.Address // of the table
	bucket blob.Bucket
	client dynamo.Client
	native dynamo.Native
}

// NewNativeImport prepares a native import: what the service would refuse or silently read otherwise is refused here.
func NewNativeImport(ctx context.Context, env *Env, spec source.Spec, wish ImportWish, owner string) (*Request, error) {
	j := &nativeImportJob{env: env}
	src, err := source.Open(ctx, env.World, spec)
	if err != nil {
		return nil, err
	}
	for _, warning := range src.Info().Warnings {
		env.say("warning: %s", warning)
	}
	if src.Address().Scheme != world.S3 {
		return nil, fault.Hint(fault.New(fault.User, "%s: the service imports from a bucket", src.Address()), "import it without --native")
	}
	j.spec = src.Spec()
	j.set = NativeImport{Table: wish.Table, Bucket: src.Address().Host, Owner: owner}
	if err := j.open(ctx); err != nil {
		return nil, err
	}
	if j.set.Definition, err = newDefinition(src, *wish.Create, wish.Keys, j.at.Host); err != nil {
		return nil, err
	}
	if len(wish.Compose) > 0 {
		return nil, fault.Hint(fault.New(fault.User, "--key: the service composes no keys"), "import it without --native")
	}
	if err := j.form(ctx, src); err != nil {
		return nil, err
	}
	if err := j.objects(ctx, src); err != nil {
		return nil, err
	}
	st, stateAt, err := j.state(ctx, src)
	if err != nil {
		return nil, err
	}
	r := &Request{State: st, StateAddress: stateAt, Job: j, Destination: j.at.String(), sources: []source.Source{src},
		costs: []string{"writes no write units", fmt.Sprintf("the service bills $%.2f a GB of the unpacked source (us-east-1)", priceImportGB)},
		Spec: plan.Spec{Verb: verbNativeImport, Source: marshal(j.spec), Settings: marshal(j.set), Tuning: marshal(Tuning{}), Writer: env.Version,
			Stands: func(ctx context.Context, p *plan.Plan) (bool, error) { return j.stands(ctx, st, p) },
			Tasks:  func(context.Context) ([]json.RawMessage, error) { return []json.RawMessage{json.RawMessage(`{}`)}, nil }}}
	if unfinished, err := plan.Unfinished(ctx, r.State, r.Spec); err != nil || unfinished && !env.Fresh {
		return r, err
	}
	return r, j.free(ctx)
}

// priceImportGB is in USD, us-east-1.
const priceImportGB = 0.15

func newNativeImport(env *Env, p *plan.Plan) (plan.Job, error) {
	j := &nativeImportJob{env: env}
	if _, err := parsePlan(p, &j.spec, &j.set); err != nil {
		return nil, err
	}
	return j, j.open(context.Background())
}

// open resolves addresses; it touches nothing.
func (j *nativeImportJob) open(ctx context.Context) (err error) {
	if j.at, err = world.Parse(j.set.Table); err != nil {
		return err
	}
	if j.at.Scheme != world.DynamoDB {
		return fault.New(fault.User, "%s is no table", j.at)
	}
	if j.client, err = j.env.World.Client(ctx, j.at); err != nil {
		return err
	}
	native, ok := dynamo.Power[dynamo.Native](j.client)
	if !ok {
		return fault.New(fault.Unsupported, "%s has no imports of its own", j.at)
	}
	j.native = dynamo.Patient{Native: native}
	from, err := world.Parse(j.spec.Address)
	if err != nil {
		return err
	}
	from.Path = ""
	loc, err := j.env.World.Existing(ctx, from)
	j.bucket = loc.Bucket
	return err
}

// free refuses a table that exists: the service makes its own.
func (j *nativeImportJob) free(ctx context.Context) error {
	_, err := dynamo.Describe(ctx, j.client, j.at.Host)
	switch {
	case fault.KindOf(err) == fault.NotFound:
		return nil
	case err != nil:
		return fmt.Errorf("describe %s: %w", j.at, err)
	}
	return fault.Hint(fault.New(fault.Conflict, "%s exists; the service imports into new tables only", j.at), "into an existing table: the same command without --native")
}

// form finds the service's words for the form of the files, which is one for all of them.
func (j *nativeImportJob) form(ctx context.Context, src source.Source) error {
	without := func(format string, args ...any) error {
		return fault.Hint(fault.New(fault.User, "%s: "+format, append([]any{src.Address()}, args...)...), "import it without --native, which can")
	}
	if src.Info().Kind == source.KindIncremental {
		return without("an incremental export holds changes, not items")
	}
	units, err := src.Units(ctx, taskBytesFiles, 1)
	if err != nil {
		return err
	}
	csv := src.Info().Form == source.CSV
	formats := map[string]string{source.DynamoDBJSON: "DYNAMODB_JSON", source.Ion: "ION", source.CSV: "CSV"}
	packings := map[string]string{"": "NONE", "none": "NONE", "gzip": "GZIP", "zstd": "ZSTD"}
	for _, u := range units {
		format, packing := formats[u.File.Form], packings[u.File.Compression]
		switch {
		case format == "":
			return without("the service imports dynamodb-json, ion and csv, not %s", u.File.Form)
		case packing == "":
			return without("the service unpacks gzip and zstd, not %s", u.File.Compression)
		case j.set.Format != "" && (format != j.set.Format || packing != j.set.Compression):
			return without("the service takes one format and one compression; %s differs from the others", u.File.Name)
		case len(u.File.Partition) > 0:
			return without("the service takes no columns from folders' names, as in %s", u.File.Name)
		}
		j.set.Format, j.set.Compression = format, packing
	}
	s := src.Spec()
	if csv && (len(s.Dialects) > 0 || s.CSV.Infer || len(s.CSV.Nulls) > 0) {
		return without("the service reads every CSV cell but the keys as text, and knows no --infer and no --null")
	}
	for name := range s.Types {
		if name != j.set.Definition.Keys.Hash.Name && name != j.set.Definition.Keys.Range.Name {
			return without("--types %s: the service gives types to the keys only", name)
		}
	}
	if !csv {
		return nil
	}
	if j.set.Delimiter, j.set.Header = s.CSV.Delimiter, s.CSV.Header; !strings.Contains(",;:|\t ", j.set.Delimiter) {
		return without("the service splits CSV at , ; : | tab and space, not at %q", j.set.Delimiter)
	}
	if len(j.set.Header) > headerMax {
		return without("the service takes %d columns, not %d", headerMax, len(j.set.Header))
	}
	return nil
}

// The service's limits of an import (Developer Guide, "Service quotas" and "Import validation").
const (
	importObjectsMax = 50_000
	headerMax        = 255
)

// objects finds the prefix, and looks that below it lie the source's files and nothing else: the service reads whatever
// begins with it.
func (j *nativeImportJob) objects(ctx context.Context, src source.Source) error {
	units, err := src.Units(ctx, taskBytesFiles, 1)
	if err != nil {
		return err
	}
	named, bytes := map[string]bool{}, int64(0)
	j.set.Prefix = units[0].File.Name
	for _, u := range units {
		named[u.File.Name] = true
		bytes += u.File.Size
		for !strings.HasPrefix(u.File.Name, j.set.Prefix) {
			j.set.Prefix = strings.TrimSuffix(j.set.Prefix, "/")
			j.set.Prefix = j.set.Prefix[:strings.LastIndex(j.set.Prefix, "/")+1]
		}
	}
	if len(units) > importObjectsMax {
		return fault.Hint(fault.New(fault.Limit, "%s: %d objects; the service imports %d at most", src.Address(), len(units), importObjectsMax), "import it without --native")
	}
	if most := j.native.ImportBytesMax(); bytes > most {
		return fault.Hint(fault.New(fault.Limit, "%s: %d bytes; the service imports %d at most in this Region", src.Address(), bytes, most), "import it without --native")
	}
	for info, err := range j.bucket.List(ctx, j.set.Prefix, "") {
		if err != nil {
			return fmt.Errorf("list what the service would read: %w", err)
		}
		if !named[info.Name] && info.Size > 0 {
			return fault.Hint(fault.New(fault.User, "the service would read %s too, which is not of %s: it reads all that begins with %q", info.Name, src.Address(), j.set.Prefix),
				"move the files to a prefix of their own, or import them without --native")
		}
	}
	return nil
}

// state finds the state root. What lies below the import's prefix would be read as data.
func (j *nativeImportJob) state(ctx context.Context, src source.Source) (plan.State, string, error) {
	below := path.Join(folderOf(src).Path, dataset.Hidden) + "/"
	if strings.HasPrefix(below, j.set.Prefix) && j.env.State == "" {
		return stateBeside(ctx, j.env)
	}
	st, at, err := stateBeside(ctx, j.env, src)
	if err != nil {
		return st, at, err
	}
	where, err := world.Parse(at)
	if err == nil && where.Scheme == world.S3 && where.Host == j.set.Bucket && strings.HasPrefix(where.Path+"/", j.set.Prefix) {
		err = fault.New(fault.User, "--state %s: the service would read it as data, being below %s", at, j.set.Prefix)
	}
	return st, at, err
}

// stands tells whether the table that a plan made is there.
func (j *nativeImportJob) stands(ctx context.Context, st plan.State, p *plan.Plan) (bool, error) {
	end, ended, err := plan.Ending(ctx, st, p)
	if err != nil || !ended {
		return false, err
	}
	var r NativeImportReport
	if err := json.Unmarshal(end.Report, &r); err != nil {
		return false, fault.New(fault.Corrupt, "report of plan %s: %w", p.ID, err)
	}
	desc, err := dynamo.Describe(ctx, j.client, j.at.Host)
	if fault.KindOf(err) == fault.NotFound {
		return false, nil
	}
	return err == nil && desc.ID == r.TableID, err
}

// NativeImportReport is what a finished native import says.
type NativeImportReport struct {
	Type      string   `json:"type"` // "native-import"
	Table     string   `json:"table"`
	TableID   string   `json:"tableId"`
	ID        string   `json:"id"`
	ARN       string   `json:"arn"`
	Processed int64    `json:"processed"`
	Imported  int64    `json:"imported"` // writes: of several items with one key each counts
	Errors    int64    `json:"errors"`
	Bytes     int64    `json:"processedBytes"` // unpacked
	Log       []string `json:"log,omitempty"`  // the first lines of the service's error log
	LogAt     string   `json:"logAt,omitempty"`
	Failure   *Failure `json:"failure,omitempty"`
}

// Err is the failure as an error.
func (r *NativeImportReport) Err() error {
	if r.Failure == nil {
		return nil
	}
	return r.Failure.Err(strings.TrimSuffix("import "+r.ID, " ") + " into " + r.Table)
}

// Task has the service import and waits for it, as a native export's does.
func (j *nativeImportJob) Task(ctx context.Context, a *plan.Attempt) (json.RawMessage, error) {
	r := &NativeImportReport{Type: "native-import", Table: j.at.String()}
	arn, err := readStarted(ctx, a)
	if err != nil {
		return nil, err
	}
	if arn == "" {
		i, err := j.native.StartImport(ctx, &dynamo.ImportRequest{Bucket: j.set.Bucket, Prefix: j.set.Prefix, BucketOwner: j.set.Owner, Format: j.set.Format,
			Compression: j.set.Compression, Delimiter: j.set.Delimiter, Header: j.set.Header, Table: j.set.Definition, Token: tokenOf(a, time.Time{})})
		if fault.KindOf(err) == fault.Conflict && dynamo.RefusedCode(err) == "" {
			return nil, fault.Hint(fmt.Errorf("begin the import: %w", err), "see whether it was made by this import: aws dynamodb list-imports; else start anew with --fresh")
		}
		if r.Failure = refusal(err); r.Failure != nil {
			return marshal(r), nil
		}
		if err != nil {
			return nil, hinted(fmt.Errorf("begin the import: %w", err))
		}
		j.env.say("import %s into %s has begun", path.Base(i.ARN), j.at)
		if arn, err = noteStarted(ctx, a, i.ARN); err != nil {
			return nil, err
		}
	}
	i, err := j.await(ctx, arn)
	if err != nil {
		return nil, hinted(err)
	}
	r.ID, r.ARN, r.TableID = path.Base(i.ARN), i.ARN, i.TableID
	r.Processed, r.Imported, r.Errors, r.Bytes = i.Processed, i.Imported, i.Errors, i.ProcessedBytes
	if i.Status != dynamo.Completed {
		r.Failure = &Failure{i.FailureCode, i.FailureMessage}
		if i.Status == dynamo.Cancelled {
			r.Failure = &Failure{i.Status, "it was cancelled; the table keeps what was loaded"}
		}
	}
	if r.Errors > 0 {
		j.readLog(ctx, i, r)
	}
	return marshal(r), nil
}

func (j *nativeImportJob) await(ctx context.Context, arn string) (i *dynamo.Import, err error) {
	begun := time.Now()
	err = poll(ctx, func() (bool, error) {
		if i, err = j.native.DescribeImport(ctx, arn); err != nil {
			return false, fmt.Errorf("look at the import: %w", err)
		}
		if i.Status != dynamo.InProgress && i.Status != dynamo.Cancelling {
			return true, nil
		}
		j.env.progress("import %s: %s, waiting for %s", path.Base(arn), i.Status, time.Since(begun).Round(time.Second))
		return false, nil
	})
	return i, err
}

// importLogLines bounds what a report carries of the error log; the log has the rest.
const (
	importLogLines    = 100
	importLogBytesMax = 64 << 20
)

// readLog fetches the error log: an object beside the data where a service writes one, else the log that it names. An import
// whose log cannot be read is over all the same, so that is told and no error.
func (j *nativeImportJob) readLog(ctx context.Context, i *dynamo.Import, r *NativeImportReport) {
	name := "aws-dynamodb/imports/" + r.ID + "/error"
	data, _, err := blob.ReadAll(ctx, j.bucket, name, importLogBytesMax)
	if err == nil {
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		r.Log, r.LogAt = lines[:min(len(lines), importLogLines)], "s3://"+j.set.Bucket+"/"+name
		return
	}
	r.LogAt = i.LogGroup + " stream " + r.ID + "/error"
	if r.Log, err = j.native.ImportErrors(ctx, i, importLogLines); err != nil {
		j.env.say("warning: the error log could not be read: %v", err)
	}
}

// Check has nothing to hold: the table is the service's.
func (j *nativeImportJob) Check(context.Context, plan.Result) error { return nil }

// Commit reports what the service did.
func (j *nativeImportJob) Commit(ctx context.Context, c *plan.Committing) (plan.Outcome, error) {
	res, err := c.Results.Result(ctx, 0)
	return plan.Outcome{Report: res.Body}, err
}

// Sweep removes what the plan staged.
func (j *nativeImportJob) Sweep(ctx context.Context, st plan.State, p *plan.Plan) error {
	return sweepStaged(ctx, st, p)
}
