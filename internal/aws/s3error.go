package aws

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

// answer is what a failed request came back with: the service's own words, without the SDK's layers around them and
// without anything of the request.
type answer struct {
	operation string
	status    int // 0: no reply
	code      string
	message   string
	request   string // the service's id for it
	region    string // where the bucket is, when the service says so
	cause     error  // the SDK's error
}

func (a *answer) Error() string {
	var b strings.Builder
	b.WriteString(a.operation)
	switch {
	case a.code != "" && a.message != "" && a.message != a.code:
		fmt.Fprintf(&b, ": %s: %s", a.code, a.message)
	case a.code != "":
		b.WriteString(": " + a.code)
	default:
		b.WriteString(": " + transportText(a.cause))
	}
	if a.status != 0 && a.request != "" {
		fmt.Fprintf(&b, " (status %d, request %s)", a.status, a.request)
	} else if a.status != 0 {
		fmt.Fprintf(&b, " (status %d)", a.status)
	}
	return b.String()
}

// Unwrap lets errors.Is find context errors and the guard's refusals.
func (a *answer) Unwrap() error { return a.cause }

// transportText is the innermost part of an error that still says what happened; url.Error would repeat the
// request's URL.
func transportText(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err.Error()
	}
	var op *smithy.OperationError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	return err.Error()
}

// answerOf reads an SDK error.
func answerOf(err error) *answer {
	a := &answer{cause: err}
	var op *smithy.OperationError
	if errors.As(err, &op) {
		a.operation = op.ServiceID + " " + op.OperationName
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		a.code, a.message = api.ErrorCode(), api.ErrorMessage()
	}
	var reply *smithyhttp.ResponseError
	if errors.As(err, &reply) && reply.Response != nil {
		a.status = reply.HTTPStatusCode()
		a.request = reply.Response.Header.Get("x-amz-request-id")
		a.region = reply.Response.Header.Get("x-amz-bucket-region")
	}
	var s3err s3.ResponseError
	if errors.As(err, &s3err) && s3err.ServiceRequestID() != "" {
		a.request = s3err.ServiceRequestID()
	}
	return a
}

// kinds of answers by the service's code; S3's, and those of clones that differ (API: ErrorResponses; MinIO,
// versitygw).
var codeKinds = map[string]fault.Kind{
	"AccessDenied": fault.Permission, "Forbidden": fault.Permission, "InvalidAccessKeyId": fault.Permission,
	"SignatureDoesNotMatch": fault.Permission, "AllAccessDisabled": fault.Permission, "AccountProblem": fault.Permission,
	"ExpiredToken": fault.Permission, "ExpiredTokenException": fault.Permission, "InvalidToken": fault.Permission,
	"TokenRefreshRequired": fault.Permission, "RequestTimeTooSkewed": fault.Permission, "RequestExpired": fault.Permission,
	"KMS.DisabledException": fault.Permission, "KMS.NotFoundException": fault.User,
	"KMS.KMSInvalidStateException": fault.Permission, "KMS.InvalidKeyUsageException": fault.User,

	"SlowDown": fault.Throttled, "SlowDownRead": fault.Throttled, "SlowDownWrite": fault.Throttled, "Throttling": fault.Throttled,
	"ThrottlingException": fault.Throttled, "KMS.ThrottlingException": fault.Throttled, "TooManyRequests": fault.Throttled,
	"TooManyRequestsException": fault.Throttled, "RequestLimitExceeded": fault.Throttled, "RequestThrottled": fault.Throttled,
	"BandwidthLimitExceeded": fault.Throttled, "PriorRequestNotComplete": fault.Throttled,

	"InternalError": fault.Unavailable, "ServiceUnavailable": fault.Unavailable, "RequestTimeout": fault.Unavailable,
	"IncompleteBody": fault.Unavailable, "OperationAborted": fault.Unavailable, "Busy": fault.Unavailable,
	"XMinioServerNotInitialized": fault.Unavailable,

	"BadDigest": fault.Corrupt, "InvalidDigest": fault.Corrupt, "XAmzContentSHA256Mismatch": fault.Corrupt,
	"XAmzContentChecksumMismatch": fault.Corrupt, "InvalidChecksum": fault.Corrupt,

	"NoSuchBucket": fault.NotFound, "NoSuchUpload": fault.Conflict, "PreconditionFailed": fault.Conflict,
	"ConditionalRequestConflict": fault.Conflict,

	"NotImplemented": fault.Unsupported, "MethodNotAllowed": fault.Unsupported, "InvalidObjectState": fault.Unsupported,
	"EntityTooLarge": fault.Limit, "QuotaExceeded": fault.Limit, "XMinioStorageFull": fault.Limit, "XMinioAdminBucketQuotaExceeded": fault.Limit,
}

