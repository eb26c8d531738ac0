package seglog_test

import (
	"flag"
	"slices"
	"strings"
	"testing"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/internal/logtest"
	"github.com/strakeproject/strake/raftstore/raftsim"
	"github.com/strakeproject/strake/raftstore/seglog"
)

var crashSeeds = flag.Uint64("seglog.seeds", 8, "random histories with crashes, for each size of segments")

// kind is a log with segments of a size.
func kind(segmentBytes int64) logtest.Kind {
	return logtest.Kind{
		Name: "seglog",
		Open: func(d *raftsim.Disk) (raftstore.LogStore, error) {
			log, err := seglog.Open("log", seglog.Options{FS: d.PebbleFS(), SegmentBytes: segmentBytes})
			if err != nil {
				return nil, err
			}
			return log, nil
		},
		Newest: func(names []string) string {
			slices.Sort(names)
			names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".seg") })
			return names[len(names)-1]
		},
	}
}

func TestALogDoesWhatTheTranscriptsSay(t *testing.T) {
	logtest.Transcripts(t, kind(0), "../internal/logtest/testdata")
}

func TestCrashesLeaveWhatWasSyncedAndAPrefixOfTheRest(t *testing.T) {
	for _, segmentBytes := range []int64{8 << 10, 64 << 10, 0} {
		for seed := range *crashSeeds {
			raftsim.TestLogStore(t, seed, kind(segmentBytes).Open)
		}
	}
}

func TestAFailingDiskEndsTheStoreAndNotTheProcess(t *testing.T) {
	logtest.AFailingDiskEndsTheStoreAndNotTheProcess(t, kind(200<<10))
}

func TestNothingIsWrittenAfterAFailedSync(t *testing.T) {
	logtest.NothingIsWrittenAfterAFailedSync(t, kind(200<<10))
}

func TestAForgedRecordIsRefused(t *testing.T) {
	logtest.AForgedRecordIsRefused(t, kind(8<<10))
}
