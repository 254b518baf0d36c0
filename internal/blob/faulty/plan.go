package faulty

import (
	"strconv"
	"strings"
	"time"

	"dynaferry/internal/fault"
)

// rule is one line of a plan.
type rule struct {
	operation string
	pattern   string // "" matches every name
	first     int    // of the matching calls, from 1
	last      int    // inclusive
	fault     string
	n         int64         // of cut and flip
	wait      time.Duration // of late and slow
	after     bool          // of crash
}

// Plan is a parsed plan. It holds no counts: New may use one many times.
type Plan struct{ rules []rule }

var operations = map[string]bool{"head": true, "get": true, "put": true, "create": true, "part": true, "complete": true,
	"abort": true, "publish": true, "list": true, "delete": true, "call": true}

// Parse reads a plan; the error is of kind User and quotes the rule. Empty rules and those that begin with // are
// left out.
func Parse(text string) (Plan, error) {
	var p Plan
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "//") {
			continue
		}
		for each := range strings.SplitSeq(line, ";") {
			if each = strings.TrimSpace(each); each == "" {
				continue
			}
			r, why := parseRule(each)
			if why != "" {
				return Plan{}, fault.New(fault.User, "fault rule %q: %s", each, why)
			}
			p.rules = append(p.rules, r)
		}
	}
	return p, nil
}

func parseRule(text string) (r rule, why string) {
	i := strings.LastIndex(text, ": ") // names may hold colons
	if i < 0 {
		return r, "write it as operation#number: fault"
	}
	where, what := text[:i], strings.Fields(text[i+2:])
	i = strings.LastIndexByte(where, '#')
	if i < 0 {
		return r, "say which call with #3, #2-5, #3+ or #*"
	}
	r.operation = where[:i]
	if open := strings.IndexByte(r.operation, '('); open >= 0 {
		if !strings.HasSuffix(r.operation, ")") {
			return r, "the pattern does not end with )"
		}
		r.operation, r.pattern = r.operation[:open], r.operation[open+1:len(r.operation)-1]
	}
	if !operations[r.operation] {
		return r, "no operation is called " + r.operation
	}
	if r.first, r.last, why = parseCount(where[i+1:]); why != "" {
		return r, why
	}
	return parseFault(r, what)
}

const everAfter = int(^uint(0) >> 1)

func parseCount(s string) (first, last int, why string) {
	bad := "call number " + s + " is none"
	if s == "*" {
		return 1, everAfter, ""
	}
	from, to, span := strings.Cut(s, "-")
	from, open := strings.CutSuffix(from, "+")
	first, err := strconv.Atoi(from)
	if err != nil || first < 1 || open && span {
		return 0, 0, bad
	}
	switch {
	case open:
		return first, everAfter, ""
	case !span:
		return first, first, ""
	}
	if last, err = strconv.Atoi(to); err != nil || last < first {
		return 0, 0, bad
	}
	return first, last, ""
}

func parseFault(r rule, words []string) (rule, string) {
	if len(words) == 0 {
		return r, "no fault"
	}
	r.fault = words[0]
	argument := ""
	if len(words) > 1 {
		argument = words[1]
	}
	wants := 1
	switch r.fault {
	case "403", "404", "412", "429", "500", "503", "full", "lost":
		wants = 0
	case "late", "slow":
		d, err := time.ParseDuration(argument)
		if err != nil || d < 0 {
			return r, r.fault + " needs a duration such as 2s"
		}
		r.wait = d
	case "cut", "flip":
		n, err := strconv.ParseInt(argument, 10, 64)
		if err != nil || n < 0 {
			return r, r.fault + " needs a byte number"
		}
		if r.operation != "get" && r.operation != "call" {
			return r, r.fault + " is for get"
		}
		r.n = n
	case "crash":
		if argument != "before" && argument != "after" {
			return r, "crash before, or crash after"
		}
		r.after = argument == "after"
	default:
		return r, "no fault is called " + r.fault
	}
	if len(words) != 1+wants {
		return r, "too many words"
	}
	return r, ""
}

// matches tells whether a call is counted by the rule.
func (r rule) matches(operation, name string) bool {
	return (r.operation == operation || r.operation == "call") && (r.pattern == "" || glob(r.pattern, name))
}

// glob is a pattern in which * stands for any text, slashes included.
func glob(pattern, name string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	name, ok := strings.CutPrefix(name, head)
	if !ok || !star {
		return ok && name == ""
	}
	for i := 0; i <= len(name); i++ {
		if glob(rest, name[i:]) {
			return true
		}
	}
	return false
}
