package client_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/client"
	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/tree"
)

// network is a network in memory: hosts by name, connections as pipes. It works
// inside and outside of bubbles.
type network struct {
	mu    sync.Mutex
	hosts map[string]*listener
}

type listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// listen makes a host reachable until its listener is closed.
func (n *network) listen(host string) *listener {
	l := &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hosts == nil {
		n.hosts = map[string]*listener{}
	}
	n.hosts[host] = l
	return l
}

func (n *network) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	l := n.hosts[host]
	n.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("no host %s", host)
	}
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, fmt.Errorf("host %s is down", host)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

// serve answers HTTP at a host until stop, which also cuts connections.
func (n *network) serve(t *testing.T, host string, h http.Handler) (stop func()) {
	l := n.listen(host)
	srv := &http.Server{Handler: h}
	var done sync.WaitGroup
	done.Go(func() { _ = srv.Serve(l) })
	stop = func() {
		_ = srv.Close()
		done.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// client makes a client of the given hosts.
func (n *network) client(t *testing.T, cfg client.Config, hosts ...string) *client.Client {
	t.Helper()
	for _, h := range hosts {
		cfg.Endpoints = append(cfg.Endpoints, "http://"+h+":2379")
	}
	cfg.Transport = &http.Transport{DialContext: n.dial}
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func newLocal(t *testing.T) *tree.Local {
	t.Helper()
	store, err := tree.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func api(s kv.Store) http.Handler { return httpapi.New(httpapi.Config{Store: s}) }

// op is an operation on a store.
type op struct {
	name string
	do   func(context.Context, kv.Store) (kv.Event, error)
}

var (
	opKeys   = []string{"/a", "/a/b", "/a/b/c", "/d", "/d/_h", "/d/_h/x", "/e f;é%/+?", "/", "/q", "/q/x"}
	opValues = []string{"", "1", "2", "x y&=<>%\n+"}
)

// drawOp picks an operation; draw(n) is a number below n, and index is where the
// store stands.
func drawOp(draw func(n int) int, index uint64) op {
	key := opKeys[draw(len(opKeys))]
	value := opValues[draw(len(opValues))]
	dir := draw(4) == 0
	ttl := time.Duration(draw(3)) * 50 * time.Second
	refresh := ttl > 0 && draw(2) == 0
	if refresh {
		value = ""
	}
	cond := kv.Condition{PrevValue: opValues[draw(len(opValues))]}
	if draw(2) == 0 || cond.PrevValue == "" {
		cond.PrevIndex = max(index-min(uint64(draw(4)), index), 1)
	}
	switch draw(8) {
	case 0:
		o := kv.GetOptions{Recursive: dir, Sorted: draw(2) == 0, Quorum: draw(2) == 0}
		return op{fmt.Sprintf("get %q %+v", key, o), func(ctx context.Context, s kv.Store) (kv.Event, error) {
			return s.Get(ctx, key, o)
		}}
	case 1:
		o := kv.SetOptions{TTL: ttl, Dir: dir, Refresh: refresh}
		return op{fmt.Sprintf("set %q %q %+v", key, value, o), func(ctx context.Context, s kv.Store) (kv.Event, error) {
			return s.Set(ctx, key, value, o)
		}}
	case 2:
		o := kv.CreateOptions{TTL: ttl, Dir: dir}
		return op{fmt.Sprintf("create %q %q %+v", key, value, o), func(ctx context.Context, s kv.Store) (kv.Event, error) {
			return s.Create(ctx, key, value, o)
		}}
	case 3:
		o := kv.CreateOptions{TTL: ttl, Dir: dir}
		return op{fmt.Sprintf("create in order %q %q %+v", key, value, o), func(ctx context.Context, s kv.Store) (kv.Event, error) {
			return s.CreateInOrder(ctx, key, value, o)
		}}
	case 4:
		o := kv.UpdateOptions{TTL: ttl, Refresh: refresh}
		return op{fmt.Sprintf("update %q %q %+v", key, value, o), func(ctx context.Context, s kv.Store) (kv.Event, error) {
			return s.Update(ctx, key, value, o)
		}}
	case 5:
		o := kv.DeleteOptions{Dir: dir, Recursive: draw(4) == 0}
		return op{fmt.Sprintf("delete %q %+v", key, o), func(ctx context.Context, s kv.Store) (kv.Event, error) {
			return s.Delete(ctx, key, o)
		}}
	case 6:
		o := kv.UpdateOptions{TTL: ttl, Refresh: refresh}
		return op{fmt.Sprintf("swap %q %q %+v %+v", key, value, cond, o), func(ctx context.Context, s kv.Store) (kv.Event, error) {
			return s.CompareAndSwap(ctx, key, value, cond, o)
		}}
	default:
		return op{fmt.Sprintf("compare and delete %q %+v", key, cond), func(ctx context.Context, s kv.Store) (kv.Event, error) {
			return s.CompareAndDelete(ctx, key, cond)
		}}
	}
}

// outcome spells out what an operation gave.
func outcome(ev kv.Event, err error) string {
	if e, ok := errors.AsType[*kv.Error](err); ok {
		return fmt.Sprintf("%d (%s) [%d]", e.Code, e.Cause, e.Index)
	}
	if err != nil {
		return "error: " + err.Error()
	}
	s := fmt.Sprintf("%s [%d] %s", ev.Action, ev.Index, spell(ev.Node))
	if ev.PrevNode != nil {
		s += " was " + spell(*ev.PrevNode)
	}
	return s
}

func spell(n kv.Node) string {
	s := fmt.Sprintf("{%q %q dir=%v %d/%d", n.Key, n.Value, n.Dir, n.CreatedIndex, n.ModifiedIndex)
	if !n.Expiration.IsZero() {
		s += " until " + n.Expiration.UTC().Format(time.RFC3339Nano)
	}
	for _, child := range slices.SortedFunc(slices.Values(n.Nodes), func(x, y kv.Node) int { return cmp.Compare(x.Key, y.Key) }) {
		s += " " + spell(child)
	}
	return s + "}"
}
