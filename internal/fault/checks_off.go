//go:build !checks

package fault

// Checking tells whether assertions are compiled in.
const Checking = false

// Check does nothing in this build; see the one under the tag checks.
func Check(bool, string) {}
