package pebblelog_test

import (
	"flag"
	"strings"
	"testing"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/internal/logtest"
	"github.com/strakeproject/strake/raftstore/pebblelog"
	"github.com/strakeproject/strake/raftstore/raftsim"
)

var crashSeeds = flag.Uint64("pebblelog.seeds", 8, "random histories with crashes")

var kind = logtest.Kind{
	Name: "pebblelog",
	Open: func(d *raftsim.Disk) (raftstore.LogStore, error) {
		log, err := pebblelog.Open("log", pebblelog.Options{FS: d.PebbleFS()})
		if err != nil {
			return nil, err
		}
		return log, nil
	},
	Newest: func(names []string) (newest string) {
		for _, name := range names {
			if strings.HasSuffix(name, ".log") && name > newest {
				newest = name
			}
		}
		return newest
	},
}

func TestALogDoesWhatTheTranscriptsSay(t *testing.T) {
	logtest.Transcripts(t, kind, "../internal/logtest/testdata")
}

func TestCrashesLeaveWhatWasSyncedAndAPrefixOfTheRest(t *testing.T) {
	for seed := range *crashSeeds {
		raftsim.TestLogStore(t, seed, kind.Open)
	}
}

func TestAFailingDiskEndsTheStoreAndNotTheProcess(t *testing.T) {
	logtest.AFailingDiskEndsTheStoreAndNotTheProcess(t, kind)
}

func TestNothingIsWrittenAfterAFailedSync(t *testing.T) {
	logtest.NothingIsWrittenAfterAFailedSync(t, kind)
}

func TestAForgedRecordIsRefused(t *testing.T) {
	logtest.AForgedRecordIsRefused(t, kind)
}
