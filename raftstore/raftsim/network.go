package raftsim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/raftstore"
)

// Network carries messages between members in one process, and loses or delays
// them where it is told to. Its methods are safe for concurrent use.
type Network struct {
	mu      sync.Mutex
	delay   time.Duration
	members map[uint64]*endpoint // started and not stopped
	cut     map[link]bool
}

// link is a direction between two members, by name.
type link struct{ from, to string }

// NewNetwork returns a network without faults.
func NewNetwork() *Network {
	return &Network{members: make(map[uint64]*endpoint), cut: make(map[link]bool)}
}

// Transport returns a transport for one more member, for its Config.Transport.
func (n *Network) Transport() raftstore.Transport { return n.transport(vfs.Default) }

// DiskTransport returns a transport for a member whose directory is on d, as
// Transport does for one on the operating system's. Like d.FS it is good until
// the next Crash.
func (n *Network) DiskTransport(d *Disk) raftstore.Transport { return n.transport(d.PebbleFS()) }

func (n *Network) transport(files vfs.FS) raftstore.Transport {
	return &endpoint{net: n, files: files}
}

// Cut loses everything that member from sends to member to, by name, until
// Heal. Cut both ways for a clean partition.
func (n *Network) Cut(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[link{from, to}] = true
}

// Isolate cuts a member off from the given others, both ways.
func (n *Network) Isolate(name string, others ...string) {
	for _, o := range others {
		n.Cut(name, o)
		n.Cut(o, name)
	}
}

// Delay has what members send to each other take so long from now on, one way. At
// first it takes no time. Files of snapshots are not delayed.
func (n *Network) Delay(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = d
}

// arrives returns when something arrives that is sent now.
func (n *Network) arrives() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Now().Add(n.delay)
}

// Heal undoes every cut.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cut)
}

// visit returns the member to if a message from `from` reaches it now. It stays
// until leave is called.
func (n *Network) visit(from *endpoint, to uint64) (e *endpoint, leave func(), ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e = n.members[to]
	if e == nil || n.cut[link{from.self.Name, e.self.Name}] {
		return nil, nil, false
	}
	e.tasks.Add(1)
	return e, e.tasks.Done, true
}

// reaches tells whether a message from `from` reaches member to now.
func (n *Network) reaches(from *endpoint, to uint64) bool {
	_, leave, ok := n.visit(from, to)
	if ok {
		leave()
	}
	return ok
}

// endpoint is the transport of one member. One goroutine delivers what arrives.
type endpoint struct {
	net   *Network
	files vfs.FS // of the member's directory
	self  raftstore.Member
	h     raftstore.Handler

	ctx    context.Context
	cancel context.CancelFunc
	// tasks are the delivery and what other members do here. No task is added
	// once net.members does not hold the endpoint any more.
	tasks sync.WaitGroup

	mu       sync.Mutex
	inbox    []arrival
	accepted map[*endpoint]bool // members whose Contact was accepted, as started then
	wake     chan struct{}
}

type arrival struct {
	from uint64
	data []byte
	at   time.Time
}

func (e *endpoint) Start(self raftstore.Member, _ uint64, h raftstore.Handler) error {
	e.self, e.h = self, h
	e.wake = make(chan struct{}, 1)
	e.accepted = make(map[*endpoint]bool)
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	if e.net.members[self.ID] != nil {
		return fmt.Errorf("raftsim: member %s is already on the network", self.Name)
	}
	e.net.members[self.ID] = e
	e.tasks.Go(e.deliver)
	return nil
}

func (e *endpoint) SetPeer(raftstore.Member) {}

func (e *endpoint) RemovePeer(id uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	maps.DeleteFunc(e.accepted, func(peer *endpoint, _ bool) bool { return peer.self.ID == id })
}

