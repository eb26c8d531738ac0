package bigstate

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/httppeer"
	"github.com/strakeproject/strake/raftstore/seglog"
)

// member is one member of a cluster, with everything real, in this process.
type member struct {
	*raftstore.Node
	state  *shelf
	server *http.Server
	url    string
}

// start opens the member in dir, which listens on addr: the only one of its
// cluster, or one that was added to join.
func start(ctx context.Context, dir, addr string, join *raftstore.Cluster) (*member, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	m := &member{state: new(shelf), url: "http://" + addr}
	transport := httppeer.New(httppeer.Config{})
	m.server = &http.Server{Handler: transport}
	go func() { _ = m.server.Serve(l) }() // ends with Close
	log, err := seglog.Open(filepath.Join(dir, "log"), seglog.Options{})
	if err != nil {
		return nil, errors.Join(err, m.server.Close())
	}
	m.Node, err = raftstore.Open(ctx, raftstore.Config{
		Dir: filepath.Join(dir, "member"), Name: "a", URLs: []string{m.url}, Join: join,
		Initial:      []raftstore.InitialMember{{Name: "a", URLs: []string{m.url}}},
		StateMachine: m.state, Log: log, Transport: transport,
	})
	if err != nil {
		return nil, errors.Join(err, m.server.Close())
	}
	return m, nil
}

func (m *member) stop(ctx context.Context) error {
	return errors.Join(m.Stop(ctx), m.server.Close())
}

// entries, of valueSize bytes each, make 1 GiB by default.
var entries = flag.Uint64("bigstate.entries", 1<<20, "values of 1 KiB in the state")

const valueSize = 1 << 10

// commands returns a source of commands for keys below entries, with values that
// do not compress. It is not safe for concurrent use.
func commands(seed uint64) func(n uint64) []byte {
	rng := rand.NewChaCha8([32]byte{byte(seed), 1})
	return func(n uint64) []byte {
		b := append(key(n), make([]byte, valueSize)...)
		_, _ = rng.Read(b[keySize:]) // never fails
		return b
	}
}

// load proposes the commands for keys from..to-1.
func (m *member) load(ctx context.Context, from, to uint64) error {
	next := commands(from)
	for at := from; at < to; {
		var cmds [][]byte
		for ; at < to && len(cmds) < 4096; at++ {
			cmds = append(cmds, next(at))
		}
		for _, out := range m.ProposeMany(ctx, cmds) {
			if out.Err != nil {
				return fmt.Errorf("load: %w", out.Err)
			}
		}
	}
	return nil
}

// clients are 4 callers that each propose a command, wait for it and pause 1 ms,
// so that nobody measures how long they wait for each other.
type clients struct {
	stop chan struct{}
	done sync.WaitGroup

	mu   sync.Mutex
	took []time.Duration
	err  error
}

func (m *member) serveClients() *clients {
	c := &clients{stop: make(chan struct{})}
	for i := range uint64(4) {
		next := commands(i)
		c.done.Go(func() {
			for {
				cmd := next(rand.Uint64N(*entries))
				start := time.Now()
				_, err := m.Propose(context.Background(), cmd)
				c.note(time.Since(start), err)
				select {
				case <-c.stop:
					return
				case <-time.After(time.Millisecond):
				}
			}
		})
	}
	return c
}

func (c *clients) note(took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took = append(c.took, took)
	c.err = errors.Join(c.err, err)
}

// percentile returns what the given share of the commands since the last call
// took at most.
func (c *clients) percentile(b *testing.B, share float64) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	took := c.took
	c.took = nil
	if c.err != nil || len(took) == 0 {
		b.Fatalf("%d commands, %v", len(took), c.err)
	}
	slices.Sort(took)
	return took[int(float64(len(took)-1)*share)]
}

func (c *clients) end() {
	close(c.stop)
	c.done.Wait()
}
