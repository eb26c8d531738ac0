// Package raftstore replicates a state machine over a few members with raft,
// and keeps it through crashes.
//
// What you hold: a [Node], from [Open]. [Node.Propose] replicates a command and
// returns what your state machine made of it; any member takes it, whoever
// leads. [Node.ReadBarrier] makes a following read of your own state
// linearizable. [Node.Stop] hands leadership over and ends the member.
//
// What you owe: a deterministic [StateMachine], a directory that is yours alone,
// a [LogStore] such as pebblelog and a [Transport] such as httppeer, which you
// serve on the member's peer address. All members of a new cluster are opened
// with the same Config.Initial; afterwards each finds itself in its directory.
//
// What is promised:
//
//   - A result is returned only when the command is on the disks of a majority
//     and applied here. It survives the loss of any minority.
//   - An error tells whether the command is certainly lost (ErrDropped and its
//     like, a retry is safe) or may still happen (ErrOutcomeUnknown).
//   - Commands are applied on every member in the same order, each exactly once
//     as far as the state can tell.
//   - A member whose disk fails stops; it never guesses.
//
// How a command travels: Propose queues it; the raft loop takes all that wait
// into one frame, which becomes one log entry; the append goroutine writes it
// with one sync while messages carry it to the others; when a majority has it,
// the apply goroutine hands it to the state machine and wakes the caller. While
// two appends wait for the disk new commands gather for the next frame, so
// frames grow with the disk's latency and nothing waits when it is idle.
package raftstore
