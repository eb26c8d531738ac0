// Package process is a [unit.Runner] that supervises processes itself. It needs
// no root and no systemd, only Linux, and is what an embedded fleet runs its
// services with, in tests and on machines whose init is another.
//
// It runs .service files of Type=simple, exec, idle and oneshot the way systemd
// does: the same states, timeouts, restart policies, start limit, command lines,
// variables, environment files and specifiers. Load refuses a file that would
// not run as it is meant, such as Type=notify or a timer; settings that would
// merely add something, such as limits and sandboxing, are named in the unit's
// journal and otherwise have no effect. So are dependencies between units, which
// a cluster resolves elsewhere.
//
// You hold a [Runner] from [New] and owe it [Runner.Close], which stops the units
// properly, or [Runner.Kill], which is how a machine dies. Nothing it started
// outlives either. Should the program itself die, the kernel kills the main
// processes, and the next New with the same Dir kills what else was left.
//
// A unit's processes are found by their process group and by INVOCATION_ID and
// STRAKE_RUNNER in the environment that they inherit. One that both leaves its
// group and clears its environment is out of reach.
package process
