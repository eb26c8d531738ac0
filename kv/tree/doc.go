// Package tree is the key space as a state machine: directories, files,
// indexes, conditional writes, expiry, history and watches, kept in Pebble.
//
// A [Tree] is driven from outside. You hold a Tree from [New]; a
// [raftstore.Node], or whoever orders commands, owns it: it calls Open once,
// then Apply with the same commands in the same order on every member, and
// Close. In between it may copy the state with Checkpoint and replace it with
// Install (see [raftstore.Snapshotter]). What you owe:
//
//   - Commands are made by [Command.Encode], or by calling the kv.Store methods
//     of a [Writer]; Apply's results are for [Command.DecodeResult].
//   - Time passes by the stamps of commands only. Call [Tree.WaitDue] where the
//     leader is, and when it returns propose an OpExpire; nothing expires
//     otherwise.
//
// What you get: [Tree.Get], [Tree.List], [Tree.Watch], [Tree.Index] and
// [Tree.Members], from any goroutine, of the state applied here.
//
// Each Apply is one batch that carries its own position in the log. The
// database keeps no write-ahead log of its own: after a crash it is the state
// after some earlier batch, and the rest is applied again. A disk that fails, or is
// full, leaves the same: nothing is written to it any more, and Apply, Flush,
// Checkpoint and Close return why.
//
// # Size
//
// Memory does not grow with the number of keys. With ten million keys of 256 bytes,
// on two processors that others were busy on:
//
//	written from nothing, in batches of 500     139,000/s, RSS 283 MB at most
//	opened                                      0.02 s, RSS 27 MB
//	read, any of them, from the system's cache  15 µs
//	listed, recursively                         5.8 s, RSS 313 MB at most
//	copied with Checkpoint beside writes        0.02 s, the slowest write took 2 ms
//	copy opened                                 0.01 s
//	1,000 directories removed recursively       1.2 s, RSS 301 MB at most
//
// and with a hundred thousand watchers of one key, each read by a goroutine: RSS
// 569 MB, an event holds up the next write for 11 ms and has reached all of them
// after 0.7 s. A read of a file that commands touched lately takes 0.25 µs. Measure
// it with
//
//	go run ./examples/versus scale
//
// # Cost
//
// A set writes one record of the node. All sets of a log entry share a record of
// the changelog, which holds the values before and after and is written to
// disk once. Processor time of a set of 256 bytes, with its
// share of flushes and compactions, on two processors that others were busy on:
//
//	keys         in batches of    processor    to disk    allocations
//	10,000                   1       8.1 µs      390 B              5
//	10,000                  10       5.3 µs      360 B              3
//	10,000                 100       4.6 µs      340 B              3
//	1,000,000               10       9.4 µs      640 B              4
//
// Measure it with
//
//	go test -run - -bench Apply -benchtime 300000x ./kv/tree
//
// A [Local] is a Tree that orders its own commands: a kv.Store for one process
// and for tests, also under testing/synctest.
package tree
