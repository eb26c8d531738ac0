package faulttest

import (
	"flag"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/pebblelog"
	"github.com/strakeproject/strake/raftstore/raftsim"
	"github.com/strakeproject/strake/raftstore/seglog"
)

var logName = flag.String("faulttest.log", "", "the log of all members, seglog or pebblelog; unless set some have this and some that")

// openLog opens the log of a host.
type openLog func(*host) (raftstore.LogStore, error)

// openSeglog opens a log of small segments, so that there are many.
func openSeglog(d *raftsim.Disk) (raftstore.LogStore, error) {
	log, err := seglog.Open("log", seglog.Options{FS: d.PebbleFS(), SegmentBytes: 16 << 10})
	if err != nil {
		return nil, err
	}
	return log, nil
}

func openPebblelog(d *raftsim.Disk) (raftstore.LogStore, error) {
	log, err := pebblelog.Open("log", pebblelog.Options{FS: d.PebbleFS()})
	if err != nil {
		return nil, err
	}
	return log, nil
}

// logsOfBothKinds gives some hosts one kind of log and some the other.
func logsOfBothKinds(h *host) (raftstore.LogStore, error) {
	if *logName == "pebblelog" || *logName == "" && h.name == "b" {
		return openPebblelog(h.disk)
	}
	return openSeglog(h.disk)
}

// logsOfKind gives all hosts the same kind of log.
func logsOfKind(open func(*raftsim.Disk) (raftstore.LogStore, error)) openLog {
	return func(h *host) (raftstore.LogStore, error) { return open(h.disk) }
}
