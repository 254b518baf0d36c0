// Package store keeps the tables and items of the local DynamoDB: durable, ordered, crash-safe, in one folder or in memory.
//
// It hides one decision: our own change log is the write-ahead log and holds every value, while pebble (its own log
// switched off) maps a key to the place of its value in the log. So a value is written once, and the history that
// streams and point-in-time reads need is the log itself. The bytes on disk are in docs/formats/local-store.md.
//
// Invariants:
//   - a write returns after its frame of the log is on the device and its keys are in the index; readers see only that;
//   - writes of one key happen in one order, the order of their sequence numbers; times never run backwards;
//   - state is the index at M/applied plus the frames behind it; only the tail of the last segment may be cut, anything
//     else that does not verify is a fault.Corrupt with file and offset;
//   - a segment goes only when nothing points into it, no reader holds it and the flushed M/applied is behind it;
//   - table ids are never used twice; a failed sync ends all writing for good;
//   - index entries, stream records and history are views of the same log: a write has them all or is not there;
//   - what a table's Settings promise to keep of the past can be read until its time is over, also when the table is gone.
//
// Only internal/local imports it. Items are opaque bytes here (raw DynamoDB JSON), keys are made by EncodeString,
// EncodeNumber and EncodeBinary.
//
//	s, err := store.Open(store.Options{Dir: dir})
//	id, err := s.CreateTable(def, "Orders", store.Settings{})
//	key := store.Key{Hash: store.EncodeString(nil, []byte("o-1"))}
//	_, err = s.Update(ctx, id, key, func(old []byte) (store.Op, []byte, error) { return store.OpPut, raw, nil })
//	it := s.Scan(id, store.ScanOptions{Segment: 0, Segments: 4})
//	for it.Next() { use(it.Raw()) }
//	err = it.Close()
package store
