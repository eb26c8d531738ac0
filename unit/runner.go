package unit

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Runner loads, starts and stops units on one machine. unit/process implements
// it by supervising processes itself.
//
// Methods are safe for concurrent use. A method given several units treats each
// by itself: one that fails does not stop the others, and the returned error
// joins a [*RunError] for each that failed.
type Runner interface {
	// Load makes units known, ready to start. Loading a unit again with another
	// file replaces the file; what runs of the old one goes on until it is
	// stopped. Loading is one step for all units given, so that a runner that
	// has to reload its daemon does so once.
	Load(ctx context.Context, units ...Unit) error

	// Unload stops units and forgets them. Unknown names are ignored.
	Unload(ctx context.Context, names ...string) error

	// Start asks for units to run and returns when the runner has taken the
	// request, not when they run: the outcome shows in their State. Starting a
	// unit that runs does nothing.
	Start(ctx context.Context, names ...string) error

	// Stop asks for units to end and returns when the request is taken.
	Stop(ctx context.Context, names ...string) error

	// States returns the state of each loaded unit, ordered by name.
	States(ctx context.Context) ([]State, error)

	// Watch yields the state of each loaded unit and then each change of one.
	// A slow reader misses intermediate states but never the latest. The
	// state of an unloaded unit comes last with Load "not-found". Watch ends with
	// ctx.
	Watch(ctx context.Context) iter.Seq[State]

	// Journal yields what a unit has written, oldest first.
	Journal(ctx context.Context, name string, opts JournalOptions) iter.Seq2[JournalEntry, error]
}

// ErrNotLoaded is the cause when a unit is to be started, stopped or read that
// the runner has not loaded.
var ErrNotLoaded = errors.New("unit is not loaded")

// Unit is a unit file under its name.
type Unit struct {
	Name string
	File *File
}

// State is a unit's state on one machine, in systemd's words.
type State struct {
	Name string
	Hash Hash // of the file that was loaded
	// Load is "loaded", "not-found" or "error".
	Load string
	// Active is "active", "activating", "deactivating", "inactive" or "failed".
	Active string
	// Sub refines Active: "running", "exited", "start-pre", "auto-restart",
	// "dead", "failed" and so on.
	Sub string
	// Result is why a failed unit failed: "success", "exit-code", "signal",
	// "timeout", "resources", "start-limit-hit".
	Result string
	// MainPID is the main process; 0 when there is none.
	MainPID int
	// Since is when Active last changed.
	Since time.Time
}

// JournalOptions select what Journal yields.
type JournalOptions struct {
	// Lines is how many of the latest entries to begin with; 0 means 10, and a
	// negative number means all that are kept.
	Lines int
	// Follow goes on with new entries until the context ends.
	Follow bool
}

// JournalEntry is one line that a unit wrote.
type JournalEntry struct {
	Time time.Time
	// Unit, Identifier and PID say who wrote: for a unit's own process the
	// program's base name and process id, for the runner "strake" and 0.
	Unit       string
	Identifier string
	PID        int
	Message    string // without the newline
}

// RunError is the failure of an operation on one unit.
type RunError struct {
	Op   string // "load", "start", ...
	Unit string
	Err  error
}

// Error names operation and unit.
func (e *RunError) Error() string { return e.Op + " " + e.Unit + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *RunError) Unwrap() error { return e.Err }
