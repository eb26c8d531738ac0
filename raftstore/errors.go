package raftstore

import "errors"

// Errors of a Node. Each says whether a retry is safe.
var (
	// ErrDropped: the command certainly was not and will not be applied. A
	// retry is safe.
	ErrDropped = errors.New("raftstore: command dropped before it was committed")
	// ErrNoLeader: there was no leader to take the command or confirm the read
	// while the caller was willing to wait. A retry is safe.
	ErrNoLeader = errors.New("raftstore: no leader")
	// ErrOverloaded: too many bytes wait to be proposed. Nothing was applied; a
	// retry is safe, later.
	ErrOverloaded = errors.New("raftstore: proposal queue is full")
	// ErrTooLarge: the command exceeds Config.MaxCommandBytes. Nothing was
	// applied; a retry is useless.
	ErrTooLarge = errors.New("raftstore: command too large")
	// ErrOutcomeUnknown: the command may or may not be applied, now or later. A
	// retry is safe only for an idempotent command.
	ErrOutcomeUnknown = errors.New("raftstore: outcome unknown")
	// ErrStopped: the node was stopped or has failed (see Node.Err). For a
	// command that was under way ErrOutcomeUnknown matches too.
	ErrStopped = errors.New("raftstore: node stopped")
	// ErrMemberExists: a member with that id or URL exists, or existed, or is
	// what it should become. Nothing was changed.
	ErrMemberExists = errors.New("raftstore: member exists")
	// ErrNotCaughtUp: the learner lags too far behind to vote. Nothing was
	// changed; a retry is safe, later.
	ErrNotCaughtUp = errors.New("raftstore: learner has not caught up")
	// ErrWouldLoseQuorum: too few reachable voters would remain. Nothing was
	// changed.
	ErrWouldLoseQuorum = errors.New("raftstore: change would lose the quorum")
	// ErrRemoved: this member was removed from the cluster. Its directory must
	// go; its id never comes back.
	ErrRemoved = errors.New("raftstore: member was removed from the cluster")
	// ErrOtherStorage: the member was seen with another disk. A member that lost
	// its disk must be removed and added again, since it may have voted for what
	// it no longer knows.
	ErrOtherStorage = errors.New("raftstore: member comes with another disk than before")
	// ErrUnknownMember: no member has the given id.
	ErrUnknownMember = errors.New("raftstore: unknown member")
	// ErrMismatch: the data directory or a peer belongs to another cluster or
	// another member. Fix the configuration; a retry is useless.
	ErrMismatch = errors.New("raftstore: cluster or member mismatch")
	// ErrCorrupt: what is on disk contradicts itself. The member must be removed
	// and added again with an empty directory.
	ErrCorrupt = errors.New("raftstore: data directory is corrupt")
)
