package local

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// The bounds of tags (API reference, Tag).
const (
	tagsMax     = 50
	tagKeyMax   = 128
	tagValueMax = 256
	tagsPage    = 10 // tags in one reply of ListTagsOfResource
)

// readTags reads a list of tags and lays it over those a table has.
func readTags(list [][]byte, have []tag) ([]tag, error) {
	v := &constraints{}
	tags := slices.Clone(have)
	given := map[string]bool{}
	for i, raw := range list {
		at := fmt.Sprintf("tags.%d.member.", i+1)
		members, err := object(raw, classStructure)
		if err != nil {
			return nil, err
		}
		var t tag
		for _, part := range []struct {
			name     string
			to       *string
			low, top int
		}{{"Key", &t.Key, 1, tagKeyMax}, {"Value", &t.Value, 0, tagValueMax}} {
			text, present, err := members.text(part.name)
			if err != nil {
				return nil, err
			}
			if !present {
				v.notNull(at + strings.ToLower(part.name))
				continue
			}
			v.length(text, at+strings.ToLower(part.name), part.low, part.top)
			*part.to = text
		}
		if given[t.Key] {
			return nil, invalid("Duplicate Tag Keys provided as input: Duplicate Tag Key found %s", t.Key)
		}
		given[t.Key] = true
		if at := slices.IndexFunc(tags, func(h tag) bool { return h.Key == t.Key }); at >= 0 {
			tags[at] = t
		} else {
			tags = append(tags, t)
		}
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	if len(tags) > tagsMax {
		return nil, invalid("Number of Tags exceed the current limit for the provided ResourceArn")
	}
	slices.SortFunc(tags, func(a, b tag) int { return cmp.Compare(a.Key, b.Key) })
	return tags, nil
}

// tagged finds the table that ResourceArn names.
func (c *call) tagged() (*table, error) {
	arn, present, err := c.args.text("ResourceArn")
	if err != nil {
		return nil, err
	}
	if !present {
		return nil, invalid("Invalid TableArn")
	}
	name, err := tableOfARN(arn)
	if err != nil {
		return nil, err
	}
	t, err := c.table(name)
	if err != nil {
		return nil, notFound("Requested resource not found: ResourcArn: %s not found", arn) // their spelling
	}
	return t, nil
}

// retag changes a table's tags under the lock of changes.
func (c *call) retag(change func(have []tag) ([]tag, error)) error {
	c.db.change.Lock()
	defer c.db.change.Unlock()
	t, err := c.tagged()
	if err != nil {
		return err
	}
	def := *t.def
	if def.Tags, err = change(def.Tags); err != nil {
		return err
	}
	_, err = c.db.redefine(t, &def)
	return err
}

func (c *call) tagResource() error {
	list, present, err := c.args.list("Tags")
	if err != nil {
		return err
	}
	if !present {
		v := constraints{}
		v.notNull("tags")
		return v.err()
	}
	if len(list) == 0 {
		return invalid("Atleast one Tag needs to be provided as Input.") // their spelling
	}
	return c.retag(func(have []tag) ([]tag, error) { return readTags(list, have) })
}

func (c *call) untagResource() error {
	list, present, err := c.args.list("TagKeys")
	if err != nil {
		return err
	}
	if !present {
		v := constraints{}
		v.notNull("tagKeys")
		return v.err()
	}
	if len(list) == 0 {
		return invalid("Atleast one Tag Key needs to be provided as Input.") // their spelling
	}
	gone := map[string]bool{}
	for _, raw := range list {
		key, err := text(raw)
		if err != nil {
			return err
		}
		gone[key] = true
	}
	return c.retag(func(have []tag) ([]tag, error) {
		return slices.DeleteFunc(slices.Clone(have), func(t tag) bool { return gone[t.Key] }), nil
	})
}

func (c *call) listTagsOfResource() error {
	t, err := c.tagged()
	if err != nil {
		return err
	}
	after, _, err := c.args.text("NextToken")
	if err != nil {
		return err
	}
	tags := t.def.Tags
	if after != "" {
		at, found := slices.BinarySearchFunc(tags, after, func(t tag, key string) int { return cmp.Compare(t.Key, key) })
		if found {
			at++
		}
		tags = tags[at:]
	}
	reply := struct {
		Tags      []tag
		NextToken string `json:",omitempty"`
	}{Tags: append([]tag{}, tags[:min(tagsPage, len(tags))]...)}
	if len(tags) > tagsPage {
		reply.NextToken = tags[tagsPage-1].Key
	}
	text, err := json.Marshal(reply)
	c.out = append(c.out, text...)
	return err
}
