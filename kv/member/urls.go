package member

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// ParseURLs parses a comma-separated list of URLs by the original's rules: a
// scheme, host and port, and nothing else.
func ParseURLs(list string) ([]string, error) {
	var urls []string
	for s := range strings.SplitSeq(list, ",") {
		s = strings.TrimSpace(s)
		if _, err := parseURL(s); err != nil {
			return nil, err
		}
		urls = append(urls, s)
	}
	return urls, nil
}

func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "http", "https", "unix", "unixs":
	default:
		return nil, fmt.Errorf("URL scheme must be http, https, unix, or unixs: %s", s)
	}
	if _, _, err := net.SplitHostPort(u.Host); err != nil {
		return nil, fmt.Errorf("URL address does not have the form \"host:port\": %s", s)
	}
	if u.Path != "" {
		return nil, fmt.Errorf("URL must not contain a path: %s", s)
	}
	return u, nil
}

// Listen opens a listener for each URL. The host must be an IP address or
// localhost, and the scheme http.
func Listen(ctx context.Context, urls []string) ([]net.Listener, error) {
	return ListenTLS(ctx, urls, nil)
}

// ListenTLS is Listen for URLs that may be https, too: those are served with the
// given settings.
func ListenTLS(ctx context.Context, urls []string, settings *tls.Config) ([]net.Listener, error) {
	var ls []net.Listener
	for _, s := range urls {
		l, err := listen(ctx, s, settings)
		if err != nil {
			return nil, errors.Join(err, closeAll(ls))
		}
		ls = append(ls, l)
	}
	return ls, nil
}

func listen(ctx context.Context, s string, settings *tls.Config) (net.Listener, error) {
	u, err := parseURL(s)
	if err != nil {
		return nil, err
	}
	switch {
	case u.Scheme == "https" && settings == nil:
		return nil, fmt.Errorf("cannot listen on %s: https needs a certificate and a key", s)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("cannot listen on %s: only http and https URLs are served", s)
	}
	if host := u.Hostname(); host != "localhost" && host != "" {
		if _, err := netip.ParseAddr(host); err != nil {
			return nil, fmt.Errorf("expected IP in URL for binding (%s)", s)
		}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", u.Host)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", s, err)
	}
	if u.Scheme == "https" {
		l = tls.NewListener(l, settings)
	}
	return l, nil
}

func closeAll(ls []net.Listener) error {
	var errs []error
	for _, l := range ls {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}
