package job

import (
	"context"
	"fmt"
	"time"

	"dynaferry/internal/backup"
	"dynaferry/internal/fault"
	"dynaferry/internal/source"
)

// byLog settles a restore whose last changes a log tells: over the latest time that backups cover, or over an export or a data set
// that tells its own.
func (j *restoreJob) byLog(ctx context.Context, c *backup.Catalogue) (*restoreTask, source.Source, error) {
	at, err := j.moment()
	if err != nil {
		return nil, nil, err
	}
	task := &restoreTask{At: at, Number: -1, Log: j.set.Log}
	spec := source.Spec{Address: j.from.String()}
	if len(c.Backups) > 0 {
		p, ok := c.Until(at)
		if !ok {
			_, err := c.At(at)
			return nil, nil, fmt.Errorf("%s: %w", j.from, err)
		}
		spec = j.ofPoint(&p)
		task.Number, task.Windows, task.Of, task.Definition = p.Number, len(p.Windows), p.Table.ARN, *p.Definition
	}
	spec.Overlay = append(spec.Overlay, source.Overlay{Address: j.set.Log,
		Log: &source.LogSpec{ToText: at.UTC().Format(time.RFC3339Nano), AcceptCompacted: j.set.AcceptCompacted, Healed: true}})
	src, err := j.openBase(ctx, spec)
	if err != nil {
		return nil, nil, err
	}
	info := src.Info()
	if task.Number < 0 {
		if info.Definition == nil {
			return nil, nil, fault.Hint(fault.New(fault.User, "%s does not tell the table's definition", j.from), "name a backup, an export, or a data set made from one or from a table")
		}
		task.Definition, task.Of = *info.Definition, info.Definition.Name
		if info.Shows != nil && info.Shows.ARN != "" {
			task.Of = info.Shows.ARN
		}
	}
	spec = src.Spec()
	task.Spec = &spec
	return task, src, nil
}

// byLogText names what a log was laid over.
func byLogText(number, windows int, base string) string {
	switch {
	case number < 0:
		return base
	case windows > 0:
		return fmt.Sprintf("backup %d with %d windows of changes over its base", number, windows)
	}
	return fmt.Sprintf("backup %d", number)
}
