package sim

// Shrink looks for a smaller plan that still fails: fewer writes, faults and processes, until none of its steps does.
// The seed stays; what it decides of what is left does not change but where one thing follows from another.
func Shrink(p Plan, fails func(Plan) bool) Plan {
	for again := true; again; {
		again = false
		for _, smaller := range smaller(p) {
			if fails(smaller) {
				p, again = smaller, true
				break
			}
		}
	}
	return p
}

// smaller lists plans that are a step smaller, the largest steps first.
func smaller(p Plan) (all []Plan) {
	step := func(change func(*Plan)) {
		q := p
		q.Rates = map[Fault]int{}
		for f, rate := range p.Rates {
			q.Rates[f] = rate
		}
		change(&q)
		all = append(all, q)
	}
	for _, n := range []*int{&p.Writes, &p.Processes, &p.Shards, &p.Keys} {
		if *n > 1 {
			was := *n
			for _, less := range []int{1, was / 2, was - 1} {
				*n = less // into p, which step copies
				step(func(*Plan) {})
			}
			*n = was
		}
	}
	for _, n := range []*int{&p.Kills, &p.Freezes, &p.Jumps, &p.Splits} {
		if *n > 0 {
			was := *n
			*n = 0
			step(func(*Plan) {})
			*n = was
		}
	}
	if p.Outage {
		step(func(q *Plan) { q.Outage = false })
	}
	if p.Groups > 1 {
		step(func(q *Plan) { q.Groups = 0 })
	}
	for _, f := range Faults {
		if p.Rates[f] > 0 {
			step(func(q *Plan) { delete(q.Rates, f) })
		}
	}
	return all
}
