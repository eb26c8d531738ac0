// Package raftstore replicates a state machine over a few members with raft,
// and keeps it through crashes.
//
// # What you hold
//
// A [Node], from [Open]. [Node.Propose] replicates a command and returns what
// your state machine made of it; any member takes it, whoever leads.
// [Node.ReadBarrier] makes a following read of your own state linearizable.
// [Node.AddLearner], [Node.Promote] and [Node.Remove] change who belongs to the
// cluster. [Node.Stop] hands leadership over and ends the member.
//
// # What you owe
//
// A deterministic [StateMachine], a directory that is yours alone, a [LogStore]
// such as seglog and a [Transport] such as httppeer, which you serve on the
// member's peer address. All members of a new cluster are opened with the same
// Config.Initial; one that joins later is added first and opened with
// Config.Join; afterwards each finds itself in its directory. A state machine
// that keeps its state on disk implements [Snapshotter] too: then the log is
// trimmed, members that were away too long get a copy of the state as files, and
// [Node.Backup] works.
//
// # What is promised
//
//   - A result is returned only when the command is on the disks of a majority
//     and applied here. It survives the loss of any minority.
//   - An error tells whether the command is certainly lost (ErrDropped and its
//     like, a retry is safe) or may still happen (ErrOutcomeUnknown).
//   - Commands are applied on every member in the same order, each exactly once
//     as far as the state can tell.
//   - A member whose disk fails stops; it never guesses. A leader whose disk
//     hangs loses its leadership. [Node.Done] tells of a failed member even while
//     its disk hangs.
//   - A member that comes back with another disk than before, or after it was
//     removed, is refused: it may have voted for what it no longer knows. That
//     holds once the cluster has seen the member's first disk, which takes the
//     leader a moment after both have started for the first time.
//
// # How a command travels
//
// Propose queues it, and turns the raft loop unless another goroutine does; that
// takes all that wait into one frame, which becomes one log entry; the append
// goroutine writes it with one sync while messages carry it to the others; when a
// majority has it, the apply goroutine hands it to the state machine and wakes the
// caller. While a frame is not committed new commands gather for the next one, for a
// millisecond at most, so frames grow with the latency of disks and of near quorums,
// and nothing waits when all are idle. Followers forward commands, not raft
// proposals, so that one member stamps them and knows their fate.
//
// # How fast it is
//
// Members in one process with logs on one disk, messages handed over in memory,
// commands of 256 bytes; medians on 2 shared cores of an AMD EPYC, where an
// fdatasync takes about 110 µs, of
//
//	go test -run - -bench . -count 3 ./raftstore
//
//	                                   1 member    3 members
//	1 proposer, median latency         154 µs      257 µs
//	256 proposers, commands/s          476,000     129,000
//	  CPU of all members, each         2.3 µs      8.5 µs
//	128 readers a core, ReadBarrier/s              1,740,000
//
// Others use the machine, and with them these numbers vary by a third from one hour
// to the next.
//
// What a state of 1 GiB takes to be opened, copied and sent is measured in
// internal/bigstate.
//
// # Testing
//
// raftsim is a network and a disk in memory for tests of your own state machine.
// This package's own tests simulate whole clusters step by step, with crashes,
// partitions, snapshots and changes of membership decided by a seed; to run more
// of them:
//
//	go test ./raftstore -run Simulated -raftstore.seeds=10000
package raftstore
