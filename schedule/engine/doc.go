// Package engine is the part of a cluster that decides: one engine, elected,
// keeps every unit of a registry on a machine that may run it.
//
// You hold an [Engine], made by [New] for a registry, and call [Engine.Run]. Any
// number of machines may run one. They stand for one lease; who holds it leads,
// the others look again every interval. A leader reads the registry once, then
// follows its changes and, for each, makes a plan with package schedule and
// writes it: nothing is polled. A leader that stops gives the lease up; one that
// crashes or is cut off loses it after five intervals.
//
// Two engines may believe to lead for a moment. That does no harm, because each
// write has a condition: a unit is scheduled only if it is on no machine, and
// taken from a machine only if it is on that one. What the engine cannot place
// it logs once; anyone who can read the registry can have the reasons in full
// from schedule.Explain, which depends on nothing else.
package engine
