// Package raftsim is a network and disks in memory for testing clusters in one
// process: raftstore's own tests use it, and users of raftstore test their
// state machines with it.
//
// What you hold: a [Network], whose members you cut off from each other, and a
// [Disk] for each member, whose power you cut, and which fails, hangs or slows
// down where you say. A member on a disk is opened with
//
//	log, err := seglog.Open("log", seglog.Options{FS: disk.PebbleFS()})
//	node, err := raftstore.Open(ctx, raftstore.Config{
//		Dir: "member", FS: disk.FS(), Log: log, Transport: net.DiskTransport(disk), ...
//	})
//
// and a state machine that keeps its data on disk.PebbleFS() or disk.FS(). To
// crash it: cut it off, [Disk.Crash], Node.Stop, open it again. What
// the member answers between the crash and Stop nobody is meant to have heard.
//
// A LogStore of your own make is checked by [TestLogStore].
//
// Everything works inside a testing/synctest bubble, where hours of elections
// and timeouts take seconds. Time is then that of the bubble.
package raftsim
