package local

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// encryption is the key that a table was asked to be encrypted with. It is kept and told, and nothing more: there is no KMS
// here, any key will do, and what lies in the folder is as plain as that of other tables.
type encryption struct {
	KeyARN string `json:"keyArn"`
}

// sseWish is an SSESpecification as it came.
type sseWish struct {
	given bool
	on    bool
	key   string // KMSMasterKeyId, "": the key that the service keeps for an account
}

const keyIDMax = 2048

// readSSE reads SSESpecification, or what a restore lays over it.
func (c *call) readSSE(parameter string) (w sseWish, err error) {
	members, present, err := c.args.object(parameter, classStructure)
	if err != nil || !present {
		return w, err
	}
	w.given = true
	enabled, err := members.flag("Enabled")
	if err != nil {
		return w, err
	}
	kind, typed, err := members.text("SSEType")
	if err != nil {
		return w, err
	}
	key, keyed, err := members.text("KMSMasterKeyId")
	if err != nil {
		return w, err
	}
	at, v := strings.ToLower(parameter[:1])+parameter[1:], &constraints{}
	v.oneOf(kind, at+".sSEType", "AES256", "KMS")
	v.length(key, at+".kMSMasterKeyId", btoi(keyed), keyIDMax)
	if err := v.err(); err != nil {
		return w, err
	}
	w.key = key
	w.on = enabled != nil && *enabled || enabled == nil && kind == "KMS"
	switch {
	case enabled != nil && !*enabled && typed:
		return w, invalidValue("SSEType can not be specified if Enabled is false")
	case enabled != nil && !*enabled && keyed:
		return w, invalidValue("KMSMasterKeyId can not be specified if Enabled is false")
	case kind == "AES256":
		return w, invalidValue("SSEType AES256 is not supported")
	case keyed && kind != "KMS":
		return w, invalidValue("SSEType KMS is required if KMSMasterKeyId is specified")
	}
	return w, nil
}

// encrypt lays the wish over what a table has.
func (d *definition) encrypt(w sseWish, region string) {
	switch {
	case !w.given:
	case w.on:
		d.SSE = &encryption{keyARN(region, w.key)}
	default:
		d.SSE = nil
	}
}

// reencrypt is encrypt for a table that there is, which the service does not let ask for what it has.
func (d *definition) reencrypt(w sseWish, region string) error {
	was := d.SSE
	d.encrypt(w, region)
	switch {
	case !w.given:
	case was == nil && d.SSE == nil:
		return invalidValue("Table is already encrypted by default")
	case was != nil && d.SSE != nil && *was == *d.SSE && w.key != "":
		return invalidValue("Table is already encrypted with given KMSMasterKeyId. " +
			"Use KMSMasterKeyId parameter if you want to change Master Key")
	}
	return nil
}

// keyARN is the ARN of a key that is named by its ARN, its id or an alias. An alias, and the service's own key, always stand
// for the same made-up one.
func keyARN(region, key string) string {
	if key == "" {
		key = "alias/aws/dynamodb"
	}
	if strings.HasPrefix(key, "arn:") && !strings.Contains(key, ":alias/") {
		return key
	}
	if at := strings.LastIndex(key, "alias/"); at >= 0 {
		sum := sha256.Sum256([]byte(key[at:]))
		sum[6], sum[8] = sum[6]&0x0f|0x40, sum[8]&0x3f|0x80
		key = fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
	}
	return "arn:aws:kms:" + region + ":" + account + ":key/" + key
}

type sseDescription struct {
	Status          string
	SSEType         string
	KMSMasterKeyArn string
}

// describe is nil for a table with the service's default, of which nothing is told.
func (e *encryption) describe(status string) *sseDescription {
	if e == nil {
		return nil
	}
	return &sseDescription{status, "KMS", e.KeyARN}
}
