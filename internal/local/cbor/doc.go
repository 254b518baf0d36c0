// Package cbor is the form in which the AWS SDK for Java and the Kinesis Client Library speak to Kinesis unless they are
// told otherwise: application/x-amz-cbor-1.1, RFC 8949 with byte strings where JSON has base64 and, behind tag 1,
// milliseconds where JSON has seconds.
//
// It hides one decision: a request becomes the JSON that says the same, so that everything behind it knows only JSON; a
// reply is written from the Go value that encoding/json would write, since JSON no longer tells bytes and times apart.
//
// Invariants: decoding reads each byte once, nests no deeper than 32, allocates no more than a small multiple of what it
// was given, and refuses whatever is not well-formed, not UTF-8, no value of JSON (NaN, an integer as a member's name), or
// followed by more. Both lengths, known and unknown, are read.
//
// The local Kinesis uses it. It imports nothing of ours.
//
//	text, err := cbor.ToJSON(body) // {"StreamName":"orders","Data":"AAE="}
//	reply, err := cbor.Marshal(map[string]any{"Data": []byte{0, 1}})
package cbor
