package kinesis

import (
	"maps"
	"slices"
	"strings"
	"unicode"
)

type retentionIn struct {
	named
	RetentionPeriodHours *int
}

// retention changes how long records are kept; up tells which of the two operations asks.
func (c *call) retention(in *retentionIn, up bool) (any, error) {
	v := &checks{}
	v.need(in.RetentionPeriodHours != nil, "retentionPeriodHours")
	s, err := c.asked(v, in.named)
	if err != nil {
		return nil, err
	}
	hours := *in.RetentionPeriodHours
	switch {
	case hours < retentionMin:
		return nil, invalidArgument("Minimum allowed retention period is %d hours. Requested retention period (%d hours) is too short.",
			retentionMin, hours)
	case hours > retentionMax:
		return nil, invalidArgument("Maximum allowed retention period is %d hours. Requested retention period (%d hours) is too long.",
			retentionMax, hours)
	}
	return nil, s.change(c.Engine, func(d *description) error {
		switch {
		case up && hours < d.RetentionHours:
			return invalidArgument("Requested retention period (%d hours) for stream %s can not be shorter than existing "+
				"retention period (%d hours). Use DecreaseRetentionPeriod API.", hours, d.Name, d.RetentionHours)
		case !up && hours > d.RetentionHours:
			return invalidArgument("Requested retention period (%d hours) for stream %s can not be longer than existing "+
				"retention period (%d hours). Use IncreaseRetentionPeriod API.", hours, d.Name, d.RetentionHours)
		}
		d.RetentionHours = hours
		return nil
	})
}

func (c *call) increaseRetention(in *retentionIn) (any, error) { return c.retention(in, true) }

func (c *call) decreaseRetention(in *retentionIn) (any, error) { return c.retention(in, false) }

type streamModeIn struct {
	StreamARN         *string
	StreamModeDetails *modeDetails
}

func (c *call) updateStreamMode(in *streamModeIn) (any, error) {
	v := &checks{}
	v.need(in.StreamARN != nil, "streamARN")
	v.need(in.StreamModeDetails != nil, "streamModeDetails")
	if in.StreamModeDetails != nil {
		v.oneOf(&in.StreamModeDetails.StreamMode, "streamModeDetails.streamMode", modeProvisioned, modeOnDemand)
	}
	s, err := c.asked(v, named{StreamARN: in.StreamARN})
	if err != nil {
		return nil, err
	}
	return nil, s.change(c.Engine, func(d *description) error {
		d.Mode = in.StreamModeDetails.StreamMode
		return nil
	})
}

type recordSizeIn struct {
	StreamARN          *string
	MaxRecordSizeInKiB *int
}

func (c *call) updateMaxRecordSize(in *recordSizeIn) (any, error) {
	v := &checks{}
	v.need(in.MaxRecordSizeInKiB != nil, "maxRecordSizeInKiB")
	v.between(in.MaxRecordSizeInKiB, "maxRecordSizeInKiB", recordKiBMin, recordKiBMax)
	s, err := c.asked(v, named{StreamARN: in.StreamARN})
	if err != nil {
		return nil, err
	}
	return nil, s.change(c.Engine, func(d *description) error {
		d.RecordKiB = *in.MaxRecordSizeInKiB
		return nil
	})
}

// The bounds of tags (API reference, Tag).
const (
	tagsMax     = 50
	tagKeyMax   = 128
	tagValueMax = 256
	tagsShown   = 50
)

// checkTags refuses tags that the service would, and too many of them together with those a stream has.
func checkTags(tags, have map[string]string) error {
	v := &checks{}
	all := maps.Clone(have)
	if all == nil {
		all = map[string]string{}
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		value := tags[key]
		v.length(&key, "tags.key", 1, tagKeyMax)
		v.length(&value, "tags."+key+".member", 0, tagValueMax)
		for _, text := range []string{key, value} {
			if strings.ContainsFunc(text, func(r rune) bool {
				return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsSpace(r) && !strings.ContainsRune("_./=+-%@:", r)
			}) {
				return invalidArgument("Some tags contain invalid characters. Valid characters: %s",
					"Unicode letters, digits, white space, _ . / = + - % @.")
			}
		}
		all[key] = value
	}
	if len(all) > tagsMax {
		return invalidArgument("A given stream cannot have more than %d tags associated with it.", tagsMax)
	}
	return v.err()
}

