// Package world turns what a person types into ports: an address into a bucket, a table or a stream.
//
// It hides one decision: which implementation stands behind which address. dynamodb://Table, kinesis://stream, firehose://stream and
// s3://bucket/prefix are the cloud wing's (the local world is reached the same way, by its endpoint), a path is a folder's. The query of an address
// carries what differs for this one address: region, endpoint, profile, role. Everything else comes from the
// environment and the shared configuration as in the AWS CLI.
//
// It is the only package besides main's faces that knows both wings. It imports aws, blob/folder and the ports.
//
//	w := world.New()
//	at, err := world.Parse("s3://lake/orders?region=eu-west-1")
//	loc, err := w.Location(ctx, at, blob.Settings{})
package world
