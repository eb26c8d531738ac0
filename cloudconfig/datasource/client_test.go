package datasource_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/cloudconfig/datasource"
)

// transport answers requests without a network.
type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

func respond(status int, body io.Reader) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(body)}
}

func overTransport(t transport) *datasource.Client {
	return datasource.NewClient(datasource.ClientOptions{Transport: t})
}

// TestTheClientTriesAgainWhereThatMayHelp counts requests and the time they take.
func TestTheClientTriesAgainWhereThatMayHelp(t *testing.T) {
	ok := func() (*http.Response, error) { return respond(200, strings.NewReader("#!a")), nil }
	status := func(code int) func() (*http.Response, error) {
		return func() (*http.Response, error) { return respond(code, strings.NewReader("no")), nil }
	}
	refused := func() (*http.Response, error) { return nil, errors.New("refused") }
	cut := func() (*http.Response, error) {
		return respond(200, io.MultiReader(strings.NewReader("#"), failing{})), nil
	}
	// 100 ms doubling to 5 s, fourteen times.
	const all = 100*63*time.Millisecond + 8*5*time.Second
	for _, tt := range []struct {
		name     string
		answers  []func() (*http.Response, error) // the last for ever
		requests int
		took     time.Duration
		want     string // empty: the document
	}{
		{"at once", []func() (*http.Response, error){ok}, 1, 0, ""},
		{"a server that fails twice", []func() (*http.Response, error){status(500), status(503), ok}, 3, 300 * time.Millisecond, ""},
		{"a connection refused", []func() (*http.Response, error){refused, ok}, 2, 100 * time.Millisecond, ""},
		{"a document cut short", []func() (*http.Response, error){cut, ok}, 2, 100 * time.Millisecond, ""},
		{"a server that is busy", []func() (*http.Response, error){status(429), ok}, 2, 100 * time.Millisecond, ""},
		{"a document that is not there", []func() (*http.Response, error){status(404), ok}, 1, 0, "get http://a/b: 404 Not Found"},
		{"a document that is forbidden", []func() (*http.Response, error){status(403), ok}, 1, 0, "403 Forbidden"},
		{"a server that always fails", []func() (*http.Response, error){status(502)}, 15, all, "after 15 attempts: get http://a/b: 502 Bad Gateway"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, requests := time.Now(), 0
				c := overTransport(func(*http.Request) (*http.Response, error) {
					requests++
					return tt.answers[min(requests, len(tt.answers))-1]()
				})
				data, err := datasource.URL(c, "http://a/b").UserData(t.Context())
				if tt.want == "" && (err != nil || string(data) != "#!a") {
					t.Errorf("UserData() = %q, %v, want the document", data, err)
				}
				if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("UserData() = %q, %v, want an error with %q", data, err, tt.want)
				}
				if took := time.Since(start); requests != tt.requests || took != tt.took {
					t.Errorf("%d requests in %v, want %d in %v", requests, took, tt.requests, tt.took)
				}
			})
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestARequestEndsAfterTenSeconds, and with the context of its caller at once.
func TestARequestEndsAfterTenSeconds(t *testing.T) {
	silence := overTransport(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := datasource.URL(silence, "http://a/").Available(t.Context())
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != 10*time.Second {
			t.Errorf("Available() = %v after %v, want the end of time after 10s", err, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
		defer cancel()
		start = time.Now()
		_, err = datasource.URL(silence, "http://a/").UserData(ctx)
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != 25*time.Second {
			t.Errorf("UserData() = %v after %v, want the end of time after 25s", err, took)
		}
	})
}

// endless is a document without an end.
type endless struct{ read *int }

func (e endless) Read(p []byte) (int, error) {
	*e.read += len(p)
	return len(p), nil
}

// TestADocumentWithoutEndIsRefused once, after no more than its limit.
func TestADocumentWithoutEndIsRefused(t *testing.T) {
	read, requests := 0, 0
	c := overTransport(func(*http.Request) (*http.Response, error) {
		requests++
		return respond(200, endless{&read}), nil
	})
	if data, err := datasource.URL(c, "http://a/").UserData(t.Context()); err == nil || requests != 1 || read > 17<<20 {
		t.Errorf("UserData() = %d bytes, %v, after %d requests and %d bytes; want an error after one", len(data), err, requests, read)
	}
	read = 0
	if _, err := datasource.Packet(c, "http://a/").Metadata(t.Context()); err == nil || read > 2<<20 {
		t.Errorf("Metadata() = %v after %d bytes, want an error", err, read)
	}
}

// TestTokensDoNotFollowARedirectToAnotherHost, though documents do.
func TestTokensDoNotFollowARedirectToAnotherHost(t *testing.T) {
	other := serve(t, documents{"a": "#!a", "computeMetadata/v1/": ""})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other+r.URL.Path, http.StatusFound)
	}))
	defer server.Close()
	if data, err := datasource.URL(client(), server.URL+"/a").UserData(t.Context()); err != nil || string(data) != "#!a" {
		t.Errorf("UserData() = %q, %v, want what the other host has", data, err)
	}
	if err := datasource.GCE(client(), server.URL).Available(t.Context()); err == nil || !strings.Contains(err.Error(), "another host") {
		t.Errorf("Available() = %v, want that another host is not asked", err)
	}
}

