// Package itemtest makes items for every suite: arbitrary valid ones for property tests, fast deterministic orders and
// mixed items for benchmarks and jobs, the hostile corpus, and what must be refused.
//
// It hides one decision: what the worst plausible data looks like. A codec, a column or a world that carries Hostile,
// Mixed and Items through itself unharmed keeps the promise "lossless". All of it is deterministic: the same seed gives
// the same bytes on every machine.
//
// Only tests, benchmarks and the demo's generator suites import it; it imports item and rapid. It hands out
// DynamoDB JSON (attribute maps without white space) rather than tapes, so that it needs no parser.
//
//	lines := itemtest.OrderLines(nil, 1, 0, 1000) // 1,000 export lines of about 700 bytes
//	rapid.Check(t, func(t *rapid.T) { raw := itemtest.Item().Draw(t, "item") ... })
package itemtest
