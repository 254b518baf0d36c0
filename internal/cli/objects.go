package cli

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dynaferry/internal/blob"
)

// objectFlags say how objects are stored; all commands that write files have them.
type objectFlags struct {
	set      blob.Settings
	lockFor  time.Duration
	tags     []string
	metadata []string
}

func (f *objectFlags) add(cmd *cobra.Command) {
	p := cmd.Flags()
	p.StringVar(&f.set.SSE, "sse", "", "encryption of the objects written: AES256, aws:kms or aws:kms:dsse")
	p.StringVar(&f.set.KMSKey, "sse-kms-key", "", "key for --sse aws:kms")
	p.BoolVar(&f.set.BucketKey, "sse-bucket-key", false, "use the bucket key with --sse aws:kms")
	p.StringVar(&f.set.StorageClass, "storage-class", "", "of the objects written, for instance STANDARD_IA")
	p.StringVar(&f.set.LockMode, "lock-mode", "", "Object Lock retention: GOVERNANCE or COMPLIANCE")
	p.DurationVar(&f.lockFor, "lock-for", 0, "how long --lock-mode keeps the objects, for instance 720h")
	p.StringSliceVar(&f.tags, "tag", nil, "tag of the objects written: name=value")
	p.StringSliceVar(&f.metadata, "metadata", nil, "metadata of the objects written: name=value")
	choices(cmd, "sse", "AES256", "aws:kms", "aws:kms:dsse")
	choices(cmd, "lock-mode", "GOVERNANCE", "COMPLIANCE")
}

func (f *objectFlags) settings() (set blob.Settings, err error) {
	set = f.set
	set.LockFor = f.lockFor
	if set.Tags, err = pairs("--tag", f.tags); err != nil {
		return set, err
	}
	set.Metadata, err = pairs("--metadata", f.metadata)
	return set, err
}

func pairs(flag string, texts []string) (map[string]string, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	m := map[string]string{}
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, usage("%s %q: it is name=value", flag, text)
		}
		m[name] = value
	}
	return m, nil
}
