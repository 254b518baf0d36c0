package aws

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"dynaferry/internal/fault"
)

// Carrier sends requests that were made without the SDK to one endpoint of DynamoDB's protocols: it signs them and lends
// the guarded transport. It may be used concurrently.
type Carrier struct {
	config sdk.Config
	client *http.Client
	signer *v4.Signer
}

// Carry returns the carrier to o.Endpoint. An endpoint on this machine gets credentials of no meaning when the environment
// names none, as emulators ask for a signature and do not look at it.
func Carry(ctx context.Context, o Options) (*Carrier, error) {
	plain, err := checkEndpoint(o.Endpoint, o.Insecure)
	if err != nil {
		return nil, err
	}
	if plain && !o.Insecure && os.Getenv("AWS_ACCESS_KEY_ID") == "" && os.Getenv("AWS_PROFILE") == "" {
		o.AccessKey, o.SecretKey = "dynaferry", "dynaferry" // and nobody asks the network for the credentials of an emulator
	}
	s, err := Load(ctx, o)
	if err != nil {
		return nil, err
	}
	c := &Carrier{signer: v4.NewSigner()}
	if c.config, err = s.service("dynamodb", &o.Endpoint); err != nil {
		return nil, err
	}
	c.client = c.config.HTTPClient.(*http.Client) // service sets it
	return c, nil
}

// Transport never follows a redirect, inflates nothing and keeps to the rules of endpoints (guard).
func (c *Carrier) Transport() http.RoundTripper { return c.client.Transport }

// Sign signs a request for the service: dynamodb or kinesis. Headers of an earlier signature must be gone.
func (c *Carrier) Sign(r *http.Request, service string, body []byte) error {
	found, err := c.config.Credentials.Retrieve(r.Context())
	if err != nil {
		err = fault.New(fault.Permission, "credentials for %s: %w", r.URL.Host, err)
		return fault.Hint(err, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
	}
	sum := sha256.Sum256(body)
	return c.signer.SignHTTP(r.Context(), found, r, hex.EncodeToString(sum[:]), service, c.config.Region, time.Now())
}