// retag changes a stream's tags.
func (c *call) retag(s *stream, set map[string]string, gone []string) error {
	return s.change(c.Engine, func(d *description) error {
		if err := checkTags(set, d.Tags); err != nil {
			return err
		}
		tags := maps.Clone(d.Tags)
		if tags == nil {
			tags = map[string]string{}
		}
		maps.Copy(tags, set)
		for _, key := range gone {
			delete(tags, key)
		}
		d.Tags = tags
		return nil
	})
}

type addTagsIn struct {
	named
	Tags map[string]string
}

func (c *call) addTagsToStream(in *addTagsIn) (any, error) {
	v := &checks{}
	v.need(len(in.Tags) > 0, "tags")
	s, err := c.asked(v, in.named)
	if err != nil {
		return nil, err
	}
	return nil, c.retag(s, in.Tags, nil)
}

type removeTagsIn struct {
	named
	TagKeys []string
}

func (c *call) removeTagsFromStream(in *removeTagsIn) (any, error) {
	v := &checks{}
	v.need(len(in.TagKeys) > 0, "tagKeys")
	s, err := c.asked(v, in.named)
	if err != nil {
		return nil, err
	}
	return nil, c.retag(s, nil, in.TagKeys)
}

type tag struct{ Key, Value string }

func sortedTags(d *description) []tag {
	list := []tag{}
	for _, key := range slices.Sorted(maps.Keys(d.Tags)) {
		list = append(list, tag{key, d.Tags[key]})
	}
	return list
}

type listTagsIn struct {
	named
	ExclusiveStartTagKey *string
	Limit                *int
}

func (c *call) listTagsForStream(in *listTagsIn) (any, error) {
	v := &checks{}
	v.between(in.Limit, "limit", 1, tagsShown)
	v.length(in.ExclusiveStartTagKey, "exclusiveStartTagKey", 1, tagKeyMax)
	s, err := c.asked(v, in.named)
	if err != nil {
		return nil, err
	}
	limit := tagsShown
	if in.Limit != nil {
		limit = *in.Limit
	}
	tags := sortedTags(s.now())
	if in.ExclusiveStartTagKey != nil {
		tags = slices.DeleteFunc(tags, func(t tag) bool { return t.Key <= *in.ExclusiveStartTagKey })
	}
	return map[string]any{"Tags": tags[:min(limit, len(tags))], "HasMoreTags": len(tags) > limit}, nil
}

// resource names a stream by its ARN, as the operations on tags of resources do.
type resource struct{ ResourceARN *string }

func (c *call) resource(r resource) (*stream, error) {
	v := &checks{}
	v.need(r.ResourceARN != nil, "resourceARN")
	if err := v.err(); err != nil {
		return nil, err
	}
	if _, _, ok := strings.Cut(*r.ResourceARN, "/consumer/"); ok {
		return nil, validation(refusal + "tags of consumers")
	}
	return c.stream(named{StreamARN: r.ResourceARN})
}

type tagResourceIn struct {
	resource
	Tags map[string]string
}

func (c *call) tagResource(in *tagResourceIn) (any, error) {
	s, err := c.resource(in.resource)
	if err != nil {
		return nil, err
	}
	return nil, c.retag(s, in.Tags, nil)
}

type untagResourceIn struct {
	resource
	TagKeys []string
}

func (c *call) untagResource(in *untagResourceIn) (any, error) {
	s, err := c.resource(in.resource)
	if err != nil {
		return nil, err
	}
	return nil, c.retag(s, nil, in.TagKeys)
}

func (c *call) listTagsForResource(in *resource) (any, error) {
	s, err := c.resource(*in)
	if err != nil {
		return nil, err
	}
	return map[string]any{"Tags": sortedTags(s.now())}, nil
}
