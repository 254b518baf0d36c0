package world

import (
	"path/filepath"
	"testing"

	"dynaferry/internal/fault"
)

func TestParse(t *testing.T) {
	abs, err := filepath.Abs("some/dir")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text string
		want Address
	}{
		{"dynamodb://Orders", Address{Scheme: DynamoDB, Host: "Orders"}},
		{"dynamodb://Orders?region=eu-west-1&role=arn:aws:iam::1:role/x", Address{Scheme: DynamoDB, Host: "Orders", Region: "eu-west-1", Role: "arn:aws:iam::1:role/x"}},
		{"kinesis://changes?region=eu-west-1", Address{Scheme: Kinesis, Host: "changes", Region: "eu-west-1"}},
		{"firehose://orders?endpoint=http://127.0.0.1:9000", Address{Scheme: Firehose, Host: "orders", Endpoint: "http://127.0.0.1:9000"}},
		{"s3://lake", Address{Scheme: S3, Host: "lake"}},
		{"s3://lake/a/b/?endpoint=http://127.0.0.1:9000", Address{Scheme: S3, Host: "lake", Path: "a/b", Endpoint: "http://127.0.0.1:9000"}},
		{"some/dir", Address{Scheme: File, Path: abs}},
		{"file:///tmp/x", Address{Scheme: File, Path: "/tmp/x"}},
	} {
		got, err := Parse(c.text)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", c.text, got, err)
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("%s does not come back: %s", c.text, got)
		}
	}
	for _, bad := range []string{"", "gs://x", "dynamodb://", "dynamodb://ab", "dynamodb://Orders/x", "s3://UPPER", "s3://a", "s3://lake/../x", "s3://lake?colour=red",
		"s3://lake?region=a&region=b", "dynamodb://Or%20ders", "kinesis://", "kinesis://a/b", "kinesis://a b", "firehose://", "firehose://a/b"} {
		if got, err := Parse(bad); fault.KindOf(err) != fault.User {
			t.Errorf("%q: %+v, %v", bad, got, err)
		}
	}
}

func TestJoin(t *testing.T) {
	for _, c := range [][3]string{{"s3://lake", "x", "s3://lake/x"}, {"s3://lake/a", "/x/", "s3://lake/a/x"}, {"/tmp/a", "x/y", "/tmp/a/x/y"}, {"s3://lake/a", "", "s3://lake/a"}} {
		at, err := Parse(c[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := at.Join(c[1]).String(); got != c[2] {
			t.Errorf("%s and %s: %s, want %s", c[0], c[1], got, c[2])
		}
	}
}

func TestParent(t *testing.T) {
	for text, want := range map[string]string{"s3://lake/a/b?region=eu-west-1": "s3://lake/a?region=eu-west-1", "s3://lake/a": "s3://lake", "/a/b": "/a", "/a": "/",
		"s3://lake": "", "/": "", "dynamodb://Orders": ""} {
		at, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if parent, ok := at.Parent(); ok != (want != "") || ok && parent.String() != want {
			t.Errorf("%s: %s, %v", text, parent, ok)
		}
	}
}
