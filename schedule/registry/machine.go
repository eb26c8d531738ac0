package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/schedule"
)

// Machine is a machine of the cluster, alive as far as the registry shows.
type Machine struct {
	// ID is the machine's identity: the content of /etc/machine-id.
	ID string
	// PublicIP is where other machines reach it; may be invalid for unknown.
	PublicIP netip.Addr
	// Metadata places units. What is read includes what SetMetadata set.
	Metadata map[string]string
	// Capabilities are switches that other programs look at, such as
	// DISABLE_ENGINE.
	Capabilities map[string]bool
	Version      string
	// Capacity, Dedicated and PortRange are as in schedule.Machine; the machine
	// itself publishes them, after what it keeps for itself.
	Capacity  *schedule.Resources
	Dedicated string
	PortRange [2]uint16
	// State is what SetMachineState has set. Join does not look at it.
	State schedule.MachineState
	// TTL is how long the machine outlasts its last heartbeat, as it says; 0 for
	// one that does not say. Join does not look at it.
	TTL time.Duration
	// Identity tells apart two machines that carry the same ID by mistake. It
	// stays the same when the machine's agent restarts. A Join with the same
	// non-empty Identity takes the machine's key over at once; with any other
	// it has to wait until the key vanishes.
	Identity string
}

func (m Machine) equal(o Machine) bool {
	return m.ID == o.ID && m.PublicIP == o.PublicIP && m.Version == o.Version && m.Identity == o.Identity &&
		m.Dedicated == o.Dedicated && m.PortRange == o.PortRange && m.State == o.State && m.TTL == o.TTL &&
		maps.Equal(m.Metadata, o.Metadata) && maps.Equal(m.Capabilities, o.Capabilities) && sameCapacity(m.Capacity, o.Capacity)
}

func sameCapacity(a, b *schedule.Resources) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.CPU == b.CPU && a.Memory == b.Memory && a.Disk == b.Disk && maps.Equal(a.Counters, b.Counters)
}

// machineBody is the value of a machine's object key. The fields after Version
// are not fleet's.
type machineBody struct {
	ID           string
	PublicIP     string
	Metadata     map[string]string
	Capabilities map[string]bool
	Version      string
	Identity     string        `json:",omitempty"`
	Incarnation  string        `json:",omitempty"` // differs each time the machine joins
	Capacity     *capacityBody `json:",omitempty"`
	Dedicated    string        `json:",omitempty"`
	PortRange    *[2]uint16    `json:",omitempty"`
	TTL          int64         `json:",omitempty"` // milliseconds
}

// capacityBody is schedule.Resources in its units.
type capacityBody struct {
	MilliCPU int64
	Memory   int64
	Disk     int64
	Counters map[string]int64 `json:",omitempty"`
}

func encodeMachine(m Machine, incarnation string, ttl time.Duration) string {
	b := machineBody{
		ID:           m.ID,
		Metadata:     m.Metadata,
		Capabilities: m.Capabilities,
		Version:      m.Version,
		Identity:     m.Identity,
		Incarnation:  incarnation,
		Dedicated:    m.Dedicated,
		TTL:          ttl.Milliseconds(),
	}
	if c := m.Capacity; c != nil {
		b.Capacity = &capacityBody{MilliCPU: c.CPU, Memory: c.Memory, Disk: c.Disk, Counters: c.Counters}
	}
	if m.PortRange != [2]uint16{} {
		b.PortRange = &m.PortRange
	}
	if m.PublicIP.IsValid() {
		b.PublicIP = m.PublicIP.String()
	}
	return encode(b)
}

func decodeMachine(id, value string) (Machine, error) {
	var b machineBody
	if err := json.Unmarshal([]byte(value), &b); err != nil {
		return Machine{}, fmt.Errorf("machine %s: %w", id, err)
	}
	m := Machine{
		ID:           id,
		Metadata:     b.Metadata,
		Capabilities: b.Capabilities,
		Version:      b.Version,
		Identity:     b.Identity,
		Dedicated:    b.Dedicated,
		TTL:          time.Duration(b.TTL) * time.Millisecond,
	}
	if c := b.Capacity; c != nil {
		m.Capacity = &schedule.Resources{CPU: c.MilliCPU, Memory: c.Memory, Disk: c.Disk, Counters: c.Counters}
	}
	if b.PortRange != nil {
		m.PortRange = *b.PortRange
	}
	if err := checkMachine(m); err != nil {
		return Machine{}, err
	}
	if b.PublicIP != "" {
		// A published address that is none is like none at all: it only serves
		// people and ssh.
		m.PublicIP, _ = netip.ParseAddr(b.PublicIP)
	}
	return m, nil
}

