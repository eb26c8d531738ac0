package raftstore

import "context"

// Transport carries messages between the members of one cluster. httppeer is
// the one for real networks, raftsim the one for tests. The runtime calls SetPeer
// before Start and at any time after it, the others only between Start and the
// return of Stop, all of them concurrently.
type Transport interface {
	// Start begins delivery of what arrives to h. It is called once.
	Start(self Member, clusterID uint64, h Handler) error
	// SetPeer makes a member reachable, or changes its URLs.
	SetPeer(m Member)
	// RemovePeer forgets a member, and breaks what connects to it.
	RemovePeer(id uint64)
	// Send queues a message and never blocks. A message may be lost, late,
	// doubled or out of order.
	Send(m Message)
	// Forward carries requests to member `to` and its answers back: one result or
	// error per request. An error for all means that none was delivered if it
	// matches ErrDropped, and ErrOutcomeUnknown otherwise.
	Forward(ctx context.Context, to uint64, requests [][]byte) ([]Outcome, error)
	// SendSnapshot carries the files below dir to member `to`, and then head. It
	// returns when the member has taken or refused them.
	SendSnapshot(ctx context.Context, to uint64, head []byte, dir string) error
	// Stop ends all delivery; no call of the Handler runs after it returns. It is
	// called once, when Start has succeeded.
	Stop()
}

// Handler is the receiving side of a Transport. Its methods are safe for
// concurrent use.
type Handler interface {
	// Contact is called on both sides when a member connects to another, before
	// anything else is sent or delivered. An error refuses the other member:
	// ErrRemoved, ErrOtherStorage.
	Contact(peer Member) error
	// Cluster is what a new member has to know, for a transport that can be asked.
	Cluster() Cluster
	// Refused tells that a peer refused this member with such an error, which
	// ends it.
	Refused(err error)
	// Receive takes a message whose sender the transport has verified.
	Receive(from uint64, data []byte) error
	// ServeForward serves requests that another member forwarded.
	ServeForward(ctx context.Context, requests [][]byte) []Outcome
	// BeginSnapshot returns the directory that the files of a snapshot are to be
	// written to. It may hold files of an earlier attempt; whatever does not
	// belong to this snapshot has to be removed. An error means that no snapshot
	// is wanted now. After success EndSnapshot must be called.
	BeginSnapshot(head []byte) (dir string, err error)
	// EndSnapshot tells that all files are written and synced, or why not.
	EndSnapshot(head []byte, err error) error
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

// Outcome is the answer to one command of several: see Node.ProposeMany and
// Transport.Forward.
type Outcome struct {
	Index  uint64 // of the log entry that carried the command
	Result []byte
	Err    error // nil, or one of the errors of this package
}
