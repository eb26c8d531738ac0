package member

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/httppeer"
)

// Activity tells how busy a member and its peers are. Counts begin with Open.
type Activity struct {
	Opened time.Time
	// Leading is whether this member leads. LeaderSince is when it saw the
	// present leader, or that there is none, for the first time.
	Leading     bool
	LeaderSince time.Time
	// Sent and Received are the appends, with or without entries of the log, that
	// went to peers and came from them.
	Sent, Received Traffic
	// Expired counts the nodes that have expired.
	Expired uint64
	// Peers are the other members by id.
	Peers []PeerActivity
}

// Traffic tells how much passed.
type Traffic struct {
	Messages uint64
	// PerSecond and BytesPerSecond are the rates over the latest 200 messages; 0
	// if nothing has passed for a second.
	PerSecond, BytesPerSecond float64
}

// PeerActivity tells how one peer is reached.
type PeerActivity struct {
	ID uint64
	// Appends counts those handed over to be sent to the peer, Dropped all kinds
	// of messages that could not be sent.
	Appends, Dropped uint64
	// RoundTrip is how long the peer takes to echo a ping, of which there is one
	// a second: an average in which the latest of about eight weigh most, sampled
	// once a second while the peer sends anything.
	RoundTrip Spread
}

// Spread is how a duration varies; all 0 without samples.
type Spread struct {
	Current, Average, Deviation, Min, Max time.Duration
}

// Activity returns how busy the member and its peers are.
func (m *Member) Activity() Activity {
	s := m.meter.activity(time.Now())
	st := m.node.Status()
	s.Leading = st.Leader != 0 && st.Leader == st.ID
	s.Expired = m.tree.Expired()
	return s
}

// A meter is the member's transport with an eye on what passes.
//
//	Node --Send--> meter --> Transport --> peers
//	Node <--Receive-- meteredHandler <-- Transport
type meter struct {
	*httppeer.Transport
	opened time.Time

	mu             sync.Mutex
	leader         uint64
	leaderSince    time.Time
	sent, received flow
	peers          map[uint64]*peerMeter
}

// peerMeter is what is known of one peer.
type peerMeter struct {
	appends uint64
	sampled time.Time // when the round trip was sampled last
	trips   samples
}

func newMeter(t *httppeer.Transport) *meter {
	now := time.Now()
	return &meter{Transport: t, opened: now, leaderSince: now, peers: make(map[uint64]*peerMeter)}
}

// Start implements raftstore.Transport.
func (m *meter) Start(self raftstore.Member, clusterID uint64, h raftstore.Handler) error {
	return m.Transport.Start(self, clusterID, meteredHandler{h, m})
}

// Send implements raftstore.Transport.
func (m *meter) Send(msg raftstore.Message) {
	if isAppend(msg.Data) {
		m.noteSent(msg.To, len(msg.Data), time.Now())
	}
	m.Transport.Send(msg)
}

// RemovePeer implements raftstore.Transport.
func (m *meter) RemovePeer(id uint64) {
	m.Transport.RemovePeer(id)
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.peers, id)
}

type meteredHandler struct {
	raftstore.Handler
	meter *meter
}

// Receive implements raftstore.Handler.
func (h meteredHandler) Receive(from uint64, data []byte) error {
	h.meter.noteReceived(from, data, time.Now())
	return h.Handler.Receive(from, data)
}

// isAppend looks into an encoded message of raft, whose first field is its kind.
func isAppend(data []byte) bool {
	num, kind, n := protowire.ConsumeTag(data)
	if n < 0 || num != 1 || kind != protowire.VarintType {
		return false
	}
	v, n := protowire.ConsumeVarint(data[n:])
	return n > 0 && v == uint64(raftpb.MsgApp)
}

// peer returns what is known of a peer. The caller holds mu.
func (m *meter) peer(id uint64) *peerMeter {
	p := m.peers[id]
	if p == nil {
		p = &peerMeter{}
		m.peers[id] = p
	}
	return p
}

