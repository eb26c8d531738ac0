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
//     of a [Writer]; Apply's results are for [DecodeResult].
//   - Time passes by the stamps of commands only. Call [Tree.WaitDue] where the
//     leader is, and when it returns propose an OpExpire; nothing expires
//     otherwise.
//
// What you get: [Tree.Get], [Tree.List], [Tree.Watch], [Tree.Index] and [Tree.Members], from
// any goroutine, of the state applied here.
//
// Each Apply is one batch that carries its own position in the log. The
// database keeps no write-ahead log of its own: after a crash it is the state
// after some earlier batch, and the rest is applied again.
//
// A [Local] is a Tree that orders its own commands: a kv.Store for one process
// and for tests, also under testing/synctest.
package tree
