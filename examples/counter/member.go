package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/httppeer"
	"github.com/strakeproject/strake/raftstore/seglog"
)

// memberConfig says which member to run, and how a new one finds the others.
type memberConfig struct {
	Name    string            `required:"" help:"Name of this member."`
	Dir     string            `required:"" help:"Directory of this member alone." placeholder:"DIR"`
	PeerURL string            `required:"" help:"Where other members reach this one; served here, too." placeholder:"URL"`
	Initial map[string]string `mapsep:"," help:"All members of a new cluster." placeholder:"NAME=URL,..."`
	Join    []string          `help:"Peer URLs of a cluster that this new member was added to." placeholder:"URL"`
	KeepLog int64             `help:"Bytes of log to keep for members that lag; beyond it they get a copy of the state." default:"67108864" placeholder:"BYTES"`
}

// joinTimeout bounds how long a new member asks for its cluster.
const joinTimeout = 10 * time.Second

// member is one member of the cluster: the node, and what it works with.
type member struct {
	node  *raftstore.Node
	state *registers
	peers *http.Server
	tasks sync.WaitGroup
}

// openMember starts the member that lives in cfg.Dir, or a new one if there is
// none. Stop it when you are done with it.
func openMember(ctx context.Context, cfg memberConfig, log *slog.Logger) (*member, error) {
	transport := httppeer.New(httppeer.Config{Logger: log})
	m := &member{
		state: &registers{},
		peers: &http.Server{Handler: transport, ReadHeaderTimeout: 10 * time.Second},
	}
	if err := m.servePeers(ctx, cfg.PeerURL, log); err != nil {
		return nil, err
	}
	err := m.openNode(ctx, cfg, transport, log)
	if err != nil {
		m.closePeers()
		return nil, err
	}
	return m, nil
}

// servePeers begins to serve the member's peer URL. Until there is a node,
// peers are told to come again.
func (m *member) servePeers(ctx context.Context, peerURL string, log *slog.Logger) error {
	u, err := url.Parse(peerURL)
	if err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", u.Host)
	if err != nil {
		return err
	}
	m.tasks.Go(func() {
		if err := m.peers.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("peers are not served any more", "err", err)
		}
	})
	return nil
}

func (m *member) openNode(ctx context.Context, cfg memberConfig, transport *httppeer.Transport, log *slog.Logger) error {
	rc := raftstore.Config{
		Dir: cfg.Dir, Name: cfg.Name, URLs: []string{cfg.PeerURL},
		StateMachine: m.state, Transport: transport,
		LogRetainBytes: cfg.KeepLog, LogCapBytes: cfg.KeepLog, FlushBytes: cfg.KeepLog / 2,
		Logger: log,
	}
	for name, u := range cfg.Initial {
		rc.Initial = append(rc.Initial, raftstore.InitialMember{Name: name, URLs: []string{u}})
	}
	isNew, err := holdsNoMember(cfg.Dir)
	if err != nil {
		return err
	}
	if isNew && len(cfg.Join) > 0 {
		ask, cancel := context.WithTimeout(ctx, joinTimeout)
		cluster, err := httppeer.Discover(ask, nil, cfg.Join...)
		cancel()
		if err != nil {
			return err
		}
		rc.Join = &cluster
	}
	if rc.Log, err = seglog.Open(filepath.Join(cfg.Dir, "log"), seglog.Options{Logger: log}); err != nil {
		return err
	}
	m.node, err = raftstore.Open(ctx, rc) // closes state and log if it fails
	return err
}

// holdsNoMember reports whether dir is that of a new member. One that has
// started before needs nobody to tell it about its cluster.
func holdsNoMember(dir string) (bool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, err
	}
	_, err := os.Stat(filepath.Join(dir, "identity.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}

// stop hands leadership over, if it is here, and ends the member.
func (m *member) stop(ctx context.Context) error {
	err := m.node.Stop(ctx)
	m.closePeers()
	return err
}

func (m *member) closePeers() {
	_ = m.peers.Close() // of the listener; the node has closed its connections
	m.tasks.Wait()
}

// do replicates a command and returns what it came to. The errors are those of
// Node.Propose.
func (m *member) do(ctx context.Context, c command) (result, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return result{}, err
	}
	answer, err := m.node.Propose(ctx, data)
	if err != nil {
		return result{}, err
	}
	var r result
	if err := json.Unmarshal(answer, &r); err != nil {
		return result{}, fmt.Errorf("result %q: %w", answer, err)
	}
	return r, nil
}

// read returns a register with everything in it that was acknowledged, by
// whatever member, before the call.
func (m *member) read(ctx context.Context, name string) (int64, error) {
	if _, err := m.node.ReadBarrier(ctx); err != nil {
		return 0, err
	}
	return m.state.get(name), nil
}
