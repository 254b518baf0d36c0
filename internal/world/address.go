package world

import (
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
)

// Scheme is the kind of place an address names.
type Scheme string

// The schemes.
const (
	DynamoDB Scheme = "dynamodb"
	Kinesis  Scheme = "kinesis"  // a stream of changes
	Firehose Scheme = "firehose" // a stream that only takes
	S3       Scheme = "s3"
	File     Scheme = "file"
)

// Address is a parsed address. The zero value is no address.
type Address struct {
	Scheme Scheme
	Host   string // table, stream or bucket; "" for File
	Path   string // prefix in the bucket without slashes at its ends, or the absolute path of a file or folder

	Region, Endpoint, Profile, Role string // from the query
}

// Accepted lists what an address may look like, for help and errors.
const Accepted = "dynamodb://Table, kinesis://stream, firehose://stream, s3://bucket/prefix or a path"

var (
	streamName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,128}$`)
	tableName  = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`)
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
)

// Parse reads an address. Errors are of kind User and say what was expected.
func Parse(text string) (Address, error) {
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		return parsePath(text)
	}
	switch Scheme(scheme) {
	case File:
		return parsePath(rest)
	case DynamoDB, Kinesis, Firehose, S3:
	default:
		return Address{}, fault.Hint(fault.New(fault.User, "%q: no scheme %q", text, scheme), "an address is %s", Accepted)
	}
	rest, query, _ := strings.Cut(rest, "?")
	host, prefix, _ := strings.Cut(rest, "/")
	a := Address{Scheme: Scheme(scheme), Host: host, Path: strings.Trim(prefix, "/")}
	if err := a.query(text, query); err != nil {
		return Address{}, err
	}
	switch {
	case a.Scheme == DynamoDB && a.Path != "":
		return Address{}, fault.New(fault.User, "%q: a table has no path", text)
	case a.Scheme == DynamoDB && !tableName.MatchString(host):
		return Address{}, fault.New(fault.User, "%q: table names are 3 to 255 of a-z, A-Z, 0-9, _, - and .", text)
	case (a.Scheme == Kinesis || a.Scheme == Firehose) && (a.Path != "" || !streamName.MatchString(host)):
		return Address{}, fault.New(fault.User, "%q: names of streams are 1 to 128 of a-z, A-Z, 0-9, _, - and ., without a path", text)
	case a.Scheme == S3 && !bucketName.MatchString(host):
		return Address{}, fault.New(fault.User, "%q: %q is no bucket name", text, host)
	case a.Scheme == S3 && a.Path != "":
		if err := blob.CheckName(a.Path); err != nil {
			return Address{}, fault.New(fault.User, "%q: %w", text, err)
		}
	}
	return a, nil
}

func parsePath(text string) (Address, error) {
	if text == "" {
		return Address{}, fault.Hint(fault.New(fault.User, "an empty address"), "an address is %s", Accepted)
	}
	abs, err := filepath.Abs(text)
	if err != nil {
		return Address{}, fault.New(fault.User, "%q: %w", text, err)
	}
	return Address{Scheme: File, Path: abs}, nil
}

func (a *Address) query(text, query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return fault.New(fault.User, "%q: %w", text, err)
	}
	known := map[string]*string{"region": &a.Region, "endpoint": &a.Endpoint, "profile": &a.Profile, "role": &a.Role}
	for name, given := range values {
		field, ok := known[name]
		if !ok || len(given) != 1 {
			return fault.New(fault.User, "%q: an address takes ?region=, ?endpoint=, ?profile= and ?role=, each once; not %q", text, name)
		}
		*field = given[0]
	}
	if a.Role != "" && (!strings.HasPrefix(a.Role, "arn:") || !strings.Contains(a.Role, ":role/")) {
		return fault.Hint(fault.New(fault.User, "%q: role %q is no ARN of a role", text, a.Role), "an ARN is arn:aws:iam::123456789012:role/Name")
	}
	return nil
}

// String renders the address so that Parse gives it back.
func (a Address) String() string {
	if a.Scheme == File {
		return a.Path
	}
	out := string(a.Scheme) + "://" + a.Host
	if a.Path != "" {
		out += "/" + a.Path
	}
	query := url.Values{}
	for name, value := range map[string]string{"region": a.Region, "endpoint": a.Endpoint, "profile": a.Profile, "role": a.Role} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if len(query) > 0 {
		out += "?" + query.Encode()
	}
	return out
}

// Join returns the address of something below this one.
func (a Address) Join(name string) Address {
	name = strings.Trim(name, "/")
	switch {
	case name == "":
	case a.Scheme == File:
		a.Path = filepath.Join(a.Path, filepath.FromSlash(name))
	case a.Path == "":
		a.Path = name
	default:
		a.Path += "/" + name
	}
	return a
}

// Parent returns the address of the folder or prefix that this one stands in; ok is false at a bucket's or file system's
// root, and for a table.
func (a Address) Parent() (parent Address, ok bool) {
	at := a.Path
	switch a.Scheme {
	case File:
		a.Path = filepath.Dir(at)
	case S3:
		if a.Path = path.Dir(at); a.Path == "." {
			a.Path = ""
		}
	}
	return a, a.Path != at
}
