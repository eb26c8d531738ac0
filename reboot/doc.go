// Package reboot lets the machines of a cluster reboot a few at a time.
//
// All machines share a counting [Semaphore] in a key space, in locksmith's keys
// and values: a machine takes a slot before it reboots and gives it back when
// it is up again. The semaphore of a group of machines is one key, changed by
// compare-and-swap:
//
//	/coreos.com/updateengine/rebootlock/semaphore            the default group
//	/coreos.com/updateengine/rebootlock/groups/lb/semaphore  group "lb"
//
// A [Coordinator] is one machine's part: it gives back the slot of the last
// reboot, waits until an [UpdateSource] says that the machine needs another
// one, waits for a slot, drains the machine through a hook and calls a
// [Rebooter]. You give it those, call [Coordinator.Run] at each boot, and end
// it by its context.
//
// What you owe: a holder name that is the machine's own, its machine id by
// custom; and, should a machine never come back, [Semaphore.Unlock] in its
// name, since slots do not expire.
package reboot
