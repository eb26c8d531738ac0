package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/unit"
)

// UnitState is what a machine's init system says of a unit, as its agent
// published it.
type UnitState struct {
	Unit    string
	Machine string // machine ID
	// State is in systemd's words. State.Name is Unit.
	State unit.State
}

// stateBody is the value of a unit state's key. MachineState carries nothing
// but the ID, as fleet wrote it; the last three fields are not fleet's.
type stateBody struct {
	LoadState    string       `json:"loadState"`
	ActiveState  string       `json:"activeState"`
	SubState     string       `json:"subState"`
	MachineState *machineBody `json:"machineState"`
	UnitHash     string       `json:"unitHash"`
	Result       string       `json:"result,omitempty"`
	MainPID      int          `json:"mainPID,omitempty"`
	Since        *time.Time   `json:"since,omitempty"`
}

func encodeState(s UnitState) string {
	b := stateBody{
		LoadState:    s.State.Load,
		ActiveState:  s.State.Active,
		SubState:     s.State.Sub,
		MachineState: &machineBody{ID: s.Machine},
		UnitHash:     s.State.Hash.String(),
		Result:       s.State.Result,
		MainPID:      s.State.MainPID,
	}
	if !s.State.Since.IsZero() {
		since := s.State.Since.UTC()
		b.Since = &since
	}
	return encode(b)
}

func decodeState(name, machine, value string) (UnitState, error) {
	var b stateBody
	if err := json.Unmarshal([]byte(value), &b); err != nil {
		return UnitState{}, fmt.Errorf("unit state: %w", err)
	}
	h, err := unit.ParseHash(b.UnitHash)
	if err != nil {
		return UnitState{}, fmt.Errorf("unit state: %w", err)
	}
	s := UnitState{Unit: name, Machine: machine, State: unit.State{
		Name:    name,
		Hash:    h,
		Load:    b.LoadState,
		Active:  b.ActiveState,
		Sub:     b.SubState,
		Result:  b.Result,
		MainPID: b.MainPID,
	}}
	if b.Since != nil {
		s.State.Since = *b.Since
	}
	return s, nil
}

// PublishState stores what a machine says of a unit, to vanish after ttl
// unless published or refreshed again. A state without hash is refused.
func (r *Registry) PublishState(ctx context.Context, s UnitState, ttl time.Duration) error {
	if err := errors.Join(checkSegment("unit name", s.Unit), checkSegment("machine ID", s.Machine)); err != nil {
		return err
	}
	if s.State.Hash.IsZero() {
		return invalidf("state of unit %s has no unit hash", s.Unit)
	}
	if _, err := r.set(ctx, r.keys.state(s.Unit, s.Machine), encodeState(s), ttl); err != nil {
		return fmt.Errorf("state of unit %s: %w", s.Unit, err)
	}
	return nil
}

// RefreshState gives a published state another ttl to live, without waking
// anybody. It publishes s if it has vanished.
func (r *Registry) RefreshState(ctx context.Context, s UnitState, ttl time.Duration) error {
	err := r.refresh(ctx, r.keys.state(s.Unit, s.Machine), ttl)
	if errors.Is(err, kv.ErrKeyNotFound) {
		return r.PublishState(ctx, s, ttl)
	}
	return err
}

// RemoveState withdraws the state that a machine published of a unit; states
// of other machines stay. It is not an error if there is none.
func (r *Registry) RemoveState(ctx context.Context, name, machine string) error {
	if err := r.removeAny(ctx, r.keys.state(name, machine)); err != nil {
		return err
	}
	return r.sweep(ctx, r.keys.unitStates(name))
}

// Launch tells that a machine has launched a unit, to be believed for ttl
// unless refreshed.
func (r *Registry) Launch(ctx context.Context, name, machine string, ttl time.Duration) error {
	if err := errors.Join(checkSegment("unit name", name), checkSegment("machine ID", machine)); err != nil {
		return err
	}
	if _, err := r.set(ctx, r.keys.heartbeat(name), machine, ttl); err != nil {
		return fmt.Errorf("unit %s: %w", name, err)
	}
	return nil
}

// RefreshLaunch gives the report of Launch another ttl to live, without waking
// anybody. It fails with kv.ErrKeyNotFound when the report has vanished or its
// unit is destroyed.
func (r *Registry) RefreshLaunch(ctx context.Context, name string, ttl time.Duration) error {
	return r.refresh(ctx, r.keys.heartbeat(name), ttl)
}

// Unlaunch withdraws what Launch told, unless another machine has told the
// same since.
func (r *Registry) Unlaunch(ctx context.Context, name, machine string) error {
	err := r.removeIf(ctx, r.keys.heartbeat(name), kv.Condition{PrevValue: machine})
	if errors.Is(err, kv.ErrKeyNotFound) || errors.Is(err, kv.ErrCompareFailed) {
		return nil
	}
	if err != nil {
		return err
	}
	// A report that crossed with the destruction of its unit has left an
	// otherwise empty directory behind.
	return r.sweep(ctx, r.keys.job(name))
}

// States reads all unit states, ordered by unit and machine.
func (r *Registry) States(ctx context.Context) ([]UnitState, error) {
	m := newMirror(Scope{States: true}, r.derive)
	if _, err := r.loadTree(ctx, m, r.keys.states()); err != nil {
		return nil, err
	}
	return m.allStates(), nil
}

// UnitStates reads the states of one unit, ordered by machine.
func (r *Registry) UnitStates(ctx context.Context, name string) ([]UnitState, error) {
	if err := checkSegment("unit name", name); err != nil {
		return nil, err
	}
	m := newMirror(Scope{States: true}, r.derive)
	if _, err := r.loadTree(ctx, m, r.keys.unitStates(name)); err != nil {
		return nil, err
	}
	return m.allStates(), nil
}

// removeAny removes a file that may be gone already.
func (r *Registry) removeAny(ctx context.Context, key string) error {
	if err := r.remove(ctx, key, kv.DeleteOptions{}); err != nil && !errors.Is(err, kv.ErrKeyNotFound) {
		return err
	}
	return nil
}

// sweep removes a directory if nothing is in it.
func (r *Registry) sweep(ctx context.Context, key string) error {
	err := r.remove(ctx, key, kv.DeleteOptions{Dir: true})
	if errors.Is(err, kv.ErrKeyNotFound) || errors.Is(err, kv.ErrDirNotEmpty) {
		return nil
	}
	return err
}
