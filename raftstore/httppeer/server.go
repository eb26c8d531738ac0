package httppeer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/strakeproject/strake/raftstore"
)

const (
	forwardPath = "/raft/v1/forward"
	clusterPath = "/raft/v1/cluster"
	// maxForward bounds the body of a forwarded batch: the batch limit, or one
	// command of the largest size.
	maxForward = 64 << 20
)

// ServeHTTP answers the requests of peers.
func (t *Transport) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	served := t.serve(func() {
		if r.URL.Path == clusterPath {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(t.handler.Cluster())
			return
		}
		from, ok := t.admit(w, r)
		if !ok {
			return
		}
		switch r.URL.Path {
		case streamPath:
			t.serveUpgraded(w, r, from, func(conn net.Conn, r *bufio.Reader) error {
				return t.readStream(conn, r, from)
			})
		case snapshotPath:
			t.serveUpgraded(w, r, from, t.serveSnapshot)
		case forwardPath:
			t.serveForward(w, r)
		default:
			http.NotFound(w, r)
		}
	})
	if !served {
		http.Error(w, "member is not running", http.StatusServiceUnavailable)
	}
}

// admit checks that a request comes from a peer and is meant for this member.
func (t *Transport) admit(w http.ResponseWriter, r *http.Request) (from uint64, ok bool) {
	if got, want := r.Header.Get(headerCluster), formatID(t.clusterID); got != want {
		http.Error(w, fmt.Sprintf("cluster is %s, not %q", want, got), http.StatusPreconditionFailed)
		return 0, false
	}
	if got, want := r.Header.Get(headerTo), formatID(t.self.ID); got != want {
		http.Error(w, fmt.Sprintf("member is %s, not %q", want, got), http.StatusPreconditionFailed)
		return 0, false
	}
	peer, err := senderOf(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return 0, false
	}
	switch err := t.handler.Contact(peer); {
	case errors.Is(err, raftstore.ErrRemoved):
		http.Error(w, err.Error(), http.StatusGone)
		return 0, false
	case errors.Is(err, raftstore.ErrOtherStorage):
		http.Error(w, err.Error(), http.StatusConflict)
		return 0, false
	case err != nil:
		http.Error(w, err.Error(), http.StatusForbidden)
		return 0, false
	}
	return peer.ID, true
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

// serveUpgraded upgrades a request and has f serve the connection.
func (t *Transport) serveUpgraded(w http.ResponseWriter, r *http.Request, from uint64, f func(net.Conn, *bufio.Reader) error) {
	if r.Header.Get("Upgrade") != upgradeTo {
		w.Header().Set("Upgrade", upgradeTo)
		http.Error(w, "want Upgrade: "+upgradeTo, http.StatusUpgradeRequired)
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	if !t.track(conn, from) {
		return
	}
	defer t.untrack(conn)
	if _, err := fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s: %s\r\n\r\n",
		upgradeTo, headerStorage, formatID(t.self.Storage)); err != nil {
		return
	}
	if err := f(conn, rw.Reader); err != nil && t.ctx.Err() == nil && !errors.Is(err, io.EOF) {
		t.log.Debug("httppeer: incoming connection ended", "path", r.URL.Path, "peer", formatID(from), "err", err)
	}
}

// track makes Stop close conn; it reports false if that is already over.
func (t *Transport) track(conn net.Conn, from uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return false
	}
	t.accepted[conn] = from
	return true
}

func (t *Transport) untrack(conn net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.accepted, conn)
}

