// Package kv is the key space: its interface, its types, its errors and its
// path rules, and nothing that does I/O.
//
// The model is that of the etcd v2 API. A key is a path; a node is a file with
// a value or a directory with children; every change takes the next number of
// one store-wide index; writes can be conditional on a value or an index;
// nodes can expire; watches deliver changes in order, from any index that
// history still holds.
//
// Program against [Store]. Sub-packages provide it:
//
//	kv/member  one member of a replicated cluster, in process
//	kv/client  any v2 server over HTTP, the original etcd included
//	kv/tree    the state machine underneath; tree.Local is a Store in memory
//	           for tests
//
// and kv/httpapi serves the v2 HTTP API from any Store.
//
// The examples show patterns to copy: leader election, registration of services,
// a queue, and configuration that is followed.
package kv