// kind decides by code first, then by status; no reply at all is Unavailable.
func (a *answer) kind() fault.Kind {
	if kind, known := codeKinds[a.code]; known {
		return kind
	}
	switch {
	case a.status == 404:
		return fault.NotFound
	case a.status == 401 || a.status == 403:
		return fault.Permission
	case a.status == 429:
		return fault.Throttled
	case a.status == 501 || a.status == 405:
		return fault.Unsupported
	case a.status == 507:
		return fault.Limit
	case a.status == 409 || a.status == 412:
		return fault.Conflict
	case a.status >= 500 || a.status >= 400 && a.code == "": // the latter's document was garbled on its way
		return fault.Unavailable
	case a.status >= 300:
		return fault.User
	}
	return fault.Unavailable // no reply, or one that does not parse
}

// expired tells that other credentials, or a clock read anew, may be accepted: the request was refused unread.
func (a *answer) expired() bool {
	switch a.code {
	case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestTimeTooSkewed", "RequestExpired", "InvalidToken":
		return true
	}
	// A reply to HEAD has no document: expired credentials are a bare 400 there.
	return a.status == 400 && strings.HasPrefix(a.operation, "S3 Head")
}

// classify turns an SDK error into ours. ctx is the caller's: its end is told as it is.
func classify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	a := answerOf(err)
	var ours *fault.Error
	if errors.As(err, &ours) { // the guard's
		return &fault.Error{Kind: ours.Kind, Hint: fault.HintOf(ours), Err: a}
	}
	if a.status == 0 && a.code == "" {
		if e := withoutReply(a); e != nil {
			return e
		}
	}
	out := fault.New(a.kind(), "%w", a)
	if a.code == "NoSuchKey" || a.code == "NotFound" || a.code == "NoSuchVersion" ||
		a.status == 404 && a.code != "NoSuchBucket" && a.code != "NoSuchUpload" {
		out = fault.New(fault.NotFound, "%w: %w", blob.ErrNotFound, a)
	}
	if hint := a.hint(); hint != "" {
		out = fault.Hint(out, "%s", hint)
	}
	return out
}

// withoutReply finds the reasons that no further attempt would change; nil is a network that failed.
func withoutReply(a *answer) error {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	if errors.As(a.cause, &unknown) || errors.As(a.cause, &host) || errors.As(a.cause, &invalid) {
		return fault.Hint(fault.New(fault.User, "%w", a), "set AWS_CA_BUNDLE to the file of the endpoint's certificate authority")
	}
	text := a.cause.Error()
	if strings.Contains(text, "get identity: get credentials") || strings.Contains(text, "failed to refresh cached credentials") ||
		strings.Contains(text, "failed to sign request") {
		return fault.Hint(fault.New(fault.Permission, "no usable aws credentials: %w", a),
			"set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run aws sso login")
	}
	return nil
}

func (a *answer) hint() string {
	switch a.code {
	case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken":
		return "renew the credentials (aws sso login), then run the command again: it resumes"
	case "RequestTimeTooSkewed", "RequestExpired":
		return "set this machine's clock (timedatectl set-ntp true), then run the command again: it resumes"
	case "NoSuchBucket":
		return "make the bucket (aws s3 mb), or correct the address"
	case "InvalidObjectState":
		return "the object is in an archive class: aws s3api restore-object"
	case "InvalidAccessKeyId", "SignatureDoesNotMatch":
		return "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile"
	case "PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
	default:
		if a.status < 300 || a.status >= 400 {
			return ""
		}
	}
	if a.region != "" {
		return "the bucket is in another Region: add ?region=" + a.region + " to the address"
	}
	return "the bucket is in another Region: add ?region= to the address"
}

// conditional turns the dialects of a lost condition into the port's two answers: 412, and 409 for a write that is just
// being made (S3) or for any existing object (some clones).
func conditional(err error, c blob.Condition) error {
	if err == nil || !c.IfAbsent && c.IfMatch == "" {
		return err
	}
	var a *answer
	if !errors.As(err, &a) {
		return err
	}
	lost := a.status == 412 || a.code == "PreconditionFailed" || a.code == "ConditionalRequestConflict" ||
		a.status == 409 && a.code != "OperationAborted"
	switch {
	case lost && c.IfAbsent:
		return fault.New(fault.Conflict, "%w: %w", blob.ErrExists, a)
	case lost:
		return fault.New(fault.Conflict, "%w: %w", blob.ErrChanged, a)
	case c.IfMatch != "" && errors.Is(err, blob.ErrNotFound):
		return fault.New(fault.Conflict, "%w: %w", blob.ErrChanged, err)
	}
	return err
}
