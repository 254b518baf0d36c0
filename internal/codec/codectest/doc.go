// Package codectest is the suite that every row codec passes: what codec.Reader and codec.Writer promise, checked
// with the items of itemtest.
//
// It hides one decision: what it means that a format carries items. A codec brings a Writer, a Reader, samples of bad
// input, and a Loss that says what comes back for an item; nil promises that every item comes back equal in canonical
// DynamoDB JSON. What Loss documents is asserted as strictly as what is kept.
//
// Only tests import it; it imports codec, item, item/itemtest, fault and rapid. Items are parsed here with
// encoding/json, apart from the tokenizer whose work may be under test.
//
//	func TestSuite(t *testing.T) {
//		codectest.Run(t, codectest.Codec{Writer: ..., Reader: ..., Loss: ..., Samples: ...})
//	}
package codectest