func (m *meter) noteSent(to uint64, size int, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sent.note(size, now)
	m.peer(to).appends++
}

const sampleInterval = time.Second

func (m *meter) noteReceived(from uint64, data []byte, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if isAppend(data) {
		m.received.note(len(data), now)
	}
	p := m.peer(from)
	if now.Sub(p.sampled) < sampleInterval {
		return
	}
	p.sampled = now
	all := m.Transport.Peers()
	if i := slices.IndexFunc(all, func(s httppeer.PeerStats) bool { return s.ID == from }); i >= 0 && all[i].RTT > 0 {
		p.trips.add(all[i].RTT)
	}
}

// followLeader notes who leads until ctx ends.
func (m *meter) followLeader(ctx context.Context, n *raftstore.Node) {
	events := n.Events(ctx)
	m.noteLeader(n.Status().Leader, time.Now())
	for ev := range events {
		if ev.Kind == raftstore.EventLeader {
			m.noteLeader(ev.Leader, ev.Time)
		}
	}
}

func (m *meter) noteLeader(id uint64, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id != m.leader {
		m.leader, m.leaderSince = id, at
	}
}

func (m *meter) activity(now time.Time) Activity {
	reached := m.Transport.Peers()
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Activity{
		Opened: m.opened, LeaderSince: m.leaderSince,
		Sent: m.sent.traffic(now), Received: m.received.traffic(now),
	}
	for _, r := range reached {
		ps := PeerActivity{ID: r.ID, Dropped: r.Dropped}
		if p := m.peers[r.ID]; p != nil {
			ps.Appends, ps.RoundTrip = p.appends, p.trips.spread()
		}
		s.Peers = append(s.Peers, ps)
	}
	slices.SortFunc(s.Peers, func(a, b PeerActivity) int { return cmp.Compare(a.ID, b.ID) })
	return s
}

// flowWindow is how many messages a rate is made of, and flowPause the silence
// after which it is 0. Both are the original's.
const (
	flowWindow = 200
	flowPause  = time.Second
)

// flow is what passes one way: a ring of the latest messages.
type flow struct {
	count uint64
	times [flowWindow]time.Time
	sizes [flowWindow]int
	n     int // how many of the ring are filled
	next  int
	bytes int // of those in the ring
}

func (f *flow) note(size int, now time.Time) {
	f.count++
	f.bytes += size - f.sizes[f.next]
	f.times[f.next], f.sizes[f.next] = now, size
	f.next = (f.next + 1) % flowWindow
	f.n = min(f.n+1, flowWindow)
}

func (f *flow) traffic(now time.Time) Traffic {
	t := Traffic{Messages: f.count}
	if f.n == 0 {
		return t
	}
	last := f.times[(f.next+flowWindow-1)%flowWindow]
	first := f.times[(f.next+flowWindow-f.n)%flowWindow]
	if took := last.Sub(first).Seconds(); took > 0 && now.Sub(last) <= flowPause {
		t.PerSecond = float64(f.n) / took
		t.BytesPerSecond = float64(f.bytes) / took
	}
	return t
}

// samples sums durations up, by Welford's method.
type samples struct {
	n                   float64
	mean, squares       float64
	current, least, top time.Duration
}

func (s *samples) add(d time.Duration) {
	if s.n == 0 || d < s.least {
		s.least = d
	}
	s.current, s.top = d, max(s.top, d)
	s.n++
	off := float64(d) - s.mean
	s.mean += off / s.n
	s.squares += off * (float64(d) - s.mean)
}

func (s *samples) spread() Spread {
	if s.n == 0 {
		return Spread{}
	}
	return Spread{
		Current: s.current, Average: time.Duration(s.mean), Deviation: time.Duration(math.Sqrt(s.squares / s.n)),
		Min: s.least, Max: s.top,
	}
}
