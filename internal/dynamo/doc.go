// Package dynamo is the port to DynamoDB tables: describe, scan by segment, read, batch write, conditional write, and
// the governor that keeps all of it below a budget of capacity units.
//
// It hides one decision: what the rest of the program may rely on from a table. The implementation is the cloud wing in
// package aws, which speaks to the service and to the local world alike; dynamo/dynamotest is the suite both pass,
// dynamo/faulty the decorator that breaks them by plan. Items cross this port as item.Batch views over raw response
// bytes, and go out as raw DynamoDB JSON: nothing is decoded into maps.
//
// Retrying: a Client sends each call once and returns a *ThrottleError or a fault of kind Unavailable; Governor.Do is
// the one place that waits and tries again. Scanner and BatchWriter are the two ways jobs read and write through it.
//
// Invariants of the governor: consumption exceeds the budget by at most 5 % in any ten seconds of calls that are small
// against it; a throttle is answered by its reason (Limit); after relief 90 % of the allowed rate is back within thirty
// seconds. It uses package time alone, so that testing/synctest drives it, and its jitter comes from a seed.
//
// It imports item and fault.
//
//	budget, err := dynamo.ParseBudget("50%")
//	rate, why := budget.Rate(table, dynamo.Read)
//	governor := dynamo.NewGovernor(dynamo.GovernorOptions{Rate: rate}.Share(parallelism))
//	scanner, lane := dynamo.NewScanner(client, governor, table), governor.Lane()
//	page, err := scanner.Page(ctx, lane, &dynamo.ScanRequest{Table: "Orders", Segment: 3, Segments: 64}, &batch)
package dynamo
