package aws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dynaferry/internal/blob"
	"dynaferry/internal/blob/blobtest"
	"dynaferry/internal/fault"
)

// proxy stands between the S3 wing and the local server. It forwards requests as they are signed, and breaks the n-th of
// an operation (from 1).
type proxy struct {
	url string

	mu     sync.Mutex
	counts map[string]int
	breaks map[string]damage // by "operation#n"; "operation#*" strikes all
}

// damage is one way to break. Exactly one field is set.
type damage struct {
	status  int    // answer this, with code, instead of asking the server
	code    string // in an error document
	body    string // instead of an error document
	reset   bool   // close the connection instead of asking the server
	lost    bool   // ask the server, then close the connection
	cut     int    // pass so many bytes of the reply's body on, then close
	flip    int    // flip a bit of byte flip-1 of the reply's body
	longer  bool   // announce one byte more than comes
	replace func() // run before the request is forwarded
}

func operation(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case r.Method == "HEAD":
		return "head"
	case q.Has("uploads") && r.Method == "GET":
		return "uploads"
	case q.Has("uploads"):
		return "create"
	case q.Has("delete"):
		return "delete"
	case q.Has("tagging"):
		return "tagging"
	case q.Has("list-type"):
		return "list"
	case r.Method == "POST":
		return "complete"
	case r.Method == "DELETE":
		return "abort"
	case q.Has("partNumber") && r.Header.Get("x-amz-copy-source") != "":
		return "copy"
	case q.Has("partNumber"):
		return "part"
	case r.Method == "PUT":
		return "put"
	}
	return "get"
}

// between opens a bucket on the local server behind a proxy. Waiting is left out.
func between(t *testing.T) (*S3, *proxy) {
	t.Helper()
	direct := versity(t, S3Options{}, false)
	local, err := server()
	if err != nil {
		t.Fatal(err)
	}
	upstream, _ := url.Parse(local.Endpoint)
	p := &proxy{counts: map[string]int{}, breaks: map[string]damage{}}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = upstream.Scheme, upstream.Host
			r.Out.Host = r.In.Host // it is signed
		},
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		FlushInterval: -1,
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, forward) }))
	srv.Config.ErrorLog = nil
	t.Cleanup(srv.Close)
	p.url = srv.URL
	b, err := session(t, srv.URL, local.Config.AccessKey, local.Config.SecretKey).S3(direct.bucket, "some/prefix", S3Options{Attempts: 4})
	if err != nil {
		t.Fatal(err)
	}
	b.sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return b, p
}

func (p *proxy) strike(where string, d damage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts = map[string]int{}
	p.breaks = map[string]damage{where: d}
}

func (p *proxy) count(op string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[op]
}

