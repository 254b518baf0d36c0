package console

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"dynaferry/internal/fault"
	"dynaferry/internal/job"
)

// Follower is what is shown.
type Follower interface {
	Status() job.FollowStatus
	Health() []string
}

// Handler serves /metrics, and /healthz: 200 when all is well and 503 with reasons when it is not.
func Handler(f Follower) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{f})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		reasons := f.Health()
		w.Header().Set("Content-Type", "application/json")
		if len(reasons) > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"healthy": len(reasons) == 0, "reasons": reasons})
	})
	return mux
}

// Serve serves the handler at an address of this machine until stop is called. It returns the address with its port.
func Serve(ctx context.Context, address string, f Follower) (at string, stop func(), err error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return "", nil, fault.Hint(fault.New(fault.User, "--listen %q is no address: %w", address, err), "--listen 127.0.0.1:9464")
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return "", nil, fault.Hint(fault.New(fault.User, "--listen %s: it is served on loopback only", address), "--listen 127.0.0.1:9464, and let what scrapes it run beside it")
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return "", nil, fault.New(fault.User, "--listen: %w", err)
	}
	server := &http.Server{Handler: Handler(f), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	return listener.Addr().String(), func() {
		_ = server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			fault.Check(err == nil, "the console ended by itself")
		}
	}, nil
}

// collector reads a follower's status once a scrape.
type collector struct{ f Follower }

var (
	lagDesc     = describe("lag_milliseconds", "how old what is not in the log yet is", "shard")
	holderDesc  = describe("group_held", "1 for the process that captures the group", "group", "writer")
	records     = describe("records_total", "records in the log")
	logBytes    = describe("log_bytes_total", "bytes of entries in the log")
	entries     = describe("log_entries_total", "entries in the log")
	gaps        = describe("gaps_total", "gaps that were found")
	duplicates  = describe("duplicates_total", "records that came twice and were dropped")
	calls       = describe("stream_calls_total", "calls of the stream's service")
	throttles   = describe("stream_throttles_total", "calls that asked for less")
	retries     = describe("stream_retries_total", "calls that failed and were repeated")
	usd         = describe("cost_usd_total", "what calls and puts have cost so far, at the prices of us-east-1")
	epochs      = describe("delivered_epochs_total", "epochs that are visible")
	files       = describe("delivered_files_total", "files that are visible")
	fileBytes   = describe("delivered_bytes_total", "bytes of files that are visible")
	delivered   = describe("delivered_records_total", "records that are visible, dropped or refused")
	dropped     = describe("dropped_records_total", "records that steps dropped")
	deadLetters = describe("dead_letters_total", "records that steps refused")
	misfits     = describe("misfits_total", "values that are exact in _extra instead of their column")
	visibleLag  = describe("delivery_lag_milliseconds", "how much older the newest visible record is than the newest in the log")
	healthy     = describe("healthy", "0 when data should move and does not")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("dynaferry_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector; what there is follows from Collect.
func (c collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := c.f.Status()
	counter := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for shard, lag := range s.LagMillis {
		gauge(lagDesc, float64(lag), shard)
	}
	for group, writer := range s.Holders {
		gauge(holderDesc, 1, group, writer)
	}
	counter(records, float64(s.Records))
	counter(logBytes, float64(s.LogBytes))
	counter(entries, float64(s.Entries))
	counter(gaps, float64(s.Gaps))
	counter(duplicates, float64(s.Duplicates))
	counter(calls, float64(s.Calls))
	counter(throttles, float64(s.Throttles))
	counter(retries, float64(s.Retries))
	counter(usd, s.USD)
	if d := s.Delivered; d != nil {
		counter(epochs, float64(d.Epochs))
		counter(files, float64(d.Files))
		counter(fileBytes, float64(d.Bytes))
		counter(delivered, float64(d.Records))
		counter(dropped, float64(d.Dropped))
		counter(deadLetters, float64(d.Refused))
		counter(misfits, float64(d.Misfits))
		gauge(visibleLag, float64(d.LagMillis))
	}
	well := 1.0
	if len(c.f.Health()) > 0 {
		well = 0
	}
	gauge(healthy, well)
}
