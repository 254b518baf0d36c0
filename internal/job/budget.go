package job

import (
	"context"
	"fmt"
	"math"
	"sync"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/source"
)

// governed is one table's budget in this process, shared by all tasks of a job.
type governed struct {
	once    sync.Once
	gov     *dynamo.Governor
	scanner *dynamo.Scanner
	err     error
}

// read puts the governor and scanner of a table source into o.
func (g *governed) read(ctx context.Context, env *Env, src source.Source, budget string, o *source.ReadOptions) error {
	g.once.Do(func() {
		table := src.Info().Table
		if g.gov, g.err = newGovernor(env, table, budget, dynamo.Read); g.err != nil {
			return
		}
		client, err := env.World.Client(ctx, src.Address())
		g.scanner, g.err = dynamo.NewScanner(client, g.gov, table), err
	})
	o.Governor, o.Scanner = g.gov, g.scanner
	return g.err
}

// write returns the governor of a table that is written to.
func (g *governed) write(env *Env, table *dynamo.Table, budget string) (*dynamo.Governor, error) {
	g.once.Do(func() { g.gov, g.err = newGovernor(env, table, budget, dynamo.Write) })
	return g.gov, g.err
}

// checkBudget refuses a budget that is none before anything is done.
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
