package aws

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
)

// newLogs is CloudWatch Logs, where the service tells the errors of imports.
func newLogs(s *Session, dynamoEndpoint *string) beside {
	return newBeside(s, beside{name: "CloudWatch Logs", host: "logs", target: "Logs_20140328.", allow: "logs:FilterLogEvents on /aws-dynamodb/imports"},
		"AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", dynamoEndpoint)
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
	reply, err := d.logs.post(ctx, "FilterLogEvents", body)
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
