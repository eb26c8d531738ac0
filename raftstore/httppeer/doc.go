// Package httppeer carries the messages of a raftstore cluster over HTTP.
//
// A Transport is an http.Handler for the paths under /raft/v1/, to be served on
// the member's peer listeners with HTTP/1.1, and a client that dials its peers.
// You owe it a listener, whose address is among the member's peer URLs, and you
// stop the Node, which stops it, before the server.
//
// # Streams
//
// Between two members run up to four long-lived streams, two in each direction:
// one for control messages such as votes and heartbeats, one for messages with
// log entries, so that a large append never delays a heartbeat. A stream is an
// HTTP/1.1 request that is upgraded to "strake-raft/1"; after the 101 the side
// that dialled sends frames. All that comes back are the echoes of its pings, of
// which it sends one each second. They measure the round trip, and show when a
// connection is dead although nobody said so:
//
//	a control stream on which the other side is silent     ends after 3 s
//	a bulk stream                                          ends after 10 s
//	a write of which nothing goes out                      fails after 5 s
//	a dial, TLS and upgrade included                       fails after 5 s
//	a forward whose server is silent, working or not       ends after 10 s
//	a connection for forwards that is not used             ends after a minute
//	a snapshot with a silent receiver or sender            ends after 10 s, 30 s
//
// The silence begins with the ping, so that a connection may be dead for a second
// more before it is noticed. What waits for a peer is bounded; see
// [Transport.Send]. A stream that breaks is dialled again after 50 ms at first
// and 2 s at most, give or take half, at the next of the peer's URLs. Malformed,
// oversized or corrupt frames end their stream and nothing else.
//
// Forwarded client commands go over one more connection, upgraded in the same
// way, that is opened when a member first has some for another. Several batches
// are under way on it at a time; none is ever sent twice. A member that stops
// says which batches it has not taken, so that their callers know.
//
// A snapshot goes over an upgraded connection of its own; one that broke off goes
// on with the files that have not arrived whole.
//
// # Identity
//
// Both sides check cluster and member ids, and ask their Node whether it knows
// the other as a member, with the disk it is known by. A member of another
// cluster is answered 412, an unknown one 403, a removed one 410, one that has
// lost its disk 409; the last two stop the Node of the one who asked.
//
// This is all there is with plain http, which belongs on networks where everybody
// is trusted. With [Config.TLS] connections are made with TLS 1.3, and both sides
// have to show certificates by an authority in the CA file and, if there is a
// list of allowed names, with a name on it; the one that is dialled must have the
// host of its URL among its names besides. A member with TLS refuses peers that
// have an http URL, and one without those that have an https URL. Changed files
// are used from the next connection on, while those that stand stay. The same goes
// for a file of certificates that were revoked, see [TLSConfig.Revoked].
//
// The same [TLS] serves whatever else talks to peers: the listener with
// TLS.Server, a client for [Discover] with TLS.Client.
//
// # Measured
//
// Between two members in one process over the loopback device, on two shared
// cores of an AMD EPYC; medians of three runs of
//
//	go test -run - -bench . -count 3 ./raftstore/httppeer
//
//	                                               http        TLS
//	bulk messages of 256 KiB                       1518 MB/s   1184 MB/s
//	  allocations for each, with that of 256 KiB   2           11
//	control message, one way, median and p99       10, 44 µs   13, 45 µs
//	  while the bulk stream is full                10, 268 µs  11, 1294 µs
//	snapshot of 128 MiB, checked and synced        705 MB/s    630 MB/s
//	processor time of both members together:
//	  message of 1 KiB and its answer              26 µs       30 µs
//	  forward of one command and its outcome       29 µs       32 µs
//	    with eight callers                         17 µs       23 µs
package httppeer