// Presence is a machine's place in the cluster. It lasts while Beat is called
// more often than its time to live.
type Presence struct {
	r     *Registry
	id    string
	value string
	ttl   time.Duration

	mu    sync.Mutex
	index uint64 // of the last write to the key known to be ours; protected by mu
}

// Join registers a machine for ttl. It fails with ErrMachineExists while
// another machine holds the ID. incarnation must differ from that of any other
// Join of the same ID; random text does.
func (r *Registry) Join(ctx context.Context, m Machine, incarnation string, ttl time.Duration) (*Presence, error) {
	if err := checkSegment("machine ID", m.ID); err != nil {
		return nil, err
	}
	if err := checkMachine(m); err != nil {
		return nil, &InvalidError{Err: err}
	}
	p := &Presence{r: r, id: m.ID, value: encodeMachine(m, incarnation, ttl), ttl: ttl}
	key := r.keys.machineObject(m.ID)
	ev, err := r.create(ctx, key, p.value, ttl)
	if errors.Is(err, kv.ErrKeyExists) {
		ev, err = r.takeOver(ctx, m, p)
	}
	if err != nil {
		return nil, fmt.Errorf("machine %s: %w", m.ID, err)
	}
	p.index = ev.Node.ModifiedIndex
	return p, nil
}

// takeOver replaces the object of an earlier process of the same machine.
func (r *Registry) takeOver(ctx context.Context, m Machine, p *Presence) (kv.Event, error) {
	key := r.keys.machineObject(m.ID)
	old, err := r.read(ctx, key, false)
	if errors.Is(err, kv.ErrKeyNotFound) {
		return r.create(ctx, key, p.value, p.ttl)
	}
	if err != nil {
		return kv.Event{}, err
	}
	holder, err := decodeMachine(m.ID, old.Node.Value)
	if err != nil || m.Identity == "" || holder.Identity != m.Identity {
		return kv.Event{}, ErrMachineExists
	}
	ev, err := r.swap(ctx, key, p.value, kv.Condition{PrevIndex: old.Node.ModifiedIndex}, p.ttl)
	if errors.Is(err, kv.ErrCompareFailed) || errors.Is(err, kv.ErrKeyNotFound) {
		return kv.Event{}, ErrMachineExists
	}
	return ev, err
}

// Beat keeps the machine registered for another ttl, and registers it again if
// that had run out. It fails with ErrSuperseded once a later process of the
// machine has joined, or ErrMachineExists if another machine has taken the ID.
func (p *Presence) Beat(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := p.r.keys.machineObject(p.id)
	err := p.beat(ctx, key)
	if errors.Is(err, kv.ErrCompareFailed) {
		// Either the answer to an earlier beat was lost, or the key is another's.
		if err = p.adopt(ctx, key); err == nil {
			err = p.beat(ctx, key)
		}
	}
	if errors.Is(err, kv.ErrKeyNotFound) {
		var ev kv.Event
		if ev, err = p.r.create(ctx, key, p.value, p.ttl); err == nil {
			p.index = ev.Node.ModifiedIndex
		}
	}
	if errors.Is(err, kv.ErrKeyExists) {
		err = ErrSuperseded
	}
	if err != nil {
		return fmt.Errorf("machine %s: %w", p.id, err)
	}
	return nil
}

func (p *Presence) beat(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, p.r.timeout)
	defer cancel()
	ev, err := p.r.store.CompareAndSwap(ctx, key, "", kv.Condition{PrevIndex: p.index}, kv.UpdateOptions{TTL: p.ttl, Refresh: true})
	if err != nil {
		return fmt.Errorf("refresh %s: %w", key, err)
	}
	p.index = ev.Node.ModifiedIndex
	return nil
}

