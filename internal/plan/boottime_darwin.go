package plan

import "golang.org/x/sys/unix"

// Darwin's monotonic clock counts the time asleep (clock_gettime(3)).
const bootClock = unix.CLOCK_MONOTONIC
