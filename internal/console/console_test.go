package console

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dynaferry/internal/fault"
	"dynaferry/internal/job"
)

type fake struct {
	status job.FollowStatus
	wrong  []string
}

func (f *fake) Status() job.FollowStatus { return f.status }
func (f *fake) Health() []string         { return f.wrong }

func get(t *testing.T, url string) (code int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(data)
}

// TestHandler: what the status says is scraped under its names, and ill health is a status that every prober knows.
func TestHandler(t *testing.T) {
	f := &fake{status: job.FollowStatus{Records: 12, Gaps: 1, Calls: 7, USD: 0.5, LagMillis: map[string]int64{"shard-1": 250},
		Holders: map[string]string{"0": "w1"}, Delivered: &job.FollowDelivered{Files: 3, Refused: 2, LagMillis: 40}}}
	server := httptest.NewServer(Handler(f))
	defer server.Close()
	code, text := get(t, server.URL+"/metrics")
	for _, line := range []string{`dynaferry_records_total 12`, `dynaferry_gaps_total 1`, `dynaferry_stream_calls_total 7`, `dynaferry_cost_usd_total 0.5`,
		`dynaferry_lag_milliseconds{shard="shard-1"} 250`, `dynaferry_group_held{group="0",writer="w1"} 1`, `dynaferry_delivered_files_total 3`,
		`dynaferry_dead_letters_total 2`, `dynaferry_delivery_lag_milliseconds 40`, `dynaferry_healthy 1`} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%d: no line %q in\n%s", code, line, text)
		}
	}
	if code, text := get(t, server.URL+"/healthz"); code != http.StatusOK || !strings.Contains(text, `"healthy":true`) {
		t.Errorf("%d %s", code, text)
	}
	f.wrong = []string{"the table changes and its stream yields nothing"}
	if code, text := get(t, server.URL+"/healthz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "yields nothing") {
		t.Errorf("%d %s", code, text)
	}
	if _, text := get(t, server.URL+"/metrics"); !strings.Contains(text, "dynaferry_healthy 0\n") {
		t.Errorf("%s", text)
	}
}

// TestLoopbackOnly: it is served to this machine, and ends when it is told to.
func TestLoopbackOnly(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", "[::]:0", ":0", "192.0.2.1:9464", "example.org:9464", "9464"} {
		if _, _, err := Serve(t.Context(), address, &fake{}); fault.KindOf(err) != fault.User || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", address, err)
		}
	}
	at, stop, err := Serve(context.Background(), "127.0.0.1:0", &fake{})
	if err != nil {
		t.Fatal(err)
	}
	if code, _ := get(t, "http://"+at+"/healthz"); code != http.StatusOK {
		t.Errorf("%d", code)
	}
	stop()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+at+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := http.DefaultClient.Do(req); err == nil {
		r.Body.Close()
		t.Error("it is still served")
	}
}
