package client_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/client"
)

// always is a server that gives one answer.
type always struct {
	status      int
	index, body string
}

func (a always) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: a.status,
		Header:     http.Header{"X-Etcd-Index": {a.index}},
		Body:       io.NopCloser(strings.NewReader(a.body)),
		Request:    r,
	}, nil
}

// FuzzAnswers gives a client whatever answers: it must make an event of a success
// or an error, and never both or neither.
func FuzzAnswers(f *testing.F) {
	f.Add(200, "7", `{"action":"get","node":{"key":"/a","value":"1","modifiedIndex":7,"createdIndex":7}}`)
	f.Add(201, "", `{"action":"set","node":{"dir":true,"nodes":[{"key":"/a","expiration":"2026-11-20T23:13:57Z"}]}}`)
	f.Add(404, "7", `{"errorCode":100,"message":"Key not found","cause":"/a","index":7}`)
	f.Add(200, "x", `{"action":"get","node":null}`)
	f.Add(502, "", `<html>`)
	f.Add(200, "7", `null`)
	f.Add(200, "", `{"members":[{"id":"1f","name":"x","clientURLs":["http://a","b"]}],"health":true}`)
	f.Add(200, "", `{"users":["al",{"user":"bob","roles":["r",{"role":"s","permissions":{"kv":{"read":["/*"]}}}]}]}`)
	f.Add(200, "", `{"user":"al","role":"r","roles":["r",{"role":"s"}],"permissions":{"kv":{"read":null}}}`)
	f.Fuzz(func(t *testing.T, status int, index, body string) {
		c, err := client.New(client.Config{
			Endpoints: []string{"http://a"},
			Transport: always{status, index, body},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range []struct {
			name string
			do   func() (kv.Event, error)
		}{
			{"get", func() (kv.Event, error) { return c.Get(t.Context(), "/a", kv.GetOptions{}) }},
			{"delete", func() (kv.Event, error) { return c.Delete(t.Context(), "/a", kv.DeleteOptions{}) }},
		} {
			ev, err := o.do()
			if (err == nil) != (ev.Action != "") || err == nil && !strings.HasPrefix(ev.Node.Key, "/") {
				t.Errorf("%s answered %d %q: got %+v, %v", o.name, status, body, ev, err)
			}
		}
		// Of these nothing is promised but that they come back.
		_, _ = c.Members(t.Context())
		_, _ = c.AddMember(t.Context(), nil)
		_, _ = c.Healthy(t.Context(), "http://a")
		_, _ = c.AuthEnabled(t.Context())
		_, _ = c.Users(t.Context())
		_, _ = c.User(t.Context(), "al")
		_, _ = c.Roles(t.Context())
		_, _ = c.Role(t.Context(), "r")
		_ = c.Sync(t.Context())
	})
}
