// Package fault gives errors what wrapping cannot: a kind, a place, whether a retry helps, and one hint.
//
// It hides one decision: how the program's faces (text, JSON, exit codes) learn from an error what to tell a person
// without reading its text. Packages return ordinary wrapped errors; where the cause is known, and only there, they
// make a *Error with a Kind and a Hint (one command or setting the user can try next). The outermost package that
// knows a place (file, line, offset, attribute path) adds it with At.
//
// Every package may import it; it imports only the standard library.
//
//	err := fault.New(fault.Corrupt, "checksum differs: manifest %s, data %s", want, got)
//	err = fault.At(err, fault.Place{File: "s3://b/x.json.gz", Offset: 4711})
//	err = fault.Hint(err, "export the table again, or drop the file with --skip")
//	fault.KindOf(err) == fault.Corrupt
package fault
