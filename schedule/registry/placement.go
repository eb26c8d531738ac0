package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/strakeproject/strake/kv"
)

// Schedule assigns a unit to a machine. It fails with ErrScheduled when the
// unit is assigned already, be it to the same machine.
func (r *Registry) Schedule(ctx context.Context, unit, machine string) error {
	if err := checkSegment("unit name", unit); err != nil {
		return err
	}
	if err := checkSegment("machine ID", machine); err != nil {
		return err
	}
	_, err := r.create(ctx, r.keys.target(unit), machine, 0)
	if errors.Is(err, kv.ErrKeyExists) {
		return fmt.Errorf("unit %s: %w", unit, ErrScheduled)
	}
	if err != nil {
		return fmt.Errorf("unit %s: %w", unit, err)
	}
	return nil
}

// Unschedule takes a unit from a machine. It fails with ErrNotScheduled when
// the unit is not assigned to that machine.
func (r *Registry) Unschedule(ctx context.Context, unit, machine string) error {
	if err := checkSegment("unit name", unit); err != nil {
		return err
	}
	err := r.removeIf(ctx, r.keys.target(unit), kv.Condition{PrevValue: machine})
	if errors.Is(err, kv.ErrCompareFailed) || errors.Is(err, kv.ErrKeyNotFound) {
		return fmt.Errorf("unit %s: %w", unit, ErrNotScheduled)
	}
	if err != nil {
		return fmt.Errorf("unit %s: %w", unit, err)
	}
	return nil
}

// Reschedule moves a unit from one machine to another in one step. It fails
// with ErrNotScheduled when the unit is not assigned to from.
func (r *Registry) Reschedule(ctx context.Context, unit, from, to string) error {
	if err := checkSegment("machine ID", to); err != nil {
		return err
	}
	_, err := r.swap(ctx, r.keys.target(unit), to, kv.Condition{PrevValue: from}, 0)
	if errors.Is(err, kv.ErrCompareFailed) || errors.Is(err, kv.ErrKeyNotFound) {
		return fmt.Errorf("unit %s: %w", unit, ErrNotScheduled)
	}
	if err != nil {
		return fmt.Errorf("unit %s: %w", unit, err)
	}
	return nil
}
