package job

import (
	"context"
	"time"

	"dynaferry/internal/fault"
	"dynaferry/internal/row"
	"dynaferry/internal/source"
)

// verbReplayFiles is a replay whose rows go into files: a copy, whose items tell changes.
const verbReplayFiles = "replay-files"

// NewReplayFiles prepares a replay into files. Each change of the window becomes a row of the kind of images; steps are for the
// changes, in front of that.
func NewReplayFiles(ctx context.Context, env *Env, address string, log source.LogSpec, images row.Images, set Copy) (*Request, error) {
	if err := resolveWindow(&log, time.Now()); err != nil {
		return nil, err
	}
	var err error
	if log.Steps, err = wholeSteps(set.Steps); err != nil {
		return nil, err
	}
	set.Steps, log.Images = nil, images
	if len(set.Pinned) == 0 && set.Form == source.Parquet {
		schema, err := row.Schema(images)
		if err != nil {
			return nil, fault.As(fault.Bug, err)
		}
		if schema != nil {
			set.Pinned = schema.AppendJSON(nil)
		}
	}
	return NewCopy(ctx, env, verbReplayFiles, source.Spec{Address: address, Log: &log}, set)
}
