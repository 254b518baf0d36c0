package kinesis

import (
	"context"
	"crypto/rand"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"dynaferry/internal/fault"
	"dynaferry/internal/local/cbor"
)

// TargetStem is what X-Amz-Target starts with when a request is for Kinesis.
const TargetStem = "Kinesis_20131202."

// account is the account id in our ARNs.
const account = "000000000000"

// Request is one request, read by the caller, who has looked at where it comes from.
type Request struct {
	Operation string // behind TargetStem
	Region    string
	Body      []byte
}

// call is a request on its way.
type call struct {
	*Engine
	ctx    context.Context
	region string
	w      http.ResponseWriter // for SubscribeToShard, which answers with a stream of events
	taken  bool                // the operation has written its own reply
}

// apiError is an answer other than 200.
type apiError struct {
	status  int
	kind    string
	message string
}

// Error renders name and message for logs and tests.
func (e *apiError) Error() string { return e.kind + ": " + e.message }

func failf(kind, format string, args ...any) error {
	return &apiError{http.StatusBadRequest, kind, fmt.Sprintf(format, args...)}
}

func invalidArgument(format string, args ...any) error {
	return failf("InvalidArgumentException", format, args...)
}

func validation(format string, args ...any) error {
	return failf("ValidationException", format, args...)
}

func notFound(stream string) error {
	return failf("ResourceNotFoundException", "Stream %s under account %s not found.", stream, account)
}

func inUse(format string, args ...any) error {
	return failf("ResourceInUseException", format, args...)
}

// refusal begins every answer to what the service has and we do not.
const refusal = "dynaferry local does not serve "

// operation makes one of the table's entries: it decodes the parameters strictly and runs f.
func operation[In any](f func(c *call, in *In) (any, error)) func(*call, []byte) (any, error) {
	return func(c *call, body []byte) (any, error) {
		in := new(In)
		if len(strings.TrimSpace(string(body))) == 0 {
			body = []byte("{}")
		}
		if err := json.Unmarshal(body, in, json.RejectUnknownMembers(true)); err != nil {
			return nil, undecodable(err)
		}
		return f(c, in)
	}
}

func undecodable(err error) error {
	var s *json.SemanticError
	if errors.Is(err, json.ErrUnknownName) && errors.As(err, &s) {
		return validation(refusal+"the parameter %s", strings.TrimPrefix(string(s.JSONPointer), "/"))
	}
	if errors.As(err, &s) {
		return failf("SerializationException", "%s cannot be converted to %v", strings.TrimPrefix(string(s.JSONPointer), "/"), s.GoType)
	}
	return failf("SerializationException", "the request is no JSON object")
}

// Serve answers one request.
func (e *Engine) Serve(w http.ResponseWriter, r *http.Request, request Request) {
	c := &call{Engine: e, ctx: r.Context(), region: request.Region, w: w}
	out, err := c.run(isCBOR(r), request)
	if c.taken {
		return
	}
	status := http.StatusOK
	reply, marshal := typeJSON, stdjson.Marshal
	if isCBOR(r) {
		reply, marshal = typeCBOR, cbor.Marshal
	}
	var body []byte
	if err == nil && out != nil {
		body, err = marshal(out)
	}
	if err != nil {
		answer := answerOf(err)
		status = answer.status
		body, _ = marshal(map[string]string{"__type": answer.kind, "message": answer.message})
	}
	h := w.Header()
	h["x-amzn-RequestId"] = []string{uuid()}
	h["Content-Type"] = []string{reply}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away is no concern of ours
}

// The forms of requests and replies: a reply has its request's. Events of a subscription are always JSON.
const (
	typeJSON = "application/x-amz-json-1.1"
	typeCBOR = "application/x-amz-cbor-1.1"
)

func isCBOR(r *http.Request) bool { return strings.HasPrefix(r.Header.Get("Content-Type"), typeCBOR) }

