package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/tree"
)

// failing is a store whose Set ends with an error, when the context does if
// that is the error.
type failing struct {
	echo
	err error
}

func (f *failing) Set(ctx context.Context, _, _ string, _ kv.SetOptions) (kv.Event, error) {
	if errors.Is(f.err, context.DeadlineExceeded) {
		<-ctx.Done()
		return kv.Event{}, ctx.Err()
	}
	return kv.Event{}, f.err
}

func TestEachErrorHasItsStatus(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		body   string
	}{
		{&kv.Error{Code: 100, Cause: "/a", Index: 7}, 404, `{"errorCode":100,"message":"Key not found","cause":"/a","index":7}`},
		{&kv.Error{Code: 101}, 412, `{"errorCode":101,"message":"Compare failed","index":0}`},
		{&kv.Error{Code: 102}, 403, `{"errorCode":102,"message":"Not a file","index":0}`},
		{&kv.Error{Code: 104}, 400, `{"errorCode":104,"message":"Not a directory","index":0}`},
		{&kv.Error{Code: 105}, 412, `{"errorCode":105,"message":"Key already exists","index":0}`},
		{&kv.Error{Code: 107}, 400, `{"errorCode":107,"message":"Root is read only","index":0}`},
		{&kv.Error{Code: 108}, 403, `{"errorCode":108,"message":"Directory not empty","index":0}`},
		{&kv.Error{Code: 110}, 401, `{"errorCode":110,"message":"The request requires user authentication","index":0}`},
		{&kv.Error{Code: 300, Err: errors.New("inner")}, 500, `{"errorCode":300,"message":"Raft Internal Error","index":0}`},
		{&kv.Error{Code: 301}, 500, `{"errorCode":301,"message":"During Leader Election","index":0}`},
		{&kv.Error{Code: 400}, 400, `{"errorCode":400,"message":"watcher is cleared due to etcd recovery","index":0}`},
		{fmt.Errorf("wrapped: %w", kv.ErrKeyNotFound), 404, `{"errorCode":100,"message":"Key not found","index":0}`},
		{errors.New("disk on fire"), 500, `{"errorCode":300,"message":"Raft Internal Error","cause":"disk on fire","index":0}`},
		{context.DeadlineExceeded, 500, `{"errorCode":300,"message":"Raft Internal Error","cause":"etcdserver: request timed out","index":0}`},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			api := httpapi.New(httpapi.Config{
				Store:  &failing{err: c.err},
				Logger: slog.New(slog.NewTextHandler(&log, nil)),
			})
			start := time.Now()
			w := httptest.NewRecorder()
			api.ServeHTTP(w, form("PUT", "/v2/keys/a", "value=1"))
			if got := strings.TrimSpace(w.Body.String()); w.Code != c.status || got != c.body {
				t.Errorf("error %v:\n got %d %s\nwant %d %s", c.err, w.Code, got, c.status, c.body)
			}
			if took := time.Since(start); took > 7*time.Second {
				t.Errorf("error %v came after %v, want at most 7s", c.err, took)
			}
			if logged := log.Len() > 0; logged != (c.status == 500) {
				t.Errorf("error %v: logged %q", c.err, log.String())
			}
		})
	}
}

func TestAWatchFromLostHistoryIsRefused(t *testing.T) {
	store, err := tree.OpenLocal(tree.LocalConfig{HistoryEvents: 10, HistoryAge: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	for range 5000 { // more than is dropped at a time
		mustSet(t, store, "/a")
	}
	w := httptest.NewRecorder()
	httpapi.New(httpapi.Config{Store: store}).ServeHTTP(w, form("GET", "/v2/keys/b?wait=true&waitIndex=1", ""))
	want := `{"errorCode":401,"message":"The event in requested index is outdated and cleared","cause":"the requested history has been cleared [`
	if got := w.Body.String(); w.Code != http.StatusBadRequest || !strings.HasPrefix(got, want) || w.Header().Get("X-Etcd-Index") != "5000" {
		t.Errorf("got %d %s, index %s; want 400 %s.../1], index 5000", w.Code, got, w.Header().Get("X-Etcd-Index"), want)
	}
	// The header saves clients from taking the text apart.
	oldest, _, _ := strings.Cut(strings.TrimPrefix(w.Body.String(), want), "/")
	if got := w.Header().Get("X-Etcd-Oldest-Index"); got != oldest || got == "" {
		t.Errorf("oldest index is %q, want %q", got, oldest)
	}
}

func TestMetricsAreServedIfGiven(t *testing.T) {
	api := httpapi.New(httpapi.Config{Store: &echo{}, Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "up 1")
	})})
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 || w.Body.String() != "up 1\n" {
		t.Errorf("got %d %q, want 200 %q", w.Code, w.Body, "up 1\n")
	}
}

func TestAStoreAloneIsHealthyAndHasNoMembers(t *testing.T) {
	api := httpapi.New(httpapi.Config{Store: &echo{}})
	for target, want := range map[string]string{
		"/health":             `200 {"health":"true"}`,
		"/v2/members":         `200 {"members":[]}`,
		"/v2/members/leader":  `503 {"message":"During election"}`,
		"/v2/machines":        `200 `,
		"/version":            `200 {"etcdserver":"3.4.0","etcdcluster":"3.4.0"}`,
		"/v2/keys/a?wait=yes": `400 {"errorCode":209,"message":"Invalid field","cause":"invalid value for \"wait\"","index":0}`,
	} {
		w := httptest.NewRecorder()
		api.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
		if got := fmt.Sprint(w.Code, " ", strings.TrimSpace(w.Body.String())); got != want {
			t.Errorf("GET %s: got %s, want %s", target, got, want)
		}
	}
}
