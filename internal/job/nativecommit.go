package job

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"dynaferry/internal/plan"
	"dynaferry/internal/source"
)

// NativeReport is what a finished native export says that was left as the service wrote it, or that failed.
type NativeReport struct {
	Type        string           `json:"type"` // "native-export"
	Table       string           `json:"table"`
	Destination string           `json:"destination"`
	Format      string           `json:"format"`
	Exports     []NativeExported `json:"exports"`
	Items       int64            `json:"items"` // of incremental exports: changes
	Bytes       int64            `json:"billedBytes"`
	Units       float64          `json:"readUnits"`
}

// Err is the first failure among the exports.
func (r *NativeReport) Err() error {
	for _, e := range r.Exports {
		if e.Failure != nil {
			return e.Failure.Err(strings.TrimSuffix("export "+e.ID, " ") + " of " + r.Table)
		}
	}
	return nil
}

// Commit reports what the service made. Where it is to be converted, that is the next round.
func (j *nativeJob) Commit(ctx context.Context, c *plan.Committing) (plan.Outcome, error) {
	r := &NativeReport{Type: "native-export", Table: j.table.Address, Destination: j.at.String(), Format: j.set.Form, Exports: []NativeExported{}}
	for i := range c.Plan.Tasks {
		e, err := resultOf[NativeExported](ctx, c, i)
		if err != nil {
			return plan.Outcome{}, err
		}
		r.Exports = append(r.Exports, *e)
		r.Items += e.Items
		r.Bytes += e.BilledBytes
	}
	if j.set.Copy == nil || r.Err() != nil {
		return plan.Outcome{Report: marshal(r)}, nil
	}
	next, err := j.conversion(ctx, c.Plan, r.Exports[0])
	return plan.Outcome{Next: next}, err
}

// conversion is the plan that reads the staged export and writes what was asked for. What the service wrote is of this
// plan's staged objects: it goes when the conversion is committed.
func (j *nativeJob) conversion(ctx context.Context, p *plan.Plan, e NativeExported) (*plan.Spec, error) {
	state := j.into
	state = state.Join("plans/" + p.ID + "/staged/" + nativeStaged)
	src, err := source.Open(ctx, j.env.World, source.Spec{Address: state.String()})
	if err != nil {
		return nil, fmt.Errorf("open export %s: %w", e.ID, err)
	}
	set := *j.set.Copy
	e.Manifest = "" // which goes with the export
	set.Keys, set.Native = src.Info().Keys, &e
	next := &copyJob{env: j.env, set: set, spec: src.Spec()}
	if err := next.open(ctx); err != nil {
		return nil, err
	}
	next.set.Dest = next.at.String()
	return &plan.Spec{Verb: "convert", Source: marshal(next.spec), Settings: marshal(next.set), Tuning: marshal(Tuning{}), Writer: j.env.Version,
		Tasks: func(ctx context.Context) ([]json.RawMessage, error) { return next.cut(ctx, src) }}, nil
}

// Sweep removes what the plan staged.
func (j *nativeJob) Sweep(ctx context.Context, st plan.State, p *plan.Plan) error {
	return sweepStaged(ctx, st, p)
}
