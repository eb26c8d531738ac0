package raftmetrics

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strakeproject/strake/raftstore"
)

// Source is a raftstore.Node, or whoever has one inside.
type Source interface {
	Status() raftstore.Status
	Stats() raftstore.Stats
}

var _ Source = (*raftstore.Node)(nil)

// Collector is a prometheus.Collector for one node.
type Collector struct{ node Source }

var _ prometheus.Collector = Collector{}

// New returns the collector of a node. Its metrics have no label for the node:
// wrap the registerer if a process has several.
func New(node Source) Collector { return Collector{node} }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("raftstore_"+name, help, labels, nil)
}

// metric is a number that is read off a node.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(st raftstore.Status, s raftstore.Stats) float64
}

func counter(name, help string, read func(raftstore.Stats) uint64) metric {
	return metric{desc(name+"_total", help), prometheus.CounterValue, func(_ raftstore.Status, s raftstore.Stats) float64 { return float64(read(s)) }}
}

func gauge(name, help string, read func(raftstore.Status, raftstore.Stats) float64) metric {
	return metric{desc(name, help), prometheus.GaugeValue, read}
}

// metrics are all plain numbers.
func metrics() []metric {
	return []metric{
		counter("loop_turns", "Turns of the raft loop.", func(s raftstore.Stats) uint64 { return s.Turns }),
		counter("frames", "Frames that this member put into the log as leader.", func(s raftstore.Stats) uint64 { return s.Frames }),
		counter("frame_commands", "Commands in those frames.", func(s raftstore.Stats) uint64 { return s.Commands }),
		counter("leader_changes", "Times that another member, or this one again, was seen to lead.", func(s raftstore.Stats) uint64 { return s.LeaderChanges }),
		counter("readindex_rounds", "Read rounds that were confirmed.", func(s raftstore.Stats) uint64 { return s.ReadRounds }),
		counter("readindex_requests", "Requests sent to confirm read rounds.", func(s raftstore.Stats) uint64 { return s.ReadRequests }),
		counter("log_truncations", "Times that the log was trimmed.", func(s raftstore.Stats) uint64 { return s.Truncations }),
		counter("log_disk_reads", "Reads of log entries that had left memory.", func(s raftstore.Stats) uint64 { return s.DiskReads }),
		counter("snapshot_send", "Snapshots that were to be sent.", func(s raftstore.Stats) uint64 { return s.SnapshotsSent }),
		counter("snapshot_send_fail", "Snapshots that could not be sent.", func(s raftstore.Stats) uint64 { return s.SnapshotsUnsent }),
		counter("snapshot_install", "Snapshots that were installed here.", func(s raftstore.Stats) uint64 { return s.SnapshotsReceived }),
		counter("conf_changes", "Changes of membership that were applied.", func(s raftstore.Stats) uint64 { return s.Changes }),
		gauge("queue_bytes", "Bytes of commands that wait for the log.", func(_ raftstore.Status, s raftstore.Stats) float64 { return float64(s.QueuedBytes) }),
		gauge("term", "The current term.", func(st raftstore.Status, _ raftstore.Stats) float64 { return float64(st.Term) }),
		gauge("is_leader", "1 while this member leads.", func(st raftstore.Status, _ raftstore.Stats) float64 { return flag(st.Role == raftstore.Leader) }),
		gauge("has_leader", "1 while this member knows of a leader.", func(st raftstore.Status, _ raftstore.Stats) float64 { return flag(st.Leader != 0) }),
		gauge("apply_lag_entries", "Committed log entries that are not yet applied.", func(st raftstore.Status, _ raftstore.Stats) float64 { return float64(st.Commit - st.Applied) }),
		gauge("log_first", "Index of the first entry in the log.", func(st raftstore.Status, _ raftstore.Stats) float64 { return float64(st.First) }),
		gauge("log_last", "Index of the last entry in the log.", func(st raftstore.Status, _ raftstore.Stats) float64 { return float64(st.Last) }),
	}
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Describe tells nothing: what peers there are changes, so the collector is
// unchecked.
func (c Collector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the node.
func (c Collector) Collect(out chan<- prometheus.Metric) {
	st, s := c.node.Status(), c.node.Stats()
	for _, m := range metrics() {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.read(st, s))
	}
	proposals := desc("proposals_total", "Commands by how they ended.", "result")
	for result, n := range map[string]uint64{"applied": s.Applied, "lost": s.Lost, "unknown": s.Unknown, "refused": s.Refused} {
		out <- prometheus.MustNewConstMetric(proposals, prometheus.CounterValue, float64(n), result)
	}
	out <- histogram(desc("append_seconds", "Time to write a group to the log, with its sync."), s.Append)
	out <- histogram(desc("apply_seconds", "Time to apply what there is to apply at a time."), s.Apply)
	out <- histogram(desc("commit_seconds", "Time from the framing of commands to their results, on the leader."), s.Commit)
	active := desc("peer_active", "1 while the leader hears of a member.", "peer")
	lag := desc("peer_match_lag", "Log entries that a member is known to lack.", "peer")
	for _, p := range st.Peers {
		id := fmt.Sprintf("%x", p.ID)
		out <- prometheus.MustNewConstMetric(active, prometheus.GaugeValue, flag(p.Active), id)
		out <- prometheus.MustNewConstMetric(lag, prometheus.GaugeValue, float64(st.Last-min(p.Match, st.Last)), id)
	}
}

func histogram(d *prometheus.Desc, h raftstore.Histogram) prometheus.Metric {
	buckets := make(map[float64]uint64, len(h.Buckets))
	var sum uint64
	for i, n := range h.Buckets[:len(h.Buckets)-1] {
		sum += n
		buckets[float64(raftstore.BucketLimit(i))/float64(time.Second)] = sum
	}
	return prometheus.MustNewConstHistogram(d, h.Count, h.Sum.Seconds(), buckets)
}
