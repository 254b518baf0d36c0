package blob

import (
	"maps"
	"slices"
	"strings"
	"time"

	"dynaferry/internal/fault"
)

// metadataBytesMax is S3's bound on user metadata, names and values together (S3UG: UsingMetadata); the folder
// keeps it too.
const metadataBytesMax = 2 << 10

// Check tells whether the settings make sense together. The error is of kind User and names the setting.
func (s Settings) Check() error {
	bad := func(setting, why string) error { return fault.New(fault.User, "setting %s: %s", setting, why) }
	switch s.SSE {
	case "", "AES256", "aws:kms", "aws:kms:dsse":
	default:
		return fault.Hint(bad("sse", "no encryption is called "+s.SSE), "use AES256, aws:kms or aws:kms:dsse")
	}
	kms := strings.HasPrefix(s.SSE, "aws:kms")
	switch {
	case s.KMSKey != "" && !kms:
		return bad("kms-key", "needs sse aws:kms")
	case s.BucketKey && s.SSE != "aws:kms":
		return bad("bucket-key", "needs sse aws:kms")
	case s.LockMode != "" && s.LockMode != "GOVERNANCE" && s.LockMode != "COMPLIANCE":
		return fault.Hint(bad("lock-mode", "no retention is called "+s.LockMode), "use GOVERNANCE or COMPLIANCE")
	case (s.LockMode == "") != (s.LockFor == 0):
		return bad("lock-for", "lock mode and duration belong together")
	case s.LockFor < 0 || s.LockFor > 0 && s.LockFor < time.Second:
		return bad("lock-for", "is shorter than a second")
	case len(s.Tags) > 10:
		return bad("tags", "an object has at most 10 (S3UG: object-tagging)")
	}
	return checkMetadata(s.Metadata)
}

// Named lists the names of the settings that ask something of the store, in fixed order: what a store without them
// refuses.
func (s Settings) Named() []string {
	var names []string
	for _, setting := range []struct {
		name string
		set  bool
	}{
		{"sse", s.SSE != ""}, {"kms-key", s.KMSKey != ""}, {"bucket-key", s.BucketKey}, {"storage-class", s.StorageClass != ""},
		{"lock-mode", s.LockMode != ""}, {"lock-for", s.LockFor != 0}, {"tags", len(s.Tags) > 0},
	} {
		if setting.set {
			names = append(names, setting.name)
		}
	}
	return names
}

// Check tells whether the options are ones a store can keep. The error is of kind User.
func (o PutOptions) Check() error {
	if o.IfAbsent && o.IfMatch != "" {
		return fault.New(fault.User, "a write cannot be both if-absent and if-match")
	}
	return checkMetadata(o.Metadata)
}

// MergeMetadata joins a bucket's and a write's metadata; the write wins.
func MergeMetadata(bucket, write map[string]string) map[string]string {
	if len(bucket) == 0 {
		return write
	}
	merged := maps.Clone(bucket)
	maps.Copy(merged, write)
	return merged
}

// checkMetadata holds names and values to what every store gives back unchanged: names of HTTP token characters in
// lower case, values of printable ASCII without outer spaces (S3 sends them as headers).
func checkMetadata(m map[string]string) error {
	size := 0
	for _, name := range slices.Sorted(maps.Keys(m)) {
		value := m[name]
		size += len(name) + len(value)
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return fault.New(fault.User, "metadata name %q: only a-z, 0-9 and - survive every store", name)
		}
		if strings.TrimSpace(value) != value {
			return fault.New(fault.User, "metadata %s: outer spaces do not survive", name)
		}
		for i := range len(value) {
			if value[i] < ' ' || value[i] > '~' {
				return fault.New(fault.User, "metadata %s: only printable ASCII survives every store", name)
			}
		}
	}
	if size > metadataBytesMax {
		return fault.New(fault.Limit, "metadata of %d bytes is above the limit of %d", size, metadataBytesMax)
	}
	return nil
}
