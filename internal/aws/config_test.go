package aws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

const configFile = `[default]
region = eu-central-1
[profile dev]
region = eu-west-3
services = local
[services local]
s3 =
  endpoint_url = http://127.0.0.1:4001
dynamodb =
  endpoint_url = http://127.0.0.1:4002
`

// TestEndpoints: as the AWS CLI finds them, and by hand before all others.
func TestEndpoints(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(configFile), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONFIG_FILE", file)
	for _, c := range []struct {
		env                   map[string]string
		options               Options
		region, s3url, dynamo string
	}{
		{nil, Options{}, "eu-central-1", "", ""},
		{nil, Options{Region: "eu-west-1"}, "eu-west-1", "", ""},
		{map[string]string{"AWS_REGION": "us-west-2"}, Options{}, "us-west-2", "", ""},
		{map[string]string{"AWS_REGION": "us-west-2"}, Options{Region: "eu-west-1"}, "eu-west-1", "", ""},
		{nil, Options{Profile: "dev"}, "eu-west-3", "http://127.0.0.1:4001", "http://127.0.0.1:4002"},
		{map[string]string{"AWS_PROFILE": "dev"}, Options{}, "eu-west-3", "http://127.0.0.1:4001", "http://127.0.0.1:4002"},
		{map[string]string{"AWS_ENDPOINT_URL": "http://localhost:1"}, Options{}, "eu-central-1", "http://localhost:1", "http://localhost:1"},
		{map[string]string{"AWS_ENDPOINT_URL": "http://localhost:1", "AWS_ENDPOINT_URL_S3": "http://localhost:2"}, Options{},
			"eu-central-1", "http://localhost:2", "http://localhost:1"},
		{map[string]string{"AWS_ENDPOINT_URL": "http://localhost:1", "AWS_ENDPOINT_URL_DYNAMODB": "http://localhost:3"}, Options{},
			"eu-central-1", "http://localhost:1", "http://localhost:3"},
		{map[string]string{"AWS_ENDPOINT_URL_S3": "http://localhost:2"}, Options{Endpoint: "https://store.example"}, "eu-central-1",
			"https://store.example", "https://store.example"},
		{map[string]string{"AWS_ENDPOINT_URL": "http://localhost:1", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, Options{},
			"eu-central-1", "", ""},
	} {
		t.Run(fmt.Sprint(c.env, c.options), func(t *testing.T) {
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			s, err := Load(t.Context(), c.options)
			if err != nil {
				t.Fatal(err)
			}
			s3cfg, err := s.S3Config()
			if err != nil {
				t.Fatal(err)
			}
			dynamo, err := s.DynamoDBConfig()
			if err != nil {
				t.Fatal(err)
			}
			if deref(s3cfg.BaseEndpoint) != c.s3url || deref(dynamo.BaseEndpoint) != c.dynamo || s3cfg.Region != c.region {
				t.Errorf("s3 %q, dynamodb %q, region %q", deref(s3cfg.BaseEndpoint), deref(dynamo.BaseEndpoint), s3cfg.Region)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	if _, err := Load(t.Context(), Options{Profile: "nobody"}); fault.KindOf(err) != fault.User || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("an unknown profile: %v", err)
	}
	s, err := Load(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.S3Config(); fault.KindOf(err) != fault.User || fault.HintOf(err) == "" {
		t.Errorf("no region: %v", err)
	}
	for _, endpoint := range []string{"localhost:9000", "ftp://x", "http://", "http://minio:9000", "http://10.0.0.1:9000", "http://user:pw@localhost",
		"https://x/?a=b", "https://169.254.169.254", "https://[fe80::1]", "https://[fd00:ec2::254]", "https://[::ffff:169.254.169.254]",
		"https://0.0.0.0", "https://[::]", "https://[64:ff9b::a9fe:a9fe]", "http://169.254.169.254/latest", "http://%zz"} {
		_, err := Load(t.Context(), Options{Endpoint: endpoint})
		if fault.KindOf(err) != fault.User || strings.Contains(err.Error(), "pw") {
			t.Errorf("endpoint %s: %v", endpoint, err)
		}
		t.Setenv("AWS_ENDPOINT_URL", endpoint)
		t.Setenv("AWS_REGION", "eu-west-1")
		if s, err := Load(t.Context(), Options{}); err == nil {
			if _, err = s.S3Config(); fault.KindOf(err) != fault.User {
				t.Errorf("endpoint %s by environment: %v", endpoint, err)
			}
		}
	}
	for _, endpoint := range []string{"http://localhost:9000", "http://127.0.0.2:1", "http://[::1]:1", "http://s3.localhost", "https://minio:9000"} {
		if _, err := Load(t.Context(), Options{Endpoint: endpoint}); err != nil {
			t.Errorf("endpoint %s: %v", endpoint, err)
		}
	}
	if _, err := Load(t.Context(), Options{Endpoint: "http://minio:9000", Insecure: true}); err != nil {
		t.Error(err)
	}
	if _, err := Load(t.Context(), Options{Endpoint: "http://169.254.169.254", Insecure: true}); err == nil {
		t.Error("insecure opens the metadata service")
	}
}

// TestGuardDials: the check is on the address dialled, so a name that resolves to a forbidden one is refused as well.
func TestGuardDials(t *testing.T) {
	for address, plainLoopback := range map[string]bool{
		"169.254.169.254": false, "169.254.170.2": false, "fe80::1": false, "fd00:ec2::254": false, "::ffff:169.254.169.254": false,
		"100.100.100.200": false, "168.63.129.16": false, "0.0.0.0": false, "::": false, "224.0.0.1": false, "64:ff9b::a9fe:a9fe": false,
		"127.0.0.1": true, "::1": true,
	} {
		addr := netip.MustParseAddr(address)
		for _, g := range []guard{{}, {loopbackOnly: true}} {
			if allowed := g.forbidden(addr) == ""; allowed != plainLoopback {
				t.Errorf("%s under %+v: allowed %v", address, g, allowed)
			}
		}
	}
	if (guard{}).forbidden(netip.MustParseAddr("10.1.2.3")) != "" || (guard{loopbackOnly: true}).forbidden(netip.MustParseAddr("10.1.2.3")) == "" {
		t.Error("a private address")
	}
	client := guard{loopbackOnly: true}.client(nil)
	_, err := client.Get("http://10.255.255.1:1/")
	var refused *fault.Error
	if !errors.As(err, &refused) || fault.HintOf(refused) == "" {
		t.Errorf("dialled: %v", err)
	}
}

// canaries are secrets that may appear in no error.
var canaries = []string{"CANARYSECRETKEY0123456789abcdefghijklmnop", "CANARYSESSIONTOKEN", "CANARYASSUMEDSECRET", "CANARYASSUMEDTOKEN"}

// TestRole assumes a role by a small STS, and looks for secrets in what errors say.
func TestRole(t *testing.T) {
	asked := ""
	sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		asked = r.Form.Get("RoleArn") + " " + r.Form.Get("RoleSessionName") + " " + r.Form.Get("ExternalId")
		fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASSUMED</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken>
<Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`, canaries[2], canaries[3])
	}))
	defer sts.Close()
	var signed, token string
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		signed, token = r.Header.Get("Authorization"), r.Header.Get("X-Amz-Security-Token")
		fakeError(w, 403, "AccessDenied")
	}))
	defer store.Close()
	t.Setenv("AWS_ENDPOINT_URL_STS", sts.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "BASE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", canaries[0])
	t.Setenv("AWS_SESSION_TOKEN", canaries[1])
	role := "arn:aws:iam::123456789012:role/reader"
	s, err := Load(t.Context(), Options{Endpoint: store.URL, Region: "eu-west-1", Role: role, RoleSessionName: "me", ExternalID: "x7"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.S3("bucket", "", S3Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Put(t.Context(), "a", []byte("x"), blob.PutOptions{})
	if fault.KindOf(err) != fault.Permission {
		t.Error(err)
	}
	if asked != role+" me x7" {
		t.Errorf("STS was asked for %q", asked)
	}
	if !strings.Contains(signed, "Credential=ASSUMED/") || !strings.Contains(signed, "/eu-west-1/s3/") || token != canaries[3] {
		t.Errorf("signed by %q", signed)
	}
	noSecrets(t, err)
	store.Close()
	b.options.Attempts = 1
	_, err = b.Put(t.Context(), "a", []byte("x"), blob.PutOptions{})
	noSecrets(t, err)
	_, _, err = b.Get(t.Context(), "a", blob.ReadOptions{})
	noSecrets(t, err)
	sts.Close()
	if s, err = Load(t.Context(), Options{Endpoint: store.URL, Region: "eu-west-1", Role: role}); err != nil {
		t.Fatal(err)
	}
	if b, err = s.S3("bucket", "", S3Options{Attempts: 1}); err != nil {
		t.Fatal(err)
	}
	_, err = b.Head(t.Context(), "a")
	if fault.KindOf(err) != fault.Permission || fault.HintOf(err) == "" {
		t.Errorf("no STS: %v", err)
	}
	noSecrets(t, err)
}

func noSecrets(t *testing.T, err error) {
	t.Helper()
	for e := err; e != nil; e = errors.Unwrap(e) {
		text := fmt.Sprintf("%v %+v %s", e, e, fault.HintOf(e))
		for _, canary := range canaries {
			if strings.Contains(text, canary) {
				t.Errorf("a secret is in %q", text)
			}
		}
		if strings.Contains(text, "Signature=") {
			t.Errorf("a signature is in %q", text)
		}
	}
}

func TestNoCredentials(t *testing.T) {
	s, err := Load(context.Background(), Options{Endpoint: "http://127.0.0.1:1", Region: "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.S3("bucket", "", S3Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Head(t.Context(), "a"); fault.KindOf(err) != fault.Permission || fault.HintOf(err) == "" {
		t.Errorf("without credentials: %v", err)
	}
}
