package httppeer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/strakeproject/strake/raftstore"
)

const (
	upgradeTo = "strake-raft/1"

	headerCluster = "X-Raft-Cluster"
	headerFrom    = "X-Raft-From"
	headerTo      = "X-Raft-To"
	headerName    = "X-Raft-Name"
	headerURLs    = "X-Raft-Urls"
	headerStorage = "X-Raft-Storage"
)

// dial opens a connection to a peer and upgrades it at path, within dialTimeout.
// The URL it returns is the one it tried.
func (t *Transport) dial(ctx context.Context, p *peer, path, query string) (conn *patientConn, tried string, err error) {
	tried, err = p.url()
	if err != nil {
		return nil, "", err
	}
	defer func() {
		if err != nil {
			p.failed(tried)
		}
	}()
	u, err := url.Parse(tried)
	if err != nil {
		return nil, tried, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := t.connect(ctx, u)
	if err != nil {
		return nil, tried, err
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	u = u.JoinPath(path)
	u.RawQuery = query
	r, err := t.handshake(ctx, raw, u.String(), p)
	if !stop() {
		err = errors.Join(ctx.Err(), err)
	}
	if err != nil {
		raw.Close()
		return nil, tried, err
	}
	return &patientConn{Conn: raw, reader: r}, tried, nil
}

// connect opens a connection in the way that a peer's URL says.
func (t *Transport) connect(ctx context.Context, u *url.URL) (net.Conn, error) {
	switch u.Scheme {
	case "http":
		return t.dialPlain(ctx, "tcp", hostPort(u, "80"))
	case "https":
		return t.dialTLS(ctx, "tcp", hostPort(u, "443"))
	}
	return nil, fmt.Errorf("peer URL %s is neither http nor https", u)
}

func hostPort(u *url.URL, port string) string {
	if u.Port() != "" {
		port = u.Port()
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func (t *Transport) dialPlain(ctx context.Context, network, addr string) (net.Conn, error) {
	if t.tls != nil {
		return nil, fmt.Errorf("the URL of peer %s is plain http, and this member talks to its peers over TLS only", addr)
	}
	return t.dialContext(ctx, network, addr)
}

func (t *Transport) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	if t.tls == nil {
		return nil, fmt.Errorf("the URL of peer %s is https, and this member has no certificates for its peers", addr)
	}
	raw, err := t.dialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	config := t.tls.Client()
	config.ServerName, _, _ = net.SplitHostPort(addr)
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
			err = fmt.Errorf("peer %s does not talk TLS: %w", addr, err)
		}
		return nil, err
	}
	return conn, nil
}

// handshake upgrades a connection, and returns where to read on.
func (t *Transport) handshake(ctx context.Context, conn net.Conn, u string, p *peer) (*bufio.Reader, error) {
	req, err := t.request(ctx, http.MethodGet, u, p.id, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", upgradeTo)
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, t.answerError(resp)
	}
	if got := resp.Header.Get("Upgrade"); got != upgradeTo {
		return nil, fmt.Errorf("peer talks %q, not %q", got, upgradeTo)
	}
	storage, err := strconv.ParseUint(resp.Header.Get(headerStorage), 16, 64)
	if err != nil {
		return nil, fmt.Errorf("peer does not tell its storage: %w", err)
	}
	// Its identity is checked on this side, too: a member that lost its disk must
	// not be sent anything.
	return r, t.handler.Contact(raftstore.Member{ID: p.id, Storage: storage})
}

// request makes a request that says who sends it to whom.
func (t *Transport) request(ctx context.Context, method, u string, to uint64, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, u, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set(headerCluster, formatID(t.clusterID))
	req.Header.Set(headerFrom, formatID(t.self.ID))
	req.Header.Set(headerTo, formatID(to))
	req.Header.Set(headerName, t.self.Name)
	req.Header.Set(headerURLs, strings.Join(t.self.PeerURLs, ","))
	req.Header.Set(headerStorage, formatID(t.self.Storage))
	return req, nil
}

// answerError makes an error of a refusal, and has the node act on one that is
// final.
func (t *Transport) answerError(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
	err := fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(text))
	switch resp.StatusCode {
	case http.StatusGone:
		err = fmt.Errorf("%w: %w", raftstore.ErrRemoved, err)
		t.handler.Refused(err)
	case http.StatusConflict:
		err = fmt.Errorf("%w: %w", raftstore.ErrOtherStorage, err)
		t.handler.Refused(err)
	case http.StatusPreconditionFailed:
		err = fmt.Errorf("%w: %w", raftstore.ErrMismatch, err)
	case http.StatusServiceUnavailable:
		err = fmt.Errorf("%w: %w", errNotServing, err)
	}
	return err
}

func formatID(id uint64) string { return strconv.FormatUint(id, 16) }
