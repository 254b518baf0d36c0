//go:build peers

package peers_test

import (
	"os/exec"
	"strings"
	"testing"
)

// suite runs tests of another package of ours that judge by a counterpart, and expects that they ran and passed.
// What the counterpart is known not to have is left out by skip, a pattern of subtests, and told.
func suite(t *testing.T, pkg, run, skip string, env ...string) {
	t.Helper()
	args := []string{"test", "-tags", "peers", "-count=1", "-v", "-run", "^" + run + "$"}
	if skip != "" {
		t.Logf("SKIP %s: not to be had of this counterpart", skip)
		args = append(args, "-skip", skip)
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, "./"+pkg)...)
	cmd.Dir, cmd.Env = root, append(environment(env...), "GOPROXY=off")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "\n--- PASS: "+run+" ") {
		t.Fatalf("%s in %s: %v\n%s", run, pkg, err, tail(string(out)))
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	t.Logf("%s in %s: %d passed\n%s", run, pkg, strings.Count(string(out), "--- PASS: "), strings.Join(lines[max(0, len(lines)-6):], "\n"))
}

func TestDynamoDBLocal(t *testing.T) {
	endpoint := startDynamoDBLocal(t)
	t.Run("suite of the port", func(t *testing.T) {
		suite(t, "internal/aws", "TestSuitePeerTables", "", "DYNAFERRY_PEER_DYNAMODB="+endpoint)
	})
	t.Run("the same answers as ours", func(t *testing.T) {
		suite(t, "internal/local", "TestSameAsDynamoDBLocal", "", "DYNAFERRY_PEER_DYNAMODB="+endpoint, "DYNAFERRY_PEER_CALLS=20000")
	})
	for name, run := range map[string]string{"the same pages as ours": "TestPagesAsDynamoDBLocal",
		"the same pages of indexes": "TestIndexPagesAsDynamoDBLocal", "the same changes of tables": "TestUpdateTableAsDynamoDBLocal"} {
		t.Run(name, func(t *testing.T) { suite(t, "internal/local", run, "", "DYNAFERRY_PEER_DYNAMODB="+endpoint) })
	}
	t.Run("round trip", func(t *testing.T) {
		p := startLocal(t)
		roundTrip(t, p.with(endpoint, ""), "s3://lake/there", 2000, refusals["dynamodb local"]...)
		acrossWorlds(t, p, endpoint)
	})
}