// session is an EC2 service of version 2, whose tokens can be withdrawn.
type session struct {
	tokens int
	fail   int // so many requests for a token are answered 503
}

func (s *session) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/latest/api/token" {
		if r.Method != http.MethodPut || r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") == "" {
			return respond(400, strings.NewReader("")), nil
		}
		if s.fail > 0 {
			s.fail--
			return respond(503, strings.NewReader("")), nil
		}
		s.tokens++
		return respond(200, strings.NewReader(fmt.Sprint("token-", s.tokens))), nil
	}
	if r.Header.Get("X-aws-ec2-metadata-token") != fmt.Sprint("token-", s.tokens) {
		return respond(401, strings.NewReader("")), nil
	}
	return respond(200, strings.NewReader("#!a")), nil
}

// TestEC2KeepsItsSession, and begins another when that has ended.
func TestEC2KeepsItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &session{}
		source := datasource.EC2(datasource.NewClient(datasource.ClientOptions{Transport: server}), "http://a")
		get := func(tokens int) {
			t.Helper()
			if data, err := source.UserData(t.Context()); err != nil || string(data) != "#!a" || server.tokens != tokens {
				t.Errorf("UserData() = %q, %v, with %d tokens, want %d", data, err, server.tokens, tokens)
			}
		}
		if err := source.Available(t.Context()); err != nil {
			t.Fatalf("Available() = %v", err)
		}
		get(1)
		get(1)
		server.tokens++ // the session ends
		get(3)
		server.tokens++
		server.fail = 1
		get(5)
		server.tokens++
		server.fail = 100
		if data, err := source.UserData(t.Context()); err == nil {
			t.Errorf("UserData() without a session = %q, want an error, not that there is none", data)
		}
	})
}

// TestEC2DoesNotWaitLongForASession that does not come, as in a container.
func TestEC2DoesNotWaitLongForASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := overTransport(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPut {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return respond(200, strings.NewReader("#!a")), nil
		})
		start := time.Now()
		err := datasource.EC2(c, "http://a").Available(t.Context())
		if took := time.Since(start); err != nil || took != 2*time.Second {
			t.Errorf("Available() = %v after %v, want version 1 after 2s", err, took)
		}
	})
}

// TestAServerContextThatDoesNotComeIsNotWaitedFor: the port is closed in time.
func TestAServerContextThatDoesNotComeIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		source := datasource.CloudSigma(datasource.CloudSigmaOptions{Open: func() (io.ReadWriteCloser, error) {
			r, w := io.Pipe()
			return silentPort{r, w}, nil
		}})
		_, err := source.UserData(t.Context())
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != 10*time.Second {
			t.Errorf("UserData() = %v after %v, want the end of time after 10s", err, took)
		}
	})
}

// silentPort takes a question and never answers.
type silentPort struct {
	*io.PipeReader
	w *io.PipeWriter
}

func (silentPort) Write(p []byte) (int, error) { return len(p), nil }

// TestPasswordsStayOutOfLogsAndErrors, which show the rest of a URL.
func TestPasswordsStayOutOfLogsAndErrors(t *testing.T) {
	for _, tt := range []struct{ url, want string }{
		{"http://me:secret@a/b", "Attempt #1"},
		{"http://me:secret@a:b/", "Attempt #1"},
		{"http://me:secret@/", "names no host"},
		{"ftp://me:secret@a/", "begins with http"},
	} {
		var b strings.Builder
		logger := slog.New(slog.NewTextHandler(&b, nil))
		c := datasource.NewClient(datasource.ClientOptions{Logger: logger, Transport: transport(func(*http.Request) (*http.Response, error) {
			return respond(404, strings.NewReader("")), nil
		})})
		_, err := datasource.URL(c, tt.url).UserData(t.Context())
		if text := fmt.Sprint(b.String(), err); err == nil || strings.Contains(text, "secret") || !strings.Contains(text, tt.want) {
			t.Errorf("UserData() from %s says %q, want %q and no password", tt.url, text, tt.want)
		}
	}
}
