package main

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"sync"

	"github.com/strakeproject/strake/raftstore"
)

// registers is the replicated state: numbers by name, each 0 until it is
// written.
//
// It lives in memory and goes to disk as a whole, when the runtime asks for it.
// What a crash takes is applied again from the log: the image on disk tells the
// position it was taken at.
type registers struct {
	// disk is held by whoever uses the directory: the runtime may flush or copy
	// the state while it installs another one.
	disk sync.Mutex
	dir  string // protected by disk; empty until Open has succeeded

	mu      sync.RWMutex
	now     image  // protected by mu
	durable uint64 // protected by mu: index of the image in dir
}

var _ raftstore.Snapshotter = (*registers)(nil)

// command is what members agree on, as JSON.
type command struct {
	Op    string // "add", "set", or "cas": set if the register holds Old
	Name  string
	Value int64
	Old   int64 `json:",omitempty"`
}

// result is what a command came to, as JSON.
type result struct {
	Old     int64 `json:"old"`   // what the register held before
	Value   int64 `json:"value"` // what it holds now
	Changed bool  `json:"changed"`
	// Refused says why a command makes no sense. That is a result like any other:
	// an error of Apply would stop every member.
	Refused string `json:"refused,omitempty"`
}

// Apply must do the same on every member, so it looks at nothing but its
// arguments and the state.
func (r *registers) Apply(cmds []raftstore.Command, pos raftstore.Position) ([][]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	results := make([][]byte, len(cmds))
	for i, c := range cmds {
		b, err := json.Marshal(r.apply(c.Data))
		if err != nil {
			return nil, err
		}
		results[i] = b
	}
	r.now.Position = pos
	return results, nil
}

func (r *registers) apply(data []byte) result {
	var c command
	if err := json.Unmarshal(data, &c); err != nil {
		return result{Refused: "not a command"}
	}
	old := r.now.Values[c.Name]
	value := c.Value
	switch {
	case c.Op == "add":
		value += old // wraps around, on every member alike
	case c.Op == "set":
	case c.Op == "cas" && old == c.Old:
	case c.Op == "cas":
		return result{Old: old, Value: old}
	default:
		return result{Old: old, Value: old, Refused: "no such operation"}
	}
	r.now.Values[c.Name] = value
	return result{Old: old, Value: value, Changed: true}
}

// get reads one register as it is here. A caller that wants to see everything
// that was acknowledged anywhere calls Node.ReadBarrier before.
func (r *registers) get(name string) int64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.now.Values[name]
}

// all reads all registers as they are here.
func (r *registers) all() image {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return image{r.now.Position, maps.Clone(r.now.Values)}
}

// Open takes up the image in dir, if there is one.
func (r *registers) Open(_ context.Context, dir string) (raftstore.Position, error) {
	return r.adopt(dir)
}

// Install is Open for a directory that comes from another member.
func (r *registers) Install(_ context.Context, dir string) (raftstore.Position, error) {
	return r.adopt(dir)
}

// adopt makes the image in dir the state. On failure nothing has changed, so
// that Close does not write to a directory that was not understood.
func (r *registers) adopt(dir string) (raftstore.Position, error) {
	r.disk.Lock()
	defer r.disk.Unlock()
	im, err := readImage(dir)
	if err != nil {
		return raftstore.Position{}, err
	}
	r.dir = dir
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now, r.durable = im, im.Position.Index
	return im.Position, nil
}

// Durable returns the index of the image on disk.
func (r *registers) Durable() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.durable
}

// Flush writes the image. Commands are applied meanwhile: they wait for the copy
// in memory, not for the disk.
func (r *registers) Flush(context.Context) error {
	r.disk.Lock()
	defer r.disk.Unlock()
	im := r.all()
	if err := im.write(r.dir); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.durable = im.Position.Index
	return nil
}

// Checkpoint writes the image to a directory that the runtime sends to another
// member.
func (r *registers) Checkpoint(_ context.Context, dir string) (raftstore.Position, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return raftstore.Position{}, err
	}
	im := r.all()
	return im.Position, im.write(dir)
}

// Close writes the image a last time, unless there never was a state: the
// runtime also closes what it could not open.
func (r *registers) Close() error {
	r.disk.Lock()
	opened := r.dir != ""
	r.disk.Unlock()
	if !opened {
		return nil
	}
	return r.Flush(context.Background())
}
