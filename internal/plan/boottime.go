package plan

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootTime is a clock that goes on while the process is stopped and the machine sleeps.
func bootTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(bootClock, &ts); err != nil {
		return time.Duration(time.Now().UnixNano())
	}
	return time.Duration(ts.Nano())
}
