package pebblelog_test

import (
	"flag"
	"testing"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/pebblelog"
	"github.com/strakeproject/strake/raftstore/raftsim"
)

var crashSeeds = flag.Uint64("pebblelog.seeds", 8, "random histories with crashes")

func TestCrashesLeaveWhatWasSyncedAndAPrefixOfTheRest(t *testing.T) {
	for seed := range *crashSeeds {
		raftsim.TestLogStore(t, seed, func(d *raftsim.Disk) (raftstore.LogStore, error) {
			return pebblelog.Open("log", pebblelog.Options{FS: d.PebbleFS()})
		})
	}
}
