// Package unitfile turns unit files into what the scheduler takes. It is the
// bridge between package unit, which reads the options of a file, and package
// schedule, which knows nothing of files; it does no I/O.
//
// [Read] takes a file, [Convert] options that are read already. Engine, agents
// and tools all come through here, so that they decide on the same grounds. The
// two packages have types of their own for amounts and ports, as neither is to
// need the other; they are converted whole, so that a field of one that the other
// lacks does not compile.
package unitfile
