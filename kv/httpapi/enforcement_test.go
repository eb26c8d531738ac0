package httpapi_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
	"pgregory.net/rapid"

	"github.com/strakeproject/strake/kv/auth"
	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/tree"
)

// guardedAPI is an API with auth on, and a user root with the password "top".
func guardedAPI(t testing.TB, cfg httpapi.Config) *httpapi.API {
	t.Helper()
	store, err := tree.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	authority, err := auth.Open(t.Context(), auth.Config{Store: store, Cost: bcrypt.MinCost})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { authority.Close(); store.Close() })
	if _, _, err := authority.PutUser(t.Context(), auth.UserChange{Name: "root", Password: "top"}); err != nil {
		t.Fatal(err)
	}
	if err := authority.Enable(t.Context()); err != nil {
		t.Fatal(err)
	}
	cfg.Store, cfg.Auth = store, authority
	return httpapi.New(cfg)
}

// rules are users and roles as the documents of the v2 API describe them, with
// patterns as regular expressions.
type rules struct {
	passwords map[string]string
	granted   map[string][]string // roles of users
	roles     map[string]grants
}

type grants struct{ Read, Write []string }

func newRules() *rules {
	full := grants{Read: []string{"/*"}, Write: []string{"/*"}}
	return &rules{
		passwords: map[string]string{"root": "top"},
		granted:   map[string][]string{"root": {"root"}},
		roles:     map[string]grants{"guest": full},
	}
}

// matcher matches the keys that requests pass for; nil matches none. No user is
// a guest.
func (m *rules) matcher(user, password, method string, recursive bool) *regexp.Regexp {
	roles, guest := []string{"guest"}, user == ""
	if !guest {
		if m.passwords[user] != password || password == "" {
			return nil
		}
		roles = m.granted[user]
	}
	var all []string
	for _, name := range roles {
		patterns := m.roles[name].Write
		if method == "GET" || method == "HEAD" {
			patterns = m.roles[name].Read
		}
		for _, p := range patterns {
			stem, open := strings.CutSuffix(p, "*")
			switch {
			case open:
				all = append(all, regexp.QuoteMeta(stem)+".*")
			case !recursive || guest:
				all = append(all, regexp.QuoteMeta(p))
			}
		}
		if name == "root" {
			all = append(all, ".*")
		}
	}
	if len(all) == 0 {
		return nil
	}
	return regexp.MustCompile("^(?:" + strings.Join(all, "|") + ")$")
}

