package changelog

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"

	"dynaferry/internal/feed"
)

// AppendKinesis appends the line of a log that stands for a record of Kinesis: what Kinesis tells of it, which its payload
// does not, around the payload. One that is no JSON stands as base64.
func AppendKinesis(dst []byte, r *feed.Record) []byte {
	dst = append(dst, `{"kinesis":{"sequenceNumber":"`...)
	dst = append(dst, r.Seq...)
	dst = append(dst, `","subSequenceNumber":`...)
	dst = strconv.AppendUint(dst, r.Sub, 10)
	dst = append(dst, `,"partitionKey":`...)
	dst = appendText(dst, r.PartitionKey)
	dst = append(dst, `,"approximateArrivalTimestamp":`...)
	dst = strconv.AppendFloat(dst, float64(r.Arrived)/1e6, 'f', -1, 64)
	dst = append(dst, '}', ',')
	if r.Event == 0 { // of anybody
		if !json.Valid(r.Raw) {
			dst = append(dst, `"base64":"`...)
			return append(base64.StdEncoding.AppendEncode(dst, r.Raw), '"', '}')
		}
		if bytes.ContainsAny(r.Raw, "\r\n") {
			var line bytes.Buffer
			_ = json.Compact(&line, r.Raw) // which is valid
			return append(append(append(dst, `"data":`...), line.Bytes()...), '}')
		}
	}
	return append(append(append(dst, `"data":`...), r.Raw...), '}')
}

// appendText appends a JSON string.
func appendText(dst, text []byte) []byte {
	for _, c := range text {
		if c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			quoted, _ := json.Marshal(string(text)) // of a string, never fails
			return append(dst, quoted...)
		}
	}
	return append(append(append(dst, '"'), text...), '"')
}
