package schedule

import (
	"fmt"
	"strings"
)

// Code says in one word why a unit may not be on a machine, or why a Step is
// made. Codes are stable: they may be stored and compared.
type Code string

// Why a unit may not be on a machine, in the order in which a machine is
// tested; all but CodeMachineLost presume the one before passed.
const (
	CodeMachineLost   Code = "machine-lost"     // the machine is not in the cluster
	CodeCordoned      Code = "machine-cordoned" // it takes no new units
	CodeDraining      Code = "machine-draining" // its units are to leave
	CodeMachineID     Code = "machine-id"       // Unit.MachineID names another
	CodeDedicated     Code = "dedicated"        // the machine is kept for others
	CodeMetadata      Code = "metadata"         // Unit.Metadata asks for other metadata
	CodeRequire       Code = "require"          // its metadata do not meet Unit.Require
	CodePeer          Code = "peer"             // a unit of MachineOf is not there
	CodeConflict      Code = "conflict"         // Conflicts, of either unit
	CodeReplaced      Code = "replaced"         // a unit there replaces this one
	CodeMaxPerMachine Code = "max-per-machine"  // as many of its group are there as may be
	CodePort          Code = "port"             // a port is taken, or too few are left
	CodeResource      Code = "resource"         // too little is left of what it requests
	CodeSpread        Code = "spread"           // its group would be spread too unevenly
)

// Why a unit is placed, or on no machine at all.
const (
	CodeNew        Code = "new"          // it is active and was on no machine
	CodeInactive   Code = "inactive"     // it is not wanted
	CodeNotMovable Code = "not-movable"  // Unit.NotMovable, of it or of one beside it
	CodePreempted  Code = "preempted"    // one of higher priority needed its place
	CodeRebalance  Code = "rebalance"    // to use the machines better
	CodeGlobal     Code = "global"       // it is global and has no placement, or makes room for one that is
	CodeUnknown    Code = "unit-unknown" // the cluster has no such unit
)

// Reason is a Code with the particulars, for people.
type Reason struct {
	Code   Code   `json:"code"`
	Detail string `json:"detail,omitempty"`
}

// String is "conflict: with db.service".
func (r Reason) String() string {
	if r.Detail == "" {
		return string(r.Code)
	}
	return string(r.Code) + ": " + r.Detail
}

// Explanation says what each machine has to say about a unit.
type Explanation struct {
	Unit string `json:"unit"`
	// Global: the unit is global; it runs on the machines that admit it.
	Global bool `json:"global,omitempty"`
	// Placed is the machine the unit is placed on; empty for none and for a
	// global unit.
	Placed string `json:"placed,omitempty"`
	// Considered counts the machines, Admitting those that may take the unit.
	Considered int `json:"considered"`
	Admitting  int `json:"admitting,omitempty"`
	// Rejected has the other machines, each counted once, under the first code
	// it fails, in the order of the codes. Its Machines and Admitting sum to
	// Considered.
	Rejected []Rejection `json:"rejected,omitempty"`
	// Nearest are a few machines, by ID, that fail one code only, and one that
	// can be helped; left out where Rejected says as much.
	Nearest []NearMiss `json:"nearest,omitempty"`
	// WouldFitIf are changes each of which would have a plan place the unit, if
	// it has no place. Plan.Unplaced and Blocked do not have them: Explain does.
	WouldFitIf []Change `json:"wouldFitIf,omitempty"`
	// Stays, of a unit on a draining machine, is why it is not moved even if it
	// could be.
	Stays *Reason `json:"stays,omitempty"`
	// Never, if set, is why the question of a machine does not arise.
	Never *Reason `json:"never,omitempty"`
}

// Rejection is the machines that refuse a unit for one reason.
type Rejection struct {
	Reason
	Machines int `json:"machines"`
	// Alone counts the machines that would admit the unit were it not for
	// this one code.
	Alone int `json:"alone,omitempty"`
	// Sample has the first few machines, by ID.
	Sample []string `json:"sample"`
}

// NearMiss is a machine that refuses a unit for one code only.
type NearMiss struct {
	Machine string `json:"machine"`
	Reason
}

// How many machines and units an Explanation names where there may be many.
const (
	sampleMachines = 5
	sampleNearest  = 3
	sampleUnits    = 3
)

// String is the explanation as text, one fact a line, the same for the same
// explanation:
//
//	web@3.service cannot be placed: 5 machines considered
//	  3  metadata       region is not in {eu-1}            m-01 m-02 m-05
//	  2  conflict       with web@1.service, web@2.service  m-03 m-04
//	nearest: m-03, but for conflict: with web@1.service
//	nearest: m-04, but for conflict: with web@2.service
func (e Explanation) String() string {
	var b strings.Builder
	b.WriteString(e.Summary())
	b.WriteByte('\n')
	countWidth, codeWidth, detailWidth := 1, 13, 0
	for _, r := range e.Rejected {
		countWidth = max(countWidth, len(fmt.Sprint(r.Machines)))
		codeWidth = max(codeWidth, len(r.Code))
		detailWidth = max(detailWidth, len(r.Detail))
	}
	for _, r := range e.Rejected {
		fmt.Fprintf(&b, "  %*d  %-*s  %-*s  %s", countWidth, r.Machines, codeWidth, r.Code, detailWidth, r.Detail, strings.Join(r.Sample, " "))
		if r.Machines > len(r.Sample) {
			b.WriteString(" ...")
		}
		b.WriteByte('\n')
	}
	for _, n := range e.Nearest {
		fmt.Fprintf(&b, "nearest: %s, but for %s\n", n.Machine, n.Reason)
	}
	for _, c := range e.WouldFitIf {
		fmt.Fprintf(&b, "would fit: %s\n", c)
	}
	return b.String()
}

// Summary is the first line of the text.
func (e Explanation) Summary() string {
	machines := fmt.Sprintf("%d machines considered", e.Considered)
	if e.Considered == 1 {
		machines = "1 machine considered"
	}
	switch {
	case e.Never != nil:
		return e.Unit + " is not to be placed: " + e.Never.String()
	case e.Global && e.Admitting > 0:
		return fmt.Sprintf("%s is global: %s, runs on %d", e.Unit, machines, e.Admitting)
	case e.Global:
		return e.Unit + " is global and runs nowhere: " + machines
	case e.Stays != nil:
		return fmt.Sprintf("%s stays on %s: %s", e.Unit, e.Placed, e.Stays)
	case e.Placed != "":
		return fmt.Sprintf("%s is placed on %s: %s, %d may run it", e.Unit, e.Placed, machines, e.Admitting)
	case e.Admitting > 0:
		return fmt.Sprintf("%s can be placed: %s, %d may run it", e.Unit, machines, e.Admitting)
	}
	return e.Unit + " cannot be placed: " + machines
}
