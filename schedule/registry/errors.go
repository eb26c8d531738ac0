package registry

import (
	"errors"
	"fmt"
)

// Sentinels for errors.Is. Each means that nothing was changed.
var (
	// ErrUnitNotFound: no unit has that name. A retry is useless until somebody
	// creates it.
	ErrUnitNotFound = errors.New("unit does not exist")
	// ErrUnitExists: a unit has that name already.
	ErrUnitExists = errors.New("unit already exists")
	// ErrScheduled: the unit is scheduled already, so it cannot be scheduled
	// again; unschedule it first.
	ErrScheduled = errors.New("unit is already scheduled")
	// ErrNotScheduled: the unit is not scheduled to the machine from which it
	// should be taken.
	ErrNotScheduled = errors.New("unit is not scheduled to that machine")
	// ErrMachineExists: another machine holds the machine ID. It goes away when
	// that machine leaves or its time to live runs out; two machines with one
	// machine ID never get along.
	ErrMachineExists = errors.New("machine ID is taken by another machine")
	// ErrSuperseded: a later process of the same machine has taken over the
	// machine's key. The earlier one has to stop.
	ErrSuperseded = errors.New("a later process of this machine has taken over")
	// ErrLeaseHeld: another engine leads. Try again after its lease's time to
	// live.
	ErrLeaseHeld = errors.New("lease is held by another engine")
	// ErrLeaseLost: the lease is no longer ours.
	ErrLeaseLost = errors.New("lease is lost")
	// ErrPinned: the unit is bound to another machine.
	ErrPinned = errors.New("unit is bound to another machine")
	// ErrRebalancing: an order to rebalance is waiting for the engine. Try again
	// when it is done.
	ErrRebalancing = errors.New("a rebalance is under way")
	// ErrNewerEngine: the cluster is run by engines of a later version.
	ErrNewerEngine = errors.New("cluster runs a newer engine version")
)

// errCorrupt is for a unit whose keys make no sense.
var errCorrupt = errors.New("cannot be read")

// InvalidError is the refusal of a unit name, unit file, state word, machine
// ID or metadata key. Its text is fleet's own, without decoration, because
// programs and people know those texts.
type InvalidError struct {
	Err error
}

// Error returns the reason alone.
func (e *InvalidError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *InvalidError) Unwrap() error { return e.Err }

func invalidf(format string, args ...any) error {
	return &InvalidError{Err: fmt.Errorf(format, args...)}
}
