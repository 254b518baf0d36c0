// Package bench measures what the program promises of its speed, the way a user can repeat it: `dynaferry bench`.
//
// It hides one decision: what is compared with what. Every number is a ratio of CPU seconds (user and system) against a
// reference measured in the same run, pair by pair, since machines are noisy and shared; a row carries the median ratio,
// what it must be and what we aim for. Whole commands run as child processes of this very binary, measured by the
// operating system's accounting.
//
// It imports aws (for the SDK's side of two rows), the codecs, manifest and sample; only cli imports it.
package bench
