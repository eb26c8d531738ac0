// Package registry keeps the state of a cluster of units in a key space: units
// and the states they should be in, machines, which unit is scheduled to which
// machine, and what each machine says of its units. It is the one place that
// knows fleet's key layout; keys and values are those of fleet, with a few
// added fields that older programs ignore, so that fleet's tools read and write
// the same registry.
//
// You hold a [Registry], made by [New] from any kv.Store. It owns nothing and
// needs no closing; two of them on one store, in one process or in many, see
// the same cluster. Its methods read and write at once, with conditions where
// two writers could meet:
//
//	CreateUnit, ReplaceUnit, SetTarget, DestroyUnit   what users want
//	SetMachineState, OrderRebalance                   what operators want
//	Schedule, Reschedule, Unschedule, Pin, GivePorts  what the engine decides
//	Join, PublishState, Launch                        what machines report
//	AcquireLease                                      which engine decides
//
// What expires has to be kept alive by its owner: [Presence.Beat] for a
// machine, [Lease.Renew] for the engine's lease, [Registry.RefreshState] and
// [Registry.RefreshLaunch] for units. None of these wakes a watcher.
//
// A reader that wants to stay informed holds a [View], made by
// [Registry.Follow]. It reads everything in its [Scope] once and then follows
// changes; the reader waits for [View.Changed] and asks [View.Take] what it was.
// You owe it a Close.
package registry
