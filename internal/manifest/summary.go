package manifest

import (
	"context"
	"encoding/json"
	"path"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

// ReadSummary reads the summary in an export's folder, checked, and nothing else of the export: for who looks through many.
func ReadSummary(ctx context.Context, b blob.Bucket, dir string) (Summary, error) {
	e := &Export{Dir: dir}
	data, err := e.readChecked(ctx, b, summaryName)
	if err != nil {
		return Summary{}, err
	}
	if err := json.Unmarshal(data, &e.Summary); err != nil {
		return Summary{}, fault.At(fault.New(fault.Corrupt, "not a manifest summary: %w", err), fault.Place{File: at(b, path.Join(dir, summaryName))})
	}
	return e.Summary, nil
}
