package raftstore

import "context"

// Transport carries messages between the members of one cluster. httppeer is
// the one for real networks.
type Transport interface {
	// Start begins delivery of what arrives to h. It is called once.
	Start(self Member, clusterID uint64, h Handler) error
	// SetPeer makes a member reachable, or changes its URLs.
	SetPeer(m Member)
	// Send queues a message and never blocks. A message may be lost, late,
	// doubled or out of order.
	Send(m Message)
	// Forward carries client commands to member `to` and its answer back: one
	// result or error per command. An error for all means that none was
	// delivered if it matches ErrDropped, and ErrOutcomeUnknown otherwise.
	Forward(ctx context.Context, to uint64, cmds [][]byte) ([]Outcome, error)
	// Stop ends all delivery; no call of the Handler runs after it returns.
	Stop()
}

// Handler is the receiving side of a Transport. Its methods are safe for
// concurrent use.
type Handler interface {
	// Receive takes a message whose sender the transport has verified. It may
	// block for a moment when the node is overloaded.
	Receive(from uint64, data []byte) error
	// ServeForward proposes commands that another member forwarded.
	ServeForward(ctx context.Context, cmds [][]byte) []Outcome
	// Unreachable reports that a message to a member could not be delivered.
	Unreachable(id uint64)
}

// Message is an encoded raft message on its way to a member.
type Message struct {
	To uint64
	// Bulk marks a message with log entries. Bulk and other messages travel
	// apart, so that a large append never delays a heartbeat.
	Bulk bool
	Data []byte
}

// Outcome is the answer to one forwarded command.
type Outcome struct {
	Index  uint64 // of the log entry that carried the command
	Result []byte
	Err    error // nil, or one of the errors of this package
}
