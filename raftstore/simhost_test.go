package raftstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"time"
	"unsafe"

	"go.etcd.io/raft/v3"
)

// simHost is a machine with its disk.
type simHost struct {
	sim     *sim
	name    string
	fs      *memFS
	disk    *simLog
	state   *simState
	join    *Cluster
	node    *Node // nil while down
	h       Handler
	tasks   []func()
	gone    bool // removed for good
	lost    bool // the power went in the middle of what it does
	timeout int  // the election timeout given to raft
}

// boot starts the host's member.
func (h *simHost) boot() {
	cfg := Config{
		Dir: "/" + h.name, Name: h.name, Initial: h.sim.initial, Join: h.join, URLs: []string{"sim://" + h.name},
		StateMachine: h.state, Log: h.disk, Transport: &simTransport{host: h},
		LogRetainBytes: 300, LogCapBytes: 600, FlushBytes: 200, TailCacheBytes: 200,
		FS: h.fs, Rand: simRand{h.sim.rng}, Now: func() time.Time { return time.Unix(0, h.sim.now) },
	}
	n := newNode(cfg)
	n.solo = true
	n.spawn = func(f func()) { h.tasks = append(h.tasks, f) }
	if err := n.cfg.fill(); err != nil {
		h.sim.fail("%s: %v", h.name, err)
		return
	}
	n.log = n.cfg.Logger
	err := n.prepare(context.Background())
	switch {
	case h.lost:
		h.losePower()
		return
	case errors.Is(err, ErrRemoved):
		h.gone = true
		return
	case err != nil:
		h.sim.fail("%s does not start: %v", h.name, err)
		return
	}
	h.node = n
	h.do("campaign", func() error { return n.campaignAlone() })
}

// crash ends the member without a word; the disk keeps what was synced and some
// of the rest.
func (h *simHost) crash() {
	h.sim.counts["crash"]++
	h.node.cancel()
	h.node, h.h, h.tasks = nil, nil, nil
	h.losePower()
}

func (h *simHost) losePower() {
	h.lost = false
	h.disk.crash()
	h.state.crash()
}

// stop ends the member in order.
func (h *simHost) stop() {
	h.sim.counts["stop"]++
	h.node.cancel()
	h.node.shutdown()
	h.node, h.h, h.tasks = nil, nil, nil
	h.disk.keep(len(h.disk.unsynced))
}

// errPowerLoss comes out of a disk whose host crashes in the middle of
// something.
var errPowerLoss = errors.New("power loss")

// write does something to the host's disk, and may crash the host before or
// after.
func (h *simHost) write(per10k int, f func() error) error {
	if !h.lost && !h.sim.calm && h.sim.chance(per10k) {
		h.sim.counts["crash midway"]++
		h.lost = true
		if h.sim.chance(5000) {
			return errors.Join(errPowerLoss, f())
		}
	}
	if h.lost {
		return errPowerLoss
	}
	return f()
}

// do runs a piece of the member.
func (h *simHost) do(what string, f func() error) {
	n := h.node
	if n == nil {
		return
	}
	func() {
		defer n.recoverBroken(what)
		if err := f(); err != nil {
			n.fail(err)
		}
	}()
	h.setElectionTimeout()
	if h.lost {
		h.crash()
		return
	}
	if n.ctx.Err() == nil {
		h.noteLeader()
		return
	}
	if errors.Is(n.failure, ErrRemoved) {
		h.gone = true
		h.node, h.h, h.tasks = nil, nil, nil
		return
	}
	h.sim.fail("%s failed: %v", h.name, n.failure)
}

func (h *simHost) noteLeader() {
	st := &h.node.loop
	if st.role != raft.StateLeader {
		return
	}
	if other, ok := h.sim.leaders[st.term]; ok && other != h.name {
		h.sim.fail("%s and %s both lead in term %d", other, h.name, st.term)
	}
	h.sim.leaders[st.term] = h.name
	h.sim.counts["term"] = len(h.sim.leaders)
}

func (h *simHost) tick() {
	h.do("tick", func() error { h.node.tick(&h.node.loop); return nil })
	if h.node != nil && h.sim.chance(500) {
		h.do("connect", func() error {
			// Transports keep their connections open, also when there is nothing
			// to say.
			for _, m := range h.node.Members() {
				(&simTransport{host: h}).peer(m.ID)
			}
			return nil
		})
	}
}

func (h *simHost) turn() {
	n := h.node
	h.do("turn", func() error {
		if h.sim.mutation == reuseReadContext {
			n.reads.counter, n.reads.first = 0, 0
		}
		n.turn(&n.loop)
		if h.sim.mutation == readBeforeFirstCommit && n.loop.role == raft.StateLeader {
			n.reads.start()
			n.reads.counter = max(n.reads.counter, n.reads.first)
			n.reads.confirm(n.reads.lastKey(n), n.id, n.incarnation, n.raft.BasicStatus().GetCommit())
		}
		return nil
	})
}

func (h *simHost) appendTurn() {
	n := h.node
	h.do("append", func() error {
		batch := n.appends.take()
		if h.sim.mutation == sendBeforePersist {
			for _, w := range batch {
				n.release(w.message.GetResponses())
				w.message.Responses = nil
			}
		}
		return n.appendTurn(batch)
	})
}

func (h *simHost) applyTurn() {
	h.do("apply", func() error { return h.node.applyTurn(h.node.applies.take()) })
}

func (h *simHost) runTask() {
	if len(h.tasks) > 0 {
		task := h.tasks[0]
		h.tasks = h.tasks[1:]
		h.do("task", func() error { task(); return nil })
	}
}

func (h *simHost) compact() {
	h.do("compact", func() error {
		_, err := h.node.compact(h.sim.chance(3000))
		return err
	})
}

// setElectionTimeout replaces the timeout that raft has drawn from a source of
// its own by one drawn from the history's.
func (h *simHost) setElectionTimeout() {
	field := reflect.ValueOf(h.node.raft).Elem().FieldByName("raft").Elem().FieldByName("randomizedElectionTimeout")
	p := (*int)(unsafe.Pointer(field.UnsafeAddr()))
	if *p != h.timeout {
		// Out of the range that raft draws from, to tell its numbers apart.
		h.timeout = 20 + h.sim.rng.IntN(10)
		*p = h.timeout
	}
}

// simRand is a deterministic source of ids.
type simRand struct{ rng *rand.Rand }

func (r simRand) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r.rng.Uint32())
	}
	return len(p), nil
}
