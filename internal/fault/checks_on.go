//go:build checks

package fault

// Checking tells whether assertions are compiled in.
const Checking = true

// Check panics when an assumption of the programmer is broken. Built with the tag checks (tests) only: a broken
// durable invariant is an error, never a Check.
func Check(ok bool, what string) {
	if !ok {
		panic("assertion broken: " + what)
	}
}
