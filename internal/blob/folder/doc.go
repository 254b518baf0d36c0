// Package folder is a local directory as a blob.Bucket.
//
// It hides one decision: how a file system is made to behave like an object store. An object is a regular file at its
// name's path. It is written to a hidden file in its own folder (".tmp-" and random letters), synced, and gets its name
// in one step: link(2) for put-if-absent, rename(2) otherwise, then the folder is synced. Overwrites and deletions
// of names in one folder exclude each other by flock(2) on it, over all processes of the host, so that
// put-if-match compares and replaces in one step.
//
// A version's ETag is a random id kept with the file, and its size and modification time, so it also changes when
// somebody edits the file; a file that we did not write has inode, size and time instead. Id, content type and
// metadata are an extended attribute, or where the file system has none a hidden file ".meta-<inode>" beside it.
//
// Invariants: nothing is reached outside the root, whatever symbolic links or names say (os.Root); hidden names cannot
// be named nor listed; a name appears only after its bytes are durable; Publish never changes a byte that any
// name but the staged one shows.
//
// It needs a file system with hard links and flock: not vfat, and not over NFS before version 4. World, commit's tests
// and anybody with a folder import it.
//
//	bucket, err := folder.Open("/data/export", folder.Options{})
//	info, err := bucket.Put(ctx, "year=2026/a.parquet", body, blob.PutOptions{Condition: blob.Condition{IfAbsent: true}})
package folder
