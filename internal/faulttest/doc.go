// Package faulttest proves what dynaferry promises when things go wrong: it is a suite, nothing imports it.
//
// It hides one decision: how a fault reaches the real program. The test binary is the program: started again with
// roleVariable set it runs cli.Main in a world whose buckets and tables count every external call, write each into a
// trace, and kill the process with SIGKILL at the call it was told. Faults of the wire are put between the program and
// its real counterparts by a reverse proxy that leaves signed bytes as they are.
//
// Suites: kill (crash at every numbered call, and run again), frozen (a stopped attempt that wakes up), follow (followers
// that are killed, stopped and many), wire (the proxy's matrix), hostile (items that tools stumble over, through every format and back), input (damaged and malicious
// sources), memory. Each prints one line with its counts. -short runs a subset, DYNAFERRY_LONG=1 the full counts.
package faulttest
