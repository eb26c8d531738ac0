package discovery

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/client"
)

const (
	keysPath = "/v2/keys"
	// registry is where a token service keeps its tokens.
	registry = "/_etcd/registry"
)

// DialOptions say how to reach a discovery service. The zero value is the
// default.
type DialOptions struct {
	// Proxy is the URL of an HTTP proxy; "host:port" stands for http. Default:
	// none.
	Proxy string
	// TLS is for https URLs. Default: the system's roots.
	TLS *tls.Config
	// Logger hears what is waited for. Default: nobody.
	Logger *slog.Logger
}

// Dial returns the token of a discovery URL: that of any directory in a v2 key
// space, http://host:2379/v2/keys/some/dir, or of a token service,
// https://discovery.etcd.io/TOKEN. It does not talk to anybody yet. Close it.
func Dial(rawURL string, o DialOptions) (*Token, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("discovery URL %q is not like https://host/token", rawURL)
	}
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: callTimeout}).DialContext,
		TLSClientConfig:     o.TLS,
		TLSHandshakeTimeout: callTimeout,
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true,
	}
	if o.Proxy != "" {
		proxy, err := parseProxy(o.Proxy)
		if err != nil {
			return nil, err
		}
		transport.Proxy = http.ProxyURL(proxy)
	}
	dir, below := strings.CutPrefix(u.Path, keysPath)
	if below = below && strings.HasPrefix(dir, "/"); !below {
		dir = kv.Join(registry, u.Path)
	}
	if dir = kv.Clean(dir); dir == "/" || dir == registry {
		return nil, fmt.Errorf("discovery URL %q names no token", rawURL)
	}
	var rt http.RoundTripper = transport
	if !below {
		rt = tokenService{transport, u.Path}
	}
	c, err := client.New(client.Config{
		Endpoints: []string{u.Scheme + "://" + u.Host}, Transport: rt, Timeout: callTimeout, Logger: o.Logger,
	})
	if err != nil {
		return nil, err
	}
	return &Token{Store: c, Dir: dir, Logger: o.Logger, close: transport.CloseIdleConnections}, nil
}

func parseProxy(s string) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("discovery proxy %q is not a URL", s)
	}
	return u, nil
}

// tokenService asks a token service for what lies in its registry: it serves a
// token at the root, but answers with the keys that it has there.
type tokenService struct {
	http.RoundTripper
	token string // path of the token
}

func (s tokenService) RoundTrip(r *http.Request) (*http.Response, error) {
	rest := strings.TrimPrefix(r.URL.Path, keysPath+kv.Join(registry, s.token))
	r = r.Clone(r.Context())
	r.URL.Path, r.URL.RawPath = strings.TrimSuffix(s.token, "/")+rest, ""
	return s.RoundTripper.RoundTrip(r)
}
