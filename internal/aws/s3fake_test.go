package aws

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeS3 is a store of a few lines whose faults are whole habits: headers it ignores or answers its own way.
type fakeS3 struct {
	url    string
	ignore func(*http.Request)                      // drops what the store takes no notice of
	reply  func(http.ResponseWriter, *http.Request) // adds headers to replies

	mu      sync.Mutex
	objects map[string]*fakeObject
	uploads map[string][]byte // parts, by upload and number
	tags    map[string]string
	seen    []http.Header

	completed int // how many uploads were asked to be completed
}

type fakeObject struct {
	body []byte
	head http.Header
}

func newFakeS3(t *testing.T) *fakeS3 {
	f := &fakeS3{objects: map[string]*fakeObject{}, uploads: map[string][]byte{}, tags: map[string]string{}}
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	f.url = srv.URL
	return f
}

func (f *fakeS3) open(t *testing.T, o S3Options) *S3 {
	t.Helper()
	b, err := session(t, f.url, "access", "secret").S3("bucket", "", o)
	if err != nil {
		t.Fatal(err)
	}
	b.sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return b
}

func fakeError(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>m</Message></Error>", code)
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	f.seen = append(f.seen, r.Header.Clone())
	if f.ignore != nil {
		f.ignore(r)
	}
	if f.reply != nil {
		f.reply(w, r)
	}
	key := strings.TrimPrefix(r.URL.Path, "/bucket/")
	old := f.objects[key]
	taken := old != nil && r.Header.Get("If-None-Match") == "*" ||
		r.Header.Get("If-Match") != "" && (old == nil || fakeETag(old.body) != r.Header.Get("If-Match"))
	switch op := operation(r); op {
	case "put", "complete":
		if op == "complete" {
			f.completed++
			body = nil
			for n := 1; ; n++ {
				part, ok := f.uploads[fmt.Sprintf("%s/%d", r.URL.Query().Get("uploadId"), n)]
				if !ok {
					break
				}
				body = append(body, part...)
			}
		}
		if taken {
			fakeError(w, 412, "PreconditionFailed")
			return
		}
		f.objects[key] = &fakeObject{body, r.Header.Clone()}
		w.Header().Set("ETag", fakeETag(body))
		if op == "complete" {
			fmt.Fprintf(w, "<CompleteMultipartUploadResult><ETag>%s</ETag></CompleteMultipartUploadResult>", fakeETag(body))
		}
	case "create":
		fmt.Fprintf(w, "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>", key)
	case "part", "copy":
		if op == "copy" {
			body = f.copied(r)
		}
		f.uploads[r.URL.Query().Get("uploadId")+"/"+r.URL.Query().Get("partNumber")] = body
		w.Header().Set("ETag", fakeETag(body))
		if op == "copy" {
			fmt.Fprintf(w, "<CopyPartResult><ETag>%s</ETag></CopyPartResult>", fakeETag(body))
		}
	case "tagging":
		fmt.Fprint(w, "<Tagging><TagSet>")
		for k, v := range f.tags {
			fmt.Fprint(w, "<Tag><Key>")
			_ = xml.EscapeText(w, []byte(k))
			fmt.Fprint(w, "</Key><Value>")
			_ = xml.EscapeText(w, []byte(v))
			fmt.Fprint(w, "</Value></Tag>")
		}
		fmt.Fprint(w, "</TagSet></Tagging>")
	case "get", "head":
		if old == nil {
			fakeError(w, 404, "NoSuchKey")
			return
		}
		w.Header().Set("ETag", fakeETag(old.body))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(old.body))
	case "abort":
		w.WriteHeader(204)
	case "delete":
		f.objects = map[string]*fakeObject{}
		fmt.Fprint(w, "<DeleteResult></DeleteResult>")
	}
}

// copied is the range of an object that a part is to be made of.
func (f *fakeS3) copied(r *http.Request) []byte {
	body := f.objects[strings.TrimPrefix(r.Header.Get("x-amz-copy-source"), "bucket/")].body
	from, to := 0, len(body)-1
	if given := r.Header.Get("x-amz-copy-source-range"); given != "" {
		_, _ = fmt.Sscanf(given, "bytes=%d-%d", &from, &to)
	}
	return body[from : to+1]
}

func fakeETag(body []byte) string { return fmt.Sprintf(`"%x"`, md5.Sum(body)) }
