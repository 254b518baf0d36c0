// Package dynamotest is the suite that every dynamo.Client passes: the cloud wing against the local world, and against
// real counterparts of the service.
//
// It hides one decision: what a table must do for the program to work. Run takes a function that opens a client; the
// suite makes its own tables and removes them. Options name what a counterpart is known not to do, so that a difference
// is written down and never just skipped.
//
// It stands beside the storeys: tests alone import it.
//
//	dynamotest.Run(t, func(t *testing.T) dynamo.Client { return client }, dynamotest.Options{})
package dynamotest
