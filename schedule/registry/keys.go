package registry

import (
	"strings"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/unit"
)

// layout spells fleet's keys. It is the clean key of the registry's root.
//
//	<root>/unit/<hash>                    the text of a unit file
//	<root>/job/<unit>/object              name and hash of a unit
//	<root>/job/<unit>/target-state        the state it should have
//	<root>/job/<unit>/target              the machine it is scheduled to
//	<root>/job/<unit>/job-state           the machine that launched it; expires
//	<root>/states/<unit>/<machine>        systemd's view of it; expires
//	<root>/machines/<machine>/object      a machine; expires
//	<root>/machines/<machine>/metadata/…  metadata set at run time
//	<root>/engine/version                 least version an engine needs
//	<root>/lease/engine-leader            the engine in charge; expires
//
// These are not fleet's, whose programs pass over them:
//
//	<root>/job/<unit>/pin                 the machine the unit is bound to
//	<root>/job/<unit>/ports/<machine>     ports chosen for it on that machine
//	<root>/machines/<machine>/state       "cordoned" or "draining"
//	<root>/engine/rebalance               an order to the engine; expires
type layout string

func (l layout) blobs() string                     { return string(l) + "/unit" }
func (l layout) blob(h unit.Hash) string           { return l.blobs() + "/" + h.String() }
func (l layout) jobs() string                      { return string(l) + "/job" }
func (l layout) job(unit string) string            { return l.jobs() + "/" + unit }
func (l layout) object(unit string) string         { return l.job(unit) + "/object" }
func (l layout) target(unit string) string         { return l.job(unit) + "/target" }
func (l layout) targetState(unit string) string    { return l.job(unit) + "/target-state" }
func (l layout) heartbeat(unit string) string      { return l.job(unit) + "/job-state" }
func (l layout) pin(unit string) string            { return l.job(unit) + "/pin" }
func (l layout) ports(unit, machine string) string { return l.job(unit) + "/ports/" + machine }
func (l layout) states() string                    { return string(l) + "/states" }
func (l layout) unitStates(unit string) string     { return l.states() + "/" + unit }
func (l layout) state(unit, machine string) string { return l.unitStates(unit) + "/" + machine }
func (l layout) machines() string                  { return string(l) + "/machines" }
func (l layout) machine(id string) string          { return l.machines() + "/" + id }
func (l layout) machineObject(id string) string    { return l.machine(id) + "/object" }
func (l layout) metadata(id, key string) string    { return l.machine(id) + "/metadata/" + key }
func (l layout) machineState(id string) string     { return l.machine(id) + "/state" }
func (l layout) engine() string                    { return string(l) + "/engine" }
func (l layout) engineVersion() string             { return l.engine() + "/version" }
func (l layout) rebalance() string                 { return l.engine() + "/rebalance" }
func (l layout) lease() string                     { return string(l) + "/lease/engine-leader" }

// split returns the segments of key below the root; nil for the root itself
// and for keys elsewhere.
func (l layout) split(key string) []string {
	if !kv.Below(key, string(l)) || key == string(l) {
		return nil
	}
	return strings.Split(key[len(l)+1:], "/")
}

// checkSegment refuses what cannot be one visible segment of a key: a hidden
// name would be stored and never listed or watched.
func checkSegment(what, s string) error {
	switch {
	case s == "":
		return invalidf("%s cannot be empty", what)
	case strings.HasPrefix(s, "_"):
		return invalidf("%s cannot start in %q", what, "_")
	case s == "." || s == ".." || strings.Contains(s, "/"):
		return invalidf("invalid %s: %q", what, s)
	}
	return nil
}
