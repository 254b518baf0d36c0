// Package aws is the cloud wing: the ports blob.Bucket, dynamo.Client and feed.Client over the AWS SDK, which no other package sees.
//
// It hides one decision: how a service is asked. Credentials, Regions, profiles and endpoint variables are found as the
// AWS CLI finds them (Load); requests are retried by our own loops and never by the SDK, because a retried conditional
// write cannot tell its own success from a lost race; answers become fault kinds and the sentinels of the ports.
//
// Invariants: no error, log line or value of this package holds a secret; redirects are never followed; a connection to
// a link-local or metadata address is refused whatever name led there; plain http reaches loopback only, unless the
// address says insecure=true; what a store ignored of blob.Settings is an error.
//
// World and the commands' set-up import it.
//
//	session, err := aws.Load(ctx, aws.Options{Region: "eu-west-1", Role: "arn:aws:iam::123456789012:role/reader"})
//	bucket, err := session.S3("my-bucket", "exports/2026", aws.S3Options{})
//	info, err := bucket.Put(ctx, "a/b.parquet", body, blob.PutOptions{})
package aws
