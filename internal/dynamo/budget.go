package dynamo

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"dynaferry/internal/fault"
)

// On-demand tables have no number to take half of. A new one serves this much at once (Developer Guide, "On-demand
// capacity mode"), so half of it leaves an application on the same table as much as the job takes, and no table is
// pushed into growing for a job's sake. An owner's ceiling (Table.MaxReadUnits, MaxWriteUnits) replaces it.
const (
	OnDemandReadUnits  = 12000
	OnDemandWriteUnits = 4000
)

// defaultPercent is what a job takes when nobody says: half.
const defaultPercent = 50

// Budget is what a user allows a job to consume: units a second, a share of the table's capacity, or all it can get.
// The zero Budget is 50 %.
type Budget struct {
	Units     float64 // units a second; 0: see Percent
	Percent   float64 // of the capacity; 0: 50
	Unlimited bool
}

// ParseBudget reads "500", "50%", "unlimited" or "" (the default).
func ParseBudget(text string) (Budget, error) {
	wrong := func() (Budget, error) {
		err := fault.New(fault.User, "units %q: want units a second, a percentage or unlimited", text)
		return Budget{}, fault.Hint(err, "500, 50%% or unlimited")
	}
	if text == "" {
		return Budget{}, nil
	}
	if text == "unlimited" {
		return Budget{Unlimited: true}, nil
	}
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !(v > 0) || math.IsInf(v, 0) || percent && v > 100 {
		return wrong()
	}
	if percent {
		return Budget{Percent: v}, nil
	}
	return Budget{Units: v}, nil
}

// String writes the budget as ParseBudget reads it.
func (b Budget) String() string {
	switch {
	case b.Unlimited:
		return "unlimited"
	case b.Units > 0:
		return strconv.FormatFloat(b.Units, 'f', -1, 64)
	case b.Percent > 0:
		return strconv.FormatFloat(b.Percent, 'f', -1, 64) + "%"
	}
	return ""
}

// Rate resolves the budget for a table to units a second, +Inf for unlimited, and says in words where the number comes
// from, for the plan and the progress line.
func (b Budget) Rate(t *Table, d Direction) (unitsPerSecond float64, why string) {
	if b.Unlimited {
		return math.Inf(1), "unlimited"
	}
	if b.Units > 0 {
		return b.Units, fmt.Sprintf("%g %s units/s as asked", b.Units, strings.ToLower(string(d)))
	}
	percent := b.Percent
	if percent == 0 {
		percent = defaultPercent
	}
	provisioned, ceiling, initial := t.ReadUnits, t.MaxReadUnits, float64(OnDemandReadUnits)
	if d == Write {
		provisioned, ceiling, initial = t.WriteUnits, t.MaxWriteUnits, OnDemandWriteUnits
	}
	of, base := "the on-demand capacity of a new table", initial
	switch {
	case t.Provisioned:
		of, base = "the provisioned capacity", provisioned
	case ceiling > 0:
		of, base = "the table's on-demand maximum", ceiling
	}
	rate := base * percent / 100
	return rate, fmt.Sprintf("%g %s units/s, %g%% of %s (%g)", rate, strings.ToLower(string(d)), percent, of, base)
}