// connect returns the member to if a message reaches it now and it accepts this
// one. It stays until leave is called.
func (e *endpoint) connect(to uint64) (peer *endpoint, leave func(), err error) {
	peer, leave, ok := e.net.visit(e, to)
	if !ok {
		return nil, nil, raftstore.ErrDropped
	}
	if err := e.meet(peer); err != nil {
		leave()
		return nil, nil, errors.Join(raftstore.ErrDropped, err)
	}
	return peer, leave, nil
}

// meet has both sides look at each other the first time.
func (e *endpoint) meet(peer *endpoint) error {
	peer.mu.Lock()
	accepted := peer.accepted[e]
	peer.mu.Unlock()
	if accepted {
		return nil
	}
	if err := peer.h.Contact(e.self); err != nil {
		e.h.Refused(err)
		return err
	}
	if err := e.h.Contact(peer.self); err != nil {
		return err
	}
	peer.mu.Lock()
	// An earlier start of the same member is gone.
	maps.DeleteFunc(peer.accepted, func(other *endpoint, _ bool) bool { return other.self.ID == e.self.ID })
	peer.accepted[e] = true
	peer.mu.Unlock()
	return nil
}

func (e *endpoint) Send(m raftstore.Message) {
	peer, leave, err := e.connect(m.To)
	if err != nil {
		e.h.Unreachable(m.To)
		return
	}
	defer leave()
	peer.mu.Lock()
	peer.inbox = append(peer.inbox, arrival{e.self.ID, m.Data, e.net.arrives()})
	peer.mu.Unlock()
	select {
	case peer.wake <- struct{}{}:
	default:
	}
}

func (e *endpoint) deliver() {
	for {
		e.mu.Lock()
		arrived := e.inbox
		e.inbox = nil
		e.mu.Unlock()
		for _, a := range arrived {
			if !waitUntil(e.ctx, a.at) {
				return
			}
			// An error means that the member did not want the message.
			_ = e.h.Receive(a.from, a.data)
		}
		select {
		case <-e.wake:
		case <-e.ctx.Done():
			return
		}
	}
}

// waitUntil reports whether the time has come, and not before it ctx's end.
func waitUntil(ctx context.Context, at time.Time) bool {
	left := time.Until(at)
	if left <= 0 {
		return true
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Forward calls the leader and carries its answer back, if the way is open both
// times.
func (e *endpoint) Forward(ctx context.Context, to uint64, cmds [][]byte) ([]raftstore.Outcome, error) {
	peer, leave, err := e.connect(to)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(peer.ctx, cancel)
	defer stop()
	if !waitUntil(ctx, e.net.arrives()) {
		return nil, raftstore.ErrDropped
	}
	outs := peer.h.ServeForward(ctx, cmds)
	if !waitUntil(ctx, e.net.arrives()) || !e.net.reaches(peer, e.self.ID) {
		return nil, raftstore.ErrOutcomeUnknown
	}
	for i, out := range outs {
		outs[i].Err = carry(out.Err)
	}
	return outs, nil
}

// SendSnapshot copies the files.
func (e *endpoint) SendSnapshot(ctx context.Context, to uint64, head []byte, dir string) error {
	peer, leave, err := e.connect(to)
	if err != nil {
		return err
	}
	defer leave()
	target, err := peer.h.BeginSnapshot(head)
	if err != nil {
		return err
	}
	return peer.h.EndSnapshot(head, copyDir(e.files, dir, peer.files, target, func() error {
		if !e.net.reaches(e, to) {
			return raftstore.ErrDropped
		}
		return ctx.Err()
	}))
}

// carry strips an error to what a real network would carry.
func carry(err error) error {
	for _, sentinel := range []error{
		raftstore.ErrDropped, raftstore.ErrOverloaded, raftstore.ErrTooLarge,
	} {
		if errors.Is(err, sentinel) {
			return sentinel
		}
	}
	if err != nil {
		return raftstore.ErrOutcomeUnknown
	}
	return nil
}

func (e *endpoint) Stop() {
	e.net.mu.Lock()
	delete(e.net.members, e.self.ID)
	e.net.mu.Unlock()
	e.cancel()
	e.tasks.Wait()
}
