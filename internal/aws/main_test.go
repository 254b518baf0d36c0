package aws

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"dynaferry/internal/local/bucket"
)

// server is the S3 side of the local world, one for all tests of the package.
var server = sync.OnceValues(func() (*bucket.Process, error) {
	dir, err := os.MkdirTemp("", "aws-test-")
	if err != nil {
		return nil, err
	}
	serverDir = dir
	os.Setenv("AWS_TEST_ROLE", "s3")
	defer os.Unsetenv("AWS_TEST_ROLE")
	return bucket.Start(context.Background(), os.Args[0], nil, bucket.Config{Dir: dir})
})

var serverDir string

// TestMain lets the test binary be the S3 server's child process.
func TestMain(m *testing.M) {
	if os.Getenv("AWS_TEST_ROLE") == "s3" {
		if err := bucket.Child(context.Background(), os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// Nothing of the machine's own set-up may reach a test.
	for _, name := range []string{"AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3",
		"AWS_ENDPOINT_URL_DYNAMODB",
		"AWS_ENDPOINT_URL_DYNAMODB_STREAMS", "AWS_ENDPOINT_URL_KINESIS", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_MAX_ATTEMPTS",
		"AWS_CA_BUNDLE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"} {
		os.Unsetenv(name)
	}
	os.Setenv("AWS_CONFIG_FILE", os.DevNull)
	os.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	os.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	code := m.Run()
	if serverDir != "" {
		if p, err := server(); err == nil {
			p.Close()
		}
		os.RemoveAll(serverDir)
	}
	os.Exit(code)
}
