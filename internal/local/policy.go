package local

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// resourcePolicy is a table's policy. It is kept and told, and nothing is ever refused for it: there is one account here.
type resourcePolicy struct {
	Text     string `json:"text"`
	Revision int64  `json:"revision"`
}

// policyMax is the service's bound of a policy (Developer Guide, "Resource-based policy considerations").
const policyMax = 20 << 10

func (c *call) policyNotFound() error {
	arn, _, _ := c.args.text("ResourceArn")
	return failure("PolicyNotFoundException", "Resource-based policy not found for the provided ResourceArn: %s", arn)
}

func (c *call) getResourcePolicy() error {
	t, err := c.tagged()
	if err != nil {
		return err
	}
	if t.def.Policy == nil {
		return c.policyNotFound()
	}
	text, err := json.Marshal(struct{ Policy, RevisionId string }{t.def.Policy.Text, t.def.Policy.revision()})
	c.out = append(c.out, text...)
	return err
}

func (p *resourcePolicy) revision() string {
	if p == nil {
		return "NO_POLICY" // what ExpectedRevisionId says of a table that has none
	}
	return strconv.FormatInt(p.Revision, 10)
}

func (c *call) putResourcePolicy() error {
	text, present, err := c.args.text("Policy")
	if err != nil {
		return err
	}
	v := constraints{}
	if !present {
		v.notNull("policy")
		return v.err()
	}
	if len(text) > policyMax {
		return failure("LimitExceededException", "Resource-based policy document size cannot exceed %d bytes", policyMax)
	}
	if trimmed := bytes.TrimSpace([]byte(text)); !json.Valid(trimmed) || trimmed[0] != '{' {
		return invalid("Resource-based policy document is invalid: it is no JSON object")
	}
	return c.repolicy(func(have *resourcePolicy) (*resourcePolicy, error) {
		if have != nil && have.Text == text {
			return have, nil
		}
		return &resourcePolicy{Text: text, Revision: c.db.now().UnixMilli()}, nil
	})
}

func (c *call) deleteResourcePolicy() error {
	return c.repolicy(func(*resourcePolicy) (*resourcePolicy, error) { return nil, nil })
}

// repolicy changes a table's policy under the lock of changes, where the revision is the expected one.
func (c *call) repolicy(change func(have *resourcePolicy) (*resourcePolicy, error)) error {
	expected, conditional, err := c.args.text("ExpectedRevisionId")
	if err != nil {
		return err
	}
	c.db.change.Lock()
	defer c.db.change.Unlock()
	t, err := c.tagged()
	if err != nil {
		return err
	}
	if conditional && expected != t.def.Policy.revision() {
		return c.policyNotFound()
	}
	def, before := *t.def, t.def.Policy
	if def.Policy, err = change(before); err != nil {
		return err
	}
	if def.Policy != before {
		if _, err := c.db.redefine(t, &def); err != nil {
			return err
		}
	}
	told := def.Policy
	if told == nil {
		told = before
	}
	if told == nil {
		c.out = append(c.out, "{}"...)
		return nil
	}
	return c.replyJSON("RevisionId", told.revision())
}
