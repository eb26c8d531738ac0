package raftstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/strakeproject/strake/raftstore"
)

// archive is a state machine that keeps its commands in memory and, like a
// database without a write-ahead log, on disk only when flushed. It is a
// Snapshotter.
type archive struct {
	mu      sync.Mutex
	dir     string
	durable uint64
	state   archiveState
}

type archiveState struct {
	Cmds []string
	Pos  raftstore.Position
}

const archiveFile = "archive.json"

func (a *archive) Open(_ context.Context, dir string) (raftstore.Position, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.load(dir)
}

func (a *archive) load(dir string) (raftstore.Position, error) {
	a.dir, a.state = dir, archiveState{}
	b, err := os.ReadFile(filepath.Join(dir, archiveFile))
	if os.IsNotExist(err) {
		return raftstore.Position{}, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &a.state)
	}
	a.durable = a.state.Pos.Index
	return a.state.Pos, err
}

func (a *archive) Apply(cmds []raftstore.Command, pos raftstore.Position) ([][]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	results := make([][]byte, len(cmds))
	for i, c := range cmds {
		a.state.Cmds = append(a.state.Cmds, string(c.Data))
		results[i] = fmt.Appendf(nil, "%d", len(a.state.Cmds))
	}
	a.state.Pos = pos
	return results, nil
}

func (a *archive) Durable() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.durable
}

func (a *archive) Flush(context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.write(a.dir); err != nil {
		return err
	}
	a.durable = a.state.Pos.Index
	return nil
}

func (a *archive) write(dir string) error {
	b, err := json.Marshal(a.state)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, archiveFile), b, 0o600)
}

func (a *archive) Checkpoint(_ context.Context, dir string) (raftstore.Position, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := os.Mkdir(dir, 0o700); err != nil {
		return raftstore.Position{}, err
	}
	return a.state.Pos, a.write(dir)
}

func (a *archive) Install(_ context.Context, dir string) (raftstore.Position, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.load(dir)
}

// Close loses what was not flushed, as a crash would.
func (a *archive) Close() error { return nil }

func (a *archive) commands() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.state.Cmds...)
}
