package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dynaferry/internal/aws"
	"dynaferry/internal/blob"
	"dynaferry/internal/fault"
	"dynaferry/internal/local"
	"dynaferry/internal/local/bucket"
	"dynaferry/internal/local/upstream"
)

func (a *app) localCommand() *cobra.Command {
	var o localOptions
	cmd := &cobra.Command{
		Use:   "local",
		Short: "a DynamoDB and an S3 on this machine, on loopback only",
		Long: `local serves the protocols of DynamoDB, DynamoDB Streams and Kinesis and, beside them, an S3-compatible store, both on loopback only and both remembering what they
were told when --dir names a folder. It is for trying and testing; any SDK works with it: the lines it prints set the endpoints.

With --upstream the tables are those of another DynamoDB endpoint, DynamoDB Local or ScyllaDB for instance. Everything is forwarded to it but what it lacks:
continuous backups, exports, backups, restores and imports are added here, by following the streams of the tables that have continuous backups turned on.

What of DynamoDB is served, and what is refused by name, is in docs/local.md.`,
		Example: `  dynaferry local --dir ./world
  eval "$(dynaferry local --env)"
  dynaferry local --dir ./world --upstream http://127.0.0.1:8000`,
		Args: args(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.ttlInterval <= 0 {
				return usage("--ttl-interval must be more than 0, not %s", o.ttlInterval)
			}
			if err := o.checkUpstream(cmd.Flags().Changed); err != nil {
				return err
			}
			w, err := a.startLocal(cmd.Context(), o)
			if err != nil {
				return err
			}
			defer w.close()
			if a.flags.json {
				err = a.printJSON(a.out, map[string]any{"type": "local", "dynamodb": w.tables, "s3": w.objects, "dir": w.dir, "environment": w.environment()})
			} else {
				for _, pair := range w.environment() {
					fmt.Fprintf(a.out, "export %s\n", pair)
				}
			}
			if err != nil {
				return err
			}
			if o.upstream != "" {
				a.story.say("forwarding DynamoDB to %s", o.upstream)
			}
			a.story.say("serving DynamoDB at %s and S3 at %s; stop with Ctrl-C", w.tables, w.objects)
			select {
			case <-cmd.Context().Done():
				return nil
			case <-w.process.Done():
				return fault.New(fault.Bug, "the S3 half ended by itself: %w", w.process.Close())
			}
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.dir, "dir", "", "folder that keeps tables and objects (default: everything is forgotten at the end)")
	f.IntVar(&o.tablesPort, "dynamodb-port", 0, "port for DynamoDB (default: a free one)")
	f.IntVar(&o.objectsPort, "s3-port", 0, "port for S3 (default: a free one)")
	f.StringSliceVar(&o.buckets, "bucket", []string{"lake"}, "buckets to make when they are missing")
	f.BoolVar(&o.strictTimes, "strict-times", false, "hold the service's times: nothing younger than 5 minutes can be restored or exported, incremental exports cover 15 minutes at least, TTL changes once an hour")
	f.DurationVar(&o.ttlInterval, "ttl-interval", time.Second, "how often items whose time to live is over are looked for and deleted")
	f.BoolVar(&o.fullPages, "full-pages", false, "give no empty pages in the middle of a stream's shard, which the service gives now and then")
	f.BoolVar(&o.kinesisDisorder, "kinesis-disorder", false, "send some changes to Kinesis twice and out of order, as the service may")
	f.BoolVar(&o.throttle, "throttle", false, "hold provisioned tables to their throughput, as the service does")
	f.StringVar(&o.upstream, "upstream", "", "URL of another DynamoDB endpoint, which everything is forwarded to but what it lacks; ?insecure=true allows plain http to another machine")
	f.DurationVar(&o.upstreamLag, "upstream-lag", 0, "how late the upstream may show a write in its table's stream (default: 10s, DynamoDB Local: 0.5s)")
	return cmd
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// localOptions are the flags of local.
type localOptions struct {
	dir                     string
	tablesPort, objectsPort int
	throttle, strictTimes   bool
	fullPages               bool
	kinesisDisorder         bool
	ttlInterval             time.Duration
	buckets                 []string
	upstream                string
	upstreamLag             time.Duration
}

// ofTables are the flags about how tables of our own behave.
var ofTables = []string{"throttle", "ttl-interval", "full-pages", "kinesis-disorder"}

func (o *localOptions) checkUpstream(changed func(flag string) bool) error {
	switch {
	case o.upstream == "" && changed("upstream-lag"):
		return usage("--upstream-lag is of an upstream, which --upstream names")
	case o.upstreamLag < 0:
		return usage("--upstream-lag must not be less than 0, it is %s", o.upstreamLag)
	case o.upstream == "":
		return nil
	}
	for _, flag := range ofTables {
		if changed(flag) {
			return usage("--%s is about tables that are kept here, and with --upstream they are the upstream's", flag)
		}
	}
	return nil
}

func (o *localOptions) folders() (dir, tables, objects string, temporary bool, err error) {
	if o.dir == "" {
		dir, err = os.MkdirTemp("", "dynaferry-local-")
		return dir, "", filepath.Join(dir, "s3"), true, err
	}
	if dir, err = filepath.Abs(o.dir); err != nil {
		return "", "", "", false, err
	}
	tables = "dynamodb"
	if o.upstream != "" {
		tables = "upstream" // what is remembered of its tables is no world of its own
	}
	return dir, filepath.Join(dir, tables), filepath.Join(dir, "s3"), false, os.MkdirAll(dir, 0o700)
}

// localWorld is a running local pair.
type localWorld struct {
	dir             string
	tables, objects string // endpoints
	access, secret  string

	instance  *local.Instance
	process   *bucket.Process
	temporary bool
}

// regionLocal is what the local pair answers for.
const regionLocal = "us-east-1"

// startLocal serves both halves until close.
func (a *app) startLocal(ctx context.Context, o localOptions) (w *localWorld, err error) {
	ahead, err := upstreamOf(ctx, o.upstream)
	if err != nil {
		return nil, err
	}
	dir, tables, objects, temporary, err := o.folders()
	if err != nil {
		return nil, fault.New(fault.User, "folder of the local world: %w", err)
	}
	w = &localWorld{dir: dir, temporary: temporary}
	begun := w // an error's return makes w nil
	defer func() {
		if err != nil {
			begun.close()
		}
	}()
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if w.process, err = bucket.Start(ctx, exe, []string{bucketCommandName}, bucket.Config{Dir: objects, Port: o.objectsPort, Region: regionLocal, Buckets: o.buckets}); err != nil {
		return nil, err
	}
	w.objects, w.access, w.secret = w.process.Endpoint, w.process.Config.AccessKey, w.process.Config.SecretKey
	options := local.Options{Dir: tables, Addr: loopback(o.tablesPort), Throttle: o.throttle, StrictTimes: o.strictTimes,
		TTLInterval: o.ttlInterval, KinesisDisorder: o.kinesisDisorder, FullPages: o.fullPages, Upstream: ahead, UpstreamLag: o.upstreamLag}
	if options.Bucket, err = bucketsOf(ctx, w.process); err != nil {
		return nil, err
	}
	if w.instance, err = local.Start(ctx, options); err != nil {
		return nil, err
	}
	w.tables = w.instance.URL
	return w, nil
}

// upstreamOf reaches an upstream, if there is to be one, and sees that a DynamoDB is there.
func upstreamOf(ctx context.Context, address string) (*upstream.Client, error) {
	if address == "" {
		return nil, nil
	}
	endpoint, insecure := strings.CutSuffix(address, "?insecure=true")
	carrier, err := aws.Carry(ctx, aws.Options{Endpoint: strings.TrimSuffix(endpoint, "/"), Insecure: insecure})
	if err != nil {
		return nil, err
	}
	client, err := upstream.New(upstream.Options{URL: endpoint, Transport: carrier.Transport(), Sign: carrier.Sign})
	if err != nil {
		return nil, err
	}
	return client, client.Ping(ctx)
}

// bucketsOf opens the buckets of the S3 half, as any client would: for the tables' half to write exports and read imports.
func bucketsOf(ctx context.Context, p *bucket.Process) (func(context.Context, string) (blob.Bucket, error), error) {
	s3, err := aws.Load(ctx, aws.Options{Region: regionLocal, Endpoint: p.Endpoint, AccessKey: p.Config.AccessKey, SecretKey: p.Config.SecretKey})
	if err != nil {
		return nil, err
	}
	return func(_ context.Context, name string) (blob.Bucket, error) { return s3.S3(name, "", aws.S3Options{}) }, nil
}

// environment sets any SDK, and this program, to the local pair.
func (w *localWorld) environment() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + w.access,
		"AWS_SECRET_ACCESS_KEY=" + w.secret,
		"AWS_REGION=" + regionLocal,
		"AWS_DEFAULT_REGION=" + regionLocal, // boto3 and version 1 of the AWS CLI know no other
		"AWS_ENDPOINT_URL_DYNAMODB=" + w.tables,
		"AWS_ENDPOINT_URL_DYNAMODB_STREAMS=" + w.tables,
		"AWS_ENDPOINT_URL_KINESIS=" + w.tables,
		"AWS_ENDPOINT_URL_S3=" + w.objects,
	}
}

func (w *localWorld) close() {
	if w.instance != nil {
		_ = w.instance.Close()
	}
	if w.process != nil {
		_ = w.process.Close()
	}
	if w.temporary {
		_ = os.RemoveAll(w.dir)
	}
}

// bucketCommandName is the hidden command that serves the S3 half: its server changes the working directory of its whole
// process, so it lives in one of its own.
const bucketCommandName = "serve-bucket"

func (a *app) bucketCommand() *cobra.Command {
	return &cobra.Command{Use: bucketCommandName, Hidden: true, Short: "serve the S3 half of local; local starts it itself", Args: args(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return bucket.Child(cmd.Context(), a.in) }}
}
