package member

import (
	"context"
	"errors"
	"fmt"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/raftstore"
)

// Errors of a change of the cluster's members. Each means that nothing was
// changed; a retry is useless unless something else changes.
var (
	// ErrMemberExists: another member has one of the peer URLs.
	ErrMemberExists = errors.New("membership: peerURL exists")
	// ErrMemberNotFound: no member has the id.
	ErrMemberNotFound = errors.New("membership: no such member")
	// ErrMemberRemoved: the member was removed from the cluster for good. Such a
	// member ends with this error, and its data directory is to be removed.
	ErrMemberRemoved = errors.New("membership: member was permanently removed")
	// ErrUnhealthy: too few members would be left that are there and vote.
	ErrUnhealthy = errors.New("etcdserver: unhealthy cluster")
)

// changeError turns a refusal of a change of members into an error of this
// package, and any other failure into that of a write.
func changeError(err error) error {
	for _, e := range []struct{ from, to error }{
		{raftstore.ErrMemberExists, ErrMemberExists},
		{raftstore.ErrUnknownMember, ErrMemberNotFound},
		{raftstore.ErrRemoved, ErrMemberRemoved},
		{raftstore.ErrWouldLoseQuorum, ErrUnhealthy},
	} {
		if errors.Is(err, e.from) {
			return fmt.Errorf("%w: %w", e.to, err)
		}
	}
	return writeError(err)
}

// removedError says in terms of this package that the member itself was removed.
func removedError(err error) error {
	if errors.Is(err, raftstore.ErrRemoved) {
		return fmt.Errorf("%w: %w", ErrMemberRemoved, err)
	}
	return err
}

// storeError turns a failure of the cluster into one of the key space: error
// 300 with the original's words for a cause, the failure itself underneath.
func storeError(err error) error {
	return &kv.Error{Code: kv.CodeRaftInternal, Cause: cause(err), Err: err}
}

// writeError is storeError for a write; it says whether the write may still
// happen.
func writeError(err error) error {
	switch {
	case errors.Is(err, raftstore.ErrOutcomeUnknown):
		err = fmt.Errorf("%w: %w", kv.ErrOutcomeUnknown, err)
	case errors.Is(err, raftstore.ErrDropped), errors.Is(err, raftstore.ErrNoLeader),
		errors.Is(err, raftstore.ErrOverloaded), errors.Is(err, raftstore.ErrTooLarge):
		err = fmt.Errorf("%w: %w", kv.ErrNotApplied, err)
	default:
		err = fmt.Errorf("%w: %w", kv.ErrOutcomeUnknown, err)
	}
	return storeError(err)
}

func cause(err error) string {
	switch {
	case errors.Is(err, raftstore.ErrTooLarge):
		return "etcdserver: request is too large"
	case errors.Is(err, raftstore.ErrOverloaded):
		return "etcdserver: too many requests"
	case errors.Is(err, raftstore.ErrStopped):
		return "etcdserver: server stopped"
	case errors.Is(err, context.Canceled):
		return "etcdserver: request cancelled"
	case errors.Is(err, context.DeadlineExceeded):
		return "etcdserver: request timed out"
	case errors.Is(err, raftstore.ErrOutcomeUnknown):
		return "etcdserver: request timed out, possibly due to previous leader failure"
	default:
		return "etcdserver: request failed"
	}
}
