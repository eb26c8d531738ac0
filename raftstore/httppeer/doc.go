// Package httppeer carries the messages of a raftstore cluster over HTTP.
//
// A Transport is an http.Handler for the paths under /raft/v1/, to be served on
// the member's peer listeners, and a client that dials its peers. Between two
// members run up to four long-lived streams, two in each direction: one for
// control messages such as votes and heartbeats, one for messages with log
// entries, so that a large append never delays a heartbeat. A stream is an
// HTTP/1.1 request that is upgraded; after the 101 the dialling side sends
// frames and nothing comes back. Forwarded client commands are plain POSTs.
//
// Both sides check cluster and member ids: a member of another cluster is
// answered 412, an unknown member 403.
package httppeer
