package aws

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"dynaferry/internal/fault"
)

// beside is a service of AWS's that stands beside DynamoDB and is asked a few questions. They are no reason for another part
// of the SDK: requests are written and signed here.
type beside struct {
	session  *Session
	endpoint string // "" where DynamoDB is not AWS's own and nobody said where this service is
	name     string // for people
	host     string // first word of its hosts, and the name that requests are signed for
	target   string // what X-Amz-Target begins with
	allow    string // the actions a role needs
}

const besideTimeout = 20 * time.Second

// newBeside finds the endpoint: of the environment, or AWS's own where DynamoDB is.
func newBeside(s *Session, b beside, variable string, dynamoEndpoint *string) beside {
	b.session = s
	for _, name := range []string{variable, "AWS_ENDPOINT_URL"} {
		if b.endpoint = os.Getenv(name); b.endpoint != "" {
			return b
		}
	}
	if dynamoEndpoint == nil && s.config.Region != "" {
		b.endpoint = "https://" + b.host + "." + s.config.Region + ".amazonaws.com"
		if strings.HasPrefix(s.config.Region, "cn-") {
			b.endpoint += ".cn"
		}
	}
	return b
}

// post makes one request and returns the reply's body.
func (b beside) post(ctx context.Context, operation string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, besideTimeout)
	defer cancel()
	cfg, err := b.session.service(b.host, &b.endpoint)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, fault.New(fault.User, "endpoint of %s: %w", b.name, err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", b.target+operation)
	creds, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, fault.New(fault.Permission, "%w", err)
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), b.host, cfg.Region, time.Now()); err != nil {
		return nil, fault.New(fault.User, "sign the request: %w", err)
	}
	resp, err := cfg.HTTPClient.Do(req)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "%w", err)
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(resp.Body, replyBytesMax))
	if err != nil {
		return nil, fault.New(fault.Unavailable, "%w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return reply, nil
	}
	return nil, b.refused(resp.StatusCode, reply)
}

// refused is the error of a reply that is none.
func (b beside) refused(status int, reply []byte) error {
	var said struct {
		Type    string `json:"__type"`
		Message string
	}
	_ = json.Unmarshal(reply, &said) // what is no JSON says nothing
	_, code, qualified := strings.Cut(said.Type, "#")
	if !qualified {
		code = said.Type
	}
	kind := fault.Unavailable
	switch {
	case code == "UnknownOperationException":
		kind = fault.Unsupported
	case code == "ValidationException" || code == "LimitExceededException":
		return fault.New(fault.User, "%s: %s", b.name, said.Message)
	case strings.HasPrefix(code, "Throttling"), code == "ConcurrentUpdateException":
	case status < 500:
		kind = fault.Permission
	}
	return fault.Hint(fault.New(kind, "%s: status %d: %s", b.name, status, said.Message), "allow %s", b.allow)
}
