// Package dynamo is the port to DynamoDB tables: describe, scan by segment, read, batch write, conditional write, and the
// governor that keeps all of it below a budget of capacity units.
//
// It hides one decision: what the rest of the program may rely on from a table. The implementation is the cloud wing in
// package aws, which speaks to the service and to the local world alike; dynamo/dynamotest is the suite both pass,
// dynamo/faulty the decorator that breaks them by plan. Items cross this port as item.Batch views over raw response
// bytes, and go out as raw DynamoDB JSON: nothing is decoded into maps.
//
// Retrying: a Client sends each call once and returns a *ThrottleError or a fault of kind Unavailable; Governor.Do is the
// one place that waits and tries again.
//
// It imports item and fault.
package dynamo
