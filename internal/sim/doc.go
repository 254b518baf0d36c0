// Package sim runs our real code through made-up histories that one number decides: who writes what and when, which
// answers get lost, who is killed and who freezes.
//
// It hides one decision: where chance and time come from. A World stands in a bubble of testing/synctest, whose clock
// goes on only when everybody waits. Behind the ports of the program (blob.Bucket, feed.Client, dynamo.Client) stand a
// store, a table with its stream, and faults; each Process has views of its own, through which it can be killed or
// frozen. The same plan makes the same history again, so what fails can be looked at and shrunk.
//
// What keeps it so:
//
//   - Every call takes a time of its own to the nanosecond, and calls of a process that thaws go on one after the other. So no
//     two things happen at once, and the clock orders all.
//   - A call that begins at the very instant at which its context ends is not begun, and takes no number.
//   - A number is drawn for (seed, process, operation, name, how often before), never from a stream that is shared. So it
//     does not depend on who came first, also within a process that makes several calls at once. Parts of a process that
//     may call the same at one instant draw as such (Env.Part).
//   - The trace is a sum over what happened and when, so what happens at one instant has no order in it.
//   - Write ids and pauses come from such numbers too (commit.WithSource), each drawn for its name and instant: whether one is
//     drawn that nobody will wait for is chance, and changes no other.
//
// A history has two phases. In the first there are faults. Then all is healed, and the system must come to rest within a
// bounded time: what is only safe because it stands still is found too. The code that is tried is an Actor: an ordinary
// function over ports, which runs until its context ends.
//
// A Wire has a process's ports answer HTTP, so that clients of the services stand in a history too.
//
// Only tests use it; it imports whatever they try.
//
//	out := sim.Run(sim.Draw(7), sim.Scenario{Actor: capture, Check: func(w *sim.World) error { ... }})
package sim
