package dynamo

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

// Control is the power of a Client over what a table is beside its items; find it with Power. Methods send each of their
// requests once, may be called concurrently and again: what is as wanted stays as it is. Errors are as a Client's;
// Unsupported is what the endpoint does not have.
type Control interface {
	// Settings tells what DescribeTable does not tell of a table that was described. What the endpoint cannot tell, or the
	// role may not ask, is named in Untold.
	Settings(ctx context.Context, t *Table) (*Settings, error)

	// Make makes a table with everything of the definition that CreateTable takes, but streams and deletion protection, and
	// returns once it and its indexes are ACTIVE. Conflict when it exists.
	Make(ctx context.Context, def *Definition) (*Table, error)

	// Set brings one setting of a table to what the definition says. It returns once the table is ACTIVE again.
	Set(ctx context.Context, t *Table, def *Definition, setting Setting) error

	// RestoreTo has the service begin to make a table as another was at a moment; it is CREATING until that is done, which takes
	// minutes to hours. Conflict when there is one of that name, unless it is what the very same request has made.
	RestoreTo(ctx context.Context, source, target string, at time.Time) (*Table, error)
}

// Setting is a part of a table's definition that is set apart from the others.
type Setting string

// The settings, in the order in which a table gets them: those before Items when it is made, the others once its items are
// there. TTL would delete items, and a stream would tell of each, before anybody has seen that all are there; a table that is
// protected cannot be thrown away when they are not.
const (
	Encryption Setting = "encryption"
	Class      Setting = "class"
	Indexes    Setting = "indexes"
	Ceilings   Setting = "ceilings" // of a table on demand

	Tags       Setting = "tags"
	TTL        Setting = "ttl"
	PITR       Setting = "pitr"
	Stream     Setting = "stream"
	Policy     Setting = "policy"
	Scaling    Setting = "autoscaling"
	Protection Setting = "protection"
)

// SettingsMade and SettingsAfter are all settings in their order.
var (
	SettingsMade  = []Setting{Encryption, Class, Indexes, Ceilings}
	SettingsAfter = []Setting{Tags, TTL, PITR, Stream, Policy, Scaling, Protection}
)

// Settings are a table's settings that DescribeTable does not tell.
type Settings struct {
	TTL      string          `json:"ttl,omitempty"`      // attribute that tells when an item expires; "" is off
	PITR     bool            `json:"pitr,omitempty"`     // continuous backups
	PITRDays int             `json:"pitrDays,omitempty"` // how long they are kept; 0 where the service did not tell
	Tags     []Tag           `json:"tags,omitempty"`
	Policy   string          `json:"policy,omitempty"` // resource policy, as JSON text
	Scaling  *AutoScaling    `json:"autoscaling,omitempty"`
	Untold   []UntoldSetting `json:"untold,omitempty"`
}

// Tag is one of a table's tags.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// ServiceTag tells whether a tag is one that only AWS's own services may set.
func ServiceTag(t Tag) bool { return strings.HasPrefix(strings.ToLower(t.Key), "aws:") }

// AutoScaling is what Application Auto Scaling has of a table and its indexes, each in the service's own JSON.
type AutoScaling struct {
	Targets   []json.RawMessage `json:"targets,omitempty"`
	Policies  []json.RawMessage `json:"policies,omitempty"`
	Scheduled []json.RawMessage `json:"scheduled,omitempty"`
}

// Empty tells whether nothing scales the table.
func (s *AutoScaling) Empty() bool {
	return s == nil || len(s.Targets)+len(s.Policies)+len(s.Scheduled) == 0
}

// UntoldSetting is a setting that could not be asked for.
type UntoldSetting struct {
	Setting Setting `json:"setting"`
	Reason  string  `json:"reason"`
}

// described are the members of DescribeTable's answer that settings are read from.
type described struct {
	TableArn                                      string
	LocalSecondaryIndexes, GlobalSecondaryIndexes []json.RawMessage
	StreamSpecification                           struct {
		StreamEnabled  bool
		StreamViewType string
	}
	SSEDescription            *struct{ Status, SSEType, KMSMasterKeyArn string }
	TableClassSummary         struct{ TableClass string }
	DeletionProtectionEnabled bool
	OnDemandThroughput        json.RawMessage
	Replicas                  []json.RawMessage
}

func (d *Definition) described() described {
	var t described
	_ = json.Unmarshal(d.Table, &t) // a definition without a description has none of these
	return t
}

// Has tells whether the definition says something of a setting.
func (d *Definition) Has(s Setting) bool {
	t := d.described()
	more := d.Settings
	if more == nil {
		more = &Settings{}
	}
	switch s {
	case Encryption:
		return t.SSEDescription != nil && t.SSEDescription.Status != "DISABLED"
	case Class:
		return t.TableClassSummary.TableClass != "" && t.TableClassSummary.TableClass != "STANDARD"
	case Indexes:
		return len(t.LocalSecondaryIndexes)+len(t.GlobalSecondaryIndexes) > 0
	case Ceilings:
		return len(t.OnDemandThroughput) > 0
	case Tags:
		return len(more.Tags) > 0
	case TTL:
		return more.TTL != ""
	case PITR:
		return more.PITR
	case Stream:
		return t.StreamSpecification.StreamEnabled
	case Policy:
		return more.Policy != ""
	case Scaling:
		return !more.Scaling.Empty()
	case Protection:
		return t.DeletionProtectionEnabled
	}
	return false
}

// Replicas is in how many other Regions the table was.
func (d *Definition) Replicas() int { return len(d.described().Replicas) }

// ReplicaRegions are the Regions that those are in.
func (d *Definition) ReplicaRegions() (regions []string) {
	for _, raw := range d.described().Replicas {
		var replica struct{ RegionName string }
		if json.Unmarshal(raw, &replica) == nil && replica.RegionName != "" {
			regions = append(regions, replica.RegionName)
		}
	}
	return regions
}

// ARN is that of the table which the definition was taken from, "" when it does not tell.
func (d *Definition) ARN() string { return d.described().TableArn }

// Without returns the definition without a setting that Make would heed.
func (d Definition) Without(s Setting) Definition {
	members := map[Setting][]string{Encryption: {"SSEDescription"}, Class: {"TableClassSummary"}, Ceilings: {"OnDemandThroughput"},
		Indexes: {"LocalSecondaryIndexes", "GlobalSecondaryIndexes"}}[s]
	var table map[string]json.RawMessage
	if len(members) == 0 || json.Unmarshal(d.Table, &table) != nil {
		return d
	}
	for _, name := range members {
		delete(table, name)
	}
	if raw, err := json.Marshal(table); err == nil {
		d.Table = raw
	}
	return d
}

// Capture describes a table with everything a backup has of its definition, asked again for a while when answers are lost.
// A client without Control tells what DescribeTable does.
func Capture(ctx context.Context, c Client, table string) (*Table, error) {
	t, err := Describe(ctx, c, table)
	if err != nil {
		return nil, err
	}
	control, ok := Power[Control](c)
	if !ok {
		return t, nil
	}
	err = patiently(ctx, func(ctx context.Context) error {
		t.Definition.Settings, err = control.Settings(ctx, t)
		return err
	})
	return t, err
}
