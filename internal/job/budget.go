package job

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"sync"
	"time"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
	"dynaferry/internal/plan"
	"dynaferry/internal/source"
)

// Tuning is how hard a job may work. It stands beside the settings of a plan and does not make another plan of it: whoever
// goes on with one chooses anew.
type Tuning struct {
	ReadUnits  string `json:"readUnits,omitempty"` // "500", "50%", "unlimited", "" is the default
	WriteUnits string `json:"writeUnits,omitempty"`
}

// tuningOf reads the tuning that a plan was made with.
func tuningOf(p *plan.Plan) (Tuning, error) {
	var t Tuning
	if len(p.Tuning) == 0 {
		return t, nil
	}
	if err := json.Unmarshal(p.Tuning, &t); err != nil {
		return t, fault.New(fault.Corrupt, "tuning of plan %s: %w", p.ID, err)
	}
	return t, nil
}

// check refuses budgets that are none before anything is done.
func (t Tuning) check() error {
	if err := checkBudget("--read-units", t.ReadUnits); err != nil {
		return err
	}
	return checkBudget("--write-units", t.WriteUnits)
}

// Retune replaces the budgets that a plan was made with by those of t that say something.
func Retune(p *plan.Plan, t Tuning) error {
	if err := t.check(); err != nil {
		return err
	}
	own, err := tuningOf(p)
	if err != nil {
		return err
	}
	p.Tuning = marshal(Tuning{cmp.Or(t.ReadUnits, own.ReadUnits), cmp.Or(t.WriteUnits, own.WriteUnits)})
	return nil
}

// governed is one table's budget in this process, shared by all tasks of a job.
type governed struct {
	once    sync.Once
	gov     *dynamo.Governor
	scanner *dynamo.Scanner
	err     error
}

// read has the scan of a table keep to the budget and tell the units it takes, where spent is set. Files have no budget.
func (g *governed) read(ctx context.Context, env *Env, src source.Source, budget string, o *source.ReadOptions, spent func(units float64)) error {
	if src.Info().Kind != source.KindTable {
		return nil
	}
	g.once.Do(func() {
		table := src.Info().Table
		if g.gov, g.err = newGovernor(env, table, budget, dynamo.Read); g.err != nil {
			return
		}
		client, err := env.World.Client(ctx, src.Address())
		g.scanner, g.err = dynamo.NewScanner(client, g.gov, table), err
	})
	o.Governor, o.Scanner = g.gov, g.scanner
	if spent != nil {
		o.Pages = func(units float64, _ time.Time) { spent(units) }
	}
	return g.err
}

// write returns the governor of a table that is written to.
func (g *governed) write(env *Env, table *dynamo.Table, budget string) (*dynamo.Governor, error) {
	g.once.Do(func() { g.gov, g.err = newGovernor(env, table, budget, dynamo.Write) })
	return g.gov, g.err
}

func checkBudget(flag, text string) error {
	if _, err := dynamo.ParseBudget(text); err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	return nil
}

// newGovernor resolves a budget for a table and says what it came to.
func newGovernor(env *Env, table *dynamo.Table, text string, d dynamo.Direction) (*dynamo.Governor, error) {
	budget, err := dynamo.ParseBudget(text)
	if err != nil {
		return nil, err
	}
	rate, why := budget.Rate(table, d)
	o := dynamo.GovernorOptions{Rate: rate, Notify: func(n dynamo.Notice) {
		env.say("%s: %s", n.Text, n.Hint)
	}}
	if env.Share > 0 && env.Share < 1 && !math.IsInf(rate, 1) {
		o.Rate *= env.Share
	}
	env.say("%s: %s", table.Name, why)
	return dynamo.NewGovernor(o), nil
}
