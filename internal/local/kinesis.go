package local

import (
	"net/http"

	"dynaferry/internal/local/kinesis"
)

// serveKinesis answers a request for Kinesis, which shares our port, our store and what we ask of every request.
func (db *DB) serveKinesis(w http.ResponseWriter, r *http.Request, operation string) {
	c := db.calls.Get().(*call)
	defer db.calls.Put(c)
	region, err := region(r)
	if err == nil {
		err = c.read(r)
	}
	if err != nil {
		e := answer(err)
		reply(w, fail(nil, e), e.Status)
		return
	}
	db.kinesis.Serve(w, r, kinesis.Request{Operation: operation, Region: region, Body: c.body})
	if cap(c.body) > bodyKept {
		c.body = nil
	}
}
