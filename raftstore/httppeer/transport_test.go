package httppeer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/httppeer"
)

const clusterID = 0xc1

// recorder is the node behind a transport.
type recorder struct {
	mu       sync.Mutex
	received []string
	arrived  chan struct{}
	lost     chan uint64
	hold     <-chan struct{} // what is received waits for it, if set
	contact  func(raftstore.Member) error
	refused  chan error
	dir      string // of an incoming snapshot
	heads    []string
	begin    func() error // called at the begin of a snapshot, if set
	heard    func()       // called when the sender has heard what is missing, if set
	end      error        // what the node says at the end of a snapshot
	ended    bool
	serve    func(ctx context.Context, cmds [][]byte) []raftstore.Outcome

	receiving bool
}

func newRecorder() *recorder {
	return &recorder{arrived: make(chan struct{}, 1000), lost: make(chan uint64, 1000), refused: make(chan error, 100)}
}

func (r *recorder) Receive(from uint64, data []byte) error {
	if r.hold != nil {
		<-r.hold
	}
	r.mu.Lock()
	r.received = append(r.received, fmt.Sprintf("%x:%s", from, data))
	r.mu.Unlock()
	r.arrived <- struct{}{}
	return nil
}

func (r *recorder) ServeForward(ctx context.Context, cmds [][]byte) []raftstore.Outcome {
	return r.serve(ctx, cmds)
}

func (r *recorder) Contact(m raftstore.Member) error {
	r.mu.Lock()
	contact := r.contact
	r.mu.Unlock()
	if contact != nil {
		return contact(m)
	}
	return nil
}

func (r *recorder) setContact(f func(raftstore.Member) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.contact = f
}

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

func (r *recorder) Cluster() raftstore.Cluster { return raftstore.Cluster{ID: clusterID} }

func (r *recorder) Refused(err error) { r.refused <- err }

func (r *recorder) BeginSnapshot(head []byte) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dir == "" {
		return "", errors.New("not wanted")
	}
	if r.receiving {
		return "", errors.New("another one is under way")
	}
	r.receiving = true
	if r.begin != nil {
		if err := r.begin(); err != nil {
			return "", err
		}
	}
	return r.dir, nil
}

func (r *recorder) EndSnapshot(head []byte, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.receiving, r.ended = false, true
	if err = errors.Join(err, r.end); err == nil {
		r.heads = append(r.heads, string(head))
	}
	return err
}

func (r *recorder) Unreachable(id uint64) {
	select {
	case r.lost <- id:
	default:
	}
}

// has reports whether a message has been received, from anybody.
func (r *recorder) has(data string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.received, func(s string) bool { return strings.HasSuffix(s, ":"+data) })
}

func (r *recorder) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.received, " ")
}

// host is a member with its peer server.
type host struct {
	*httppeer.Transport
	rec    *recorder
	member raftstore.Member
	server *httptest.Server
}

func newHost(t testing.TB, id uint64) *host {
	h := &host{Transport: httppeer.New(httppeer.Config{}), rec: newRecorder()}
	h.server = httptest.NewServer(h)
	h.member = raftstore.Member{ID: id, Name: fmt.Sprint(id), PeerURLs: []string{h.server.URL}, Storage: id << 8}
	t.Cleanup(h.server.Close)
	t.Cleanup(h.Stop)
	return h
}

func (h *host) start(t testing.TB, peers ...raftstore.Member) {
	t.Helper()
	for _, p := range peers {
		h.SetPeer(p)
	}
	if err := h.Start(h.member, clusterID, h.rec); err != nil {
		t.Fatal(err)
	}
}

func pair(t *testing.T) (a, b *host) {
	a, b = newHost(t, 0xa), newHost(t, 0xb)
	a.start(t, b.member)
	b.start(t, a.member)
	return a, b
}

func await[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		t.Fatalf("no %s within a minute", what)
		panic("unreachable")
	}
}

