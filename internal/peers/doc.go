// Package peers lets programs of others judge this one, and holds no code of its own.
//
// Its tests, behind the build tag peers, start real counterparts on loopback (DynamoDB Local, MinIO, moto), hand our files
// to readers that somebody else wrote (DuckDB, pyarrow, polars, Spark, ClickHouse, ion-js), take files that those wrote, have DuckDB, ion-js
// and moto read what our local engine exports, and drive our local world with boto3, the AWS CLI, the SDKs for JavaScript and Java, and the Kinesis
// Client Library. It hides one decision: where those programs come from. peers/install.sh fetches
// them, pinned, into the ignored folder .peers; nothing of them is shipped.
//
// Invariants: every server listens on loopback only (DynamoDB Local, which cannot be told so, gets a network namespace of its
// own where that is possible) and ends with its test. A counterpart that a registry refused is skipped aloud; one that was
// never asked for is an error.
//
// Nobody imports it. To run it: make peers.
package peers
