package raftstore

import "context"

// StateMachine is the user's state, kept equal on every member by applying the
// same commands in the same order.
//
// The runtime calls all methods from one goroutine at a time. The machine may
// serve reads from other goroutines meanwhile.
//
// What you owe:
//   - Apply is deterministic: no clock, no randomness, no map order, no local
//     configuration. Time comes with each command as its Stamp.
//   - Apply stores the Position atomically with the effects of the batch, so
//     that after a crash the state is that of some prefix of the batches. It
//     need not be durable when Apply returns: the log is, and what was lost is
//     applied again from there.
type StateMachine interface {
	// Open opens the state in directory dir, which exists and belongs to the
	// machine alone, and returns the position of the last batch found there;
	// the zero Position for a new state.
	Open(ctx context.Context, dir string) (Position, error)

	// Apply applies the commands in order and moves the state to pos. It
	// returns one result per command. A command that makes no sense is a
	// result, not an error: an error stops the node for good. The commands'
	// Data may be kept but not modified.
	Apply(cmds []Command, pos Position) (results [][]byte, err error)

	// Close makes the state durable and releases it. It is called once, also on a
	// machine that was not opened or failed to open.
	Close() error
}

// Snapshotter is a StateMachine whose state can be copied as files. With one the
// runtime truncates the log, and brings up members that need what the log no
// longer holds. A StateMachine that is not a Snapshotter keeps the whole log,
// which suits state that is in memory and rebuilt at each start.
//
// Durable, Flush and Checkpoint may be called while Apply or Install runs; what
// they do then concerns the state before or after, as a whole.
type Snapshotter interface {
	StateMachine

	// Durable returns the index up to which the state survives a crash. It never
	// falls, and is at least that of the last successful Flush.
	Durable() uint64

	// Flush makes durable all that was applied when it was called.
	Flush(ctx context.Context) error

	// Checkpoint writes a copy of the state as of one position into the new
	// directory dir, and returns that position. It should be cheap: hard links,
	// not copies. The copy contains regular files and directories only.
	Checkpoint(ctx context.Context, dir string) (Position, error)

	// Install replaces the whole state by the checkpoint in dir, which becomes
	// the machine's directory from now on, and returns its position. The machine
	// lets go of its earlier directory. On error the node stops.
	Install(ctx context.Context, dir string) (Position, error)
}

// Command is one proposed command at its place in the log.
type Command struct {
	// Index is the log index of the frame that carried the command. Commands of
	// one frame share it and are told apart by Seq.
	Index uint64
	// Seq counts the commands of a frame from 0.
	Seq int
	// Stamp is the leader's wall clock in nanoseconds since 1970 when it framed
	// the command. It can step back when leadership moves: a machine that needs
	// monotone time keeps the maximum it has seen.
	Stamp int64
	// Data is the command as given to Propose.
	Data []byte
}

// Position is how far a state machine has come.
type Position struct {
	// Index and Term are those of the last applied log entry.
	Index, Term uint64
	// Membership is the cluster's membership at Index, opaque to the state
	// machine, which stores it and gives it back.
	Membership []byte
}
