package job

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/commit"
	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/manifest"
	"dynaferry/internal/plan"
	"dynaferry/internal/source"
	"dynaferry/internal/world"
)

// NativeExported is one export as the service made it.
type NativeExported struct {
	ID          string    `json:"id"`
	ARN         string    `json:"arn"`
	At          time.Time `json:"at,omitzero"`   // of a full export
	From        time.Time `json:"from,omitzero"` // of an incremental one: inclusive
	To          time.Time `json:"to,omitzero"`   // exclusive
	Items       int64     `json:"items"`
	Files       int       `json:"files"`
	BilledBytes int64     `json:"billedBytes"`
	Manifest    string    `json:"manifest,omitempty"` // name in the bucket
	Failure     *Failure  `json:"failure,omitempty"`
}

// Failure is why the service gave an export or an import up.
type Failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Task has the service make one export and waits for it. An attempt that dies leaves a note of the export it had begun, and
// the next waits for that one; between the request and the note the client token stands for it.
func (j *nativeJob) Task(ctx context.Context, a *plan.Attempt) (json.RawMessage, error) {
	var t nativeTask
	if err := json.Unmarshal(a.Task.Body, &t); err != nil {
		return nil, fault.New(fault.Corrupt, "task %d: %w", a.Task.Index, err)
	}
	if err := j.writeDefinition(ctx, a, t.Definition); err != nil {
		return nil, err
	}
	arn, err := readStarted(ctx, a)
	if err != nil {
		return nil, err
	}
	if arn == "" {
		arn, err = j.start(ctx, a, t)
		if f := refusal(err); f != nil {
			return marshal(NativeExported{At: t.At, From: t.From, To: t.To, Failure: f}), nil
		}
		if err != nil {
			return nil, hinted(err)
		}
		if arn, err = noteStarted(ctx, a, arn); err != nil {
			return nil, err
		}
	}
	e, err := j.await(ctx, arn)
	if err != nil {
		return nil, hinted(err)
	}
	done := NativeExported{ID: path.Base(e.ARN), ARN: e.ARN, At: e.At, From: e.From, To: e.To, Items: e.Items, BilledBytes: e.BilledBytes,
		Manifest: e.Manifest}
	if e.Status != dynamo.Completed {
		done.Failure = &Failure{e.FailureCode, e.FailureMessage}
		return marshal(done), nil
	}
	if done.Files, err = j.arrived(ctx, e); err != nil {
		return nil, err
	}
	return marshal(done), nil
}

// writeDefinition puts the table's definition beside what the service writes.
func (j *nativeJob) writeDefinition(ctx context.Context, a *plan.Attempt, def *dynamo.Definition) error {
	if def == nil {
		return nil
	}
	bucket, prefix := j.place(a.Plan)
	if _, err := bucket.Put(ctx, path.Join(prefix, source.DefinitionName), marshal(def), blob.PutOptions{ContentType: "application/json"}); err != nil {
		return fmt.Errorf("write the table's definition: %w", err)
	}
	return nil
}

// place is where the service writes: the destination, or below the plan's staged objects when it is to be converted.
func (j *nativeJob) place(p *plan.Plan) (blob.Bucket, string) {
	if j.set.Copy == nil {
		return j.dest.Bucket, j.dest.Prefix
	}
	return j.st.Bucket, j.st.Name("plans", p.ID, "staged", nativeStaged)
}

// start begins the export. A window that the service calls too short, and that may be longer, ends later.
func (j *nativeJob) start(ctx context.Context, a *plan.Attempt, t nativeTask) (string, error) {
	_, prefix := j.place(a.Plan)
	req := &dynamo.ExportRequest{TableARN: j.table.ARN, Bucket: j.into.Host, Prefix: prefix, BucketOwner: j.set.Owner, KMSKey: j.set.KMSKey,
		Format: source.OutputFormat(j.set.Form), At: t.At, From: t.From, To: t.To, View: j.set.View}
	if req.Format == "" {
		req.Format = source.OutputFormat(source.DynamoDBJSON)
	}
	for {
		end := req.To
		if !req.Incremental() {
			end = req.At
		}
		if err := j.awaitLatest(ctx, end); err != nil {
			return "", err
		}
		req.Token = tokenOf(a, end)
		e, err := j.native.StartExport(ctx, req)
		if least := t.From.Add(windowLeast); dynamo.RefusedCode(err) == dynamo.CodeInvalidExportTime && t.Extend && req.To.Before(least) {
			if early, askErr := j.early(ctx, t.From); early || askErr != nil {
				return "", cmp.Or(askErr, fmt.Errorf("begin the export: %w", err))
			}
			j.env.say("the service takes no window of %s: waiting until it is %s long, to %s", req.To.Sub(req.From).Round(time.Second), windowLeast, timeText(least))
			req.To = least
			continue
		}
		if err != nil {
			return "", fmt.Errorf("begin the export: %w", err)
		}
		j.env.say("export %s of %s has begun", path.Base(e.ARN), j.table.Address)
		return e.ARN, nil
	}
}

