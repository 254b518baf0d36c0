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

// newScaler is Application Auto Scaling, which changes provisioned throughput by load.
func newScaler(s *Session, dynamoEndpoint *string) beside {
	return newBeside(s, beside{name: "Application Auto Scaling", host: "application-autoscaling", target: "AnyScaleFrontendService.",
		allow: "application-autoscaling:DescribeScalableTargets, DescribeScalingPolicies, DescribeScheduledActions, RegisterScalableTarget, PutScalingPolicy, PutScheduledAction"},
		"AWS_ENDPOINT_URL_APPLICATION_AUTO_SCALING", dynamoEndpoint)
}

const scaledService = "dynamodb"

// scaledResources are the names by which Application Auto Scaling knows a table and its indexes.
func scaledResources(t *dynamo.Table) []string {
	var d struct{ GlobalSecondaryIndexes []struct{ IndexName string } }
	_ = json.Unmarshal(t.Raw, &d)
	all := []string{"table/" + t.Name}
	for _, ix := range d.GlobalSecondaryIndexes {
		all = append(all, path.Join("table", t.Name, "index", ix.IndexName))
	}
	return all
}

func (d *DynamoDB) readScaling(ctx context.Context, t *dynamo.Table, s *dynamo.Settings) error {
	if !t.Provisioned {
		return nil // there is no throughput that could be scaled
	}
	if d.scaler.endpoint == "" {
		return fault.New(fault.Unsupported, "the endpoint has no Application Auto Scaling beside it")
	}
	found := &dynamo.AutoScaling{}
	for _, resource := range scaledResources(t) {
		for _, q := range []struct {
			operation, member string
			resource          map[string]any
			into              *[]json.RawMessage
		}{
			{"DescribeScalableTargets", "ScalableTargets", map[string]any{"ResourceIds": []string{resource}}, &found.Targets},
			{"DescribeScalingPolicies", "ScalingPolicies", map[string]any{"ResourceId": resource}, &found.Policies},
			{"DescribeScheduledActions", "ScheduledActions", map[string]any{"ResourceId": resource}, &found.Scheduled},
		} {
			list, err := d.scaler.list(ctx, q.operation, q.member, q.resource)
			if err != nil {
				return err
			}
			*q.into = append(*q.into, list...)
		}
	}
	if !found.Empty() {
		s.Scaling = found
	}
	return nil
}

// scalingPagesMax bounds the pages of one list: a resource has at most 50 policies and 200 scheduled actions.
const scalingPagesMax = 50

func (b beside) list(ctx context.Context, operation, member string, ask map[string]any) ([]json.RawMessage, error) {
	ask["ServiceNamespace"] = scaledService
	var all []json.RawMessage
	for range scalingPagesMax {
		body, err := json.Marshal(ask)
		if err != nil {
			return nil, err
		}
		reply, err := b.post(ctx, operation, body)
		if err != nil {
			return nil, err
		}
		var page map[string]json.RawMessage
		var list []json.RawMessage
		if err := json.Unmarshal(reply, &page); err != nil {
			return nil, brokenReply(err)
		}
		if raw := page[member]; len(raw) > 0 {
			if err := json.Unmarshal(raw, &list); err != nil {
				return nil, brokenReply(err)
			}
		}
		all = append(all, list...)
		var next string
		if raw := page["NextToken"]; len(raw) > 0 {
			if err := json.Unmarshal(raw, &next); err != nil {
				return nil, brokenReply(err)
			}
		}
		if next == "" {
			return all, nil
		}
		ask["NextToken"] = next
	}
	return nil, fault.New(fault.Unavailable, "%s: the list of %s has no end", b.name, member)
}

// What each of Application Auto Scaling's puts takes of what its lists tell; the rest is the service's own: ARNs, times, alarms,
// the role, which is the service-linked one.
var scalingPuts = map[string][]string{
	"RegisterScalableTarget": {"ServiceNamespace", "ResourceId", "ScalableDimension", "MinCapacity", "MaxCapacity", "SuspendedState"},
	"PutScalingPolicy": {"PolicyName", "ServiceNamespace", "ResourceId", "ScalableDimension", "PolicyType", "StepScalingPolicyConfiguration",
		"TargetTrackingScalingPolicyConfiguration", "PredictiveScalingPolicyConfiguration"},
	"PutScheduledAction": {"ServiceNamespace", "Schedule", "Timezone", "ScheduledActionName", "ResourceId", "ScalableDimension", "StartTime", "EndTime",
		"ScalableTargetAction"},
}

func (d *DynamoDB) setScaling(ctx context.Context, t *dynamo.Table, def *dynamo.Definition) error {
	if d.scaler.endpoint == "" {
		return fault.New(fault.Unsupported, "the endpoint has no Application Auto Scaling beside it")
	}
	s := def.Settings.Scaling
	for _, put := range []struct {
		operation string
		list      []json.RawMessage
	}{{"RegisterScalableTarget", s.Targets}, {"PutScalingPolicy", s.Policies}, {"PutScheduledAction", s.Scheduled}} {
		for _, raw := range put.list {
			body, err := scalingPut(put.operation, raw, t.Name)
			if err != nil {
				return err
			}
			if _, err := d.scaler.post(ctx, put.operation, body); err != nil {
				return err
			}
		}
	}
	return nil
}

// scalingPut makes the request that puts what a list told, for the table of another name.
func scalingPut(operation string, told json.RawMessage, table string) ([]byte, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(told, &members); err != nil {
		return nil, fault.New(fault.Corrupt, "the autoscaling of a definition: %w", err)
	}
	request := map[string]json.RawMessage{}
	for _, name := range scalingPuts[operation] {
		if v, ok := members[name]; ok {
			request[name] = v
		}
	}
	var resource string
	if err := json.Unmarshal(members["ResourceId"], &resource); err != nil {
		return nil, fault.New(fault.Corrupt, "the autoscaling of a definition: its ResourceId: %w", err)
	}
	words := strings.SplitN(resource, "/", 3) // table/<name>, or table/<name>/index/<index>
	if len(words) < 2 {
		return nil, fault.New(fault.Corrupt, "the autoscaling of a definition: ResourceId %q", resource)
	}
	words[1] = table
	request["ResourceId"] = fmt.Appendf(nil, "%q", strings.Join(words, "/"))
	return json.Marshal(request)
}
