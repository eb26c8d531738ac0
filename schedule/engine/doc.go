// Package engine is the part of a cluster that decides: one engine, elected,
// keeps every unit of a registry on a machine that may run it.
//
// You hold an [Engine], made by [New] for a registry, and call [Engine.Run]. Any
// number of machines may run one. They stand for one lease; who holds it leads,
// the others watch it. A leader reads the registry once, then follows its changes
// and, for each, makes a plan with package schedule and writes it: nothing is
// polled. A leader that stops gives the lease up, and another takes over at once;
// one that crashes or is cut off loses it after five intervals.
//
// Marks in the registry close a machine to new units or have it drained, and an
// order has the engine rebalance. A machine that vanishes is lost, and its units
// move at once, unless the engine has reason to think that the store was lost and
// not the machine: then its units stay for as long as a machine outlasts its last
// heartbeat, so that the first machine to return is not given everything.
//
// Two engines may believe to lead for a moment. That does no harm, because each
// write has a condition: a unit is scheduled only if it is on no machine, and
// taken from a machine only if it is on that one. What the engine cannot place
// it logs once; anyone who can read the registry can have the reasons in full
// from schedule.Explain, which depends on nothing else. [Engine.Stats] counts what
// it does, and package enginemetrics shows that to Prometheus.
package engine
