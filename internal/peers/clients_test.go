//go:build peers

package peers_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// endpoint returns where a place's half is.
func (p place) endpoint(half string) string {
	for _, pair := range p.env {
		if url, ok := strings.CutPrefix(pair, "AWS_ENDPOINT_URL_"+half+"="); ok {
			return url
		}
	}
	return ""
}

// aws runs the AWS CLI.
func (p place) aws(t *testing.T, args ...string) string {
	t.Helper()
	return p.must(t, need(t, "python", "python/bin/aws"), args...)
}

// TestBoto3 drives our local world with the AWS SDK for Python.
func TestBoto3(t *testing.T) {
	p := startLocal(t)
	t.Log(p.must(t, pythonOf(t, "python"), filepath.Join(root, "internal/peers/boto3_drive.py")))
}

// TestAWSCLI drives our local world with the AWS CLI.
func TestAWSCLI(t *testing.T) {
	p := startLocal(t)
	p.aws(t, "dynamodb", "create-table", "--table-name", "Music", "--billing-mode", "PAY_PER_REQUEST", "--attribute-definitions",
		"AttributeName=artist,AttributeType=S", "AttributeName=year,AttributeType=N",
		"--key-schema", "AttributeName=artist,KeyType=HASH", "AttributeName=year,KeyType=RANGE")
	p.aws(t, "dynamodb", "wait", "table-exists", "--table-name", "Music")
	for _, year := range []string{"1959", "1960", "1965"} {
		p.aws(t, "dynamodb", "put-item", "--table-name", "Music", "--item",
			`{"artist":{"S":"Coltrane"},"year":{"N":"`+year+`"},"tags":{"SS":["jazz","sax"]},"plays":{"N":"0"}}`)
	}
	expect := func(want string, args ...string) {
		t.Helper()
		if got := strings.Join(strings.Fields(p.aws(t, args...)), " "); got != want {
			t.Errorf("aws %s:\n got %s\nwant %s", strings.Join(args, " "), got, want)
		}
	}
	expect("Music", "dynamodb", "list-tables", "--query", "TableNames", "--output", "text")
	expect("1960 1965", "dynamodb", "query", "--table-name", "Music", "--key-condition-expression", "artist = :a AND #y > :y",
		"--expression-attribute-names", `{"#y":"year"}`, "--expression-attribute-values", `{":a":{"S":"Coltrane"},":y":{"N":"1959"}}`,
		"--query", "Items[].year.N", "--output", "text")
	expect("2", "dynamodb", "update-item", "--table-name", "Music", "--key", `{"artist":{"S":"Coltrane"},"year":{"N":"1960"}}`,
		"--update-expression", "ADD plays :two", "--expression-attribute-values", `{":two":{"N":"2"}}`, "--return-values", "UPDATED_NEW",
		"--query", "Attributes.plays.N", "--output", "text")
	// Two items a page: the CLI pages by itself.
	expect("3", "dynamodb", "scan", "--table-name", "Music", "--page-size", "2", "--query", "length(Items)")
	p.aws(t, "dynamodb", "delete-item", "--table-name", "Music", "--key", `{"artist":{"S":"Coltrane"},"year":{"N":"1965"}}`)
	expect("2", "dynamodb", "scan", "--table-name", "Music", "--select", "COUNT", "--query", "Count")
	if r := p.command(t, need(t, "python", "python/bin/aws"), "dynamodb", "get-item", "--table-name", "Nobody", "--key", `{"a":{"S":"b"}}`); r.code == 0 ||
		!strings.Contains(r.err, "ResourceNotFoundException") {
		t.Errorf("a table that is not there: exit %d, %s", r.code, r.err)
	}

	name := filepath.Join(p.dir, "large")
	data := strings.Repeat("0123456789abcdef", 20<<20/16) // the CLI sends it in parts
	if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	p.aws(t, "s3", "mb", "s3://attic")
	p.aws(t, "s3", "cp", name, "s3://attic/a/large", "--only-show-errors")
	p.aws(t, "s3", "cp", "s3://attic/a/large", name+"2", "--only-show-errors")
	if got, err := os.ReadFile(name + "2"); err != nil || string(got) != data {
		t.Errorf("20 MiB came back as %d bytes: %v", len(got), err)
	}
	if got := p.aws(t, "s3", "ls", "s3://attic", "--recursive"); !strings.Contains(got, "20971520 a/large") {
		t.Errorf("ls: %s", got)
	}
	p.aws(t, "s3", "rb", "s3://attic", "--force")
}
