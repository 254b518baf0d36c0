package aws

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
)

var _ dynamo.Control = (*DynamoDB)(nil)

// Settings implements dynamo.Control.
func (d *DynamoDB) Settings(ctx context.Context, t *dynamo.Table) (*dynamo.Settings, error) {
	s := &dynamo.Settings{}
	for _, part := range []struct {
		setting dynamo.Setting
		ask     func(context.Context, *dynamo.Table, *dynamo.Settings) error
	}{{dynamo.TTL, d.readTTL}, {dynamo.PITR, d.readPITR}, {dynamo.Tags, d.readTags}, {dynamo.Policy, d.readPolicy}, {dynamo.Scaling, d.readScaling}} {
		err := part.ask(ctx, t, s)
		switch fault.KindOf(err) {
		case fault.Unsupported, fault.Permission:
			s.Untold = append(s.Untold, dynamo.UntoldSetting{Setting: part.setting, Reason: fault.Reason(err)})
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("ask for the setting %s: %w", part.setting, err)
		}
	}
	return s, nil
}

func (d *DynamoDB) readTTL(ctx context.Context, t *dynamo.Table, s *dynamo.Settings) error {
	var reply struct{ TimeToLiveStatus, AttributeName string }
	err := d.ask(ctx, t.Name, "TimeToLiveDescription", &reply, func(ctx context.Context, options func(*dynamodb.Options)) error {
		_, err := d.sdk.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &t.Name}, options)
		return err
	})
	if reply.TimeToLiveStatus == string(types.TimeToLiveStatusEnabled) || reply.TimeToLiveStatus == string(types.TimeToLiveStatusEnabling) {
		s.TTL = reply.AttributeName
	}
	return err
}

func (d *DynamoDB) readPITR(ctx context.Context, t *dynamo.Table, s *dynamo.Settings) error {
	b, err := d.Backups(ctx, t.Name)
	if err == nil {
		s.PITR, s.PITRDays = b.Enabled, b.Days
	}
	return err
}

// tagPagesMax bounds the pages of a table's tags, of which it has at most 50.
const tagPagesMax = 50

func (d *DynamoDB) readTags(ctx context.Context, t *dynamo.Table, s *dynamo.Settings) error {
	in := &dynamodb.ListTagsOfResourceInput{ResourceArn: &t.ARN}
	for range tagPagesMax {
		x := &exchange{}
		err := d.call(ctx, x, t.Name, func(ctx context.Context, options func(*dynamodb.Options)) error {
			_, err := d.sdk.ListTagsOfResource(ctx, in, options)
			return err
		})
		if err != nil {
			return err
		}
		var reply struct {
			Tags      []struct{ Key, Value string }
			NextToken string
		}
		if err := json.Unmarshal(x.reply, &reply); err != nil {
			return brokenReply(err)
		}
		for _, tag := range reply.Tags {
			s.Tags = append(s.Tags, dynamo.Tag(tag))
		}
		if reply.NextToken == "" {
			return nil
		}
		in.NextToken = &reply.NextToken
	}
	return fault.New(fault.Unavailable, "table %s: its tags have no end", t.Name)
}

func (d *DynamoDB) readPolicy(ctx context.Context, t *dynamo.Table, s *dynamo.Settings) error {
	err := d.ask(ctx, t.Name, "Policy", &s.Policy, func(ctx context.Context, options func(*dynamodb.Options)) error {
		_, err := d.sdk.GetResourcePolicy(ctx, &dynamodb.GetResourcePolicyInput{ResourceArn: &t.ARN}, options)
		return err
	})
	if dynamo.RefusedCode(err) == "PolicyNotFoundException" {
		return nil
	}
	return err
}

// Set implements dynamo.Control.
func (d *DynamoDB) Set(ctx context.Context, t *dynamo.Table, def *dynamo.Definition, setting dynamo.Setting) error {
	if !def.Has(setting) {
		return nil
	}
	set := map[dynamo.Setting]func(context.Context, *dynamo.Table, *dynamo.Definition) error{dynamo.Tags: d.setTags, dynamo.TTL: d.setTTL, dynamo.PITR: d.setPITR,
		dynamo.Stream: d.setStream, dynamo.Policy: d.setPolicy, dynamo.Scaling: d.setScaling, dynamo.Protection: d.setProtection}[setting]
	if set == nil {
		return fault.New(fault.Bug, "the setting %s is made with the table", setting)
	}
	return set(ctx, t, def)
}

func (d *DynamoDB) setTags(ctx context.Context, t *dynamo.Table, def *dynamo.Definition) error {
	in := &dynamodb.TagResourceInput{ResourceArn: &t.ARN}
	for _, tag := range def.Settings.Tags {
		if !dynamo.ServiceTag(tag) {
			in.Tags = append(in.Tags, types.Tag{Key: sdk.String(tag.Key), Value: sdk.String(tag.Value)})
		}
	}
	if len(in.Tags) == 0 {
		return nil
	}
	return d.call(ctx, &exchange{}, t.Name, func(ctx context.Context, options func(*dynamodb.Options)) error {
		_, err := d.sdk.TagResource(ctx, in, options)
		return err
	})
}

