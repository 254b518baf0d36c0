//go:build peers

package peers_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestUpstreamDynamoDBLocal: in front of a DynamoDB Local our local world exports its tables, restores them to a time between
// writes, backs them up and imports new ones, whichever end was written through. Our own verify judges all of it.
func TestUpstreamDynamoDBLocal(t *testing.T) {
	endpoint := startDynamoDBLocal(t)
	p := startLocal(t, "--upstream", endpoint)
	there := "?endpoint=" + endpoint
	const n = 2000
	name, _ := writeItems(t, p.dir, "mixed", n)
	p.ferry(t, &imported{}, "import", name, "dynamodb://Past"+there, "--create", "--key", "pk", "--from-format", "dynamodb-json", "--write-units", "unlimited")
	p.native(t, "export", "dynamodb://Past", "s3://lake/past", "--native", "--enable-pitr", "--format", "dynamodb-json")
	equal(t, p, n, "dynamodb://Past", "s3://lake/past")

	// A time between writes, and what the table is then.
	first := p.addItems(t, "dynamodb://Past", "first", 30)
	p.ferry(t, &copied{}, "export", "dynamodb://Past"+there, "s3://lake/then", "--read-units", "unlimited")
	between := quiet()
	p.aws(t, "dynamodb", "delete-item", "--table-name", "Past", "--key", `{"pk":{"S":"first7"}}`)
	p.addItems(t, "dynamodb://Past"+there, "second", 20)

	p.native(t, "export", "dynamodb://Past", "--native", "--follow-on", "s3://lake/past")
	p.ferry(t, &copied{}, "convert", "s3://lake/past", "s3://lake/joined", "--overlay", "s3://lake/past")
	equal(t, p, n+first-1+20, "dynamodb://Past", "s3://lake/joined")
	p.native(t, "export", "dynamodb://Past", "s3://lake/native", "--native", "--at", between, "--format", "ion")
	p.aws(t, "dynamodb", "restore-table-to-point-in-time", "--source-table-name", "Past", "--target-table-name", "Then", "--restore-date-time", between)
	p.active(t, "Then")
	equal(t, p, n+first, "dynamodb://Then"+there, "s3://lake/then")
	equal(t, p, n+first, "dynamodb://Then", "s3://lake/native")

	t.Run("backup of a table that is not followed", func(t *testing.T) {
		name, n := writeItems(t, p.dir, "hostile", 0, refusals["dynamodb local"]...)
		p.ferry(t, &imported{}, "import", name, "dynamodb://Hostile"+there, "--create", "--key", "pk", "--from-format", "dynamodb-json", "--write-units", "unlimited")
		arn := strings.TrimSpace(p.aws(t, "dynamodb", "create-backup", "--table-name", "Hostile", "--backup-name", "whole", "--query", "BackupDetails.BackupArn", "--output", "text"))
		until(t, "the backup is AVAILABLE", func() bool {
			return strings.Contains(p.aws(t, "dynamodb", "describe-backup", "--backup-arn", arn), "AVAILABLE")
		})
		p.aws(t, "dynamodb", "restore-table-from-backup", "--target-table-name", "Again", "--backup-arn", arn)
		p.active(t, "Again")
		equal(t, p, n, "dynamodb://Again", "dynamodb://Hostile"+there)
	})
	t.Run("import", func(t *testing.T) {
		p.native(t, "import", "s3://lake/native", "dynamodb://Imported", "--native")
		equal(t, p, n+first, "dynamodb://Imported"+there, "s3://lake/then")
	})
}

// native runs an export or import of the service's, which has to end with 0.
func (p place) native(t *testing.T, args ...string) {
	t.Helper()
	p.must(t, program, args...)
}

// addItems puts n items more into a table and returns n.
func (p place) addItems(t *testing.T, table, stem string, n int64) int64 {
	t.Helper()
	var lines strings.Builder
	for i := range n {
		lines.WriteString(`{"Item":{"pk":{"S":"` + stem + strconv.FormatInt(i, 10) + `"},"n":{"N":"1"}}}` + "\n")
	}
	name := filepath.Join(p.dir, stem)
	if err := os.WriteFile(name, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	p.ferry(t, &imported{}, "import", name, table, "--overwrite", "--from-format", "dynamodb-json", "--write-units", "unlimited")
	return n
}

// active waits until a restored table has all its items.
func (p place) active(t *testing.T, table string) {
	t.Helper()
	until(t, "table "+table+" is ACTIVE", func() bool {
		return strings.TrimSpace(p.aws(t, "dynamodb", "describe-table", "--table-name", table, "--query", "Table.TableStatus", "--output", "text")) == "ACTIVE"
	})
}

// until waits for what goes on by itself.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// quiet returns a time that is no nearer than two seconds to any write: the stream of DynamoDB Local tells times to the
// minute, and what was seen when tells them to a second.
func quiet() string {
	const far = 2 * time.Second
	time.Sleep(far)
	at := time.Now().Add(time.Second).UTC().Truncate(time.Second)
	time.Sleep(far + time.Second)
	return at.Format(time.RFC3339)
}
