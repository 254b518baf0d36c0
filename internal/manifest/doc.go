// Package manifest reads and writes the manifests of a DynamoDB export to S3: manifest-summary.json, manifest-files.json and
// their checksums, in the layout of the service (DynamoDB Developer Guide, "Output format of DynamoDB table exports").
//
// It hides one decision: where documentation, real files and relocated copies disagree. We write what the service writes
// (.md5, exportType absent on full exports) and read every form seen: .checksum beside .md5, missing exportType,
// unknown fields, an export copied to another prefix or bucket.
//
// Invariants: Open returns an export only when summary, file list and checksums agree, and reports all problems at once; keys never
// leave the export's own prefix. It imports blob and fault.
package manifest
