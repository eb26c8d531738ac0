// Package disklab makes the disk of a process slow, stuck or broken, for tests
// of what the process then does.
//
// What you hold: a [Disk], which stands between one process and the kernel
// whenever that process flushes a file to disk. It may let a flush wait, hold it
// for as long as you like, or fail it. The process is any program, unchanged.
//
// And a [Volume], a file system of its own for a process, which fills up when you
// like; it needs root.
//
// What you owe: Linux 5.19 or later, a call of [Attach] on the thread that starts
// the process, and one of [Disk.Close] when the process has ended. A Disk
// takes no privileges.
package disklab
