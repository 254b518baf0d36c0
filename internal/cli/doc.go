// Package cli is the face on a terminal: words to settings, reports and errors to words, JSON and exit codes.
//
// It hides one decision: how the program speaks. The rules of its voice:
//
//   - stdout is the result, stderr the story. With --json both are JSON, one object a line, each with a "type".
//   - Lines are lower case, without a full stop, and name the thing first. Numbers have their unit.
//   - Progress redraws one line on a terminal and is a line a minute elsewhere; --quiet leaves only errors.
//   - An error is one line "dynaferry: …" and, where there is one, a second line with the next command to try.
//   - Exit codes: 0 done, 1 failed, 2 usage, 3 partly done (dead letters), 4 checked and not equal, 5 conflict,
//     75 outcome unknown or worth a retry, 130 interrupted. Engine commands add 64 poison, 70 bug, 76 second round.
//
// It holds no logic of jobs: every command builds settings, calls package job and shows what comes back. It imports job
// and everything below; only main imports it.
package cli
