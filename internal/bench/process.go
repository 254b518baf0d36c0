package bench

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// cpuOf is what a process has used so far, in seconds; 0 where there is no /proc.
func cpuOf(pid int) float64 {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	// After the name in parentheses: state is field 3, utime and stime are 14 and 15, in hundredths of a second.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100
}

// memoryOf is what a process has resident, and had at most, in MB; 0 where there is no /proc. What the system tells of a
// child that has ended would not do: it counts from before it became this program.
func memoryOf(pid int) (resident, peak float64) {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(status)) {
		name, rest, _ := strings.Cut(line, ":")
		switch name {
		case "VmRSS":
			resident, _ = strconv.ParseFloat(strings.Fields(rest)[0], 64)
		case "VmHWM":
			peak, _ = strconv.ParseFloat(strings.Fields(rest)[0], 64)
		}
	}
	return resident / 1024, peak / 1024
}
