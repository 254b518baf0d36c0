package aws

import (
	"net/http"
	"strings"
	"testing"

	"dynaferry/internal/fault"
)

// A carrier signs with the credentials of the environment, for an endpoint on this machine also without any, and refuses
// endpoints as everything here does.
func TestCarry(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	sign := func(endpoint string, o Options) string {
		o.Endpoint = endpoint
		c, err := Carry(t.Context(), o)
		if err != nil {
			return err.Error()
		}
		r, err := http.NewRequest(http.MethodPost, endpoint, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Sign(r, "dynamodb", []byte("{}")); err != nil {
			return err.Error()
		}
		return r.Header.Get("Authorization")
	}
	if got := sign("http://127.0.0.1:8000", Options{}); !strings.Contains(got, "Credential=dynaferry/") || !strings.Contains(got, "/us-east-1/dynamodb/") {
		t.Error(got)
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	if got := sign("https://scylla.example:8043", Options{Region: "eu-west-1"}); !strings.Contains(got, "credentials for scylla.example:8043") {
		t.Error(got)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "mine")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	if got := sign("https://scylla.example:8043", Options{Region: "eu-west-1"}); !strings.Contains(got, "Credential=mine/") || !strings.Contains(got, "/eu-west-1/") {
		t.Error(got)
	}
	if got := sign("http://127.0.0.1:8000", Options{}); !strings.Contains(got, "Credential=mine/") {
		t.Error(got)
	}
	_, err := Carry(t.Context(), Options{Endpoint: "http://scylla.example:8000"})
	if fault.KindOf(err) != fault.User || !strings.Contains(err.Error(), "plain http to another machine") {
		t.Error(err)
	}
}