func (c *call) run(isCBOR bool, request Request) (_ any, err error) {
	run := operations[request.Operation]
	if run == nil {
		if unserved[request.Operation] {
			return nil, failf("UnknownOperationException", refusal+"the operation %s of Kinesis", request.Operation)
		}
		return nil, failf("UnknownOperationException", "")
	}
	if isCBOR && len(request.Body) > 0 {
		if request.Body, err = cbor.ToJSON(request.Body); err != nil {
			return nil, failf("SerializationException", "%s", err.Error())
		}
	}
	return run(c, request.Body)
}

func answerOf(err error) *apiError {
	var e *apiError
	switch {
	case errors.As(err, &e):
		return e
	case fault.KindOf(err) == fault.NotFound: // the store, about a stream dropped while the request ran
		return &apiError{http.StatusBadRequest, "ResourceNotFoundException", "The stream is not there any more."}
	}
	return &apiError{http.StatusInternalServerError, "InternalFailure", err.Error()}
}

// seconds is a time in ms as the service writes it: seconds with the milliseconds as fraction.
type seconds int64

// Millis is the time for replies in CBOR.
func (s seconds) Millis() int64 { return int64(s) }

// MarshalJSON writes 1795403643.164.
func (s seconds) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%d.%03d", int64(s)/1000, int64(s)%1000), nil
}

// moment is a time in a request: seconds since 1970, possibly with a fraction.
type moment float64

func (m moment) ms() int64 { return int64(float64(m)*1000 + 0.5) }

// uuid is a random UUID, version 4.
func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// checks collects violations of the service's model, which it reports together and first.
type checks struct{ found []string }

func (v *checks) add(value, at, rule string) {
	v.found = append(v.found, fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: %s", value, at, rule))
}

// need complains about a member that is absent.
func (v *checks) need(present bool, at string) {
	if !present {
		v.add("null", at, "Member must not be null")
	}
}

// between bounds a number that is there.
func (v *checks) between(n *int, at string, low, high int) {
	switch {
	case n == nil:
	case *n < low:
		v.add(fmt.Sprintf("'%d'", *n), at, fmt.Sprintf("Member must have value greater than or equal to %d", low))
	case *n > high:
		v.add(fmt.Sprintf("'%d'", *n), at, fmt.Sprintf("Member must have value less than or equal to %d", high))
	}
}

// length bounds a text's length.
func (v *checks) length(text *string, at string, low, high int) {
	switch {
	case text == nil:
	case len(*text) < low:
		v.add("'"+*text+"'", at, fmt.Sprintf("Member must have length greater than or equal to %d", low))
	case len(*text) > high:
		v.add("'"+*text+"'", at, fmt.Sprintf("Member must have length less than or equal to %d", high))
	}
}

const namePattern = "[a-zA-Z0-9_.-]+"

// name checks what must look like a name of at most max letters.
func (v *checks) name(text *string, at string, limit int) {
	if text == nil {
		return
	}
	for i := range len(*text) {
		if c := (*text)[i]; (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '_' && c != '.' && c != '-' {
			v.add("'"+*text+"'", at, "Member must satisfy regular expression pattern: "+namePattern)
			break
		}
	}
	v.length(text, at, 1, limit)
}

// oneOf checks an enumeration.
func (v *checks) oneOf(text *string, at string, set ...string) {
	if text == nil {
		return
	}
	for _, s := range set {
		if s == *text {
			return
		}
	}
	v.add("'"+*text+"'", at, "Member must satisfy enum value set: ["+strings.Join(set, ", ")+"]")
}

func (v *checks) err() error {
	n := len(v.found)
	if n == 0 {
		return nil
	}
	s := ""
	if n > 1 {
		s = "s"
	}
	return validation("%d validation error%s detected: %s", n, s, strings.Join(v.found, "; "))
}

// member is the service's name for a member of a list, with what follows it.
func member(list string, i int) string { return fmt.Sprintf("%s.%d.member.", list, i+1) }

func plural(n int) string { return fmt.Sprintf("%d records", n) }
