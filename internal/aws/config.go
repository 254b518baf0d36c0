package aws

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	"dynaferry/internal/fault"
)

// Options say how one address is reached. Zero fields are found as the AWS CLI finds them: environment, then the shared
// configuration and credentials files, then the container's or instance's role.
type Options struct {
	Region          string // ?region=
	Endpoint        string // ?endpoint= : a URL of the service itself, before AWS_ENDPOINT_URL_<SERVICE> and AWS_ENDPOINT_URL
	Profile         string // ?profile=
	Role            string // ?role= : ARN of a role to assume with the credentials found
	RoleSessionName string // "" draws one that names this program
	ExternalID      string // for roles of other accounts that ask for one
	Insecure        bool   // ?insecure=true : plain http to hosts that are not this one

	// AccessKey and SecretKey are of a store of our own, dynaferry local's; with them nothing else is looked for.
	AccessKey, SecretKey string
}

// Session is the credentials, Region and endpoints of one address; its clients may be used concurrently.
type Session struct {
	options Options
	config  sdk.Config
}

// Load finds the configuration. It makes no request but what a credential source of the profile needs later.
// An unknown profile or a broken file is an error of kind User.
func Load(ctx context.Context, o Options) (*Session, error) {
	if o.Endpoint != "" {
		if _, err := checkEndpoint(o.Endpoint, o.Insecure); err != nil {
			return nil, err
		}
	}
	if o.AccessKey != "" {
		return &Session{options: o, config: sdk.Config{Region: o.Region,
			Credentials: credentials.NewStaticCredentialsProvider(o.AccessKey, o.SecretKey, "")}}, nil
	}
	var load []func(*config.LoadOptions) error
	if o.Region != "" {
		load = append(load, config.WithRegion(o.Region))
	}
	if o.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(o.Profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		var missing config.SharedConfigProfileNotExistError
		if errors.As(err, &missing) {
			err = fault.New(fault.User, "aws profile %q does not exist", missing.Profile)
			return nil, fault.Hint(err, "aws configure list-profiles")
		}
		return nil, fault.New(fault.User, "read aws configuration: %w", err)
	}
	s := &Session{options: o, config: cfg}
	if o.Role != "" {
		s.assume(o)
	}
	return s, nil
}

// Over has requests be carried by t instead of the network: the guard of endpoints does not see what it does.
func (s *Session) Over(t http.RoundTripper) *Session {
	over := *s
	over.config = s.config.Copy()
	over.config.HTTPClient = &http.Client{Transport: t}
	return &over
}

// assume replaces the credentials found by those of the role.
func (s *Session) assume(o Options) {
	base := s.config.Copy()
	if base.Region == "" {
		base.Region = "us-east-1" // STS answers for every Region from there
	}
	name := o.RoleSessionName
	if name == "" {
		var b [6]byte
		rand.Read(b[:])
		name = "dynaferry-" + hex.EncodeToString(b[:])
	}
	provider := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(base), o.Role, func(a *stscreds.AssumeRoleOptions) {
		a.RoleSessionName = name
		if o.ExternalID != "" {
			a.ExternalID = &o.ExternalID
		}
	})
	s.config.Credentials = sdk.NewCredentialsCache(provider)
}

// Region is the Region requests are signed for, or "" when none was found.
func (s *Session) Region() string { return s.config.Region }

// S3Config is the SDK configuration of S3 clients: endpoint resolved into BaseEndpoint (nil: AWS itself), guarded
// HTTP client, no retries.
func (s *Session) S3Config() (sdk.Config, error) {
	return s.service("s3", s3.NewFromConfig(s.config).Options().BaseEndpoint)
}

// DynamoDBConfig is the same for DynamoDB clients.
func (s *Session) DynamoDBConfig() (sdk.Config, error) {
	return s.service("dynamodb", dynamodb.NewFromConfig(s.config).Options().BaseEndpoint)
}

// service completes the configuration for one service. found is the endpoint that environment and files name for it.
// Make clients with the endpoint set again in their options (o.BaseEndpoint = cfg.BaseEndpoint): the SDK's constructors
// let service variables win over it, but an address given by hand comes first.
func (s *Session) service(service string, found *string) (sdk.Config, error) {
	cfg := s.config.Copy()
	cfg.Retryer = func() sdk.Retryer { return sdk.NopRetryer{} }
	cfg.RetryMaxAttempts = 1
	cfg.Logger = logging.Nop{} // stderr is the story's; what the SDK warns of is an error of the call, or nothing
	cfg.BaseEndpoint = found
	if s.options.Endpoint != "" {
		cfg.BaseEndpoint = &s.options.Endpoint
	}
	guard := guard{}
	if cfg.BaseEndpoint != nil && *cfg.BaseEndpoint != "" {
		plain, err := checkEndpoint(*cfg.BaseEndpoint, s.options.Insecure)
		if err != nil {
			return sdk.Config{}, err
		}
		guard.loopbackOnly = plain && !s.options.Insecure
		if cfg.Region == "" {
			cfg.Region = "us-east-1" // what clones of the service expect to be signed
		}
	} else {
		cfg.BaseEndpoint = nil
	}
	if cfg.Region == "" {
		err := fault.New(fault.User, "no aws region is set for %s", service)
		return sdk.Config{}, fault.Hint(err, "add ?region=eu-west-1 to the address, or set AWS_REGION")
	}
	if strings.ContainsAny(cfg.Region, "/@:?#\\ ") {
		return sdk.Config{}, fault.New(fault.User, "aws region %q is not a name", cfg.Region)
	}
	cfg.HTTPClient = guard.client(cfg.HTTPClient)
	return cfg, nil
}

// refreshCredentials drops cached credentials, so that the next request asks their source again. It tells whether
// there was a cache to drop.
func refreshCredentials(p sdk.CredentialsProvider) bool {
	cache, ok := p.(*sdk.CredentialsCache)
	if ok {
		cache.Invalidate()
	}
	return ok
}

// client makes the service's HTTP client out of the configured one, which carries AWS_CA_BUNDLE.
func (g guard) client(from sdk.HTTPClient) *http.Client {
	// A redirect would carry a signed request to a host that nobody named.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if given, ok := from.(*http.Client); ok { // Session.Over
		return &http.Client{Transport: given.Transport, CheckRedirect: stay}
	}
	buildable, ok := from.(*awshttp.BuildableClient)
	if !ok {
		buildable = awshttp.NewBuildableClient()
	}
	transport := buildable.WithDialerOptions(g.install).GetTransport()
	transport.MaxIdleConnsPerHost = 64 // as many as requests in flight, or connections would churn
	transport.MaxIdleConns = 256
	transport.DisableCompression = true // stored bytes are data: nobody may inflate them on the way
	return &http.Client{Transport: told{transport}, CheckRedirect: stay}
}
