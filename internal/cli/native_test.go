package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

const ordersTable = "Orders"

// native is the local pair with a client of the SDK.
type native struct {
	*dynamodb.Client
	t     *testing.T
	env   []string
	table string // ARN
}

func newNative(t *testing.T) *native {
	t.Helper()
	exe, err := exec.LookPath("dynaferry")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, exe, "local", "--json")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); _ = cmd.Wait() })
	n := &native{t: t, env: append(os.Environ(), "HOME="+t.TempDir())}
	var world struct {
		DynamoDB    string
		Environment []string
	}
	if err := json.NewDecoder(out).Decode(&world); err != nil {
		t.Fatal(err)
	}
	n.env = append(n.env, world.Environment...)
	n.Client = dynamodb.New(dynamodb.Options{Region: regionLocal, BaseEndpoint: &world.DynamoDB,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	return n
}

// run is a command of ours against the pair.
func (n *native) run(args ...string) string {
	n.t.Helper()
	cmd := exec.CommandContext(n.t.Context(), "dynaferry", args...)
	cmd.Env = n.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		n.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// export waits for an export and returns it.
func (n *native) export(in *dynamodb.ExportTableToPointInTimeInput) *types.ExportDescription {
	n.t.Helper()
	in.TableArn = &n.table
	begun, err := n.ExportTableToPointInTime(n.t.Context(), in)
	if err != nil {
		n.t.Fatal(err)
	}
	for {
		out, err := n.DescribeExport(n.t.Context(), &dynamodb.DescribeExportInput{ExportArn: begun.ExportDescription.ExportArn})
		if err != nil {
			n.t.Fatal(err)
		}
		if out.ExportDescription.ExportStatus != types.ExportStatusInProgress {
			return out.ExportDescription
		}
		time.Sleep(10 * time.Millisecond) // as any client polls
	}
}

// TestNative drives exports, imports and backups with the SDK against the program as users start it, S3 half included, and
// judges them with our own verbs.
func TestNative(t *testing.T) {
	n := newNative(t)
	ctx := t.Context()
	lines := t.TempDir() + "/orders.jsonl"
	var text strings.Builder
	for i := range 300 {
		fmt.Fprintf(&text, "{\"id\":\"o-%d\",\"total\":%d,\"tags\":[\"a\",\"b\"]}\n", i, i)
	}
	if err := os.WriteFile(lines, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	n.run("import", lines, "dynamodb://"+ordersTable, "--create", "--key", "id")
	table, err := n.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: sdk.String(ordersTable)})
	if err != nil {
		t.Fatal(err)
	}
	n.table = *table.Table.TableArn
	on := &types.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: sdk.Bool(true)}
	if _, err := n.UpdateContinuousBackups(ctx, &dynamodb.UpdateContinuousBackupsInput{TableName: &n.table, PointInTimeRecoverySpecification: on}); err != nil {
		t.Fatal(err)
	}
	full := n.export(&dynamodb.ExportTableToPointInTimeInput{S3Bucket: sdk.String("lake"), S3Prefix: sdk.String("native"), ExportFormat: types.ExportFormatIon})
	if full.ExportStatus != types.ExportStatusCompleted || *full.ItemCount != 300 {
		t.Fatalf("%+v", full)
	}
	dir := "s3://lake/" + path.Dir(*full.ExportManifest)
	n.run("verify", dir, "dynamodb://"+ordersTable, "--key", "id")
	n.run("convert", dir, t.TempDir()+"/out", "--format", "parquet")
	lost := n.export(&dynamodb.ExportTableToPointInTimeInput{S3Bucket: sdk.String("nowhere")})
	if lost.ExportStatus != types.ExportStatusFailed || *lost.FailureCode != "S3NoSuchBucket" ||
		!strings.Contains(*lost.FailureMessage, "bucket does not exist") {
		t.Errorf("%+v", lost)
	}
	n.importTable(dir, "Again")
	n.run("verify", "dynamodb://Again", "dynamodb://"+ordersTable, "--key", "id")
	n.backup("Back")
	n.run("verify", "dynamodb://Back", "dynamodb://"+ordersTable, "--key", "id")
}

// importTable imports a full export's data folder into a new table.
func (n *native) importTable(dir, name string) {
	n.t.Helper()
	out, err := n.ImportTable(n.t.Context(), &dynamodb.ImportTableInput{
		S3BucketSource: &types.S3BucketSource{S3Bucket: sdk.String("lake"), S3KeyPrefix: sdk.String(strings.TrimPrefix(dir, "s3://lake/") + "/data/")},
		InputFormat:    types.InputFormatIon, InputCompressionType: types.InputCompressionTypeGzip,
		TableCreationParameters: &types.TableCreationParameters{TableName: &name, BillingMode: types.BillingModePayPerRequest,
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: sdk.String("id"), AttributeType: "S"}},
			KeySchema:            []types.KeySchemaElement{{AttributeName: sdk.String("id"), KeyType: "HASH"}}},
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.active(name)
	done, err := n.DescribeImport(n.t.Context(), &dynamodb.DescribeImportInput{ImportArn: out.ImportTableDescription.ImportArn})
	if err != nil || done.ImportTableDescription.ImportStatus != types.ImportStatusCompleted || done.ImportTableDescription.ImportedItemCount != 300 {
		n.t.Fatalf("%+v %v", done, err)
	}
}

// backup takes a backup and restores it under another name.
func (n *native) backup(name string) {
	n.t.Helper()
	ctx := n.t.Context()
	begun, err := n.CreateBackup(ctx, &dynamodb.CreateBackupInput{TableName: sdk.String(ordersTable), BackupName: sdk.String("whole")})
	if err != nil {
		n.t.Fatal(err)
	}
	for {
		out, err := n.DescribeBackup(ctx, &dynamodb.DescribeBackupInput{BackupArn: begun.BackupDetails.BackupArn})
		if err != nil {
			n.t.Fatal(err)
		}
		if out.BackupDescription.BackupDetails.BackupStatus == types.BackupStatusAvailable {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := n.RestoreTableFromBackup(ctx, &dynamodb.RestoreTableFromBackupInput{BackupArn: begun.BackupDetails.BackupArn, TargetTableName: &name}); err != nil {
		n.t.Fatal(err)
	}
	n.active(name)
}

func (n *native) active(name string) {
	n.t.Helper()
	w := dynamodb.NewTableExistsWaiter(n.Client, func(o *dynamodb.TableExistsWaiterOptions) { o.MinDelay, o.MaxDelay = 20*time.Millisecond, time.Second })
	if err := w.Wait(n.t.Context(), &dynamodb.DescribeTableInput{TableName: &name}, time.Minute); err != nil {
		n.t.Fatal(err)
	}
}
