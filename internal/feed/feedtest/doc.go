// Package feedtest is the conformance suite of feed.Client: what every client has to do is a named test here.
//
// Run it against an endpoint: our own, or somebody else's, whose powers are told. It makes tables and streams and writes to
// them with plain requests, so that no client judges itself.
//
//	feedtest.Run(t, feedtest.Service{URL: in.URL, Client: client, Later: clock.Move, Splits: true})
package feedtest
