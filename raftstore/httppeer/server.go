package httppeer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/strakeproject/strake/raftstore"
)

// ServeHTTP answers the requests of peers. It takes connections over by Hijack,
// and so has to be served with HTTP/1.1.
func (t *Transport) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	served := t.during(func() {
		if t.tls != nil {
			if err := t.tls.checkRequest(r.TLS); err != nil {
				t.refuse(w, r, err, http.StatusForbidden)
				return
			}
		}
		if r.URL.Path == clusterPath {
			t.serveCluster(w, r)
			return
		}
		peer, err := t.admit(r)
		if err != nil {
			t.refuse(w, r, err, statusFor(err))
			return
		}
		switch r.URL.Path {
		case streamPath:
			t.serveStream(w, r, peer)
		case snapshotPath:
			t.serveUpgraded(w, r, peer, "", untilBye(t.serveSnapshot))
		case forwardPath:
			t.serveUpgraded(w, r, peer, forwardKind, t.serveForwards)
		default:
			http.NotFound(w, r)
		}
	})
	if !served {
		http.Error(w, "member is not running", http.StatusServiceUnavailable)
	}
}

func (t *Transport) serveCluster(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(t.handler.Cluster())
}

// admit checks that a request comes from a peer and is meant for this member.
func (t *Transport) admit(r *http.Request) (raftstore.Member, error) {
	if got, want := r.Header.Get(headerCluster), formatID(t.clusterID); got != want {
		return raftstore.Member{}, fmt.Errorf("%w: cluster is %s, not %q", raftstore.ErrMismatch, want, got)
	}
	if got, want := r.Header.Get(headerTo), formatID(t.self.ID); got != want {
		return raftstore.Member{}, fmt.Errorf("%w: member is %s, not %q", raftstore.ErrMismatch, want, got)
	}
	peer, err := senderOf(r)
	if err != nil {
		return peer, err
	}
	return peer, t.handler.Contact(peer)
}

// senderOf reads who sends a request.
func senderOf(r *http.Request) (raftstore.Member, error) {
	m := raftstore.Member{Name: r.Header.Get(headerName)}
	var err, serr error
	m.ID, err = strconv.ParseUint(r.Header.Get(headerFrom), 16, 64)
	m.Storage, serr = strconv.ParseUint(r.Header.Get(headerStorage), 16, 64)
	if err != nil || serr != nil || m.ID == 0 {
		return m, fmt.Errorf("%s and %s must tell who sends this", headerFrom, headerStorage)
	}
	if urls := r.Header.Get(headerURLs); urls != "" {
		m.PeerURLs = strings.Split(urls, ",")
	}
	return m, nil
}

// statusFor maps the reason of a refusal; answerError maps it back.
func statusFor(err error) int {
	switch {
	case errors.Is(err, raftstore.ErrMismatch):
		return http.StatusPreconditionFailed
	case errors.Is(err, raftstore.ErrRemoved):
		return http.StatusGone
	case errors.Is(err, raftstore.ErrOtherStorage):
		return http.StatusConflict
	}
	return http.StatusForbidden
}

// refusal is the latest one in the log. Peers try again all the time.
type refusal struct {
	reason string
	at     time.Time
}

// refuse answers that a request is not for this member or not from a peer. The
// log tells of it, but of the same reason once a minute only.
func (t *Transport) refuse(w http.ResponseWriter, r *http.Request, err error, status int) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	now := refusal{fmt.Sprintf("%s: %v", host, err), time.Now()}
	t.mu.Lock()
	again := t.refusal.reason == now.reason && now.at.Sub(t.refusal.at) < time.Minute
	if !again {
		t.refusal = now
	}
	t.mu.Unlock()
	if !again {
		t.log.Warn("httppeer: request refused", "from", r.RemoteAddr, "sender", r.Header.Get(headerFrom), "err", err)
	}
	http.Error(w, err.Error(), status)
}