func (d *DynamoDB) setTTL(ctx context.Context, t *dynamo.Table, def *dynamo.Definition) error {
	var have dynamo.Settings
	if err := d.readTTL(ctx, t, &have); err != nil || have.TTL == def.Settings.TTL {
		return err // to turn on what is on is an error
	}
	in := &dynamodb.UpdateTimeToLiveInput{TableName: &t.Name,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: &def.Settings.TTL, Enabled: sdk.Bool(true)}}
	return d.call(ctx, &exchange{}, t.Name, func(ctx context.Context, options func(*dynamodb.Options)) error {
		_, err := d.sdk.UpdateTimeToLive(ctx, in, options)
		return err
	})
}

func (d *DynamoDB) setPITR(ctx context.Context, t *dynamo.Table, def *dynamo.Definition) error {
	return d.turnBackupsOn(ctx, t.Name, def.Settings.PITRDays)
}

func (d *DynamoDB) setStream(ctx context.Context, t *dynamo.Table, def *dynamo.Definition) error {
	view := (&dynamo.Table{Raw: def.Table}).Stream().View
	now, err := d.Describe(ctx, t.Name)
	if err != nil || now.Stream().View == view {
		return err
	}
	return d.update(ctx, t.Name, &dynamodb.UpdateTableInput{TableName: &t.Name,
		StreamSpecification: &types.StreamSpecification{StreamEnabled: sdk.Bool(true), StreamViewType: types.StreamViewType(view)}})
}

// setPolicy puts the resource policy, which names the table it is of.
func (d *DynamoDB) setPolicy(ctx context.Context, t *dynamo.Table, def *dynamo.Definition) error {
	policy := renamePolicy(def.Settings.Policy, def.ARN(), t.ARN)
	return d.call(ctx, &exchange{}, t.Name, func(ctx context.Context, options func(*dynamodb.Options)) error {
		_, err := d.sdk.PutResourcePolicy(ctx, &dynamodb.PutResourcePolicyInput{ResourceArn: &t.ARN, Policy: &policy}, options)
		return err
	})
}

// renamePolicy makes a policy of one table that of another: the ARN of the table and of what is below it, and no ARN
// that only begins like it.
func renamePolicy(policy, from, to string) string {
	if from == "" {
		return policy
	}
	for _, behind := range []string{`"`, "/"} {
		policy = strings.ReplaceAll(policy, `"`+from+behind, `"`+to+behind)
	}
	return policy
}

func (d *DynamoDB) setProtection(ctx context.Context, t *dynamo.Table, _ *dynamo.Definition) error {
	return d.update(ctx, t.Name, &dynamodb.UpdateTableInput{TableName: &t.Name, DeletionProtectionEnabled: sdk.Bool(true)})
}

// update changes a table and waits until it is ACTIVE again.
func (d *DynamoDB) update(ctx context.Context, table string, in *dynamodb.UpdateTableInput) error {
	err := d.call(ctx, &exchange{}, table, func(ctx context.Context, options func(*dynamodb.Options)) error {
		_, err := d.sdk.UpdateTable(ctx, in, options)
		return err
	})
	if err != nil {
		return err
	}
	_, err = d.awaitActive(ctx, table)
	return err
}

// awaitActive waits until a table and its indexes are ACTIVE.
func (d *DynamoDB) awaitActive(ctx context.Context, table string) (*dynamo.Table, error) {
	return d.await(ctx, table, func(t *dynamo.Table, err error) (bool, error) {
		if fault.KindOf(err) == fault.NotFound {
			return false, nil // not everywhere yet
		}
		return err == nil && active(t), err
	})
}

func active(t *dynamo.Table) bool {
	var d struct {
		GlobalSecondaryIndexes []struct{ IndexStatus string }
	}
	_ = json.Unmarshal(t.Raw, &d)
	return t.Status == string(types.TableStatusActive) && !slices.ContainsFunc(d.GlobalSecondaryIndexes, func(ix struct{ IndexStatus string }) bool {
		return ix.IndexStatus != "" && ix.IndexStatus != string(types.IndexStatusActive)
	})
}

// RestoreTo implements dynamo.Control.
func (d *DynamoDB) RestoreTo(ctx context.Context, source, target string, at time.Time) (*dynamo.Table, error) {
	err := d.call(ctx, &exchange{}, source, func(ctx context.Context, options func(*dynamodb.Options)) error {
		_, err := d.sdk.RestoreTableToPointInTime(ctx, &dynamodb.RestoreTableToPointInTimeInput{SourceTableName: &source, TargetTableName: &target,
			RestoreDateTime: &at}, options)
		return err
	})
	if fault.KindOf(err) != fault.Conflict {
		if err != nil {
			return nil, err
		}
		return d.await(ctx, target, func(_ *dynamo.Table, err error) (bool, error) {
			if fault.KindOf(err) == fault.NotFound {
				return false, nil // not everywhere yet
			}
			return err == nil, err
		})
	}
	// Of an answer that got lost, the table itself tells what it was made of.
	t, describeErr := d.Describe(ctx, target)
	if describeErr != nil || !restoredFrom(t, source, at) {
		return nil, err
	}
	return t, nil
}

// restoredFrom tells whether a table is the one that a request for a restore has made.
func restoredFrom(t *dynamo.Table, source string, at time.Time) bool {
	var d struct {
		RestoreSummary *struct {
			SourceTableArn  string
			SourceBackupArn string
			RestoreDateTime moment
		}
	}
	if json.Unmarshal(t.Raw, &d) != nil || d.RestoreSummary == nil {
		return false
	}
	r := d.RestoreSummary
	return r.SourceBackupArn == "" && strings.HasSuffix(r.SourceTableArn, ":table/"+source) && r.RestoreDateTime.time().Equal(at)
}
