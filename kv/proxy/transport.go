package proxy

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// transport makes connections with the timeouts of the configuration.
func (c *Config) transport(settings *tls.Config) *http.Transport {
	dialer := &net.Dialer{Timeout: c.DialTimeout}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return timedConn{conn, c.ReadTimeout, c.WriteTimeout}, nil
		},
		TLSClientConfig:     settings,
		TLSHandshakeTimeout: c.DialTimeout + c.WriteTimeout,
		MaxIdleConnsPerHost: 64,
		// Below what members keep idle connections for.
		IdleConnTimeout:    time.Minute,
		DisableCompression: true,
	}
}

// timedConn gives each read and write a time of its own.
type timedConn struct {
	net.Conn
	read, write time.Duration
}

func (c timedConn) Read(b []byte) (int, error) {
	if c.read > 0 {
		if err := c.SetReadDeadline(time.Now().Add(c.read)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(b)
}

func (c timedConn) Write(b []byte) (int, error) {
	if c.write > 0 {
		if err := c.SetWriteDeadline(time.Now().Add(c.write)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(b)
}
