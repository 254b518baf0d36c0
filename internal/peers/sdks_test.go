//go:build peers

package peers_test

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// The SDKs of others drive what lies around the tables of our local world: indexes, transactions, streams, time to live,
// the past, Kinesis. Each program checks every answer itself and prints one line.

func TestBoto3World(t *testing.T) {
	p := startLocal(t)
	t.Log(p.must(t, pythonOf(t, "python"), filepath.Join(root, "internal/peers/boto3_world.py")))
}

func TestJavaScriptSDK(t *testing.T) {
	modules := need(t, "awsjs", "awsjs/node_modules")
	p := startLocal(t)
	t.Log(p.must(t, "node", filepath.Join(root, "internal/peers/awsjs.js"), modules))
}

func TestJavaSDK(t *testing.T) {
	jars := need(t, "java", "java/lib")
	p := startLocal(t)
	t.Log(runJava(t, p, jars, "AwsJava"))
}

// TestKinesisClientLibrary lets Amazon's own consumer of streams read a table's stream through its adapter, over a split of
// a shard. It keeps its leases, by parameters of the API before expressions, in the same world; and a client of Kinesis as it
// comes, which speaks CBOR, puts and reads records.
func TestKinesisClientLibrary(t *testing.T) {
	jars := need(t, "kcl", "kcl/lib")
	p := startLocal(t)
	t.Log(runJava(t, p, jars, "Kcl"))
}

// runJava compiles one source file against a folder of jars and runs it.
func runJava(t *testing.T, p place, jars, class string, args ...string) string {
	t.Helper()
	javac, err := exec.LookPath("javac")
	if err != nil {
		t.Skip("SKIP javac: this machine has none, and the Java SDK's driver needs it")
	}
	classes := t.TempDir()
	path := filepath.Join(jars, "*")
	p.must(t, javac, "-d", classes, "-cp", path, filepath.Join(root, "internal/peers", class+".java"))
	return p.must(t, java(t), append([]string{"-Xmx512m", "-cp", classes + ":" + path, class}, args...)...)
}
