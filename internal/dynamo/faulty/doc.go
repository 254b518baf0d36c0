// Package faulty breaks a dynamo.Client by plan.
//
// It hides one decision: how faults are written down. A plan is text, one rule a line, so that a failing run can be
// replayed, shrunk and committed:
//
//	# operations: describe scan get batch write create delete, or * for any
//	scan#3: throttle KeyRange        the third scan is throttled (Provisioned when no limit is named)
//	scan#10-14: 500                  calls 10 to 14 fail before they reach the table
//	batch#2+: unprocessed 3          from the second batch on the last three members come back
//	*: unprocessed key=pk:hot        members whose attribute pk is "hot" come back for ever
//	scan#5: cut                      the reply breaks off; the call was carried out
//	scan#6: corrupt                  the reply's checksum is wrong; the call was carried out
//	write#1: lost                    carried out, the answer lost
//	get#1: stall 30s                 nothing comes until then, or until the caller gives up
//	write#1: late 5s                 the answer is lost and the write lands later
//	batch: random 10% throttle       each batch with this chance; the seed is the plan's
//
// Calls are counted by operation from 1; without # a rule holds for all. The first rule that applies wins.
//
// It imports dynamo, item and fault. Tests, the simulation and the bench use it.
//
//	client, err := faulty.New(client, "scan#2-4: throttle\nwrite#1: lost", 1)
package faulty