// sendUntilArrived sends m until the first copy arrives: messages sent before
// the stream stands are lost.
func sendUntilArrived(t *testing.T, from, to *host, m raftstore.Message) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		from.Send(m)
		select {
		case <-to.rec.arrived:
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatalf("%.20q does not arrive", m.Data)
		}
		if to.rec.has(string(m.Data)) {
			return
		}
	}
}

func TestMessagesArriveOnBothKindsOfStream(t *testing.T) {
	a, b := pair(t)
	sendUntilArrived(t, a, b, raftstore.Message{To: 0xb, Data: []byte("ctl")})
	big := bytes.Repeat([]byte("x"), 3<<20)
	sendUntilArrived(t, a, b, raftstore.Message{To: 0xb, Bulk: true, Data: big})
	sendUntilArrived(t, b, a, raftstore.Message{To: 0xa, Data: []byte("back")})
	if got := b.rec.all(); !strings.Contains(got, "a:ctl") || !strings.Contains(got, "a:"+string(big)) {
		t.Errorf("b received %d bytes, want both messages", len(got))
	}
	if got := a.rec.all(); !strings.Contains(got, "b:back") {
		t.Errorf("a received %q, want b:back", got)
	}
}

func TestStreamsComeBackAfterAPeerRestarts(t *testing.T) {
	a, b := newHost(t, 0xa), newHost(t, 0xb)
	a.start(t, b.member)
	b.start(t, a.member)
	sendUntilArrived(t, a, b, raftstore.Message{To: 0xb, Data: []byte("1")})

	addr := b.server.Listener.Addr().String()
	b.Stop()
	b.server.Close()
	await(t, a.rec.lost, "report of the lost peer")

	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := &host{Transport: httppeer.New(httppeer.Config{}), rec: newRecorder(), member: b.member}
	c.server = &httptest.Server{Listener: ln, Config: &http.Server{Handler: c}}
	c.server.Start()
	t.Cleanup(c.server.Close)
	t.Cleanup(c.Stop)
	c.start(t, a.member)
	sendUntilArrived(t, a, c, raftstore.Message{To: 0xb, Data: []byte("2")})
}

func TestForwardCarriesOutcomesInOrder(t *testing.T) {
	a, b := pair(t)
	b.rec.serve = func(_ context.Context, cmds [][]byte) []raftstore.Outcome {
		return []raftstore.Outcome{
			{Index: 7, Result: append([]byte("did "), cmds[0]...)},
			{Err: raftstore.ErrDropped},
			{Err: fmt.Errorf("deep: %w", raftstore.ErrTooLarge)},
			{Err: errors.New("whatever")},
		}
	}
	outs, err := a.Forward(context.Background(), 0xb, [][]byte{[]byte("one"), nil, []byte("three"), []byte("four")})
	if err != nil {
		t.Fatal(err)
	}
	if outs[0].Index != 7 || string(outs[0].Result) != "did one" || outs[0].Err != nil {
		t.Errorf("outcome 0 = %+v", outs[0])
	}
	for i, want := range []error{nil, raftstore.ErrDropped, raftstore.ErrTooLarge, raftstore.ErrOutcomeUnknown} {
		if !errors.Is(outs[i].Err, want) {
			t.Errorf("outcome %d has error %v, want %v", i, outs[i].Err, want)
		}
	}
}

func TestForwardSaysWhetherCommandsMayHaveArrived(t *testing.T) {
	a, b := pair(t)
	entered, stopped := make(chan struct{}), make(chan struct{})
	b.rec.serve = func(ctx context.Context, cmds [][]byte) []raftstore.Outcome {
		close(entered)
		<-stopped
		return make([]raftstore.Outcome, len(cmds))
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-entered; cancel() }()
	if _, err := a.Forward(ctx, 0xb, [][]byte{[]byte("x")}); !errors.Is(err, raftstore.ErrOutcomeUnknown) {
		t.Errorf("forward cut in the middle: %v, want ErrOutcomeUnknown", err)
	}
	close(stopped)
	b.Stop()
	b.server.Close()
	if _, err := a.Forward(context.Background(), 0xb, [][]byte{[]byte("x")}); !errors.Is(err, raftstore.ErrDropped) {
		t.Errorf("forward to nobody: %v, want ErrDropped", err)
	}
	if _, err := a.Forward(context.Background(), 0xdead, [][]byte{nil}); !errors.Is(err, raftstore.ErrDropped) {
		t.Errorf("forward to a stranger: %v, want ErrDropped", err)
	}
}

