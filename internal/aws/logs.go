package aws

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
)

// logs asks CloudWatch Logs, where the service tells the errors of imports, one single question. That is no reason for
// another part of the SDK: the request is written and signed here.
type logs struct {
	session  *Session
	endpoint string // "" where DynamoDB is not AWS's own and nobody said where its logs are
}

const logsTimeout = 20 * time.Second

// newLogs finds the endpoint: of the environment, or AWS's own where DynamoDB is.
func newLogs(s *Session, dynamoEndpoint *string) logs {
	l := logs{session: s}
	for _, name := range []string{"AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "AWS_ENDPOINT_URL"} {
		if l.endpoint = os.Getenv(name); l.endpoint != "" {
			return l
		}
	}
	if dynamoEndpoint == nil && s.config.Region != "" {
		l.endpoint = "https://logs." + s.config.Region + ".amazonaws.com"
		if strings.HasPrefix(s.config.Region, "cn-") {
			l.endpoint += ".cn"
		}
	}
	return l
}

// ImportErrors implements dynamo.Native.
func (d *DynamoDB) ImportErrors(ctx context.Context, i *dynamo.Import, most int) ([]string, error) {
	_, group, ok := strings.Cut(i.LogGroup, ":log-group:")
	if !ok || d.logs.endpoint == "" {
		return nil, fault.New(fault.Unsupported, "no log of imports is known here")
	}
	body, err := json.Marshal(map[string]any{"logGroupName": strings.TrimSuffix(group, ":*"),
		"logStreamNames": []string{path.Base(i.ARN) + "/error"}, "limit": most})
	if err != nil {
		return nil, err
	}
	reply, err := d.logs.post(ctx, "Logs_20140328.FilterLogEvents", body)
	if err != nil {
		return nil, fmt.Errorf("read the import's log: %w", err)
	}
	var page struct{ Events []struct{ Message string } }
	if err := json.Unmarshal(reply, &page); err != nil {
		return nil, brokenReply(err)
	}
	var lines []string
	for _, e := range page.Events {
		lines = append(lines, strings.TrimSpace(e.Message))
	}
	return lines, nil
}

func (l logs) post(ctx context.Context, target string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, logsTimeout)
	defer cancel()
	cfg, err := l.session.service("logs", &l.endpoint)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, fault.New(fault.User, "endpoint of CloudWatch Logs: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", target)
	creds, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, fault.New(fault.Permission, "%w", err)
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), "logs", cfg.Region, time.Now()); err != nil {
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
	var said struct{ Message string }
	_ = json.Unmarshal(reply, &said) // what is no JSON says nothing
	kind := fault.Unavailable
	if resp.StatusCode < 500 {
		kind = fault.Permission
	}
	return nil, fault.Hint(fault.New(kind, "CloudWatch Logs: status %d: %s", resp.StatusCode, said.Message), "allow logs:FilterLogEvents on /aws-dynamodb/imports")
}
