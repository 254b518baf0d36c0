// Package row makes rows of changes: items that can be written in any form.
//
// It hides one decision: which members a row has that tells a change, what they are called, and how an item's own attributes
// make way for them. Its rules are those of docs/formats/delivery.md.
//
// Packages source and delivery use it; it imports column and item.
//
//	var shape row.Shaper // for one goroutine
//	shape.Row(&batch, row.Changes, row.Change{Op: "INSERT", Micros: at, Position: "4711", Keys: keys, New: now})
package row
