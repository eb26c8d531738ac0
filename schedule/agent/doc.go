// Package agent runs the units of one machine: it registers the machine, makes
// a unit.Runner hold what the registry wants there, and publishes what comes of
// it.
//
// An agent holds the units that the engine has scheduled to its machine, and
// every global unit that the machine admits. Units are judged one by one: one
// that cannot be loaded or takes long to stop does not hinder the others, and
// is tried again after a few seconds at most.
//
// You hold an [Agent] made by [New], and owe it a call of [Agent.Run]. There
// are two ways to end it:
//
//   - End Run's context, or crash. Units run on; what the agent published
//     expires after the TTL, and then other machines start the units too. An
//     agent for the same runner that starts before that takes the machine and
//     its units over without touching them.
//   - Call [Agent.Shutdown]. It stops the units and signs the machine off, so
//     that other machines take over at once.
package agent
