// Package ddbjson reads and writes DynamoDB JSON, the form that Scan replies, exports, BatchWriteItem bodies and the records of
// streams share.
//
// It hides one decision: how bytes become a tape. A learned automaton predicts the literal bytes between two values
// from the items before, so that well-formed lines pass at memory-like speed; whatever it does not expect goes through
// the checked parser of RFC 8259, which has the last word and teaches the automaton. Both leave the same tape
// (item.Token) over bytes that stay where they are.
//
// Invariants: nothing is mangled. Invalid UTF-8, lone surrogates, control characters, duplicate names, numbers that
// DynamoDB would not take, bad base64 and nesting beyond DynamoDB's are refused with byte offset and attribute path.
// What was accepted goes out again byte for byte.
//
// It imports codec, feed, item and fault. Sources, sinks, the worlds and the other codecs may import it.
//
//	b := &item.Batch{Src: item.WithSlack(body)}
//	if err := ddbjson.Parse(b, 0); err != nil { ... }
//	id, _ := b.Item(0).Get("Id")
package ddbjson
