package member

import (
	"context"
	"errors"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/raftstore"
)

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
		err = errors.Join(kv.ErrOutcomeUnknown, err)
	case errors.Is(err, raftstore.ErrDropped), errors.Is(err, raftstore.ErrNoLeader),
		errors.Is(err, raftstore.ErrOverloaded), errors.Is(err, raftstore.ErrTooLarge):
		err = errors.Join(kv.ErrNotApplied, err)
	default:
		err = errors.Join(kv.ErrOutcomeUnknown, err)
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