// serveStream serves one stream of a peer. A later one of the same kind takes
// its place: the peer dials anew when it takes the earlier one for dead.
func (t *Transport) serveStream(w http.ResponseWriter, r *http.Request, peer raftstore.Member) {
	kind := r.URL.Query().Get(kindParam)
	if kind != controlKind && kind != bulkKind {
		http.Error(w, fmt.Sprintf("kind of stream is %q, want %s or %s", kind, controlKind, bulkKind), http.StatusBadRequest)
		return
	}
	t.serveUpgraded(w, r, peer, kind, untilBye(func(conn *patientConn) error {
		return t.readStream(conn, peer.ID, kind)
	}))
}

// origin tells whose an upgraded connection is.
type origin struct {
	peer uint64
	kind string // of the stream, or forwardKind; empty for a snapshot
}

// accepted is an upgraded connection of a peer.
type accepted struct {
	origin
	bye context.CancelFunc // asks its server to come to an end
}

// connServer serves an upgraded connection until that breaks, or bye ends.
type connServer func(bye context.Context, conn *patientConn) error

// untilBye is the server that ends with the connection, which bye closes.
func untilBye(f func(*patientConn) error) connServer {
	return func(bye context.Context, conn *patientConn) error {
		defer context.AfterFunc(bye, func() { conn.Close() })()
		return f(conn)
	}
}

// serveUpgraded upgrades a request and has f serve the connection.
func (t *Transport) serveUpgraded(w http.ResponseWriter, r *http.Request, peer raftstore.Member, kind string, f connServer) {
	if r.Method != http.MethodGet || r.Header.Get("Upgrade") != upgradeTo {
		w.Header().Set("Upgrade", upgradeTo)
		http.Error(w, "want GET with Upgrade: "+upgradeTo, http.StatusUpgradeRequired)
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusHTTPVersionNotSupported)
		return
	}
	defer conn.Close()
	bye, ok := t.track(conn, origin{peer.ID, kind})
	if !ok {
		return
	}
	defer t.untrack(conn)
	// Asked again, now that RemovePeer would have closed the connection.
	if t.handler.Contact(peer) != nil {
		return
	}
	if err := t.upgrade(conn); err != nil {
		return
	}
	err = f(bye, &patientConn{Conn: conn, reader: rw.Reader, onMotion: func(int, int, time.Time) {}})
	if err != nil && t.ctx.Err() == nil && !errors.Is(err, io.EOF) {
		t.log.Debug("httppeer: incoming connection ended", "path", r.URL.Path, "peer", formatID(peer.ID), "err", err)
	}
}

func (t *Transport) upgrade(conn net.Conn) error {
	if err := conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s: %s\r\n\r\n",
		upgradeTo, headerStorage, formatID(t.self.Storage))
	return err
}

// track makes Stop and RemovePeer end the context it returns, and closes the
// stream that conn takes the place of. It reports false if the Transport stops.
func (t *Transport) track(conn net.Conn, o origin) (bye context.Context, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return nil, false
	}
	for old, was := range t.accepted {
		if o.kind != "" && was.origin == o {
			old.Close()
		}
	}
	bye, cancel := context.WithCancel(t.ctx)
	t.accepted[conn] = accepted{o, cancel}
	return bye, true
}

func (t *Transport) untrack(conn net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.accepted[conn].bye()
	delete(t.accepted, conn)
}

// readStream hands messages to the node, and echoes pings, until the connection
// breaks or the peer is silent for too long.
func (t *Transport) readStream(conn *patientConn, from uint64, kind string) error {
	conn.silence = silenceOf(kind)
	conn.onMotion = func(read, written int, now time.Time) {
		p := t.peer(from)
		if p == nil {
			return
		}
		if read > 0 {
			p.traffic.received(read, now)
		}
		p.traffic.sent(written)
	}
	r := bufio.NewReaderSize(conn, 64<<10)
	for {
		payload, err := readFrame(r)
		if err != nil {
			return err
		}
		if len(payload) == 0 {
			_, err = conn.Write([]byte{echoByte})
		} else {
			err = t.handler.Receive(from, payload)
		}
		if err != nil {
			return err
		}
	}
}
