package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// TestManyFiles: a report names few files, and of many their folder.
func TestManyFiles(t *testing.T) {
	var names []string
	for i := range fileNamesMax + 1 {
		names = append(names, fmt.Sprintf("s3://b/p/%d.dead", i))
	}
	var few, many bytes.Buffer
	(&app{out: &few}).showFiles("dead letters", names[1:])
	(&app{out: &many}).showFiles("dead letters", names)
	if strings.Count(few.String(), "  dead letters in s3://b/p/") != fileNamesMax || !strings.Contains(few.String(), "/8.dead\n") {
		t.Errorf("%s", few.String())
	}
	if many.String() != "  dead letters in 9 files below s3://b/p/\n" {
		t.Errorf("%s", many.String())
	}
}