// Forward posts commands to a peer.
//
//	request:   uvarint count, then per command uvarint length, bytes
//	response:  uvarint count, then per outcome a status byte, uvarint index,
//	           uvarint length, result
func (t *Transport) Forward(ctx context.Context, to uint64, cmds [][]byte) ([]raftstore.Outcome, error) {
	p := t.peer(to)
	if p == nil {
		return nil, fmt.Errorf("%w: no peer %x", raftstore.ErrDropped, to)
	}
	u := p.url()
	var body []byte
	body = binary.AppendUvarint(body, uint64(len(cmds)))
	for _, c := range cmds {
		body = binary.AppendUvarint(body, uint64(len(c)))
		body = append(body, c...)
	}
	req, err := t.request(ctx, http.MethodPost, u+forwardPath, to, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", raftstore.ErrDropped, err)
	}
	resp, err := t.client.Do(req)
	if err != nil {
		p.failed(u)
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
			return nil, fmt.Errorf("%w: %w", raftstore.ErrDropped, err)
		}
		return nil, fmt.Errorf("%w: %w", raftstore.ErrOutcomeUnknown, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		// Any refusal comes before the commands are looked at.
		return nil, fmt.Errorf("%w: %w", raftstore.ErrDropped, t.answerError(resp))
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", raftstore.ErrOutcomeUnknown, err)
	}
	outs, err := decodeOutcomes(answer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", raftstore.ErrOutcomeUnknown, err)
	}
	return outs, nil
}

func (t *Transport) serveForward(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForward))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	cmds, err := decodeCommands(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	stop := context.AfterFunc(t.ctx, cancel)
	defer stop()
	outs := t.handler.ServeForward(ctx, cmds)
	// A failed write leaves the peer not knowing, which is what it then reports.
	_, _ = w.Write(encodeOutcomes(outs))
}

// Discover asks the members at the given peer URLs, one after the other, for
// what a new member has to know to join their cluster. A nil client means
// http.DefaultClient.
func Discover(ctx context.Context, client *http.Client, urls ...string) (raftstore.Cluster, error) {
	if client == nil {
		client = http.DefaultClient
	}
	var errs []error
	for _, u := range urls {
		c, err := discoverAt(ctx, client, u)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	return raftstore.Cluster{}, fmt.Errorf("httppeer: no member tells of its cluster: %w", errors.Join(errs...))
}

func discoverAt(ctx context.Context, client *http.Client, u string) (c raftstore.Cluster, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u+clusterPath, nil)
	if err != nil {
		return c, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return c, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return c, fmt.Errorf("%s%s: %s", u, clusterPath, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 16<<20)).Decode(&c); err != nil {
		return c, fmt.Errorf("%s%s: %w", u, clusterPath, err)
	}
	return c, nil
}

// wireErrors are the errors that travel; their place is their status byte.
var wireErrors = []error{
	nil,
	raftstore.ErrOutcomeUnknown,
	raftstore.ErrDropped,
	raftstore.ErrOverloaded,
	raftstore.ErrTooLarge,
}

func encodeOutcomes(outs []raftstore.Outcome) []byte {
	b := binary.AppendUvarint(nil, uint64(len(outs)))
	for _, o := range outs {
		b = append(b, statusOf(o.Err))
		b = binary.AppendUvarint(b, o.Index)
		b = binary.AppendUvarint(b, uint64(len(o.Result)))
		b = append(b, o.Result...)
	}
	return b
}

func statusOf(err error) byte {
	if err == nil {
		return 0
	}
	for i, e := range wireErrors[1:] {
		if errors.Is(err, e) {
			return byte(i + 1)
		}
	}
	return 1 // whatever else happened, the outcome is not known
}

var errMalformed = errors.New("httppeer: malformed message")

func decodeOutcomes(b []byte) ([]raftstore.Outcome, error) {
	d := decoder{b}
	outs := make([]raftstore.Outcome, d.count(3))
	for i := range outs {
		status := d.byte()
		if int(status) >= len(wireErrors) {
			return nil, errMalformed
		}
		outs[i] = raftstore.Outcome{Err: wireErrors[status], Index: d.uvarint(), Result: d.bytes()}
	}
	return outs, d.end()
}

func decodeCommands(b []byte) ([][]byte, error) {
	d := decoder{b}
	cmds := make([][]byte, d.count(1))
	for i := range cmds {
		cmds[i] = d.bytes()
	}
	return cmds, d.end()
}

// decoder reads fields off b; after a malformed one b is nil for good.
type decoder struct{ b []byte }

func (d *decoder) fail() { d.b = nil }

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads a count of items of at least size bytes each, so that it cannot
// make anybody allocate more than what was sent.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) end() error {
	if d.b == nil || len(d.b) > 0 {
		return errMalformed
	}
	return nil
}
