// Package job holds the verbs: each file is one verb's plan, tasks and commit.
//
// It hides one decision: how a verb is cut into work that may run anywhere, any number of times. A verb's settings are a
// plain struct that is stored in the plan; New makes the plan.Job of any stored plan from it, so that the local pool, an
// array job or Spark run the very same code (plan.RunTask, plan.Commit). Start is what the command line calls.
//
// export and convert are one job (copy: items from any source into files), import writes items or changes into a table, verify
// compares two sources. Changes are laid over a copy's source through the files changed and merge. It imports everything below; only cli imports it.
package job
