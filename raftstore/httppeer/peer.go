package httppeer

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strakeproject/strake/raftstore"
)

// PeerStats tells how the connections to and from one peer do. Bytes are those
// of the streams; forwarded commands and snapshots are not counted.
type PeerStats struct {
	ID   uint64
	Name string
	// Active is whether anything was received from the peer within the last 3 s,
	// in which a living peer says something at least three times.
	Active bool
	// Heard is when something was received last. Zero for never.
	Heard time.Time
	// RTT is how long the peer takes to echo a ping on the control stream, an
	// average in which the latest of about eight weigh most. 0 if not yet known.
	RTT time.Duration
	// Streams is how many of the two streams to the peer stand.
	Streams int
	// Queued is how many bytes wait to be sent.
	Queued int64
	// Sent and Received count the bytes of frames and pings.
	Sent, Received int64
	// Dropped counts messages that were not sent, because a queue was full or the
	// peer could not be reached.
	Dropped uint64
	// Reconnects counts how often a stream to the peer was opened again.
	Reconnects uint64
}

// Peers tells about all peers, in the order of their ids.
func (t *Transport) Peers() []PeerStats {
	peers := *t.peers.Load()
	all := make([]PeerStats, 0, len(peers))
	for _, p := range peers {
		all = append(all, p.stats(time.Now()))
	}
	slices.SortFunc(all, func(a, b PeerStats) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// peer is another member as this one sends to it.
type peer struct {
	id            uint64
	control, bulk *stream
	forwards      *forwards
	traffic       *traffic
	reach         *reach
	ctx           context.Context // ends when the peer is removed or the Transport stops
	cancel        context.CancelFunc

	mu   sync.Mutex
	name string
	urls []string
	next int // which URL to try next
}

func newPeer(ctx context.Context, m raftstore.Member) *peer {
	p := &peer{id: m.ID, name: m.Name, urls: m.PeerURLs, forwards: newForwards(), traffic: new(traffic), reach: newReach()}
	p.control = &stream{kind: controlKind, queue: newQueue(maxControlQueue), traffic: p.traffic}
	p.bulk = &stream{kind: bulkKind, queue: newQueue(maxBulkQueue), traffic: p.traffic}
	p.ctx, p.cancel = context.WithCancel(ctx)
	return p
}

// set takes what may change of a member.
func (p *peer) set(m raftstore.Member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.name, p.urls, p.next = m.Name, m.PeerURLs, 0
}

var errNoURL = errors.New("the peer's URL is not known")

// url returns the URL to use now.
func (p *peer) url() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.urls) == 0 {
		return "", errNoURL
	}
	return p.urls[p.next%len(p.urls)], nil
}

// failed makes a later attempt use another URL than u, if there is one.
func (p *peer) failed(u string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.urls) > 0 && p.urls[p.next%len(p.urls)] == u {
		p.next++
	}
}

// String names the peer for people.
func (p *peer) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return cmp.Or(p.name, formatID(p.id))
}

func (p *peer) stats(now time.Time) PeerStats {
	s := p.traffic.stats(now)
	s.ID, s.Name = p.id, p.String()
	s.Queued = p.control.queue.size() + p.bulk.queue.size()
	return s
}

// traffic counts what passes between this member and a peer.
type traffic struct {
	sentBytes, receivedBytes atomic.Int64
	heard                    atomic.Int64 // Unix time in ns; 0 for never
	dropped                  atomic.Uint64

	mu sync.Mutex
	s  PeerStats // those fields that change with connections and pings
}

func (c *traffic) stats(now time.Time) PeerStats {
	c.mu.Lock()
	s := c.s
	c.mu.Unlock()
	s.Sent, s.Received, s.Dropped = c.sentBytes.Load(), c.receivedBytes.Load(), c.dropped.Load()
	if heard := c.heard.Load(); heard != 0 {
		s.Heard = time.Unix(0, heard)
		s.Active = now.Sub(s.Heard) <= activeWithin
	}
	return s
}

func (c *traffic) sent(n int) { c.sentBytes.Add(int64(n)) }

func (c *traffic) received(n int, now time.Time) {
	c.receivedBytes.Add(int64(n))
	c.heard.Store(now.UnixNano())
}

func (c *traffic) drop(messages int) { c.dropped.Add(uint64(messages)) }

// echoed takes the time that one ping took.
func (c *traffic) echoed(took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.s.RTT == 0 {
		c.s.RTT = took
		return
	}
	c.s.RTT += (took - c.s.RTT) / 8
}

// opened and closed count the streams that stand.
func (c *traffic) opened(again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.Streams++
	if again {
		c.s.Reconnects++
	}
}

func (c *traffic) closed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.Streams--
}