// early tells whether the service has no changes from a time on: it refuses a window that begins there however long that becomes.
func (j *nativeJob) early(ctx context.Context, from time.Time) (bool, error) {
	table, err := world.Parse(j.table.Address)
	if err != nil {
		return false, err
	}
	b, err := j.known(ctx, table.Host)
	if err != nil {
		return false, err
	}
	desc, err := j.client.Describe(ctx, table.Host)
	if err != nil {
		return false, fmt.Errorf("look when %s was made: %w", table.Host, err)
	}
	return from.Before(b.Earliest) || from.Before(desc.Created.Truncate(time.Second)), nil // windows know no finer times
}

// tokenOf is the client token of a request: the same for every attempt of a generation, and for none else. A request that
// was refused has used up none.
func tokenOf(a *plan.Attempt, end time.Time) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d %d", a.Plan.ID, a.Task.Index, a.Generation, end.Unix()))
	return hex.EncodeToString(sum[:16])
}

func startedName(a *plan.Attempt) string {
	return a.State.Name("plans", a.Plan.ID, "started", fmt.Sprintf("%d.%d", a.Task.Index, a.Generation))
}

type started struct {
	ARN string `json:"arn"`
}

// readStarted is the export or import that an earlier attempt began, "" when there is none.
func readStarted(ctx context.Context, a *plan.Attempt) (string, error) {
	body, err := commit.Read(ctx, a.State.Bucket, startedName(a))
	if errors.Is(err, blob.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for what was begun: %w", err)
	}
	var s started
	if err := json.Unmarshal(body, &s); err != nil {
		return "", fault.New(fault.Corrupt, "%s: %w", startedName(a), err)
	}
	return s.ARN, nil
}

// noteStarted keeps what was begun, and returns what stands there.
func noteStarted(ctx context.Context, a *plan.Attempt, arn string) (string, error) {
	res, err := commit.Put(ctx, a.State.Bucket, startedName(a), marshal(started{arn}), commit.Options{})
	if err != nil {
		return "", fmt.Errorf("note what was begun: %w", err)
	}
	var s started
	if err := json.Unmarshal(res.Body, &s); err != nil {
		return "", fault.New(fault.Corrupt, "%s: %w", startedName(a), err)
	}
	return s.ARN, nil
}

// Polls begin quickly, for services that are done at once, and become as rare as fits ones that take ten minutes for the
// smallest table.
const (
	nativePollFirst = 20 * time.Millisecond
	nativePollMost  = 15 * time.Second
	// nativeSilence is how long the service may not answer while something of ours goes on there.
	nativeSilence = 15 * time.Minute
)

