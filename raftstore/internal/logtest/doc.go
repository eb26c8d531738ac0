// Package logtest holds what every raftstore.LogStore has to do, as tests for
// those of this module.
package logtest
