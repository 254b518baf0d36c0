package faulty

import (
	"strconv"
	"strings"
	"time"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
)

// rule is one line of a plan.
type rule struct {
	operation   string // "*" for any
	first, last int    // calls it holds for; last 0: no end
	chance      float64
	fault       string
	limit       dynamo.Limit
	count       int // unprocessed members
	attr, key   string
	wait        time.Duration
}

var operations = map[string]bool{"describe": true, "scan": true, "get": true, "batch": true, "write": true,
	"create": true, "delete": true, "*": true}

var limits = map[string]dynamo.Limit{"KeyRange": dynamo.KeyRange, "Provisioned": dynamo.Provisioned,
	"MaxOnDemand": dynamo.MaxOnDemand, "Account": dynamo.Account, "Replication": dynamo.Replication}

// parse reads a plan. Errors name the line.
func parse(plan string) ([]rule, error) {
	var rules []rule
	for n, line := range strings.Split(plan, "\n") {
		line, _, _ = strings.Cut(line, " #")
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		r, ok := parseRule(line)
		if !ok {
			err := fault.New(fault.User, "%q is no fault", line)
			return nil, fault.At(err, fault.Place{File: "fault plan", Line: int64(n + 1)})
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func parseRule(line string) (rule, bool) {
	r := rule{first: 1, chance: 1, limit: dynamo.Provisioned}
	where, what, ok := strings.Cut(line, ":")
	if !ok {
		return r, false
	}
	operation, calls, counted := strings.Cut(where, "#")
	r.operation = operation
	if !operations[operation] || counted && !r.calls(calls) {
		return r, false
	}
	words := strings.Fields(what)
	if len(words) > 1 && words[0] == "random" {
		percent, err := strconv.ParseFloat(strings.TrimSuffix(words[1], "%"), 64)
		if err != nil || percent < 0 || percent > 100 {
			return r, false
		}
		r.chance, words = percent/100, words[2:]
	}
	if len(words) == 0 {
		return r, false
	}
	r.fault = words[0]
	return r, r.arguments(words[1:])
}

// calls reads 3, 3-5 or 3+.
func (r *rule) calls(text string) bool {
	first, last, ranged := strings.Cut(text, "-")
	open := strings.HasSuffix(first, "+")
	var err error
	if r.first, err = strconv.Atoi(strings.TrimSuffix(first, "+")); err != nil || r.first < 1 || open && ranged {
		return false
	}
	switch {
	case ranged:
		r.last, err = strconv.Atoi(last)
		return err == nil && r.last >= r.first
	case !open:
		r.last = r.first
	}
	return true
}

// arguments reads what follows a fault's name.
func (r *rule) arguments(words []string) bool {
	word := strings.Join(words, " ")
	var err error
	switch r.fault {
	case "500", "cut", "corrupt", "lost":
		return word == ""
	case "throttle":
		if word != "" {
			var ok bool
			r.limit, ok = limits[word]
			return ok
		}
		return true
	case "stall", "late":
		r.wait, err = time.ParseDuration(word)
		return err == nil && r.wait >= 0
	case "unprocessed":
		if pair, ok := strings.CutPrefix(word, "key="); ok {
			r.attr, r.key, ok = strings.Cut(pair, ":")
			return ok && r.attr != ""
		}
		r.count, err = strconv.Atoi(word)
		return err == nil && r.count > 0
	}
	return false
}

func (r *rule) covers(operation string, call int) bool {
	return (r.operation == "*" || r.operation == operation) && call >= r.first && (r.last == 0 || call <= r.last)
}
