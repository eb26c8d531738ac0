package main

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/strakeproject/strake/kv/member"
	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/httppeer"
	"github.com/strakeproject/strake/raftstore/raftmetrics"
)

// newRegistry returns a registry with what is known of the process.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// memberRegistry returns a registry with what is known of a member: in the
// original's names for those who have graphs of them, and in the names of
// raftstore.
func memberRegistry(m *member.Member) *prometheus.Registry {
	r := newRegistry()
	r.MustRegister(serverCollector{m}, raftmetrics.New(m))
	return r
}

// serverCollector reads a member when it is scraped. The metrics are those of
// etcd 3.4, and those of 2.3 that were called otherwise.
type serverCollector struct{ m *member.Member }

// Describe tells nothing: which peers there are changes.
func (serverCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c serverCollector) Collect(out chan<- prometheus.Metric) {
	s := sample{out: out}
	s.server(c.m)
	s.storage(c.m.Stats())
	for _, p := range c.m.Peers() {
		s.peer(formatID(c.m.ID()), p)
	}
}

func formatID(id uint64) string { return fmt.Sprintf("%x", id) }

// sample is one scrape.
type sample struct{ out chan<- prometheus.Metric }

// add adds a number; labels are names and values in turn.
func (s sample) add(kind prometheus.ValueType, name, help string, v float64, labels ...string) {
	var names, values []string
	for i := 0; i < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	s.out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, v, values...)
}

func (s sample) gauge(name, help string, v float64, labels ...string) {
	s.add(prometheus.GaugeValue, name, help, v, labels...)
}

func (s sample) counter(name, help string, v float64, labels ...string) {
	s.add(prometheus.CounterValue, name, help, v, labels...)
}

func (s sample) histogram(name, help string, h raftstore.Histogram) {
	buckets := make(map[float64]uint64, len(h.Buckets))
	var sum uint64
	for i, n := range h.Buckets[:len(h.Buckets)-1] {
		sum += n
		buckets[float64(raftstore.BucketLimit(i))/float64(time.Second)] = sum
	}
	s.out <- prometheus.MustNewConstHistogram(prometheus.NewDesc(name, help, nil, nil), h.Count, h.Sum.Seconds(), buckets)
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// server tells of the member's part in its cluster.
func (s sample) server(m *member.Member) {
	st, done := m.Status(), m.Stats()
	learner := false
	for _, info := range m.Members() {
		learner = learner || info.ID == st.ID && info.Learner
	}
	failed := float64(done.Lost + done.Unknown + done.Refused)
	s.gauge("etcd_server_has_leader", "1 while this member knows of a leader.", flag(st.Leader != 0))
	s.gauge("etcd_server_is_leader", "1 while this member leads.", flag(st.Role == raftstore.Leader))
	s.gauge("etcd_server_is_learner", "1 until this member votes.", flag(learner))
	s.gauge("etcd_server_id", "The member's id, as a label.", 1, "server_id", formatID(st.ID))
	s.gauge("etcd_server_version", "The server's version, as a label.", 1, "server_version", version)
	s.counter("etcd_server_leader_changes_seen_total", "Times that another member was seen to lead.", float64(done.LeaderChanges))
	s.gauge("etcd_server_proposals_committed_total", "Index up to which the log is committed.", float64(st.Commit))
	s.gauge("etcd_server_proposals_applied_total", "Index up to which the log is applied.", float64(st.Applied))
	s.gauge("etcd_server_proposals_pending", "Writes that wait for their commit.", float64(m.Pending()))
	s.counter("etcd_server_proposals_failed_total", "Writes that have failed.", failed)
	s.gauge("etcd_server_pending_proposal_total", "Writes that wait for their commit.", float64(m.Pending()))
	s.counter("etcd_server_proposal_failed_total", "Writes that have failed.", failed)
	s.histogram("etcd_server_proposal_durations_seconds", "Time from the framing of writes to their results, on the leader.", done.Commit)
}

// storage tells of the disk.
func (s sample) storage(done raftstore.Stats) {
	for _, name := range []string{"etcd_disk_wal_fsync_duration_seconds", "etcd_wal_fsync_durations_seconds"} {
		s.histogram(name, "Time to write a group of entries to the log, with its sync.", done.Append)
	}
	s.histogram("etcd_disk_backend_commit_duration_seconds", "Time to apply what there is to apply at a time.", done.Apply)
}

// peer tells of the connections to another member.
func (s sample) peer(self string, p httppeer.PeerStats) {
	id := formatID(p.ID)
	s.gauge("etcd_network_active_peers", "1 while a peer is heard of.", flag(p.Active), "Local", self, "Remote", id)
	s.counter("etcd_network_disconnected_peers_total", "Times that a stream to a peer was opened again.", float64(p.Reconnects), "Local", self, "Remote", id)
	s.counter("etcd_network_peer_sent_bytes_total", "Bytes sent to a peer.", float64(p.Sent), "To", id)
	s.counter("etcd_network_peer_received_bytes_total", "Bytes received from a peer.", float64(p.Received), "From", id)
	s.counter("etcd_network_peer_sent_failures_total", "Messages to a peer that were not sent.", float64(p.Dropped), "To", id)
	s.gauge("etcd_network_peer_round_trip_average_seconds", "How long a peer takes to echo a ping, lately.", p.RTT.Seconds(), "To", id)
}
