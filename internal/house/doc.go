// Package house holds the rules of this program's structure as tests: imports go down only, the AWS SDK is seen by one
// package, every package says what it is, and no test package reaches production. It exports nothing.
package house
