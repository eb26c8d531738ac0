package httppeer

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/strakeproject/strake/raftstore"
)

// Transport is a raftstore.Transport over HTTP. Its zero value is not usable;
// call New.
//
// Per peer and kind of stream one goroutine dials and writes; one goroutine per
// accepted stream reads. All end with Stop.
type Transport struct {
	log          *slog.Logger
	snapshotRate int64
	dialContext  func(ctx context.Context, network, addr string) (net.Conn, error)
	client       *http.Client

	self      raftstore.Member // this and the next two are set by Start
	clusterID uint64
	handler   raftstore.Handler

	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu       sync.Mutex
	started  bool
	stopped  bool
	peers    map[uint64]*peer
	accepted map[net.Conn]uint64 // hijacked, and whose they are; closed by Stop
}

var _ raftstore.Transport = (*Transport)(nil)

// Config configures a Transport. The zero value is the default.
type Config struct {
	// Logger receives one line when a peer becomes reachable or is lost. Default:
	// none.
	Logger *slog.Logger
	// DialContext opens connections to peers. Default: a net.Dialer with a
	// timeout of 2 s.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// SnapshotRate is how many bytes of a snapshot are sent per second. Default
	// 100 MiB; negative for as many as go.
	SnapshotRate int64
}

const (
	dialTimeout  = 2 * time.Second
	writeTimeout = 5 * time.Second
	// readTimeout ends a stream whose other side went away without a word. The
	// control stream carries heartbeats; the bulk stream is kept open by empty
	// frames.
	readTimeout = 30 * time.Second
	keepAlive   = 10 * time.Second
)

// New returns a Transport that does nothing until a Node starts it.
func New(cfg Config) *Transport {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.DialContext == nil {
		cfg.DialContext = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	if cfg.SnapshotRate == 0 {
		cfg.SnapshotRate = 100 << 20
	}
	t := &Transport{
		log:          cfg.Logger,
		dialContext:  cfg.DialContext,
		snapshotRate: max(cfg.SnapshotRate, 0),
		client: &http.Client{Transport: &http.Transport{
			DialContext:         cfg.DialContext,
			MaxIdleConnsPerHost: 8,
			IdleConnTimeout:     time.Minute,
		}},
		peers:    make(map[uint64]*peer),
		accepted: make(map[net.Conn]uint64),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// Start begins to serve and to dial.
func (t *Transport) Start(self raftstore.Member, clusterID uint64, h raftstore.Handler) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.started || t.stopped {
		return fmt.Errorf("httppeer: a Transport serves one Node, once")
	}
	t.self, t.clusterID, t.handler = self, clusterID, h
	t.started = true
	for _, p := range t.peers {
		t.startPeer(p)
	}
	return nil
}

// SetPeer makes a member reachable, or changes its URLs.
func (t *Transport) SetPeer(m raftstore.Member) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.peers[m.ID]; p != nil {
		p.setURLs(m.PeerURLs)
		return
	}
	p := newPeer(m)
	p.ctx, p.cancel = context.WithCancel(t.ctx)
	t.peers[m.ID] = p
	if t.started && !t.stopped {
		t.startPeer(p)
	}
}

// RemovePeer ends the streams to and from a member.
func (t *Transport) RemovePeer(id uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.peers[id]; p != nil {
		p.cancel()
		delete(t.peers, id)
	}
	for conn, from := range t.accepted {
		if from == id {
			conn.Close()
		}
	}
}

func (t *Transport) startPeer(p *peer) {
	t.tasks.Go(func() { t.runStream(p, &p.control) })
	t.tasks.Go(func() { t.runStream(p, &p.bulk) })
}

// Send queues a message for its peer, or drops it when the queue is full.
func (t *Transport) Send(m raftstore.Message) {
	p := t.peer(m.To)
	if p == nil {
		return
	}
	q := &p.control
	if m.Bulk {
		q = &p.bulk
	}
	if !q.push(m.Data) {
		t.handler.Unreachable(m.To)
	}
}

func (t *Transport) peer(id uint64) *peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.peers[id]
}

// Stop ends all streams and waits for their goroutines and for the requests
// being served.
func (t *Transport) Stop() {
	t.mu.Lock()
	t.stopped = true
	for c := range t.accepted {
		c.Close()
	}
	t.mu.Unlock()
	t.cancel()
	t.tasks.Wait()
	t.client.CloseIdleConnections()
}

// serve runs f as a request that Stop waits for. It reports false if the
// Transport does not serve.
func (t *Transport) serve(f func()) bool {
	t.mu.Lock()
	if !t.started || t.stopped {
		t.mu.Unlock()
		return false
	}
	t.tasks.Add(1)
	t.mu.Unlock()
	defer t.tasks.Done()
	f()
	return true
}
