package httppeer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/strakeproject/strake/raftstore"
)

const (
	streamPath = "/raft/v1/stream"
	upgradeTo  = "strake-raft/1"

	headerCluster = "X-Raft-Cluster"
	headerFrom    = "X-Raft-From"
	headerTo      = "X-Raft-To"
	headerName    = "X-Raft-Name"
	headerURLs    = "X-Raft-Urls"
	headerStorage = "X-Raft-Storage"

	// maxFrame bounds what a stream accepts: the largest command in one entry,
	// with room for its envelope.
	maxFrame = 64 << 20
	// maxControlQueue and maxBulkQueue bound what waits for a slow peer.
	maxControlQueue = 1 << 20
	maxBulkQueue    = 32 << 20
)

// peer is another member as this one sends to it.
type peer struct {
	id            uint64
	name          string
	control, bulk sendQueue
	ctx           context.Context // ends when the peer is removed or the Transport stops
	cancel        context.CancelFunc

	mu   sync.Mutex
	urls []string
	next int // which URL to try next
}

func newPeer(m raftstore.Member) *peer {
	p := &peer{id: m.ID, name: m.Name, urls: m.PeerURLs}
	p.control = sendQueue{kind: "control", max: maxControlQueue, wake: make(chan struct{}, 1)}
	p.bulk = sendQueue{kind: "bulk", max: maxBulkQueue, wake: make(chan struct{}, 1)}
	return p
}

func (p *peer) setURLs(urls []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.urls, p.next = urls, 0
}

// url returns the URL to use now.
func (p *peer) url() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.urls[p.next%len(p.urls)]
}

// failed makes a later attempt use another URL, if there is one.
func (p *peer) failed(u string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.urls[p.next%len(p.urls)] == u {
		p.next++
	}
}

// sendQueue holds what waits to be written to one stream.
type sendQueue struct {
	kind string
	max  int
	wake chan struct{}

	mu     sync.Mutex
	frames [][]byte
	bytes  int
}

// push reports false when the queue is full and the frame is dropped.
func (q *sendQueue) push(data []byte) bool {
	q.mu.Lock()
	full := q.bytes > 0 && q.bytes+len(data) > q.max
	if !full {
		q.frames = append(q.frames, data)
		q.bytes += len(data)
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return !full
}

func (q *sendQueue) take() [][]byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	frames := q.frames
	q.frames, q.bytes = nil, 0
	return frames
}

// runStream keeps one stream to a peer open and writes the queue to it. While
// the peer cannot be reached what is queued is thrown away: raft sends again
// what still matters.
func (t *Transport) runStream(p *peer, q *sendQueue) {
	lost := false
	for pause := minPause; p.ctx.Err() == nil; {
		u := p.url()
		conn, err := t.dial(p, u, streamPath)
		if err == nil {
			if lost {
				t.log.Info("httppeer: peer reachable again", "peer", p.name, "stream", q.kind, "url", u)
				lost = false
			}
			pause = minPause
			err = t.writeStream(p.ctx, conn, q)
		}
		if p.ctx.Err() != nil {
			return
		}
		if !lost {
			t.log.Warn("httppeer: peer lost", "peer", p.name, "stream", q.kind, "url", u, "err", err)
			lost = true
		}
		p.failed(u)
		q.take()
		t.handler.Unreachable(p.id)
		if !sleep(p.ctx, pause) {
			return
		}
		pause = min(2*pause, maxPause)
	}
}

const (
	minPause = 50 * time.Millisecond
	maxPause = 2 * time.Second
)

// sleep waits for d, give or take half, so that members do not dial in step. It
// reports false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// dial opens a connection to a peer and upgrades it at path.
func (t *Transport) dial(p *peer, base, path string) (net.Conn, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(p.ctx, dialTimeout)
	defer cancel()
	conn, err := t.dialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	if err := t.handshake(ctx, conn, u.JoinPath(path).String(), p); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (t *Transport) handshake(ctx context.Context, conn net.Conn, u string, p *peer) error {
	if err := conn.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	req, err := t.request(ctx, http.MethodGet, u, p.id, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", upgradeTo)
	if err := req.Write(conn); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return t.answerError(resp)
	}
	storage, err := strconv.ParseUint(resp.Header.Get(headerStorage), 16, 64)
	if err != nil {
		return fmt.Errorf("peer does not tell its storage: %w", err)
	}
	// Its identity is checked on this side, too: a member that lost its disk must
	// not be sent anything.
	if err := t.handler.Contact(raftstore.Member{ID: p.id, Storage: storage}); err != nil {
		return err
	}
	return conn.SetDeadline(time.Time{})
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
	}
	return err
}

// writeStream writes frames until the connection breaks or the Transport stops:
// everything queued with one flush. An empty frame now and then shows the other
// side that this one lives.
//
//	4 BE  length of the payload
//	4 BE  CRC-32C of the payload
//	      payload
func (t *Transport) writeStream(ctx context.Context, conn net.Conn, q *sendQueue) error {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	gone := make(chan struct{}) // nothing comes back, so a read ends with the connection
	t.tasks.Go(func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, conn)
	})
	w := bufio.NewWriterSize(conn, 64<<10)
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	for {
		frames := q.take()
		if len(frames) == 0 {
			select {
			case <-q.wake:
				continue
			case <-alive.C:
				frames = [][]byte{nil}
			case <-gone:
				return errors.New("connection closed by peer")
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return err
		}
		for _, f := range frames {
			var head [8]byte
			binary.BigEndian.PutUint32(head[:], uint32(len(f)))
			binary.BigEndian.PutUint32(head[4:], crc32.Checksum(f, castagnoli))
			if _, err := w.Write(head[:]); err != nil {
				return err
			}
			if _, err := w.Write(f); err != nil {
				return err
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// readStream hands frames to the node until the connection breaks.
func (t *Transport) readStream(conn net.Conn, r *bufio.Reader, from uint64) error {
	for {
		if err := conn.SetReadDeadline(time.Now().Add(readTimeout)); err != nil {
			return err
		}
		payload, err := readFrame(r)
		if err != nil {
			return err
		}
		if len(payload) == 0 {
			continue
		}
		if err := t.handler.Receive(from, payload); err != nil {
			return err
		}
	}
}

func readFrame(r io.Reader) ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxFrame {
		return nil, fmt.Errorf("frame of %d bytes exceeds %d", size, maxFrame)
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, err
	}
	if crc32.Checksum(payload, castagnoli) != binary.BigEndian.Uint32(head[4:]) {
		return nil, errors.New("frame fails its checksum")
	}
	return payload, nil
}

func formatID(id uint64) string { return strconv.FormatUint(id, 16) }
