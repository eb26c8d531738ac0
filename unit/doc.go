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
// Sub-packages implement [Runner]:
//
//	unit/process  supervises processes itself: no root, no systemd
//	unit/systemd  loads units into the machine's systemd
package unit
