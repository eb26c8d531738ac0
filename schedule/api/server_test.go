package api_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/schedule/api"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

// TestTranscripts replays testdata/server. The command "http" sends its input,
// a request line, headers and a body after an empty line, and answers with
// status, content type and body. The others change the registry as an engine or
// agent would.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/server", func(t *testing.T, path string) {
		reg := registry.New(openStore(t), registry.Options{})
		server := newServer(t, reg, api.ServerConfig{Version: "test", Journal: threeLines{}})
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var err error
			ctx, arg := t.Context(), func(i int) string { return d.CmdArgs[i].Key }
			switch d.Cmd {
			case "http":
				return exchange(t, server, d.Input)
			case "limit":
				server = newServer(t, reg, api.ServerConfig{TokenLimit: 2})
			case "schedule":
				err = reg.Schedule(ctx, arg(0), arg(1))
			case "running":
				s := registry.UnitState{Unit: arg(0), Machine: arg(1), State: unit.State{
					Name: arg(0), Hash: unit.Hash{1, 2, 3}, Load: "loaded", Active: "active", Sub: "running", MainPID: 7, Result: "success",
					Since: time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC),
				}}
				if err = reg.PublishState(ctx, s, time.Hour); err == nil {
					err = reg.Launch(ctx, arg(0), arg(1), time.Hour)
				}
			case "join":
				m := registry.Machine{ID: arg(0), Metadata: map[string]string{"disk": "ssd"}, PublicIP: netip.MustParseAddr("172.18.1.1")}
				_, err = reg.Join(ctx, m, "x", time.Hour)
			default:
				t.Fatalf("unknown command %q", d.Cmd)
			}
			if err != nil {
				return err.Error() + "\n"
			}
			return "ok\n"
		})
	})
}

func openStore(t testing.TB) *tree.Local {
	t.Helper()
	store, err := tree.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func newServer(t testing.TB, reg *registry.Registry, cfg api.ServerConfig) *api.Server {
	t.Helper()
	cfg.Registry = reg
	s, err := api.NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func exchange(t *testing.T, h http.Handler, text string) string {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	line, headers, _ := strings.Cut(head, "\n")
	method, target, _ := strings.Cut(line, " ")
	r := httptest.NewRequest(method, target, strings.NewReader(strings.ReplaceAll(body, `\n`, "\n")))
	for h := range strings.Lines(headers) {
		k, v, _ := strings.Cut(strings.TrimSpace(h), ": ")
		r.Header.Add(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	out := fmt.Sprintf("%d %s\n", w.Code, w.Header().Get("Content-Type"))
	if b := strings.TrimSuffix(w.Body.String(), "\n"); b != "" {
		out += b + "\n"
	}
	return strings.ReplaceAll(out, " \n", "\n")
}

// threeLines is a journal of three lines for every unit.
type threeLines struct{}

func (threeLines) Journal(ctx context.Context, machine, name string, opts unit.JournalOptions) iter.Seq2[unit.JournalEntry, error] {
	return func(yield func(unit.JournalEntry, error) bool) {
		for i := range 3 {
			at := time.Date(2020, 1, 2, 3, 4, i, 0, time.UTC)
			e := unit.JournalEntry{Time: at, Unit: name, Identifier: "hello", PID: 7, Message: fmt.Sprintf("line %d on %s", i+1, machine)}
			if !yield(e, nil) {
				return
			}
		}
		if name == "torn.service" {
			yield(unit.JournalEntry{}, fmt.Errorf("machine %s went away", machine))
			return
		}
		if opts.Follow {
			<-ctx.Done()
		}
	}
}

func TestMetricsAreServedIfGivenReadyOrNot(t *testing.T) {
	reg := registry.New(openStore(t), registry.Options{})
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "answer 42") })
	for _, c := range []struct {
		cfg        api.ServerConfig
		code       int
		wantInBody string
	}{
		{api.ServerConfig{}, http.StatusNotFound, `"code":404`},
		{api.ServerConfig{Metrics: metrics}, http.StatusOK, "answer 42\n"},
		{api.ServerConfig{Metrics: metrics, Ready: make(chan struct{})}, http.StatusOK, "answer 42\n"},
	} {
		w := httptest.NewRecorder()
		newServer(t, reg, c.cfg).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.wantInBody) {
			t.Errorf("metrics given: %v, ready: %v: got %d %q, want %d and %q", c.cfg.Metrics != nil, c.cfg.Ready == nil, w.Code, w.Body, c.code, c.wantInBody)
		}
	}
}