func TestDiscoverAsksUntilAMemberAnswers(t *testing.T) {
	_, b := pair(t)
	c, err := httppeer.Discover(context.Background(), nil, "http://127.0.0.1:1", b.server.URL)
	if err != nil || c.ID != clusterID {
		t.Errorf("Discover = %v, %v, want cluster %x", c, err, clusterID)
	}
	if _, err := httppeer.Discover(context.Background(), nil, "http://127.0.0.1:1"); err == nil {
		t.Error("Discover with nobody there succeeded")
	}
}

func TestStrangersAreRefused(t *testing.T) {
	a, b := pair(t)
	b.rec.setContact(func(m raftstore.Member) error {
		switch m.ID {
		case 0xe:
			return raftstore.ErrRemoved
		case 0xf:
			return raftstore.ErrOtherStorage
		}
		return nil
	})
	for _, c := range []struct {
		name, cluster, from, to, path string
		want                          int
	}{
		{"other cluster", "c2", "a", "b", "/raft/v1/stream", http.StatusPreconditionFailed},
		{"other member", "c1", "a", "a", "/raft/v1/stream", http.StatusPreconditionFailed},
		{"removed sender", "c1", "e", "b", "/raft/v1/stream", http.StatusGone},
		{"sender with another disk", "c1", "f", "b", "/raft/v1/stream", http.StatusConflict},
		{"no sender", "c1", "", "b", "/raft/v1/forward", http.StatusForbidden},
		{"no upgrade", "c1", "a", "b", "/raft/v1/stream?kind=bulk", http.StatusUpgradeRequired},
		{"no such path", "c1", "a", "b", "/raft/v1/else", http.StatusNotFound},
		{"no upgrade of a forward", "c1", "a", "b", "/raft/v1/forward", http.StatusUpgradeRequired},
	} {
		req, err := http.NewRequest(http.MethodPost, b.server.URL+c.path, strings.NewReader("\xff\xff"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Raft-Cluster", c.cluster)
		req.Header.Set("X-Raft-From", c.from)
		req.Header.Set("X-Raft-To", c.to)
		req.Header.Set("X-Raft-Storage", "77")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s: status %d, want %d", c.name, resp.StatusCode, c.want)
		}
	}
	a.Stop()
	resp, err := http.Get(a.server.URL + "/raft/v1/stream")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("stopped transport answers %d, want 503", resp.StatusCode)
	}
}

func TestRemovedMemberIsTold(t *testing.T) {
	a, b := newHost(t, 0xa), newHost(t, 0xb)
	b.rec.contact = func(m raftstore.Member) error { return raftstore.ErrRemoved }
	b.start(t)
	a.start(t, b.member)
	if err := await(t, a.rec.refused, "refusal"); !errors.Is(err, raftstore.ErrRemoved) {
		t.Errorf("a was told %v, want ErrRemoved", err)
	}
}

func TestNothingIsSentToAMemberWithAnotherDisk(t *testing.T) {
	a, b := newHost(t, 0xa), newHost(t, 0xb)
	a.rec.contact = func(m raftstore.Member) error {
		if m.ID == 0xb && m.Storage == 0xb00 {
			return raftstore.ErrOtherStorage
		}
		return nil
	}
	b.start(t)
	a.start(t, b.member)
	await(t, a.rec.lost, "report of the peer that is not sent to")
	a.Send(raftstore.Message{To: 0xb, Data: []byte("secret")})
	await(t, a.rec.lost, "second report")
	if got := b.rec.all(); got != "" {
		t.Errorf("b received %q", got)
	}
}
