package httpapi_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/httpapi"
)

// discard is an answer that nobody reads.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// rewound is a body that can be read again.
type rewound struct{ *strings.Reader }

func (rewound) Close() error { return nil }

// still is a store in which nothing moves.
type still struct{ echo }

var stillEvent = kv.Event{
	Action: kv.ActionGet, Index: 123456,
	Node: kv.Node{Key: "/some/key", Value: strings.Repeat("v", 256), CreatedIndex: 123000, ModifiedIndex: 123456},
}

func (*still) Get(context.Context, string, kv.GetOptions) (kv.Event, error) { return stillEvent, nil }

func (*still) List(_ context.Context, _ string, _ kv.GetOptions, each func(uint64, kv.Node) error) error {
	return each(stillEvent.Index, stillEvent.Node)
}

func (*still) Set(context.Context, string, string, kv.SetOptions) (kv.Event, error) {
	return stillEvent, nil
}

func (*still) CompareAndSwap(context.Context, string, string, kv.Condition, kv.UpdateOptions) (kv.Event, error) {
	return stillEvent, nil
}

// BenchmarkHandler measures what the API adds to net/http and to the store, which
// are not measured.
func BenchmarkHandler(b *testing.B) {
	for _, c := range []struct {
		name, method, query, body string
		cfg                       httpapi.Config
	}{
		{name: "get", method: "GET"},
		{name: "get quorum", method: "GET", query: "quorum=true&recursive=false"},
		{name: "put", method: "PUT", body: "value=" + strings.Repeat("v", 256)},
		{name: "put escaped", method: "PUT", body: "value=" + strings.Repeat("v%20", 64) + "&ttl=60"},
		{name: "swap", method: "PUT", query: "prevIndex=12", body: "value=" + strings.Repeat("v", 256)},
	} {
		b.Run(c.name, func(b *testing.B) {
			c.cfg.Store = &still{}
			api := httpapi.New(c.cfg)
			r, err := http.NewRequestWithContext(b.Context(), c.method, "/v2/keys/some/key", nil)
			if err != nil {
				b.Fatal(err)
			}
			r.URL = &url.URL{Path: "/v2/keys/some/key", RawQuery: c.query}
			body := rewound{strings.NewReader(c.body)}
			if c.body != "" {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Body, r.ContentLength = body, int64(len(c.body))
			}
			w := &discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = body.Seek(0, io.SeekStart)
				clear(w.header)
				api.ServeHTTP(w, r)
			}
		})
	}
}
