// Package sample makes items to measure and to try with: orders of one shape, and items of four kinds with everything
// that real tables have (types that conflict, attributes that one item in thousands has).
//
// It hides one decision: what the numbers of `dynaferry bench` and of the Go benchmarks are measured on, so that both
// measure the same. The same seed and number give the same item, for ever. It imports the standard library alone.
package sample
