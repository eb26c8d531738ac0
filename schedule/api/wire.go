package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

// Unit is a unit as the API shows it.
type Unit struct {
	// CurrentState is empty for a global unit.
	CurrentState registry.State `json:"currentState,omitempty"`
	DesiredState registry.State `json:"desiredState,omitempty"`
	// MachineID is where the unit is scheduled; empty for nowhere, and for a
	// global unit.
	MachineID string   `json:"machineID,omitempty"`
	Name      string   `json:"name,omitempty"`
	Options   []Option `json:"options,omitempty"`
}

// Option is one assignment of a unit file.
type Option struct {
	Name    string `json:"name,omitempty"`
	Section string `json:"section,omitempty"`
	Value   string `json:"value,omitempty"`
}

// File is the unit's file.
func (u Unit) File() (*unit.File, error) {
	options := make([]unit.Option, 0, len(u.Options))
	for _, o := range u.Options {
		options = append(options, unit.Option{Section: o.Section, Name: o.Name, Value: o.Value})
	}
	return unit.NewFile(options)
}

func optionsOf(f *unit.File) []Option {
	var options []Option
	for _, o := range f.Options() {
		options = append(options, Option{Section: o.Section, Name: o.Name, Value: o.Value})
	}
	return options
}

func unitOf(u registry.Unit) Unit {
	return Unit{
		CurrentState: u.Current,
		DesiredState: u.Target,
		MachineID:    u.Machine,
		Name:         u.Name,
		Options:      optionsOf(u.File),
	}
}

// UnitState is what one machine says of a unit.
type UnitState struct {
	Hash      string `json:"hash,omitempty"`
	MachineID string `json:"machineID,omitempty"`
	// MainPID, Result and Since are not fleet's; a server sends them to a
	// client that asks for detail.
	MainPID            int        `json:"mainPID,omitempty"`
	Name               string     `json:"name,omitempty"`
	Result             string     `json:"result,omitempty"`
	Since              *time.Time `json:"since,omitempty"`
	SystemdActiveState string     `json:"systemdActiveState,omitempty"`
	SystemdLoadState   string     `json:"systemdLoadState,omitempty"`
	SystemdSubState    string     `json:"systemdSubState,omitempty"`
}

// stateOf leaves out what fleet did not have.
func stateOf(s registry.UnitState) UnitState {
	return UnitState{
		Hash:               s.State.Hash.String(),
		MachineID:          s.Machine,
		Name:               s.Unit,
		SystemdActiveState: s.State.Active,
		SystemdLoadState:   s.State.Load,
		SystemdSubState:    s.State.Sub,
	}
}

func detailOf(s registry.UnitState) UnitState {
	d := stateOf(s)
	d.MainPID, d.Result = s.State.MainPID, s.State.Result
	if !s.State.Since.IsZero() {
		d.Since = &s.State.Since
	}
	return d
}

