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
	// Identity tells apart two machines that carry the same ID by mistake. It
	// stays the same when the machine's agent restarts. A Join with the same
	// non-empty Identity takes the machine's key over at once; with any other
	// it has to wait until the key vanishes.
	Identity string
}

func (m Machine) equal(o Machine) bool {
	return m.ID == o.ID && m.PublicIP == o.PublicIP && m.Version == o.Version && m.Identity == o.Identity &&
		maps.Equal(m.Metadata, o.Metadata) && maps.Equal(m.Capabilities, o.Capabilities)
}

// machineBody is the value of a machine's object key. The last two fields
// are not fleet's.
type machineBody struct {
	ID           string
	PublicIP     string
	Metadata     map[string]string
	Capabilities map[string]bool
	Version      string
	Identity     string `json:",omitempty"`
	Incarnation  string `json:",omitempty"` // differs each time the machine joins
}

func encodeMachine(m Machine, incarnation string) string {
	b := machineBody{
		ID:           m.ID,
		Metadata:     m.Metadata,
		Capabilities: m.Capabilities,
		Version:      m.Version,
		Identity:     m.Identity,
		Incarnation:  incarnation,
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
	p := &Presence{r: r, id: m.ID, value: encodeMachine(m, incarnation), ttl: ttl}
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

// Machines reads the machines that are alive, ordered by ID.
func (r *Registry) Machines(ctx context.Context) ([]Machine, error) {
	m := newMirror(Scope{})
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
