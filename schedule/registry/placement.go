package registry

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

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

// Pin binds a unit to a machine for as long as the unit exists. It fails with
// ErrPinned when the unit is bound to another.
func (r *Registry) Pin(ctx context.Context, unit, machine string) error {
	if err := checkSegment("unit name", unit); err != nil {
		return err
	}
	_, err := r.create(ctx, r.keys.pin(unit), machine, 0)
	if errors.Is(err, kv.ErrKeyExists) {
		var ev kv.Event
		if ev, err = r.read(ctx, r.keys.pin(unit), false); err == nil && ev.Node.Value != machine {
			err = ErrPinned
		}
	}
	if err != nil {
		return fmt.Errorf("unit %s: %w", unit, err)
	}
	return nil
}

// GivePorts says which ports a unit may use on a machine. It has to come before
// the unit does.
func (r *Registry) GivePorts(ctx context.Context, unit, machine string, ports []uint16) error {
	if err := checkSegment("unit name", unit); err != nil {
		return err
	}
	if err := checkSegment("machine ID", machine); err != nil {
		return err
	}
	if _, err := r.set(ctx, r.keys.ports(unit, machine), formatPorts(ports), 0); err != nil {
		return fmt.Errorf("unit %s: %w", unit, err)
	}
	return nil
}

// TakePorts forgets the ports that a unit has had on a machine.
func (r *Registry) TakePorts(ctx context.Context, unit, machine string) error {
	err := r.remove(ctx, r.keys.ports(unit, machine), kv.DeleteOptions{})
	if err != nil && !errors.Is(err, kv.ErrKeyNotFound) {
		return fmt.Errorf("unit %s: %w", unit, err)
	}
	return nil
}

func formatPorts(ports []uint16) string {
	words := make([]string, 0, len(ports))
	for _, p := range ports {
		words = append(words, strconv.Itoa(int(p)))
	}
	return strings.Join(words, " ")
}

// parsePorts is the inverse of formatPorts; what cannot be read is left out.
func parsePorts(value string) []uint16 {
	var ports []uint16
	for _, word := range strings.Fields(value) {
		if n, err := strconv.ParseUint(word, 10, 16); err == nil && n > 0 {
			ports = append(ports, uint16(n))
		}
	}
	return ports
}
