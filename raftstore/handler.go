package raftstore

import (
	"context"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// handler is the Node as its transport sees it.
type handler struct{ n *Node }

func (h handler) Receive(from uint64, data []byte) error {
	m := new(raftpb.Message)
	if err := proto.Unmarshal(data, m); err != nil {
		return fmt.Errorf("decode message from %x: %w", from, err)
	}
	if m.GetFrom() != from || m.GetTo() != h.n.id || m.GetType() == raftpb.MsgSnap || raft.IsLocalMsg(m.GetType()) || m.GetType() == raftpb.MsgProp {
		return fmt.Errorf("%w: %s from %x to %x came from %x", ErrMismatch, m.GetType(), m.GetFrom(), m.GetTo(), from)
	}
	if h.n.ctx.Err() != nil {
		return ErrStopped
	}
	h.n.inbox.receive(m, len(data))
	h.n.stir()
	return nil
}

func (h handler) Unreachable(id uint64) {
	h.n.inbox.request(func() { h.n.raft.ReportUnreachable(id) })
}

func (h handler) ServeForward(ctx context.Context, requests [][]byte) []Outcome {
	return h.n.serveForward(ctx, requests)
}

var errNotLeader = fmt.Errorf("%w: not the leader", ErrDropped)

func (n *Node) serveForward(ctx context.Context, requests [][]byte) []Outcome {
	outs := make([]Outcome, len(requests))
	calls := make([]*call, len(requests))
	byKind := make(map[callKind][]*call)
	for i, r := range requests {
		if len(r) == 0 {
			outs[i].Err = ErrDropped
			continue
		}
		calls[i] = newCall(callKind(r[0]), r[1:])
		byKind[calls[i].kind] = append(byKind[calls[i].kind], calls[i])
	}
	leader, _ := n.leader.get()
	for kind, calls := range byKind {
		err := errNotLeader
		q := n.queueFor(kind)
		if q != nil && leader == n.id {
			err = q.push(calls...)
		}
		if err != nil {
			answer(calls, Outcome{Err: err})
		} else {
			n.stirFor(q)
		}
	}
	for i, c := range calls {
		if c != nil {
			outs[i] = n.await(ctx, n.queueFor(c.kind), c)
		}
	}
	return outs
}

// queueFor returns where a leader's calls of that kind wait; nil if there is no
// such kind.
func (n *Node) queueFor(kind callKind) *callQueue {
	switch kind {
	case callCommand:
		return &n.proposals
	case callChange:
		return &n.changes
	default:
		return nil
	}
}