// poll asks until done says so. Answers that get lost are asked for again; anything else ends the wait.
func poll(ctx context.Context, ask func() (done bool, err error)) error {
	heard := time.Now()
	for wait := nativePollFirst; ; wait = min(wait*3/2, nativePollMost) {
		done, err := ask()
		switch {
		case err == nil && done:
			return nil
		case err == nil:
			heard = time.Now()
		case ctx.Err() != nil || !fault.Retryable(err) || time.Since(heard) > nativeSilence:
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// awaitLatest waits until the service knows the table up to a time. A service that does not tell is asked anyway.
func (j *nativeJob) awaitLatest(ctx context.Context, until time.Time) error {
	if until.IsZero() {
		return nil
	}
	table, err := world.Parse(j.table.Address)
	if err != nil {
		return err
	}
	return poll(ctx, func() (bool, error) {
		b, err := j.native.Backups(ctx, table.Host)
		if err != nil {
			return false, err
		}
		if !b.Enabled || b.Latest.IsZero() || !b.Latest.Before(until) {
			return true, nil
		}
		j.env.progress("waiting until %s can be exported as of %s: the service is at %s", table.Host, timeText(until), timeText(b.Latest))
		return false, nil
	})
}

// await waits for the end of an export.
func (j *nativeJob) await(ctx context.Context, arn string) (e *dynamo.Export, err error) {
	begun := time.Now()
	err = poll(ctx, func() (bool, error) {
		if e, err = j.native.DescribeExport(ctx, arn); err != nil {
			return false, fmt.Errorf("look at the export: %w", err)
		}
		if e.Status != dynamo.InProgress {
			return true, nil
		}
		j.env.progress("export %s: %s, waiting for %s", path.Base(arn), e.Status, time.Since(begun).Round(time.Second))
		return false, nil
	})
	return e, err
}

// arrived holds what lies in the bucket against what the service said of it: manifests, their checksums, that each file is
// there, and the counts. The files' own checksums are held against their bytes by whoever reads them.
func (j *nativeJob) arrived(ctx context.Context, e *dynamo.Export) (files int, err error) {
	bucket := j.dest.Bucket
	if j.set.Copy != nil {
		bucket = j.st.Bucket
	}
	found, err := manifest.Open(ctx, bucket, path.Dir(e.Manifest))
	if err != nil {
		return 0, fmt.Errorf("check export %s on arrival: %w", path.Base(e.ARN), err)
	}
	for _, warning := range found.Warnings {
		j.env.say("warning: %s", warning)
	}
	s := found.Summary
	if s.ItemCount != e.Items || s.ExportARN != e.ARN {
		return 0, fault.Hint(fault.New(fault.Corrupt, "export %s: its manifest tells of %s with %d items, the service of %d items", path.Base(e.ARN), s.ExportARN, s.ItemCount, e.Items),
			"export anew: --fresh")
	}
	return len(found.Files), nil
}

// Check holds the manifest of a finished export against the store once more, before the commit.
func (j *nativeJob) Check(ctx context.Context, r plan.Result) error {
	e, err := bodyOf[NativeExported](r)
	if err != nil {
		return err
	}
	if e.Failure != nil {
		return nil
	}
	bucket := j.dest.Bucket
	if j.set.Copy != nil {
		bucket = j.st.Bucket
	}
	there, err := exists(ctx, bucket, e.Manifest)
	if err == nil && !there {
		return fault.New(fault.NotFound, "%s of export %s is gone", e.Manifest, e.ID)
	}
	return err
}

// refusal is what the service will say to this request however often it is sent, nil when another try may help. It ends the
// plan: the next is of other times.
func refusal(err error) *Failure {
	if k := fault.KindOf(err); err == nil || k != fault.User && k != fault.Conflict {
		return nil
	}
	var refused *dynamo.RefusedError
	if errors.As(err, &refused) {
		return &Failure{refused.Code, refused.Message}
	}
	return &Failure{codeValidation, fault.Reason(err)}
}

const codeValidation = "ValidationException"

// hinted gives errors after which the same plan can go on the one thing to try.
func hinted(err error) error {
	if dynamo.RefusedCode(err) == dynamo.CodeLimitExceeded {
		return fault.Hint(err, "wait until others of the account's exports or imports have ended, then run the same command again")
	}
	if fault.KindOf(err) == fault.Permission {
		return fault.Hint(err, "allow dynamodb:ExportTableToPointInTime, DescribeExport, DescribeContinuousBackups, ImportTable and DescribeImport")
	}
	return err
}

// failures are the kind and hint of the service's failure codes.
var failures = map[string]struct {
	kind fault.Kind
	hint string
}{
	codeValidation:                   {fault.User, "change what the service names"},
	dynamo.CodeNoBackups:             {fault.User, "turn continuous backups on: --enable-pitr"},
	dynamo.CodeInvalidExportTime:     {fault.User, "aws dynamodb describe-continuous-backups tells the times that can be exported; a window is 15 minutes to 24 hours"},
	dynamo.CodeExportConflict:        {fault.Conflict, "run the same command again"},
	dynamo.CodeImportConflict:        {fault.Conflict, "run the same command again"},
	dynamo.Cancelled:                 {fault.Conflict, "delete the table, and run the same command again"},
	"S3NoSuchBucket":                 {fault.NotFound, "make the bucket, or name another"},
	"S3AccessDenied":                 {fault.Permission, "allow s3:PutObject, s3:PutObjectAcl and s3:AbortMultipartUpload on the bucket; for a bucket of another account give --bucket-owner"},
	"AccessDenied":                   {fault.Permission, "allow s3:PutObject, s3:PutObjectAcl and s3:AbortMultipartUpload on the bucket; for a bucket of another account give --bucket-owner"},
	"KMSAccessDenied":                {fault.Permission, "allow kms:GenerateDataKey and kms:Decrypt on the key, which is of the bucket's Region"},
	"KmsKeyDisabled":                 {fault.Permission, "enable the key, or name another"},
	"PointInTimeRecoveryUnavailable": {fault.User, "choose a later time: what is older is not kept any more"},
	"ItemValidationError":            {fault.Partial, "see the errors above; import the rest without --native, which puts aside what DynamoDB refuses"},
	"ObjectModifiedInS3DuringImport": {fault.Conflict, "delete the table, leave the objects alone, and run the same command again"},
}

// Err is the failure as an error, what names what failed.
func (f *Failure) Err(what string) error {
	known, ok := failures[f.Code]
	if !ok {
		known.kind, known.hint = fault.Unavailable, "run the same command again"
		if f.Code != "InternalServerError" {
			known.kind = fault.User
		}
	}
	return fault.Hint(fault.New(known.kind, "%s failed: %s: %s", what, f.Code, f.Message), "%s", known.hint)
}
