package dynamotest

import (
	"crypto/rand"
	"encoding/hex"
	"path"
	"strings"
	"testing"
	"time"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
)

// nativeWithin is longer than the service takes for a small table.
const nativeWithin = 30 * time.Minute

// native checks the service's own exports and imports: tokens, states, counts, refusals by code.
func native(t *testing.T, tb *table) {
	if tb.o.Bucket == "" {
		t.Skip("the counterpart exports and imports nothing")
	}
	n, ok := dynamo.Power[dynamo.Native](tb.client)
	if !ok {
		t.Fatal("no Native")
	}
	made := tb.create(t, dynamo.Definition{})
	if _, err := tb.client.BatchWrite(t.Context(), &dynamo.BatchWriteRequest{Table: tb.name, Puts: []item.Item{
		makeItem(t, "pk", "a", "sk", 1), makeItem(t, "pk", "a", "sk", 2)}}); err != nil {
		t.Fatal(err)
	}
	full := dynamo.ExportRequest{TableARN: made.ARN, Bucket: tb.o.Bucket, Prefix: "suite/" + tb.name, Format: "DYNAMODB_JSON", Token: token()}
	backups(t, tb, n, full)

	e := exported(t, n, full)
	if e.Items != 2 || e.At.IsZero() || time.Since(e.At).Abs() > time.Hour || !strings.HasPrefix(e.Manifest, full.Prefix+"/AWSDynamoDB/") {
		t.Errorf("a full export: %+v", e)
	}
	again, err := n.StartExport(t.Context(), &full)
	if err != nil || again.ARN != e.ARN {
		t.Errorf("the same token again: %+v, %v", again, err)
	}
	other := full
	other.Format = "ION"
	refused(t, "a token for another request", dynamo.CodeExportConflict, fault.Conflict, func() error {
		_, err := n.StartExport(t.Context(), &other)
		return err
	})
	long := dynamo.ExportRequest{TableARN: made.ARN, Bucket: tb.o.Bucket, Format: "ION", Token: token(), From: e.At.Add(-48 * time.Hour), To: e.At, View: "NEW_IMAGE"}
	refused(t, "a window of two days", dynamo.CodeInvalidExportTime, fault.User, func() error {
		_, err := n.StartExport(t.Context(), &long)
		return err
	})
	full.TableARN, full.Token = strings.ReplaceAll(made.ARN, tb.name, tb.name+"-none"), token()
	if _, err := n.StartExport(t.Context(), &full); fault.KindOf(err) != fault.NotFound {
		t.Errorf("an export of no table: %v", err)
	}
	if _, err := n.DescribeExport(t.Context(), made.ARN); err == nil {
		t.Error("a table's ARN is no export's")
	}
	imports(t, tb, n, path.Dir(e.Manifest)+"/data/")
}

// backups checks that they are off until they are turned on, and that exports say so.
func backups(t *testing.T, tb *table, n dynamo.Native, full dynamo.ExportRequest) {
	t.Helper()
	b, err := n.Backups(t.Context(), tb.name)
	if err != nil || b.Enabled {
		t.Fatalf("of a new table: %+v, %v", b, err)
	}
	refused(t, "an export without continuous backups", dynamo.CodeNoBackups, fault.User, func() error {
		_, err := n.StartExport(t.Context(), &full)
		return err
	})
	for range 2 {
		if err := (dynamo.Patient{Native: n}).EnableBackups(t.Context(), tb.name); err != nil {
			t.Fatal(err)
		}
	}
	if b, err = n.Backups(t.Context(), tb.name); err != nil || !b.Enabled || b.Latest.Before(b.Earliest) || b.Earliest.IsZero() {
		t.Errorf("turned on: %+v, %v", b, err)
	}
	if _, err := n.Backups(t.Context(), tb.name+"-none"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("of no table: %v", err)
	}
}

// imports checks an import of an export's data into a new table.
func imports(t *testing.T, tb *table, n dynamo.Native, prefix string) {
	t.Helper()
	name := tb.name + "-imported"
	t.Cleanup(func() { _ = tb.client.Delete(t.Context(), name) })
	req := dynamo.ImportRequest{Bucket: tb.o.Bucket, Prefix: prefix, Format: "DYNAMODB_JSON", Compression: "GZIP", Token: token(),
		Table: dynamo.Definition{Version: 1, Name: name, Keys: keys, BillingMode: "PAY_PER_REQUEST"}}
	i, err := n.StartImport(t.Context(), &req)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(nativeWithin); i.Status == dynamo.InProgress; time.Sleep(50 * time.Millisecond) {
		if i, err = n.DescribeImport(t.Context(), i.ARN); err != nil || time.Now().After(deadline) {
			t.Fatalf("%+v, %v", i, err)
		}
	}
	if i.Status != dynamo.Completed || i.Processed != 2 || i.Imported != 2 || i.Errors != 0 || i.ProcessedBytes == 0 || i.TableID == "" || i.LogGroup == "" {
		t.Errorf("an import: %+v", i)
	}
	if got, err := tb.client.Describe(t.Context(), name); err != nil || got.ID != i.TableID || got.Status != "ACTIVE" {
		t.Errorf("its table: %+v, %v", got, err)
	}
	req.Token = token()
	if _, err := n.StartImport(t.Context(), &req); fault.KindOf(err) != fault.Conflict {
		t.Errorf("into a table that is there: %v", err)
	}
	if n.ImportBytesMax() < 1<<40 {
		t.Errorf("at most %d bytes", n.ImportBytesMax())
	}
}

// exported makes an export and waits for it.
func exported(t *testing.T, n dynamo.Native, req dynamo.ExportRequest) *dynamo.Export {
	t.Helper()
	e, err := n.StartExport(t.Context(), &req)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(nativeWithin); e.Status == dynamo.InProgress; time.Sleep(50 * time.Millisecond) {
		if e, err = n.DescribeExport(t.Context(), e.ARN); err != nil || time.Now().After(deadline) {
			t.Fatalf("%+v, %v", e, err)
		}
	}
	if e.Status != dynamo.Completed {
		t.Fatalf("%+v", e)
	}
	return e
}

func refused(t *testing.T, what, code string, kind fault.Kind, call func() error) {
	t.Helper()
	if err := call(); dynamo.RefusedCode(err) != code || fault.KindOf(err) != kind {
		t.Errorf("%s: %v (%s), want %s (%s)", what, err, fault.KindOf(err), code, kind)
	}
}

func token() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