func (p *proxy) serve(w http.ResponseWriter, r *http.Request, forward http.Handler) {
	op := operation(r)
	p.mu.Lock()
	p.counts[op]++
	d, struck := p.breaks[op+"#"+strconv.Itoa(p.counts[op])]
	if !struck {
		d, struck = p.breaks[op+"#*"]
	}
	p.mu.Unlock()
	if d.replace != nil {
		d.replace()
	}
	switch {
	case !struck || d.replace != nil:
		forward.ServeHTTP(w, r)
	case d.reset:
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	case d.status != 0:
		_, _ = io.Copy(io.Discard, r.Body)
		body := d.body
		if body == "" && d.code != "" {
			body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>` + d.code + `</Code><Message>planned</Message></Error>`
		}
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(d.status)
		_, _ = io.WriteString(w, body)
	default:
		p.damage(w, r, forward, d)
	}
}

// damage asks the server and breaks its reply.
func (p *proxy) damage(w http.ResponseWriter, r *http.Request, forward http.Handler, d damage) {
	rec := httptest.NewRecorder()
	forward.ServeHTTP(rec, r)
	if d.lost {
		panic(http.ErrAbortHandler)
	}
	body := rec.Body.Bytes()
	for name, values := range rec.Header() {
		w.Header()[name] = values
	}
	if d.flip > 0 && d.flip <= len(body) {
		body[d.flip-1] ^= 4
	}
	length := len(body)
	if d.longer {
		length++
	}
	w.Header().Set("Content-Length", strconv.Itoa(length))
	w.WriteHeader(rec.Code)
	if d.cut > 0 && d.cut < len(body) {
		_, _ = w.Write(body[:d.cut])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(body)
}

// transient are faults after which the same request may pass.
var transient = map[string]damage{
	"500":                  {status: 500, code: "InternalError"},
	"502 of a proxy":       {status: 502, body: "<html>bad gateway</html>"},
	"503 slow down":        {status: 503, code: "SlowDown"},
	"503":                  {status: 503, code: "ServiceUnavailable"},
	"429":                  {status: 429, code: "TooManyRequests"},
	"400 request timeout":  {status: 400, code: "RequestTimeout"},
	"reset":                {reset: true},
	"lost":                 {lost: true},
	"expired token":        {status: 400, code: "ExpiredToken"},
	"clock skew":           {status: 403, code: "RequestTimeTooSkewed"},
	"kms throttled":        {status: 400, code: "KMS.ThrottlingException"},
	"503 without document": {status: 503},
	"400 garbled":          {status: 400, body: `<?xml version="1.0"?><Error><Code>Reque\x01tTimeout</Code`},
}

// TestTransient strikes each operation with each transient fault: the call ends well, and the objects are what they would
// be without. Conditional steps of publish are looked at in TestConditionalOnce.
func TestTransient(t *testing.T) {
	body := blobtest.Bytes(blob.PartBytesMin+5, 1)
	calls := map[string]func(ctx context.Context, b *S3) error{
		"put": func(ctx context.Context, b *S3) error {
			_, err := b.Put(ctx, "new", body[:1000], blob.PutOptions{})
			return errors.Join(err, same(ctx, b, "new", body[:1000]))
		},
		"head": func(ctx context.Context, b *S3) error {
			info, err := b.Head(ctx, "there")
			if err == nil && info.Size != 1000 {
				err = fmt.Errorf("size %d", info.Size)
			}
			return err
		},
		"get": func(ctx context.Context, b *S3) error { return same(ctx, b, "there", body[:1000]) },
		"list": func(ctx context.Context, b *S3) error {
			for info, err := range b.List(ctx, "th", "") {
				if err != nil || info.Name != "there" {
					return fmt.Errorf("%s: %w", info.Name, err)
				}
				return nil
			}
			return errors.New("an empty list")
		},
		"delete":   func(ctx context.Context, b *S3) error { return b.Delete(ctx, "there", "none") },
		"create":   func(ctx context.Context, b *S3) error { return uploadTwo(ctx, b, body) },
		"part":     func(ctx context.Context, b *S3) error { return uploadTwo(ctx, b, body) },
		"complete": func(ctx context.Context, b *S3) error { return uploadTwo(ctx, b, body) },
		"abort": func(ctx context.Context, b *S3) error {
			u, err := b.Create(ctx, "aborted", blob.PutOptions{})
			if err != nil {
				return err
			}
			return errors.Join(u.Part(ctx, 1, body[:10]), u.Abort(ctx))
		},
		"uploads": func(ctx context.Context, b *S3) error {
			for _, err := range b.Unfinished(ctx, "") {
				return err
			}
			return nil
		},
		"copy": func(ctx context.Context, b *S3) error {
			_, err := b.Put(ctx, "staged", body[:blob.PartBytesMin], blob.PutOptions{})
			_, err2 := b.Publish(ctx, blob.Staged{Name: "staged", Size: blob.PartBytesMin}, body[:7], "final", blob.PutOptions{})
			return errors.Join(err, err2, same(ctx, b, "final", slices.Concat(body[:blob.PartBytesMin], body[:7])))
		},
	}
	b, p := between(t)
	cells := 0
	for op, call := range calls {
		for name, d := range transient {
			if op == "head" && d.code == "RequestTimeTooSkewed" {
				continue // a bare 403, which may as well be a denial
			}
			p.strike("none#1", damage{})
			if err := b.Delete(t.Context(), "new", "multi", "staged", "final"); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Put(t.Context(), "there", body[:1000], blob.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			p.strike(op+"#1", d)
			if err := call(t.Context(), b); err != nil {
				t.Errorf("%s on %s: %v", name, op, err)
			}
			if p.count(op) < 2 {
				t.Errorf("%s on %s: sent %d times", name, op, p.count(op))
			}
			cells++
		}
	}
	t.Logf("%d cells", cells)
}

func same(ctx context.Context, b blob.Bucket, name string, want []byte) error {
	data, _, err := blob.ReadAll(ctx, b, name, 1<<30)
	if err == nil && !bytes.Equal(data, want) {
		err = fmt.Errorf("%s differs", name)
	}
	return err
}

func uploadTwo(ctx context.Context, b *S3, body []byte) error {
	u, err := b.Create(ctx, "multi", blob.PutOptions{})
	if err != nil {
		return err
	}
	err = errors.Join(u.Part(ctx, 1, body[:blob.PartBytesMin]), u.Part(ctx, 2, body[blob.PartBytesMin:]))
	if err != nil {
		return err
	}
	_, err = u.Complete(ctx)
	return errors.Join(err, same(ctx, b, "multi", body))
}

// TestPermanent: what no further attempt changes is told at once, with its kind and a hint.
func TestPermanent(t *testing.T) {
	b, p := between(t)
	for _, c := range []struct {
		d        damage
		want     fault.Kind
		sent     int
		hintHas  string
		errorHas string
	}{
		{damage{status: 403, code: "AccessDenied"}, fault.Permission, 1, "", "AccessDenied: planned"},
		{damage{status: 403, code: "SignatureDoesNotMatch"}, fault.Permission, 1, "AWS_SECRET_ACCESS_KEY", ""},
		{damage{status: 400, code: "ExpiredToken"}, fault.Permission, 2, "aws sso login", ""},
		{damage{status: 403, code: "RequestTimeTooSkewed"}, fault.Permission, 2, "clock", ""},
		{damage{status: 400, code: "KMS.DisabledException"}, fault.Permission, 1, "", "KMS.DisabledException"},
		{damage{status: 404, code: "NoSuchBucket"}, fault.NotFound, 1, "s3 mb", ""},
		{damage{status: 501, code: "NotImplemented"}, fault.Unsupported, 1, "", ""},
		{damage{status: 400, code: "InvalidRequest"}, fault.User, 1, "", ""},
		{damage{status: 507, code: "XMinioStorageFull"}, fault.Limit, 1, "", ""},
		{damage{status: 301, code: "PermanentRedirect"}, fault.User, 1, "?region=", ""},
		{damage{status: 307, code: "TemporaryRedirect"}, fault.User, 1, "?region=", ""},
		{damage{status: 400, code: "BadDigest"}, fault.Corrupt, corruptAttempts, "", ""},
		{damage{status: 503, code: "SlowDown"}, fault.Throttled, 4, "", ""},
		{damage{reset: true}, fault.Unavailable, 4, "", ""},
	} {
		p.strike("put#*", c.d)
		_, err := b.Put(t.Context(), "a", []byte("x"), blob.PutOptions{})
		if fault.KindOf(err) != c.want || err == nil {
			t.Errorf("%+v: kind %v of %v, want %v", c.d, fault.KindOf(err), err, c.want)
			continue
		}
		if p.count("put") != c.sent {
			t.Errorf("%+v: sent %d times, want %d", c.d, p.count("put"), c.sent)
		}
		if !strings.Contains(fault.HintOf(err), c.hintHas) || !strings.Contains(err.Error(), c.errorHas) {
			t.Errorf("%+v: %v (hint %q)", c.d, err, fault.HintOf(err))
		}
		if !strings.HasPrefix(err.Error(), "s3://") {
			t.Errorf("the error does not name its place: %v", err)
		}
		if errors.Is(err, blob.ErrNotFound) {
			t.Errorf("%+v is taken for a missing object", c.d)
		}
	}
}

// TestConditionalOnce: a conditional request that must not be repeated is sent once; a lost answer is Unavailable, never
// a conflict with ourselves.
func TestConditionalOnce(t *testing.T) {
	b, p := between(t)
	once := blob.PutOptions{Condition: blob.Condition{IfAbsent: true}, NoRetry: true}
	for name, d := range transient {
		key := "once " + name
		p.strike("put#1", d)
		_, err := b.Put(t.Context(), key, []byte("x"), once)
		refusedUnread := d.code == "ExpiredToken" || d.code == "RequestTimeTooSkewed"
		if refusedUnread {
			if err != nil || p.count("put") != 2 {
				t.Errorf("%s: sent %d times, %v", name, p.count("put"), err)
			}
			continue
		}
		if p.count("put") != 1 || errors.Is(err, blob.ErrExists) || !fault.Retryable(err) {
			t.Errorf("%s: sent %d times, %v", name, p.count("put"), err)
		}
		_, err = b.Head(t.Context(), key)
		if landed := err == nil; landed != d.lost {
			t.Errorf("%s: landed %v", name, landed)
		}
	}
	for _, code := range []string{"ConditionalRequestConflict", "PreconditionFailed", "BucketAlreadyExists"} {
		p.strike("put#1", damage{status: 409, code: code})
		if _, err := b.Put(t.Context(), "409", nil, once); !errors.Is(err, blob.ErrExists) {
			t.Errorf("409 %s: %v", code, err)
		}
		p.strike("put#1", damage{status: 409, code: code})
		if _, err := b.Put(t.Context(), "409", nil, blob.PutOptions{Condition: blob.Condition{IfMatch: `"x"`}}); !errors.Is(err, blob.ErrChanged) {
			t.Errorf("409 %s: %v", code, err)
		}
	}
}

// TestPublishFaults: the conditional step of publish is sent once; whatever is struck, the final object is whole or absent,
// and doing it again settles it.
func TestPublishFaults(t *testing.T) {
	b, p := between(t)
	faults := map[string]damage{
		"409": {status: 409, code: "ConditionalRequestConflict"}, "no such upload": {status: 404, code: "NoSuchUpload"},
		"200 with an error": {status: 200, body: `<?xml version="1.0"?><Error><Code>InternalError</Code><Message>planned</Message></Error>`},
		"200 with nonsense": {status: 200, body: "<html>"},
	}
	for name, d := range transient {
		faults[name] = d
	}
	for _, size := range []int{1000, blob.PartBytesMin + 3} {
		body, tail := blobtest.Bytes(size, 1), blobtest.Bytes(50, 2)
		p.strike("none#1", damage{})
		if _, err := b.Put(t.Context(), "staged", body, blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, op := range []string{"put", "complete", "copy", "part", "create", "head", "get"} {
			for name, d := range faults {
				if size < blob.PartBytesMin && op != "put" || strings.HasPrefix(name, "200") && op != "complete" && op != "copy" ||
					name == "no such upload" && op != "complete" || sampled(op, name) {
					continue
				}
				final := fmt.Sprintf("final %d %s %s", size, op, name)
				p.strike(op+"#1", d)
				publish := func() error {
					_, err := b.Publish(t.Context(), blob.Staged{Name: "staged", Size: int64(size)}, tail, final, blob.PutOptions{})
					return err
				}
				first := publish()
				if (op == "complete" || op == "put") && p.count(op) > 1 && !d.expired() {
					t.Errorf("%s on %s: the conditional step was sent %d times", name, op, p.count(op))
				}
				p.strike("none#1", damage{})
				switch err := publish(); {
				case first == nil && errors.Is(err, blob.ErrExists):
				case first != nil && d.lost && errors.Is(err, blob.ErrExists):
				case first != nil && !errors.Is(first, blob.ErrExists) && err == nil:
				default:
					t.Errorf("%s on %s of %d bytes: first %v, then %v", name, op, size, first, err)
				}
				if err := same(t.Context(), b, final, slices.Concat(body, tail)); err != nil {
					t.Errorf("%s on %s: %v", name, op, err)
				}
			}
		}
	}
}

// sampled leaves most cells of the steps before the conditional one to the long run: TestTransient has them too.
func sampled(op, name string) bool {
	return os.Getenv("DYNAFERRY_LONG") == "" && op != "complete" && op != "put" && name != "lost" && name != "503 slow down"
}

func (d damage) expired() bool { return d.code == "ExpiredToken" || d.code == "RequestTimeTooSkewed" }

// drained reads an object as a stream to its end.
func drained(ctx context.Context, b blob.Bucket, name string) error {
	r, _, err := b.Get(ctx, name, blob.ReadOptions{})
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return err
}

// TestCutBodies cuts replies at every 64 KiB and one byte around it, announces too much, and flips bits.
func TestCutBodies(t *testing.T) {
	b, p := between(t)
	body := blobtest.Bytes(300_000, 1)
	if _, err := b.Put(t.Context(), "a", body, blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(body); at += 64 << 10 {
		for _, cut := range []int{at - 1, at, at + 1} {
			if cut < 1 {
				continue
			}
			p.strike("get#1", damage{cut: cut})
			if err := same(t.Context(), b, "a", body); err != nil || p.count("get") != 2 {
				t.Errorf("cut at %d: %v after %d requests", cut, err, p.count("get"))
			}
			// Damage on the way is seen and costs one more read; a reader that takes the stream itself is told.
			p.strike("get#1", damage{flip: cut})
			if err := same(t.Context(), b, "a", body); err != nil || p.count("get") != 2 {
				t.Errorf("flip of byte %d: %v after %d requests", cut, err, p.count("get"))
			}
			p.strike("get#1", damage{flip: cut})
			if err := drained(t.Context(), b, "a"); fault.KindOf(err) != fault.Corrupt {
				t.Errorf("flip of byte %d in a stream: %v", cut, err)
			}
		}
	}
	p.strike("get#1", damage{longer: true})
	if err := same(t.Context(), b, "a", body); err == nil {
		t.Error("a reply that announces a byte too much passes")
	}
	if _, err := b.Put(t.Context(), "small", body[:2000], blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	p.strike("get#*", damage{cut: 50}) // always fifty bytes further
	if err := same(t.Context(), b, "small", body[:2000]); err != nil || p.count("get") != 40 {
		t.Errorf("%v after %d requests", err, p.count("get"))
	}
	p.strike("get#*", damage{cut: 1})
	if err := same(t.Context(), b, "small", body[:2000]); fault.KindOf(err) != fault.Unavailable || p.count("get") != resumesMax+1 {
		t.Errorf("%v after %d requests", err, p.count("get"))
	}
	// A range is resumed too.
	p.strike("get#1", damage{cut: 1000})
	data, _, err := blob.ReadRange(t.Context(), b, "a", blob.ReadOptions{Offset: 5000, Length: 50_000}, 1<<20)
	if err != nil || !bytes.Equal(data, body[5000:55_000]) {
		t.Errorf("range: %v", err)
	}
}

// TestReplacedBetween replaces the object between the cut and its resumption.
func TestReplacedBetween(t *testing.T) {
	b, p := between(t)
	body := blobtest.Bytes(100_000, 1)
	if _, err := b.Put(t.Context(), "a", body, blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	r, _, err := func() (io.ReadCloser, blob.Info, error) {
		p.strike("get#1", damage{cut: 1000})
		return b.Get(t.Context(), "a", blob.ReadOptions{})
	}()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p.mu.Lock()
	p.breaks["get#2"] = damage{replace: func() {
		if _, err := b.Put(context.Background(), "a", blobtest.Bytes(100_000, 2), blob.PutOptions{}); err != nil {
			t.Error(err)
		}
	}}
	p.mu.Unlock()
	data, err := io.ReadAll(r)
	if !errors.Is(err, blob.ErrChanged) || !bytes.Equal(data, body[:len(data)]) {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

// TestLists: what a list must not do.
func TestLists(t *testing.T) {
	const head = `<?xml version="1.0"?><ListBucketResult><IsTruncated>%s</IsTruncated>%s`
	key := func(k string) string {
		return `<Contents><Key>some/prefix/` + k + `</Key><Size>1</Size><ETag>"x"</ETag></Contents>`
	}
	b, p := between(t)
	list := func(truncated, rest string) (names []string, err error) {
		p.strike("list#*", damage{status: 200, body: fmt.Sprintf(head, truncated, rest) + `</ListBucketResult>`})
		for info, e := range b.List(t.Context(), "", "") {
			if e != nil {
				return names, e
			}
			names = append(names, info.Name)
		}
		return names, nil
	}
	if got, err := list("false", key("a")+key("a")+key("b")+key("folder/")); err != nil || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("duplicates: %q, %v", got, err)
	}
	if _, err := list("false", key("b")+key("a")); fault.KindOf(err) != fault.Unsupported {
		t.Errorf("disorder: %v", err)
	}
	if _, err := list("true", key("a")); fault.KindOf(err) != fault.Corrupt {
		t.Errorf("no continuation: %v", err)
	}
	if _, err := list("true", key("a")+"<NextContinuationToken>same</NextContinuationToken>"); fault.KindOf(err) != fault.Corrupt {
		t.Errorf("a continuation that stands still: %v", err)
	}
	if _, err := list("false", `<Contents><Key>other/prefix</Key></Contents>`); fault.KindOf(err) != fault.Corrupt {
		t.Errorf("another prefix: %v", err)
	}
	if got, err := list("false", `<EncodingType>url</EncodingType>`+key("a%2Bb+c%25")); err != nil || !slices.Equal(got, []string{"a+b c%"}) {
		t.Errorf("encoded: %q, %v", got, err)
	}
}

// TestRefusesLiars: blob.ProbeConditional finds stores that accept conditions and ignore them.
func TestRefusesLiars(t *testing.T) {
	for _, header := range []string{"If-None-Match", "If-Match"} {
		for _, method := range []string{"PUT", "POST"} {
			if header == "If-Match" && method == "POST" {
				continue
			}
			f := newFakeS3(t)
			f.ignore = func(r *http.Request) {
				if r.Method == method {
					r.Header.Del(header)
				}
			}
			err := blob.ProbeConditional(t.Context(), f.open(t, S3Options{}), "")
			if fault.KindOf(err) != fault.Unsupported || !strings.Contains(err.Error(), header) {
				t.Errorf("a store that ignores %s on %s: %v", header, method, err)
			}
		}
	}
	if err := blob.ProbeConditional(t.Context(), newFakeS3(t).open(t, S3Options{}), ""); err != nil {
		t.Errorf("an honest store: %v", err)
	}
}

// TestNoRedirect: a signed request follows nobody elsewhere.
func TestNoRedirect(t *testing.T) {
	dialled := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { dialled = true }))
	defer other.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	b, err := session(t, srv.URL, "a", "b").S3("bucket", "", S3Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = b.Get(t.Context(), "a", blob.ReadOptions{})
	if fault.KindOf(err) != fault.User || dialled {
		t.Errorf("followed %v: %v", dialled, err)
	}
}
