package member

import (
	"context"
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
	var ls []net.Listener
	for _, s := range urls {
		l, err := listen(ctx, s)
		if err != nil {
			return nil, errors.Join(err, closeAll(ls))
		}
		ls = append(ls, l)
	}
	return ls, nil
}

func listen(ctx context.Context, s string) (net.Listener, error) {
	u, err := parseURL(s)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" {
		return nil, fmt.Errorf("cannot listen on %s: only http URLs are served", s)
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
	return l, nil
}

func closeAll(ls []net.Listener) error {
	var errs []error
	for _, l := range ls {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}
