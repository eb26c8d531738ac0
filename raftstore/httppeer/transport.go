package httppeer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strakeproject/strake/raftstore"
)

// Transport is a raftstore.Transport over HTTP. Its zero value is not usable;
// call New. All methods are safe for concurrent use.
//
//	Send --> queue --> writer, one per peer and stream: dials, writes, redials
//	                   listener, one per connection: awaits the echoes of pings
//	peers' streams --> reader, one per connection --> Handler.Receive
//	Forward, SendSnapshot: the caller's goroutine, and one that listens
//
// Whatever a peer does, or leaves, holds up its own goroutines and nobody
// else's. All end with Stop, and those of a peer with RemovePeer.
type Transport struct {
	log          *slog.Logger
	tls          *TLS
	snapshotRate int64
	dialContext  func(ctx context.Context, network, addr string) (net.Conn, error)

	self      raftstore.Member // this and the next two are set by Start
	clusterID uint64
	handler   raftstore.Handler

	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	peers atomic.Pointer[map[uint64]*peer] // replaced, with mu held, and never changed

	mu       sync.Mutex
	started  bool
	stopped  bool
	accepted map[net.Conn]accepted
	refusal  refusal
}

var _ raftstore.Transport = (*Transport)(nil)

// Config configures a Transport. The zero value is the default.
type Config struct {
	// Logger receives one line when a peer is lost, or cannot be reached within the
	// first 10 s, one when it is reachable again, and one when somebody is refused.
	// Each attempt is told at debug level. Default: none.
	Logger *slog.Logger
	// TLS, if set, is required of all peers, whose URLs must then be https; serve
	// the Transport on a listener with TLS.Server. Default: peers are trusted, and
	// their URLs must be http.
	TLS *TLS
	// DialContext opens connections to peers. Default: a net.Dialer with a timeout
	// of 2 s.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// SnapshotRate bounds how many bytes of a snapshot are sent per second, for
	// networks on which other traffic suffers. Default: as many as go. The receiver
	// syncs what it gets in parts of 2 MiB, so that a log on the same disk does not
	// wait long.
	SnapshotRate int64
}

const (
	connectTimeout = 2 * time.Second
	// dialTimeout bounds all that precedes the first frame: name look-up,
	// connection, TLS, the upgrade.
	dialTimeout = 5 * time.Second
	// writeTimeout is how long nothing at all of what is written may go out.
	writeTimeout = 5 * time.Second
	// beat is the longest that a living peer is silent on a stream.
	beat = time.Second
	// activeWithin is how long a peer counts as active after it was heard.
	activeWithin = 3 * beat
)

// New returns a Transport that does nothing until a Node starts it.
func New(cfg Config) *Transport {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.DialContext == nil {
		cfg.DialContext = (&net.Dialer{Timeout: connectTimeout}).DialContext
	}
	t := &Transport{
		log:          cfg.Logger,
		tls:          cfg.TLS,
		dialContext:  cfg.DialContext,
		snapshotRate: max(cfg.SnapshotRate, 0),
		accepted:     make(map[net.Conn]accepted),
	}
	t.peers.Store(&map[uint64]*peer{})
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// Start begins to serve and to dial.
func (t *Transport) Start(self raftstore.Member, clusterID uint64, h raftstore.Handler) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.started || t.stopped {
		return errors.New("httppeer: a Transport serves one Node, once")
	}
	t.self, t.clusterID, t.handler = self, clusterID, h
	t.started = true
	for _, p := range *t.peers.Load() {
		t.startPeer(p)
	}
	return nil
}

// SetPeer makes a member reachable, or changes its URLs.
func (t *Transport) SetPeer(m raftstore.Member) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.peer(m.ID); p != nil {
		p.set(m)
		return
	}
	p := newPeer(t.ctx, m)
	peers := maps.Clone(*t.peers.Load())
	peers[m.ID] = p
	t.peers.Store(&peers)
	if t.started && !t.stopped {
		t.startPeer(p)
	}
}

// RemovePeer ends the streams to and from a member. Commands that it has
// forwarded are still answered: its own removal may be among them.
func (t *Transport) RemovePeer(id uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.peer(id); p != nil {
		p.cancel()
		peers := maps.Clone(*t.peers.Load())
		delete(peers, id)
		t.peers.Store(&peers)
	}
	for _, a := range t.accepted {
		if a.peer == id {
			a.bye()
		}
	}
}

// startPeer is called with mu held, and while the Transport is not stopped.
func (t *Transport) startPeer(p *peer) {
	t.tasks.Go(func() { t.runStream(p, p.control) })
	t.tasks.Go(func() { t.runStream(p, p.bulk) })
}

// Send queues a message for its peer and never blocks. What waits for a peer
// that is slow or away is bounded, at 1 MiB of control messages and 32 MiB of
// others, 64 bytes added for each; beyond that messages are dropped. That is
// reported once, as Unreachable, and again only after half of the queue was
// empty in between.
func (t *Transport) Send(m raftstore.Message) {
	p := t.peer(m.To)
	if p == nil {
		return
	}
	s := p.control
	if m.Bulk {
		s = p.bulk
	}
	switch s.queue.push(m.Data) {
	case pushed:
	case overflowed:
		t.handler.Unreachable(m.To)
		fallthrough
	case overflowing:
		p.traffic.drop(1)
	}
}

func (t *Transport) peer(id uint64) *peer { return (*t.peers.Load())[id] }

// Stop ends all streams, forwards and snapshots, and waits for their goroutines
// and for the requests being served.
func (t *Transport) Stop() {
	t.mu.Lock()
	t.stopped = true
	t.mu.Unlock()
	t.cancel()
	t.tasks.Wait()
}

// during runs f as something that Stop waits for. It reports false if the
// Transport does not run.
func (t *Transport) during(f func()) bool {
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

var errNotRunning = errors.New("httppeer: the transport does not run")

// call runs f as a call to a peer: with a context that ends with the caller's,
// with the peer and with the Transport.
func (t *Transport) call(ctx context.Context, to uint64, f func(ctx context.Context, p *peer) error) error {
	p := t.peer(to)
	if p == nil {
		return fmt.Errorf("no peer %x", to)
	}
	err := errNotRunning
	t.during(func() {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(p.ctx, cancel)()
		err = f(ctx, p)
	})
	return err
}
