package changelog

import (
	"fmt"
	"path"
)

// The names below the log's root. None ends as data do (decision 0008).

func infoName(dir string) string { return path.Join(dir, "log") }

func entryName(dir string, group uint32, n uint64) string {
	return path.Join(dir, fmt.Sprintf("chain/%03d/%012d", group, n))
}

func indexName(dir string, group uint32, level int, k uint64) string {
	return path.Join(dir, fmt.Sprintf("chain/%03d/index/%d/%012d", group, level, k))
}