// TestRequestsPassAsTheRulesSay changes users and roles at random, and sends
// requests in between.
func TestRequestsPassAsTheRulesSay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		api, m := guardedAPI(t, httpapi.Config{}), newRules()
		users := rapid.SampledFrom([]string{"al", "bo", "root"})
		roles := rapid.SampledFrom([]string{"r1", "r2", "guest", "root"})
		patterns := rapid.SliceOfN(rapid.SampledFrom([]string{"*", "/*", "/a", "/a*", "/a/*", "/a/b", "/ab*", "/b/c/*", "/_h/*"}), 0, 3)
		keys := []string{"", "/", "/a", "/a/", "/a/b", "/ab", "/a/b/c", "/b/c", "/b/c/", "/_h/x", "/b/c/d"}
		words := rapid.SampledFrom([]string{"x", "y"})
		admin := func(method, path string, doc any) int {
			b, err := json.Marshal(doc)
			if err != nil {
				rt.Fatal(err)
			}
			r := httptest.NewRequest(method, path, strings.NewReader(string(b)))
			r.SetBasicAuth("root", m.passwords["root"])
			w := httptest.NewRecorder()
			api.ServeHTTP(w, r)
			if w.Code == http.StatusUnauthorized || w.Code >= 500 {
				rt.Fatalf("%s %s %s: got %d %s", method, path, b, w.Code, w.Body)
			}
			return w.Code
		}
		rt.Repeat(map[string]func(*rapid.T){
			"put user": func(rt *rapid.T) {
				user, word := users.Draw(rt, "user"), words.Draw(rt, "password")
				if admin("PUT", "/v2/auth/users/"+user, map[string]string{"user": user, "password": word}) < 300 {
					m.passwords[user] = word
				}
			},
			"delete user": func(rt *rapid.T) {
				user := users.Draw(rt, "user")
				if admin("DELETE", "/v2/auth/users/"+user, nil) < 300 {
					delete(m.passwords, user)
					delete(m.granted, user)
				}
			},
			"grant": func(rt *rapid.T) {
				user, role := users.Draw(rt, "user"), roles.Draw(rt, "role")
				if admin("PUT", "/v2/auth/users/"+user, map[string]any{"user": user, "grant": []string{role}}) < 300 {
					m.granted[user] = append(m.granted[user], role)
				}
			},
			"revoke": func(rt *rapid.T) {
				user, role := users.Draw(rt, "user"), roles.Draw(rt, "role")
				if admin("PUT", "/v2/auth/users/"+user, map[string]any{"user": user, "revoke": []string{role}}) < 300 && user != role {
					m.granted[user] = slices.DeleteFunc(m.granted[user], func(r string) bool { return r == role })
				}
			},
			"put role": func(rt *rapid.T) {
				name, g := roles.Draw(rt, "role"), grants{patterns.Draw(rt, "read"), patterns.Draw(rt, "write")}
				admin("DELETE", "/v2/auth/roles/"+name, nil) // it may not exist
				if admin("PUT", "/v2/auth/roles/"+name, map[string]any{"role": name, "permissions": map[string]any{"kv": g}}) < 300 {
					m.roles[name] = g
				}
			},
			"delete role": func(rt *rapid.T) {
				name := roles.Draw(rt, "role")
				if admin("DELETE", "/v2/auth/roles/"+name, nil) < 300 {
					delete(m.roles, name)
				}
			},
			"": func(rt *rapid.T) {
				who := rapid.SampledFrom([]string{"", "al", "bo", "root", "nobody"}).Draw(rt, "who")
				word := rapid.SampledFrom([]string{"x", "y", "top", ""}).Draw(rt, "password")
				method := rapid.SampledFrom([]string{"GET", "HEAD", "PUT", "POST", "DELETE"}).Draw(rt, "method")
				recursive := rapid.Bool().Draw(rt, "recursive")
				matcher := m.matcher(who, word, method, recursive)
				tried := keys
				if matcher == nil {
					tried = keys[1:2] // since a wrong password takes a while
				}
				for _, key := range tried {
					r := httptest.NewRequest(method, fmt.Sprintf("/v2/keys%s?recursive=%v", key, recursive), nil)
					if who != "" {
						r.SetBasicAuth(who, word)
					}
					w := httptest.NewRecorder()
					api.ServeHTTP(w, r)
					if got, want := w.Code != http.StatusUnauthorized, matcher != nil && matcher.MatchString(key); got != want {
						rt.Fatalf("%s %q recursive=%v as %q:%q: passes %v, want %v (%d %s)\nrules %+v", method, key, recursive, who, word, got, want, w.Code, w.Body, m)
					}
				}
			},
		})
	})
}

func TestTheNameInACertificateIsAUser(t *testing.T) {
	for _, c := range []struct {
		name    string
		trusted bool // is the name in the certificate taken for one
		cn      string
		header  string
		status  int // of a read that root and nobody else may do
	}{
		{"root's certificate", true, "root", "", 404},
		{"root's certificate, not asked for", false, "root", "", 401},
		{"a stranger's certificate", true, "stranger", "", 401},
		{"a nameless certificate", true, "", "", 401},
		{"a header beats the certificate", true, "root", "Basic bm9ib2R5Og==", 401},
		{"so does a malformed one", true, "root", "Basic !", 401},
	} {
		api := guardedAPI(t, httpapi.Config{ClientCertAuth: c.trusted})
		if w := ask(api, "DELETE", "/v2/auth/roles/guest"); w.Code != 200 {
			t.Fatalf("delete guest: %d %s", w.Code, w.Body)
		}
		r := httptest.NewRequest("GET", "/v2/keys/none", nil)
		leaf := &x509.Certificate{Subject: pkix.Name{CommonName: c.cn}}
		authority := &x509.Certificate{Subject: pkix.Name{CommonName: "root"}} // which counts for nobody
		r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf, authority}}}
		if c.header != "" {
			r.Header.Set("Authorization", c.header)
		}
		w := httptest.NewRecorder()
		if api.ServeHTTP(w, r); w.Code != c.status {
			t.Errorf("%s: got %d %s, want %d", c.name, w.Code, w.Body, c.status)
		}
		r.Method, r.URL.Path, r.Body = "GET", "/v2/auth/users", http.NoBody
		w = httptest.NewRecorder()
		if api.ServeHTTP(w, r); (w.Code == 200) != (c.status == 404) {
			t.Errorf("%s: got %d %s for the list of users", c.name, w.Code, w.Body)
		}
	}
}