// Machine is a machine that is alive.
type Machine struct {
	ID        string            `json:"id,omitempty"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	PrimaryIP string            `json:"primaryIP,omitempty"`
	// State is open, cordoned or draining. Like Capacity it is not fleet's, and
	// sent to a client that asks for detail.
	State string `json:"state,omitempty"`
	// Capacity is nil for a machine that does not report it.
	Capacity *Capacity `json:"capacity,omitempty"`
}

// Capacity is what a machine has for units.
type Capacity struct {
	MilliCPU int64            `json:"milliCPU"`
	Memory   int64            `json:"memory"` // bytes
	Disk     int64            `json:"disk"`   // bytes
	Counters map[string]int64 `json:"counters,omitempty"`
}

func machineDetailOf(m registry.Machine) Machine {
	out := machineOf(m)
	out.State = registry.FormatMachineState(m.State)
	if c := m.Capacity; c != nil {
		out.Capacity = &Capacity{MilliCPU: c.CPU, Memory: c.Memory, Disk: c.Disk, Counters: c.Counters}
	}
	return out
}

// MachineStatus is what a machine is open for, and what is on it.
type MachineStatus struct {
	State string `json:"state"` // open, cordoned or draining
	// Units are placed on the machine, by name; global ones are not among them.
	Units []string `json:"units,omitempty"`
	// Blocked are those that a draining machine cannot get rid of as things are.
	Blocked []schedule.Explanation `json:"blocked,omitempty"`
}

// Explanation says why a unit is where it is, or nowhere.
type Explanation struct {
	schedule.Explanation
	// Candidates are the machines that may take the unit, the best first, as if
	// it were nowhere.
	Candidates []schedule.Candidate `json:"candidates,omitempty"`
	// Steps are what the engine would do under the suppositions of the question.
	Steps []Step `json:"steps,omitempty"`
}

// maxCandidates is how many candidates the text of an explanation names.
const maxCandidates = 3

// String is the explanation as text, one fact a line.
func (e Explanation) String() string {
	var b strings.Builder
	for _, s := range e.Steps {
		b.WriteString("then " + s.String() + "\n")
	}
	b.WriteString(e.Explanation.String())
	for i, c := range e.Candidates[:min(len(e.Candidates), maxCandidates)] {
		rank := "next"
		if i == 0 {
			rank = "best"
		}
		fmt.Fprintf(&b, "%s: %s\n", rank, c)
	}
	return b.String()
}

// Step is one move that the engine makes, or would make.
type Step struct {
	Unit  string        `json:"unit"`
	From  string        `json:"from,omitempty"` // a machine; empty for none
	To    string        `json:"to,omitempty"`   // likewise
	Cause schedule.Code `json:"cause"`
}

// String is one line: "web.service goes from m1 to m2 (rebalance)".
func (s Step) String() string {
	switch {
	case s.From == "":
		return fmt.Sprintf("%s is placed on %s (%s)", s.Unit, s.To, s.Cause)
	case s.To == "":
		return fmt.Sprintf("%s leaves %s (%s)", s.Unit, s.From, s.Cause)
	}
	return fmt.Sprintf("%s goes from %s to %s (%s)", s.Unit, s.From, s.To, s.Cause)
}

func stepsOf(p schedule.Plan) []Step {
	var steps []Step
	for _, s := range p.Steps {
		steps = append(steps, Step{Unit: s.Unit, From: s.From, To: s.To, Cause: s.Cause})
	}
	return steps
}

// rebalanceOrder is the body of an order to rebalance.
type rebalanceOrder struct {
	Goal    string `json:"goal"`
	Budget  int    `json:"budget"`
	MinGain int    `json:"minGain,omitempty"`
}

// rebalanceState is the answer to it, and to the question whether it is done.
type rebalanceState struct {
	Waiting bool   `json:"waiting,omitempty"`
	Steps   []Step `json:"steps,omitempty"`
}

func machineOf(m registry.Machine) Machine {
	out := Machine{ID: m.ID, Metadata: m.Metadata}
	if m.PublicIP.IsValid() {
		out.PrimaryIP = m.PublicIP.String()
	}
	return out
}

// The pages of lists.
type unitPage struct {
	NextPageToken string `json:"nextPageToken,omitempty"`
	Units         []Unit `json:"units,omitempty"`
}

type statePage struct {
	NextPageToken string      `json:"nextPageToken,omitempty"`
	States        []UnitState `json:"states,omitempty"`
}

type machinePage struct {
	Machines      []Machine `json:"machines,omitempty"`
	NextPageToken string    `json:"nextPageToken,omitempty"`
}

// metadataOp is one operation of a PATCH of machines.
type metadataOp struct {
	Op    string        `json:"op"`
	Path  string        `json:"path"`
	Value metadataValue `json:"value"`
}

// metadataValue is a string, or, as fleet's server wanted it against its own
// documentation, an object with a field "value".
type metadataValue string

// UnmarshalJSON accepts both forms.
func (v *metadataValue) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, (*string)(v))
	}
	var o struct {
		Value string `json:"value"`
	}
	if err := json.Unmarshal(data, &o); err != nil {
		return err
	}
	*v = metadataValue(o.Value)
	return nil
}

// journalLine is one line that a unit has written on a machine.
type journalLine struct {
	Time       time.Time `json:"time"`
	Unit       string    `json:"unit"`
	Identifier string    `json:"identifier"`
	PID        int       `json:"pid"`
	Message    string    `json:"message"`
	// Error, if set, is why the journal ends here; all else is empty then.
	Error string `json:"error,omitempty"`
}

// Error is a failure that the server reports.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// Error is the text that fleet's client gives to it.
func (e *Error) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("googleapi: got HTTP response code %d", e.Code)
	}
	return fmt.Sprintf("googleapi: Error %d: %s", e.Code, e.Message)
}

// Is makes a 404 match registry.ErrUnitNotFound.
func (e *Error) Is(target error) bool {
	return target == registry.ErrUnitNotFound && e.Code == http.StatusNotFound
}

// errorBody is the body of every answer that is a failure.
type errorBody struct {
	Error Error `json:"error"`
}
