// Package outlet is the port to streams that take records: Data Firehose and Kinesis Data Streams.
//
// It hides one decision: how records get in, each at least once and those of one key in order, though a request may be
// taken in part. A Client makes one request and tells what was refused; Send packs requests within the limits, sends again
// what was refused or may be lost, and keeps keys in order. What package aws implements.
//
// It imports fault.
//
//	err := outlet.Send(ctx, client, "orders", records, outlet.Options{Refuse: deadLetter})
package outlet