func TestServerIsUnavailableUntilReady(t *testing.T) {
	ready := make(chan struct{})
	s := newServer(t, registry.New(openStore(t), registry.Options{}), api.ServerConfig{Ready: ready})
	want := "503 application/json\n" + `{"error":{"code":503,"message":"fleet server unable to communicate with etcd"}}` + "\n"
	if got := exchange(t, s, "GET /fleet/v1/units"); got != want {
		t.Errorf("before: got %s, want %s", got, want)
	}
	close(ready)
	if got, want := exchange(t, s, "GET /fleet/v1/units"), "200 application/json\n{}\n"; got != want {
		t.Errorf("afterwards: got %s, want %s", got, want)
	}
}

func TestOverlongBodyIsRefused(t *testing.T) {
	s := newServer(t, registry.New(openStore(t), registry.Options{}), api.ServerConfig{})
	body := `{"name":"` + strings.Repeat("x", 5<<20) + `"}`
	got := exchange(t, s, "PUT /fleet/v1/units/a.service\nContent-Type: application/json\n\n"+body)
	if !strings.HasPrefix(got, "413 ") {
		t.Errorf("got %.80s, want a 413", got)
	}
}

func TestPagesOfAListFitTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := registry.New(openStore(t), registry.Options{})
		s := newServer(t, reg, api.ServerConfig{TokenLimit: 2})
		f, err := unit.NewFile([]unit.Option{{Section: "Service", Name: "ExecStart", Value: "/bin/true"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"b", "c", "d", "e"} {
			if err := reg.CreateUnit(t.Context(), name+".service", f, registry.Inactive); err != nil {
				t.Fatal(err)
			}
		}
		names := func(query string) string {
			out := ""
			for _, m := range regexp.MustCompile(`"name":"(.)\.service"`).FindAllStringSubmatch(exchange(t, s, "GET /fleet/v1/units"+query), -1) {
				out += m[1]
			}
			return out
		}
		const second = "?nextPageToken=AgACAA=="
		if got := names("") + names(second); got != "bcde" {
			t.Errorf("undisturbed: got %s, want bcde", got)
		}
		first := names("")
		if err := reg.CreateUnit(t.Context(), "a.service", f, registry.Inactive); err != nil {
			t.Fatal(err)
		}
		if got := first + names(second); got != "bcde" {
			t.Errorf("with a unit created between two pages: got %s, want bcde", got)
		}
		time.Sleep(time.Minute)
		if got := names(second); got != "cd" {
			t.Errorf("second page long after the first: got %s, want cd, as it is now", got)
		}
	})
}

func TestEveryAnswerNamesTheServer(t *testing.T) {
	s := newServer(t, registry.New(openStore(t), registry.Options{}), api.ServerConfig{Version: "1.2"})
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/nowhere", nil))
	if got, want := w.Header().Get("Server"), "fleetd/1.2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Any request may come from anybody; none may break the server, and what it
// answers is always JSON or empty.
func FuzzServerAnswersAnyRequest(f *testing.F) {
	f.Add("PUT", "/fleet/v1/units/a.service", `{"options":[{"section":"Unit","name":"Description","value":"x"}]}`)
	f.Add("PATCH", "/v1-alpha/machines", `[{"op":"add","path":"/m1/metadata/k","value":"v"}]`)
	f.Add("GET", "/fleet/v1/units?nextPageToken=ZAACAA==", "")
	f.Add("GET", "/fleet/v1/state/_x", "")
	f.Add("DELETE", "/fleet/v1/units/%2e%2e", "")
	f.Fuzz(func(t *testing.T, method, target, body string) {
		raw := method + " " + target + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n\r\n" + body
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			t.Skip()
		}
		s := newServer(t, registry.New(openStore(t), registry.Options{}), api.ServerConfig{})
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code == http.StatusInternalServerError {
			t.Errorf("%q: 500 %s", raw, w.Body)
		}
		if b := bytes.TrimSpace(w.Body.Bytes()); len(b) > 0 && b[0] != '{' {
			t.Errorf("%q: body %q is no JSON object", raw, b)
		}
	})
}