// adopt takes over the index of the key if its content is ours.
func (p *Presence) adopt(ctx context.Context, key string) error {
	ev, err := p.r.read(ctx, key, false)
	if err != nil {
		return err
	}
	if ev.Node.Value != p.value {
		return ErrSuperseded
	}
	p.index = ev.Node.ModifiedIndex
	return nil
}

// Leave takes the machine out of the cluster at once. It does nothing if a
// later process has taken over.
func (p *Presence) Leave(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.r.removeIf(ctx, p.r.keys.machineObject(p.id), kv.Condition{PrevValue: p.value})
	if err != nil && !errors.Is(err, kv.ErrKeyNotFound) && !errors.Is(err, kv.ErrCompareFailed) {
		return fmt.Errorf("machine %s: %w", p.id, err)
	}
	return nil
}

// checkMachine refuses what a scheduler would: a capacity below nothing, a range
// of ports that ends before it begins.
func checkMachine(m Machine) error {
	return schedule.New(schedule.Options{}).SetMachine(m.Schedulable())
}

// The words for what a machine is open for. No word, or another, is Open.
const (
	stateOpen     = "open"
	stateCordoned = "cordoned"
	stateDraining = "draining"
)

// FormatMachineState returns the word for a state: open, cordoned or draining.
func FormatMachineState(s schedule.MachineState) string {
	switch s {
	case schedule.Cordoned:
		return stateCordoned
	case schedule.Draining:
		return stateDraining
	}
	return stateOpen
}

// ParseMachineState returns the state that word names, or an [*InvalidError].
func ParseMachineState(word string) (schedule.MachineState, error) {
	for _, s := range []schedule.MachineState{schedule.Open, schedule.Cordoned, schedule.Draining} {
		if FormatMachineState(s) == word {
			return s, nil
		}
	}
	return schedule.Open, invalidf("invalid machine state %q: expect %s, %s or %s", word, stateOpen, stateCordoned, stateDraining)
}

// SetMachineState says what a machine is open for, present or not. It outlasts
// the machine's absence. The engine acts on it; programs older than this
// project's do not know of it.
func (r *Registry) SetMachineState(ctx context.Context, machine string, s schedule.MachineState) error {
	if err := checkSegment("machine ID", machine); err != nil {
		return err
	}
	key := r.keys.machineState(machine)
	var err error
	if s == schedule.Open {
		err = r.remove(ctx, key, kv.DeleteOptions{})
	} else {
		_, err = r.set(ctx, key, FormatMachineState(s), 0)
	}
	if err != nil && !errors.Is(err, kv.ErrKeyNotFound) {
		return fmt.Errorf("state of machine %s: %w", machine, err)
	}
	return nil
}

// Machines reads the machines that are alive, ordered by ID.
func (r *Registry) Machines(ctx context.Context) ([]Machine, error) {
	m := newMirror(Scope{}, r.derive)
	if _, err := r.loadTree(ctx, m, r.keys.machines()); err != nil {
		return nil, err
	}
	return slices.Collect(m.allMachines()), nil
}

// metadataKey is what the original accepts as a key.
var metadataKey = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// CheckMetadata refuses a machine ID and metadata key that SetMetadata would
// refuse, with an [*InvalidError].
func CheckMetadata(machine, key string) error {
	if checkSegment("machine ID", machine) != nil || checkSegment("metadata key", key) != nil || !metadataKey.MatchString(key) {
		return invalidf("machine metadata path invalid")
	}
	return nil
}

// SetMetadata sets a metadata value of a machine, present or not, over what
// the machine itself publishes. It outlasts the machine's absence. An empty
// value hides the key.
func (r *Registry) SetMetadata(ctx context.Context, machine, key, value string) error {
	if err := CheckMetadata(machine, key); err != nil {
		return err
	}
	if _, err := r.set(ctx, r.keys.metadata(machine, key), value, 0); err != nil {
		return fmt.Errorf("metadata of machine %s: %w", machine, err)
	}
	return nil
}
