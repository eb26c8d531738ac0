package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/httpapi"
)

// echo is a store that remembers the operation it was last asked for.
type echo struct{ op string }

func (e *echo) do(op, key string, args ...any) (kv.Event, error) {
	e.op = fmt.Sprintf("%s %q", op, key)
	for _, a := range args {
		if s, ok := a.(string); ok {
			e.op += fmt.Sprintf(" %q", s)
		} else {
			e.op += fmt.Sprintf(" %+v", a)
		}
	}
	return kv.Event{Action: kv.ActionGet, Node: kv.Node{Key: key}}, nil
}

func (e *echo) Get(_ context.Context, key string, o kv.GetOptions) (kv.Event, error) {
	return e.do("Get", key, o)
}

func (e *echo) Set(_ context.Context, key, value string, o kv.SetOptions) (kv.Event, error) {
	return e.do("Set", key, value, o)
}

func (e *echo) Create(_ context.Context, key, value string, o kv.CreateOptions) (kv.Event, error) {
	return e.do("Create", key, value, o)
}

func (e *echo) CreateInOrder(_ context.Context, dir, value string, o kv.CreateOptions) (kv.Event, error) {
	return e.do("CreateInOrder", dir, value, o)
}

func (e *echo) Update(_ context.Context, key, value string, o kv.UpdateOptions) (kv.Event, error) {
	return e.do("Update", key, value, o)
}

func (e *echo) Delete(_ context.Context, key string, o kv.DeleteOptions) (kv.Event, error) {
	return e.do("Delete", key, o)
}

func (e *echo) CompareAndSwap(_ context.Context, key, value string, c kv.Condition, o kv.UpdateOptions) (kv.Event, error) {
	return e.do("CompareAndSwap", key, value, c, o)
}

func (e *echo) CompareAndDelete(_ context.Context, key string, c kv.Condition) (kv.Event, error) {
	return e.do("CompareAndDelete", key, c)
}

func (e *echo) Watch(_ context.Context, key string, o kv.WatchOptions) (*kv.Watch, error) {
	_, err := e.do("Watch", key, o)
	return &kv.Watch{Events: func(func(kv.Event, error) bool) {}}, err
}

// form makes a request with a form body, which is empty for most methods.
func form(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// TestRequestsBecomeOperations replays requests against a store that only tells
// what it was asked. A line of input is a method, a target and, if there is a
// third word, a form body.
func TestRequestsBecomeOperations(t *testing.T) {
	datadriven.RunTest(t, "testdata/requests.txt", func(t *testing.T, d *datadriven.TestData) string {
		store := &echo{}
		api := httpapi.New(httpapi.Config{Store: store, MaxBodyBytes: 100})
		var out strings.Builder
		for line := range strings.Lines(d.Input) {
			method, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			target, body, _ := strings.Cut(rest, " ")
			r := form(method, target, body)
			if d.HasArg("type") {
				r.Header.Del("Content-Type")
				if len(d.CmdArgs[0].Vals) > 0 {
					r.Header.Set("Content-Type", strings.Join(d.CmdArgs[0].Vals, ","))
				}
			}
			store.op = ""
			w := httptest.NewRecorder()
			api.ServeHTTP(w, r)
			if store.op == "" {
				store.op = fmt.Sprintf("%d %s", w.Code, strings.TrimSpace(w.Body.String()))
			}
			fmt.Fprintln(&out, store.op)
		}
		return out.String()
	})
}

func TestALongTTLIsCapped(t *testing.T) {
	for _, seconds := range []string{"9223372036", "10000000000", "18446744073709551615"} {
		store := &echo{}
		api := httpapi.New(httpapi.Config{Store: store})
		api.ServeHTTP(httptest.NewRecorder(), form("PUT", "/v2/keys/a?ttl="+seconds, ""))
		want := fmt.Sprintf(`Set "/a" "" {TTL:%v Dir:false Refresh:false}`, 200*365*24*time.Hour)
		if store.op != want {
			t.Errorf("ttl=%s: got %s, want %s", seconds, store.op, want)
		}
	}
}

// FuzzForms holds the parser of forms against the standard library's.
func FuzzForms(f *testing.F) {
	for _, s := range []string{
		"value=a+b%20c", "value=1&value=2", "value=%zz", "a;b=1", "=&&value", "%76alue=x", "value=a=b", "value=%",
	} {
		f.Add(s, "")
		f.Add("", s)
		f.Add("value=q", s)
	}
	f.Fuzz(func(t *testing.T, query, body string) {
		if strings.Count(query+body, "&") > 1000 { // where the library sets a bound
			return
		}
		r := form("PUT", "/v2/keys/a", body)
		r.URL.RawQuery = query
		store := &echo{}
		w := httptest.NewRecorder()
		httpapi.New(httpapi.Config{Store: store}).ServeHTTP(w, r)

		std := form("PUT", "/", body)
		std.URL.RawQuery = query
		stdErr := std.ParseForm()
		if stdErr != nil {
			if !strings.Contains(w.Body.String(), `{"errorCode":210,`) {
				t.Fatalf("query %q body %q: got %d %s, want error 210: %v", query, body, w.Code, w.Body, stdErr)
			}
			return
		}
		if w.Code != http.StatusOK { // another parameter was wrong
			if w.Code >= 500 || strings.Contains(w.Body.String(), `:210,`) {
				t.Fatalf("query %q body %q: got %d %s", query, body, w.Code, w.Body)
			}
			return
		}
		if want := fmt.Sprintf("%q", std.FormValue("value")); store.op != "" && !strings.Contains(store.op, want) {
			t.Fatalf("query %q body %q: got %s, want value %s", query, body, store.op, want)
		}
	})
}

// FuzzRequests sends requests with arbitrary parts: whatever they are, the
// client is told about its mistake, not about one of the server.
func FuzzRequests(f *testing.F) {
	f.Add("GET", "/v2/keys/a/../b", "wait=true", "application/x-www-form-urlencoded", "value=1")
	f.Add("PUT", "/v2/keys//", "ttl=-1", "a;", "%")
	f.Add("POST", "/v2/members/x", "", "", "")
	f.Add("DELETE", "/health", "prevValue=&prevExist=", "multipart/form-data", "\xff")
	f.Add("get", "v2", "refresh=true", "/", "")
	f.Fuzz(func(t *testing.T, method, path, query, contentType, body string) {
		api := httpapi.New(httpapi.Config{Store: &echo{}})
		r := form("GET", "/", body)
		r.Method = method
		r.URL = &url.URL{Path: path, RawQuery: query}
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("%q %q ? %q, %q body %q: status %d %s", method, path, query, contentType, body, w.Code, w.Body)
		}
	})
}
