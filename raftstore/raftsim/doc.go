// Package raftsim is a network in memory for testing clusters in one process:
// raftstore's own tests use it, and users of raftstore test their state
// machines with it. It works inside a testing/synctest bubble.
package raftsim
