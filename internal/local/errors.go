package local

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"dynaferry/internal/fault"
	"dynaferry/internal/local/upstream"
)

// The namespaces in front of an error's name, as the service writes them.
const (
	nsDynamo  = "com.amazonaws.dynamodb.v20120810#"
	nsCoral   = "com.amazon.coral.service#"
	nsCorval  = "com.amazon.coral.validate#"
	nsRefusal = "dynaferry local does not serve "
)

// apiError is an answer other than 200. Extra is raw JSON members (each with a leading comma) beside __type and
// message: the item of a failed condition, the reasons of a throttling.
type apiError struct {
	Status  int
	Type    string
	Message string
	Extra   []byte
}

// Error renders name and message for logs and tests.
func (e *apiError) Error() string { return e.Type + ": " + e.Message }

func invalid(format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, nsCorval + "ValidationException", fmt.Sprintf(format, args...), nil}
}

// invalidValue is invalid with the prefix most of the service's complaints about values carry.
func invalidValue(format string, args ...any) *apiError {
	return invalid("One or more parameter values were invalid: "+format, args...)
}

func serialization(format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, nsCoral + "SerializationException", fmt.Sprintf(format, args...), nil}
}

func notFound(format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, nsDynamo + "ResourceNotFoundException", fmt.Sprintf(format, args...), nil}
}

func inUse(format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, nsDynamo + "ResourceInUseException", fmt.Sprintf(format, args...), nil}
}

func unknownOperation(format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, nsCoral + "UnknownOperationException", fmt.Sprintf(format, args...), nil}
}

func internalError(err error) *apiError {
	return &apiError{http.StatusInternalServerError, nsDynamo + "InternalServerError", err.Error(), nil}
}

// refused is the answer to a parameter of the real service that we do not serve: by name, never silently ignored.
func refused(format string, args ...any) *apiError {
	return invalid(nsRefusal+format, args...)
}

// conditionFailed carries the old item when the request asked for it; old is raw DynamoDB JSON or nil.
func conditionFailed(old []byte) *apiError {
	e := &apiError{http.StatusBadRequest, nsDynamo + "ConditionalCheckFailedException",
		"The conditional request failed", nil}
	if old != nil {
		e.Extra = append(append(e.Extra, `,"Item":`...), old...)
	}
	return e
}

// constraints collects violations of the service's model (lengths, ranges, enumerations), which it reports together
// and before it looks at anything else.
type constraints struct{ found []string }

// constraintsMax is how many violations the service lists in one message.
const constraintsMax = 10

func (c *constraints) add(value, at, rule string) {
	c.found = append(c.found, fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: %s", value, at, rule))
}

func (c *constraints) notNull(at string) { c.add("null", at, "Member must not be null") }

func (c *constraints) oneOf(value, at string, set ...string) {
	if value == "" {
		return
	}
	for _, s := range set {
		if s == value {
			return
		}
	}
	c.add("'"+value+"'", at, "Member must satisfy enum value set: ["+strings.Join(set, ", ")+"]")
}

func (c *constraints) length(value, at string, low, high int) {
	if len(value) < low {
		c.add("'"+value+"'", at, fmt.Sprintf("Member must have length greater than or equal to %d", low))
	}
	if len(value) > high {
		c.add("'"+value+"'", at, fmt.Sprintf("Member must have length less than or equal to %d", high))
	}
}

func (c *constraints) atLeast(value *int64, at string, low int64) {
	if value != nil && *value < low {
		c.add(fmt.Sprintf("'%d'", *value), at, fmt.Sprintf("Member must have value greater than or equal to %d", low))
	}
}

func (c *constraints) atMost(value *int64, at string, high int64) {
	if value != nil && *value > high {
		c.add(fmt.Sprintf("'%d'", *value), at, fmt.Sprintf("Member must have value less than or equal to %d", high))
	}
}

// err is nil when nothing was violated.
func (c *constraints) err() error {
	n := len(c.found)
	if n == 0 {
		return nil
	}
	found := c.found[:min(n, constraintsMax)]
	s := ""
	if len(found) > 1 {
		s = "s"
	}
	return invalid("%d validation error%s detected: %s", len(found), s, strings.Join(found, "; "))
}

// answer is what an error becomes on the wire. The store knows no table that was dropped while a request ran.
func answer(err error) *apiError {
	var e *apiError
	var told *upstream.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &told):
		return &apiError{told.Status, nsDynamo + told.Type, told.Message, nil}
	case errors.Is(err, upstream.ErrAway):
		return &apiError{http.StatusServiceUnavailable, nsCoral + "ServiceUnavailableException", err.Error(), nil}
	case fault.KindOf(err) == fault.NotFound:
		return notFound("Requested resource not found")
	}
	return internalError(err)
}
