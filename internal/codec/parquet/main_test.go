package parquet

import (
	"flag"
	"os"
	"testing"
)

// TestMain keeps the properties short where nobody asked for the long suites.
func TestMain(m *testing.M) {
	checks := "25"
	if os.Getenv("DYNAFERRY_LONG") != "" {
		checks = "3000"
	}
	_ = flag.Set("rapid.checks", checks)
	flag.Parse()
	os.Exit(m.Run())
}
