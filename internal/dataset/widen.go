package dataset

import (
	"fmt"
	"path"
	"regexp"
)

// widenedSuffix is what Widened puts behind the stem of a name.
var widenedSuffix = regexp.MustCompile(`-v[0-9]+$`)

// Widened names the file that has the data of an earlier one under the wider schema of a version: the same name but for the
// version's number, so that names do not grow with every column that comes.
func Widened(name string, version int) string {
	suffix := path.Ext(name)
	stem := widenedSuffix.ReplaceAllString(name[:len(name)-len(suffix)], "")
	return fmt.Sprintf("%s-v%d%s", stem, version, suffix)
}

// Widens counts the files of earlier versions that this one carries over under its wider schema.
func (v *Version) Widens() int {
	n := 0
	for i := range v.Added {
		if v.Added[i].From != "" {
			n++
		}
	}
	return n
}