// ask sends a request as root.
func ask(api *httpapi.API, method, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.SetBasicAuth("root", "top")
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	return w
}

// FuzzAuth sends arbitrary credentials and documents: what is not root's gets
// nowhere, and nothing is the server's fault.
func FuzzAuth(f *testing.F) {
	f.Add("Basic cm9vdDp0b3A=", "users/a", `{"user":"a","password":"b"}`)
	f.Add("basic cm9vdDp0b3A=", "roles/a", `{"role":"a","permissions":{"kv":{"read":["*",""]}}}`)
	f.Add("Basic Ojo6", "enable", "")
	f.Add("Bearer x", "users/", "{")
	f.Add("Basic cm9vdDp0b3A=", "users/root", `{"user":"root","revoke":["root"],"grant":[""]}`)
	f.Add("", "roles/\xff", "null")
	api := guardedAPI(f, httpapi.Config{})
	f.Fuzz(func(t *testing.T, header, path, body string) {
		r := httptest.NewRequest("PUT", "/", strings.NewReader(body))
		r.URL = &url.URL{Path: "/v2/auth/" + path}
		r.Header.Set("Authorization", header)
		name, password, _ := r.BasicAuth()
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		root := name == "root" && password == "top"
		if w.Code >= 500 || w.Code < 300 && !root {
			t.Fatalf("PUT /v2/auth/%q %q with %q: got %d %s", path, body, header, w.Code, w.Body)
		}
		// Unless root is another one now, all there is can be shown.
		list := ask(api, "GET", "/v2/auth/users")
		if changed := w.Code < 300 && strings.HasPrefix(path, "users/root"); changed && list.Code == http.StatusUnauthorized {
			api = guardedAPI(f, httpapi.Config{})
		} else if list.Code != http.StatusOK || !json.Valid(list.Body.Bytes()) {
			t.Fatalf("after PUT /v2/auth/%q %q: users are %d %s", path, body, list.Code, list.Body)
		}
	})
}

// FuzzMembers sends arbitrary documents: members are changed by good ones alone.
func FuzzMembers(f *testing.F) {
	f.Add("POST", "", "application/json", `{"peerURLs":["http://h:1"]}`)
	f.Add("PUT", "/2e", "application/json; x", `{"peerURLs":["http://[::1]:1","unix://a:0"]}`)
	f.Add("DELETE", "/1A", "", "")
	f.Add("PUT", "/", "", `{"peerURLs":["http://h:1/"]}`)
	f.Fuzz(func(t *testing.T, method, path, contentType, body string) {
		c := newTrio(false)
		api := httpapi.New(httpapi.Config{Store: &echo{}, Cluster: c, Changer: c})
		r := httptest.NewRequest("GET", "/", strings.NewReader(body))
		r.Method, r.URL = method, &url.URL{Path: "/v2/members" + path}
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("%q /v2/members%q %q: got %d %s", method, path, body, w.Code, w.Body)
		}
		changed := fmt.Sprint(c.Members()) != fmt.Sprint(newTrio(false).Members())
		if changed && (w.Code < 200 || w.Code > 204) {
			t.Fatalf("%q /v2/members%q %q: got %d %s, but members changed", method, path, body, w.Code, w.Body)
		}
		for _, m := range c.Members() {
			for _, u := range m.PeerURLs {
				if parsed, err := url.Parse(u); err != nil || parsed.Port() == "" && !strings.HasSuffix(parsed.Host, ":") || parsed.Path != "" {
					t.Fatalf("%q /v2/members%q %q: member %x has the URL %q", method, path, body, m.ID, u)
				}
			}
		}
	})
}
