package kv

import "context"

// A Lister is a Store that can read a large directory without holding all of it.
// kv/member and kv/tree's Local are.
type Lister interface {
	// List reads what Get reads with the same options, and calls each for one node
	// after the other, without Nodes: first for key itself, then for what is below
	// it, each directory before its children, and siblings in the order of their
	// keys. All are of one state of the store, that at the given index, whatever
	// happens meanwhile; so each should not take long. List ends with the context,
	// or with the first error of each and returns that.
	List(ctx context.Context, key string, opts GetOptions, each func(index uint64, n Node) error) error
}
