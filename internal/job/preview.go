package job

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"strings"

	"dynaferry/internal/plan"
	"dynaferry/internal/source"
)

// Preview is what a dry run says: what would be done, read from descriptions and lists alone.
type Preview struct {
	Type        string   `json:"type"` // "preview"
	Verb        string   `json:"verb"`
	Source      string   `json:"source"`
	Destination string   `json:"destination"`
	State       string   `json:"state"`
	Tasks       int      `json:"tasks"`
	Items       int64    `json:"items"` // -1 when unknown
	Exact       bool     `json:"exact"`
	Bytes       int64    `json:"bytes"`
	Costs       []string `json:"costs,omitempty"`
	Resumes     bool     `json:"resumes"`
	// Widens is how many files of earlier versions, at most, get a new footer if the items turn out to bring new columns.
	Widens int `json:"widens,omitempty"`
}

// bytesPerReadUnit is what half a read unit, an eventually consistent one, reads.
const bytesPerReadUnit = 8192

// Look looks at the request without doing anything.
func Look(ctx context.Context, r *Request) (*Preview, error) {
	tasks, err := r.Spec.Tasks(ctx)
	if err != nil {
		return nil, err
	}
	verb, _, _ := strings.Cut(r.Spec.Verb, "-") // what it does it with is not the user's word
	p := &Preview{Type: "preview", Verb: verb, Destination: r.Destination, State: r.StateAddress, Tasks: len(tasks), Exact: true}
	var names []string
	for _, src := range r.sources {
		info := src.Info()
		names = append(names, src.Address().String())
		p.Bytes += info.Bytes
		p.Exact = p.Exact && info.Exact
		if info.Items < 0 || p.Items < 0 {
			p.Items = -1
		} else {
			p.Items += info.Items
		}
		if info.Kind == source.KindTable && r.costs == nil {
			units := float64(info.Bytes) / bytesPerReadUnit
			if src.Spec().Consistent {
				units *= 2
			}
			p.Costs = append(p.Costs, fmt.Sprintf("reads about %.0f read units of %s", math.Ceil(max(units, 1)), info.Table.Name))
		}
	}
	p.Costs = append(p.Costs, r.costs...)
	p.Source = cmp.Or(r.from, strings.Join(names, " and "))
	if p.Resumes, err = plan.Unfinished(ctx, r.State, r.Spec); err != nil || r.mayWiden == nil {
		return p, err
	}
	p.Widens, err = r.mayWiden(ctx)
	return p, err
}
