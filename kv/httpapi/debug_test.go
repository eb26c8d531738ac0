package httpapi_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/strakeproject/strake/kv/httpapi"
)

func TestVarsShowTheProcess(t *testing.T) {
	w := ask(httpapi.New(httpapi.Config{Store: &echo{}, Cluster: newTrio(false)}), "GET", "/debug/vars")
	if got := w.Header().Get("Content-Type"); w.Code != 200 || got != "application/json; charset=utf-8" {
		t.Fatalf("got %d, type %q", w.Code, got)
	}
	var vars struct {
		Cmdline  []string
		Memstats struct{ HeapAlloc uint64 }
		Raft     struct {
			Term, Commit uint64
			Lead         string
		} `json:"raft.status"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &vars); err != nil {
		t.Fatal(err)
	}
	if len(vars.Cmdline) == 0 || vars.Memstats.HeapAlloc == 0 || vars.Raft.Term != 7 || vars.Raft.Commit != 42 || vars.Raft.Lead != "1a" {
		t.Errorf("got %+v", vars)
	}
	if !strings.Contains(w.Body.String(), `"file_descriptor_limit":`) {
		t.Error("there is no limit of file descriptors")
	}
}

func TestAProfilerHasItsPathsToItself(t *testing.T) {
	api := httpapi.New(httpapi.Config{Store: &echo{}, Profiler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "profile of "+r.URL.Path)
	})})
	for path, want := range map[string]string{
		"/debug/pprof/heap": "profile of /debug/pprof/heap",
		"/debug/pprof/":     "profile of /debug/pprof/",
		"/debug/pprofs":     "404 page not found\n",
	} {
		if got := ask(api, "POST", path).Body.String(); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestLevelsAreTheOriginals(t *testing.T) {
	level := new(slog.LevelVar)
	api := httpapi.New(httpapi.Config{Store: &echo{}, LogLevel: level})
	for name, want := range map[string]slog.Level{
		"debug": slog.LevelDebug, "T": slog.LevelDebug, "4": slog.LevelDebug, "Info": slog.LevelInfo, "NOTICE": slog.LevelInfo,
		"w": slog.LevelWarn, "1": slog.LevelWarn, "CRITICAL": slog.LevelError, "0": slog.LevelError,
	} {
		w := httptest.NewRecorder()
		api.ServeHTTP(w, httptest.NewRequest("PUT", "/config/local/log", strings.NewReader(`{"Level":"`+name+`"}`)))
		if w.Code != http.StatusNoContent || level.Level() != want {
			t.Errorf("%s: got %d, level %v, want %v", name, w.Code, level.Level(), want)
		}
	}
}
