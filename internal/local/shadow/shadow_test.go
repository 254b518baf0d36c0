package shadow_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/fault"
	"dynaferry/internal/item"
	"dynaferry/internal/local"
	"dynaferry/internal/local/shadow"
	"dynaferry/internal/local/store"
	"dynaferry/internal/local/upstream"
)

// house is a keeper with its store, and the upstream that it follows.
type house struct {
	t      *testing.T
	db     *local.DB
	store  *store.Store
	clock  *shadow.Clock
	keeper *shadow.Keeper
	away   atomic.Value // part of requests that get no answer
	client *upstream.Client
}

// RoundTrip implements http.RoundTripper.
func (h *house) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if part := h.away.Load().(string); part != "" && strings.Contains(string(body), part) {
		return nil, errors.New("cut off")
	}
	w := httptest.NewRecorder()
	again := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/", strings.NewReader(string(body)))
	again.Header = r.Header
	h.db.ServeHTTP(w, again)
	return w.Result(), nil
}

func newHouse(t *testing.T) *house {
	h := &house{t: t, clock: shadow.NewClock(time.Now)}
	h.away.Store("")
	var err error
	if h.db, err = local.Open(local.Options{NoSync: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.db.Close() })
	if h.store, err = store.Open(store.Options{NoSync: true, Clock: h.clock.Now}); err != nil {
		t.Fatal(err)
	}
	if h.client, err = upstream.New(upstream.Options{URL: "http://127.0.0.1", Transport: h}); err != nil {
		t.Fatal(err)
	}
	if h.keeper, err = shadow.Open(h.store, shadow.Options{Client: h.client, Clock: h.clock, Lag: 20 * time.Millisecond, Pause: 5 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	h.keeper.Resumed()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- h.keeper.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, h.store.Close()); err != nil {
			t.Error(err)
		}
	})
	return h
}

// form is that of tables whose key is the text id.
func form(raw []byte, keyOnly bool) (store.Key, []byte, error) {
	it, err := ddbjson.ParseItem(raw)
	if err != nil {
		return store.Key{}, nil, err
	}
	at, ok := it.Get("id")
	if !ok || it.Tape[at].Type != item.S {
		return store.Key{}, nil, errors.New("no id")
	}
	return store.Key{Hash: store.EncodeString(nil, it.Text(at))}, append([]byte(nil), raw...), nil
}

// follow makes a table at the upstream and begins to follow it.
func (h *house) follow(name string) store.TableID {
	h.t.Helper()
	made, err := h.client.Create(h.t.Context(), &upstream.NewTable{TableName: name, BillingMode: "PAY_PER_REQUEST",
		AttributeDefinitions: []upstream.Attribute{{AttributeName: "id", AttributeType: "S"}}, KeySchema: []upstream.KeyElement{{AttributeName: "id", KeyType: "HASH"}}})
	if err == nil {
		made, err = h.client.EnsureStream(h.t.Context(), made)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	id, err := h.store.CreateTable([]byte("{}"), name, store.Settings{History: time.Hour})
	if err == nil {
		err = h.keeper.Begin(id, shadow.Source{Table: name, Stream: made.LatestStreamArn, CreatedMs: made.CreatedMs(), TableID: made.TableId, ARN: made.TableArn}, form)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}

// reaches waits until the copy has passed now.
func (h *house) reaches(id store.TableID, within time.Duration) error {
	ctx, cancel := context.WithTimeout(h.t.Context(), within)
	defer cancel()
	return h.keeper.Wait(ctx, id, time.Now().UnixMilli())
}

// All copies go by one clock: one that cannot be read holds the others back, and does no more once it is known to be gone, or
// is not followed any more.
func TestOneClock(t *testing.T) {
	h := newHouse(t)
	a, b, c := h.follow("aaa"), h.follow("bbb"), h.follow("ccc")
	for _, id := range []store.TableID{a, b, c} {
		if err := h.reaches(id, 30*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	h.away.Store("table/bbb/stream") // its shards
	if err := h.reaches(a, 2500*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("beside a table that cannot be read: %v", err)
	}
	if s, _ := h.keeper.Status(b); s.Trouble == nil || !strings.Contains(s.Trouble.Error(), "does not answer: cut off") {
		t.Errorf("%+v", s)
	}
	if err := h.client.Delete(t.Context(), "bbb"); err != nil {
		t.Fatal(err)
	}
	if err := h.reaches(a, 30*time.Second); err != nil {
		t.Errorf("beside a table that is gone: %v", err)
	}
	if s, _ := h.keeper.Status(b); s.Gap == nil || !strings.Contains(s.Gap.Error(), "the upstream's table is gone") {
		t.Errorf("%+v", s)
	}
	h.away.Store("table/ccc/stream")
	if err := h.keeper.End(c); err != nil {
		t.Fatal(err)
	}
	if err := h.reaches(a, 30*time.Second); err != nil {
		t.Errorf("beside a table that is not followed any more: %v", err)
	}
	if _, ok := h.keeper.Status(c); ok {
		t.Error("it is followed still")
	}
}

// A clock stands still until what is followed is known, then it is the wall's until there is something.
func TestClock(t *testing.T) {
	h := newHouse(t)
	if d := time.Since(h.clock.Now()); d > time.Minute || d < 0 {
		t.Errorf("with nothing followed: %v behind the wall", d)
	}
	if got := shadow.NewClock(time.Now).Now(); got.UnixMilli() > 1 {
		t.Errorf("before anything is known: %v", got)
	}
	id := h.follow("aaa")
	if err := h.reaches(id, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	s, _ := h.keeper.Status(id)
	if got := h.clock.Now().UnixMilli(); got < s.PassedMs || got > time.Now().UnixMilli() || s.SinceMs > s.PassedMs {
		t.Errorf("%d, and the copy passed %d since %d", got, s.PassedMs, s.SinceMs)
	}
}

// A book of a later version is refused by name.
func TestLaterVersion(t *testing.T) {
	s, err := store.Open(store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for definition, want := range map[string]fault.Kind{`{"hidden":"follow","version":2}`: fault.Unsupported, `{}`: fault.Corrupt} {
		id, err := s.CreateTable([]byte(definition), "/follow", store.Settings{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := shadow.Open(s, shadow.Options{Clock: shadow.NewClock(time.Now)}); fault.KindOf(err) != want {
			t.Errorf("%s: %v", definition, err)
		}
		if err := s.DropTable(id); err != nil {
			t.Fatal(err)
		}
	}
}
