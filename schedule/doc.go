// Package schedule decides which machine runs which unit. It is pure: data in,
// decisions out, no I/O, no clock, no goroutine, standard library only.
//
// # What you hold, what you owe
//
// You hold a [Cluster]: the machines that are alive, the units, and where units
// are placed now. [Compute] returns a [Plan]: steps that place, move and remove
// units, and an [Explanation] for each active unit that no machine can take. You
// carry out the steps, in order of their waves; the plan of a cluster that is
// whole has none. What you cannot carry out is simply missing from the next
// Cluster.
//
// If the cluster changes often, hold a [Scheduler] instead, tell it of each
// change, and ask it for a Plan when you please: it says what Compute would
// say, at a cost in proportion to the change.
//
// Global units are not placed; each machine runs those that it admits. Ask
// [AdmitsGlobal] on the machine, and scheduler and machine agree.
//
// [Explain] and [WhyNot] answer for one unit from the Cluster alone, so any
// program that can read the cluster can say why a unit is not running, and what
// would give it a place. [Check] validates placements by the rules, pair by pair.
// [Scheduler.Clone] is for what-if: change it, and look at its Plan.
//
// # Rules
//
// A unit may be on a machine if, in this order: the machine is in the cluster,
// open, or at least not draining if the unit is there already; its ID is the one
// asked for; it is not dedicated to others; its metadata are those asked for; the
// units to run beside are there; nothing there conflicts with the unit, in either
// direction, or replaces it; there are not too many of its spread group; the
// ports and the resources are left; its group is not spread too unevenly. The
// first that fails is the reason.
//
//   - A unit that may stay where it is stays. Nothing is moved to balance the
//     machines unless [Scheduler.Rebalance] is asked for, with a budget; a machine
//     that returns starts empty.
//   - A unit that may not stay leaves, with those that must run beside it. Of
//     two units that have come to conflict the one of lower priority leaves,
//     else the later, else the one with the greater name.
//   - Global units have their places before any unit is placed anew. For the
//     resources of a global unit movable units of no higher priority leave; else
//     a unit that is placed stands before it.
//   - Units to be placed go in order: higher priority first, then those with
//     few machines to choose from, large ones, then by name. Units joined by
//     MachineOf are one decision. If no machine takes them all, those that others
//     depend on come first, and none is held back by one that depends on it.
//   - The machine is chosen by what a unit would like, then by [Strategy]; ties
//     end in the least machine ID.
//   - If there is no place for all, others are tried before any is given up:
//     new placements are undone, running units are not touched. Then, if
//     [Options] allow, units of lower priority make room.
//   - What is on a draining machine goes where there is room, in waves.
//
// No machine ever has more requested of it than it has, not even while units
// move: a unit counts where it comes from until the wave after. The options and
// what they mean are those of fleet's [X-Fleet] section, and so is the choice of
// the machine with fewest units, as long as no unit asks for resources.
//
// # Cost
//
// Machines are bits in masks and entries in a grid of shares, names find
// patterns by prefix, and units that are alike have a list of machines in common,
// so no decision looks at every machine or unit. Processor
// time on shared cores of an AMD EPYC, medians of
//
//	go test ./schedule -run Acceptance -v -schedule.acceptance
//
//	100,000 units of distinct requests on 10,000 machines, Balance   0.17 s, a scan 5.5 s
//	the same, LeastLoaded, Pack, and Pack with Effort Fast           0.08 s, 0.67 s and 0.35 s
//	102,850 units with constraints of all kinds, Balance             0.33 s
//	the same, LeastLoaded and Pack                                   0.21 s and 0.48 s
//	100,000 units that request nothing, LeastLoaded                  0.07 s
//	10,000 units of distinct requests on 1,000 machines, Balance     0.011 s
//	such a machine of 10,000 lost, median and 99th of 100            36 µs and 0.12 ms
//	the same of 1,000                                                34 µs and 0.16 ms
//	1,000 machines emptied as far as can be, 3,900 moves             0.1 s
//	memory beyond what was given, a unit and a machine               290 B and 330 B
//
// The command prints these and how good the plans are; without -schedule.acceptance
// a few small instances are judged. -schedule.steps=1000000 follows a Scheduler
// through that many changes, against Compute.
package schedule
