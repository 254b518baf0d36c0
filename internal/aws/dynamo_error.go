package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"dynaferry/internal/dynamo"
	"dynaferry/internal/fault"
)

// answered returns what the service said in an SDK error; where it said nothing that is an answer, the port's error. what
// names the table, stream or shard that was asked for.
func answered(ctx context.Context, what string, err error) (*answer, error) {
	var ours *fault.Error
	if errors.As(err, &ours) { // the raw path's and the guard's
		return nil, fmt.Errorf("%s: %w", what, ours)
	}
	a := answerOf(err)
	if ctx.Err() != nil && a.code == "" {
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, context.Cause(ctx)
		}
		return nil, fault.New(fault.Unavailable, "%s: no answer in time: %w", what, ctx.Err())
	}
	if a.status == 0 && a.code == "" {
		if e := withoutReply(a); e != nil {
			return nil, e
		}
	}
	if a.code == "" && a.status >= 500 {
		a.message = http.StatusText(a.status)
	}
	return a, nil
}

// classify turns an SDK error into the port's. ctx is the try's: its end is Unavailable unless the caller's ended too,
// which the governor sees for itself. body is the service's answer, when it was an error.
func (d *DynamoDB) classify(ctx context.Context, table string, body []byte, err error) error {
	a, err := answered(ctx, "table "+table, err)
	if err != nil {
		return err
	}
	if throttle := throttleOf(body, a, table); throttle != nil {
		return throttle
	}
	switch a.code {
	case "ConditionalCheckFailedException":
		return &dynamo.ConditionError{Stored: storedItem(body)}
	case "ResourceNotFoundException", "TableNotFoundException":
		err := fault.New(fault.NotFound, "table %s does not exist in %s", table, d.region)
		return fault.Hint(err, "aws dynamodb list-tables --region %s", d.region)
	case "PolicyNotFoundException":
		return fault.New(fault.NotFound, "table %s: %w", table, &dynamo.RefusedError{Code: a.code, Message: a.message})
	case "UnknownOperationException":
		return fault.New(fault.Unsupported, "table %s: the endpoint does not have this operation: %w", table, a)
	case "ResourceInUseException", "TableAlreadyExistsException", "TableInUseException":
		return fault.New(fault.Conflict, "table %s: %s", table, a.message)
	case dynamo.CodeLimitExceeded:
		return fault.New(fault.Limit, "table %s: %w", table, &dynamo.RefusedError{Code: a.code, Message: a.message})
	case dynamo.CodeNoBackups, dynamo.CodeInvalidExportTime, dynamo.CodeInvalidRestoreTime:
		return fault.New(fault.User, "table %s: %w", table, &dynamo.RefusedError{Code: a.code, Message: a.message})
	case dynamo.CodeExportConflict, dynamo.CodeImportConflict:
		return fault.New(fault.Conflict, "table %s: %w", table, &dynamo.RefusedError{Code: a.code, Message: a.message})
	case dynamo.CodeBackupsNotYet:
		return fault.New(fault.Unavailable, "table %s: %w", table, &dynamo.RefusedError{Code: a.code, Message: a.message})
	case "ValidationException", "ItemCollectionSizeLimitExceededException", "SerializationException",
		"RequestEntityTooLargeException":
		// The text alone: it goes into dead letters and is compared by people.
		return fault.New(fault.User, "%s", a.message)
	}
	if kind, hint := permission(a.code); kind != fault.Bug {
		return fault.Hint(fault.New(kind, "table %s: %w", table, a), "%s", hint)
	}
	switch {
	case a.status == 413:
		return fault.New(fault.User, "the request is larger than the service takes")
	case a.status == 401 || a.status == 403:
		return fault.Hint(fault.New(fault.Permission, "table %s: %w", table, a), "%s", hintDenied)
	case a.status >= 400 && a.status < 500 && a.code != "":
		return fault.New(fault.User, "table %s: %w", table, a)
	}
	return fault.New(fault.Unavailable, "table %s: %w", table, a)
}

const hintDenied = "allow the action on the table for this role or user, or choose another with ?role= or AWS_PROFILE"

// permission classifies the codes of common errors (API reference, "Common error types").
func permission(code string) (fault.Kind, string) {
	switch code {
	case "AccessDeniedException", "AccessDenied", "NotAuthorized", "OptInRequired":
		return fault.Permission, hintDenied
	case "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException", "SignatureDoesNotMatch",
		"IncompleteSignatureException", "IncompleteSignature", "MissingAuthenticationTokenException",
		"MissingAuthenticationToken":
		return fault.Permission, "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile"
	case "ExpiredTokenException", "ExpiredToken", "InvalidToken":
		return fault.Permission, "renew the credentials (aws sso login), then run the command again: it resumes"
	case "RequestTimeTooSkewed", "RequestExpired":
		return fault.Permission, "set this machine's clock (timedatectl set-ntp true), then run the command again: it resumes"
	}
	return fault.Bug, ""
}

// throttleOf finds the service's throttles (API ThrottlingReason and the errors that carry it). Answers of before the
// reasons get the reason their code stands for.
func throttleOf(body []byte, a *answer, table string) *dynamo.ThrottleError {
	limit := dynamo.Provisioned
	switch a.code {
	case "ProvisionedThroughputExceededException":
	case "ThrottlingException", "Throttling", "ThrottledException", "RequestLimitExceeded", "TooManyRequestsException":
		limit = dynamo.Account
	case "ReplicatedWriteConflictException", "TransactionInProgressException", "TransactionConflictException":
		limit = dynamo.Replication
	default:
		if a.status != 429 {
			return nil
		}
	}
	t := &dynamo.ThrottleError{Table: table, Code: a.code, Message: a.message}
	// Read here and not from the SDK's types, which look for the member in one spelling only; the service's errors have
	// two (ThrottlingReasons, and throttlingReasons in ThrottlingException).
	var reply struct {
		ThrottlingReasons []struct{ Reason, Resource string }
	}
	if json.Unmarshal(body, &reply) == nil {
		for _, r := range reply.ThrottlingReasons {
			t.Reasons = append(t.Reasons, dynamo.ParseReason(r.Reason, r.Resource))
		}
	}
	if len(t.Reasons) == 0 {
		t.Reasons = []dynamo.Reason{{Limit: limit}}
	}
	return t
}
