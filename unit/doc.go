// Package unit is what the cluster calls a unit: a systemd unit file under a
// name, the placement options in its [X-Fleet] section, and the interface of
// what runs units on a machine. It does no I/O, starts no goroutine and reads
// no clock.
//
// Text becomes a [File] through [Parse], and a list of options does through
// [NewFile]; either refuses what would read differently when written out and
// read again. A File never changes. Its [File.String] is the form in which
// units are stored and shown, and [File.Hash] of that form tells two files
// apart: comments, blank lines and the grouping of sections do not count.
//
// Check a name that comes from outside with [CheckName]; the methods of [Name]
// take a checked name apart. [ParseOptions] reads and checks [X-Fleet]: fleet's
// options, and those that say how large a unit is, which ports it holds, how its
// kind is spread, and what comes first where there is not room for all.
//
// Fleet's options are MachineID, MachineOf, MachineMetadata, Conflicts, Replaces
// and Global. These are added, which fleet's programs pass over with a warning:
//
//	Memory=SIZE Disk=SIZE CPU=N   what the unit must have: 512M, 1.5G; 0.25, 250m, 25%
//	Resources=NAME=N ...          counters that machines declare: gpu=1
//	Ports=P[/udp] ... dynamic:N   ports to hold, and how many to be given as PORT0, PORT1, ...;
//	                              auto is those that a socket unit listens on
//	Priority=N                    -1000 to 1000, who comes first
//	Preemptible=no Movable=no     not to make room for others; not to be moved at all
//	Spread=KEY[/KEY] [max-skew=N] evenly over the values of metadata
//	SpreadGroup=NAME              what counts together, by default the template's instances
//	MaxPerMachine=N               of the same group
//	SoftConflicts=PATTERN ...     better not beside these
//	Require=CONDITION             on metadata: disk=ssd && !(zone in (a,b)) && cores>=8
//	Prefer=[WEIGHT] CONDITION     the same as a wish, weight -100 to 100, 50 by default
//	Pin=first                     for ever where it is first placed
//
// Package unit/process implements [Runner] by supervising processes itself: no
// root, no systemd.
package unit
