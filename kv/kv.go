package kv

import (
	"context"
	"iter"
	"time"
)

// Store is a hierarchical key space: directories and files with indexes,
// conditional writes, expiry and watches, as the etcd v2 API defines them.
// kv/member implements it in process and kv/client over HTTP, so that code
// written against Store runs embedded or against a remote cluster without
// knowing which.
//
// Keys are slash-separated paths; [Clean] gives their one spelling. Every
// method is safe for concurrent use. A failed operation returns an [*Error]
// (test it with errors.Is against the sentinels of this package) or the
// context's error; unless the error is [ErrOutcomeUnknown] it changed nothing.
type Store interface {
	// Get reads a file, or a directory with its children.
	Get(ctx context.Context, key string, opts GetOptions) (Event, error)

	// Set writes a file or makes a directory whether or not the key exists,
	// creating missing parents. Setting an existing directory fails with
	// ErrNotFile.
	Set(ctx context.Context, key, value string, opts SetOptions) (Event, error)

	// Create is Set for a key that must not exist; else ErrKeyExists.
	Create(ctx context.Context, key, value string, opts CreateOptions) (Event, error)

	// CreateInOrder creates a file in directory dir under a name that sorts
	// after that of every earlier CreateInOrder.
	CreateInOrder(ctx context.Context, dir, value string, opts CreateOptions) (Event, error)

	// Update changes the value and expiry of an existing file, or the expiry
	// of an existing directory, and keeps CreatedIndex.
	Update(ctx context.Context, key, value string, opts UpdateOptions) (Event, error)

	// Delete removes a file, or a directory as opts allows.
	Delete(ctx context.Context, key string, opts DeleteOptions) (Event, error)

	// CompareAndSwap is Update of a file on condition; a condition that does
	// not hold fails with ErrCompareFailed.
	CompareAndSwap(ctx context.Context, key, value string, cond Condition, opts UpdateOptions) (Event, error)

	// CompareAndDelete is Delete of a file on condition.
	CompareAndDelete(ctx context.Context, key string, cond Condition) (Event, error)

	// Watch observes changes of key, or of all below it. When Watch has
	// returned, the watch is in place: no change after Watch.Index is missed.
	Watch(ctx context.Context, key string, opts WatchOptions) (*Watch, error)
}

// Action says what an Event reports. The values are those of the v2 API.
type Action string

// The actions of the v2 API.
const (
	ActionGet              Action = "get"
	ActionSet              Action = "set"
	ActionCreate           Action = "create"
	ActionUpdate           Action = "update"
	ActionDelete           Action = "delete"
	ActionExpire           Action = "expire"
	ActionCompareAndSwap   Action = "compareAndSwap"
	ActionCompareAndDelete Action = "compareAndDelete"
)

// Node is one file or directory.
type Node struct {
	// Key is the clean absolute path; "/" is the root.
	Key string
	// Value is the content of a file; empty for a directory and for the Node
	// of a removal.
	Value string
	Dir   bool
	// CreatedIndex and ModifiedIndex are store indexes; both 0 for the root.
	CreatedIndex  uint64
	ModifiedIndex uint64
	// Expiration is when the node will be removed; zero means never.
	Expiration time.Time
	// Nodes are the children of a directory in a Get; nil elsewhere.
	Nodes []Node
}

// Event is the answer to an operation, and what a watch delivers.
type Event struct {
	Action Action
	Node   Node
	// PrevNode is the node before the change; nil where there was none and in
	// a Get.
	PrevNode *Node
	// Index is the store index after the operation; for a Get, the index the
	// answer is at least as new as. In a watch it is the index of the change.
	Index uint64
}

// Condition is what must hold for a conditional write. Fields at their zero
// value are not compared; with both set, both must hold; with neither, the
// operation fails with ErrPrevValueRequired.
type Condition struct {
	PrevValue string
	PrevIndex uint64 // the node's ModifiedIndex
}

// GetOptions change a Get.
type GetOptions struct {
	// Recursive includes the whole subtree of a directory instead of its
	// direct children.
	Recursive bool
	// Sorted orders children by key, bytewise. Unsorted children come in any
	// order.
	Sorted bool
	// Quorum makes the read linearizable. The default may return state that a
	// lagging member still holds, and works without a leader.
	Quorum bool
}

// SetOptions change a Set.
type SetOptions struct {
	// TTL is the node's time to live; zero means for ever. Sub-second values
	// round up to whole seconds when they travel over HTTP.
	TTL time.Duration
	// Dir makes a directory; the value is ignored.
	Dir bool
	// Refresh keeps the value of an existing file, sets only the TTL (which
	// must be given), and wakes no watcher.
	Refresh bool
}

// CreateOptions change a Create or CreateInOrder.
type CreateOptions struct {
	TTL time.Duration // as in SetOptions
	Dir bool          // as in SetOptions
}

// UpdateOptions change an Update or CompareAndSwap.
type UpdateOptions struct {
	TTL     time.Duration // as in SetOptions: zero removes an existing expiry
	Refresh bool          // as in SetOptions
}

// DeleteOptions change a Delete. A file goes in any case.
type DeleteOptions struct {
	// Dir allows removal of an empty directory.
	Dir bool
	// Recursive allows removal of a directory with all below it.
	Recursive bool
}

// WatchOptions change a Watch.
type WatchOptions struct {
	// Recursive also delivers changes below the key, except below names that
	// begin with an underscore.
	Recursive bool
	// From is the first index of interest; zero means the next change. An
	// index in the past replays history, and fails with ErrHistoryCleared if
	// that history is no longer kept.
	From uint64
}

// Watch is a running watch.
type Watch struct {
	// Index is the store index at which the watch began.
	Index uint64
	// Events yields each change in order. It blocks between changes and ends
	// when the watch's context ends or the watch breaks; the last pair then
	// carries a [*WatchError] that says from which index to resume. Breaking
	// out of the loop ends the watch. Events can be ranged over once.
	Events iter.Seq2[Event, error]
}
