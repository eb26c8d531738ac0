// Package apimetrics shows what is asked of a kv/httpapi.API to Prometheus, in
// the names of etcd 3.4 and those of 2.3, where they differ.
//
//	etcd_http_received_total                 {method}
//	etcd_http_failed_total                   {method, code}
//	etcd_http_successful_duration_seconds    {method}, histogram; _second in 2.3
//	etcd_debugging_store_reads_total         {action}; etcd_store_... in 2.3,
//	etcd_debugging_store_reads_failed_total  {action}  and so below
//	etcd_debugging_store_writes_total        {action}
//	etcd_debugging_store_writes_failed_total {action}
//	etcd_debugging_store_watch_requests_total
//	etcd_debugging_store_watchers
//
// You hold an API and register the [Collector] that [New] returns.
package apimetrics

import (
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strakeproject/strake/kv/httpapi"
)

// Collector is a prometheus.Collector for one API.
type Collector struct{ api *httpapi.API }

var _ prometheus.Collector = Collector{}

// New returns the collector of an API.
func New(api *httpapi.API) Collector { return Collector{api} }

// Describe tells nothing: which labels there are depends on what was asked.
func (Collector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the counts of the API.
func (c Collector) Collect(out chan<- prometheus.Metric) {
	counts := c.api.Counts()
	for _, m := range counts.Methods {
		collectMethod(out, m)
	}
	for _, prefix := range []string{"etcd_debugging_store_", "etcd_store_"} {
		for _, op := range counts.Operations {
			name := prefix + "writes"
			if strings.HasPrefix(op.Action, "get") {
				name = prefix + "reads"
			}
			add(out, name+"_total", "Operations of the store that were done.", op.Succeeded, "action", op.Action)
			add(out, name+"_failed_total", "Operations of the store that were not done.", op.Failed, "action", op.Action)
		}
		add(out, prefix+"watch_requests_total", "Watches that were begun.", counts.WatchRequests)
		watchers := prometheus.NewDesc(prefix+"watchers", "Watches under way.", nil, nil)
		out <- prometheus.MustNewConstMetric(watchers, prometheus.GaugeValue, float64(counts.Watches))
	}
}

func collectMethod(out chan<- prometheus.Metric, m httpapi.MethodCounts) {
	if m.Received == 0 && len(m.Failed) == 0 {
		return
	}
	add(out, "etcd_http_received_total", "Requests for keys that were allowed.", m.Received, "method", m.Method)
	for status, n := range m.Failed {
		add(out, "etcd_http_failed_total", "Requests for keys that failed.", n, "method", m.Method, "code", strconv.Itoa(status))
	}
	buckets, sum := make(map[float64]uint64, len(m.Took.Buckets)), uint64(0)
	for i, n := range m.Took.Buckets {
		sum += n
		buckets[httpapi.BucketLimit(i).Seconds()] = sum
	}
	for _, name := range []string{"etcd_http_successful_duration_seconds", "etcd_http_successful_duration_second"} {
		d := prometheus.NewDesc(name, "Time that requests for keys took that did not fail, watches aside.", []string{"method"}, nil)
		out <- prometheus.MustNewConstHistogram(d, m.Took.Count, m.Took.Sum.Seconds(), buckets, m.Method)
	}
}

// add adds a counter; labels are names and values in turn.
func add(out chan<- prometheus.Metric, name, help string, n uint64, labels ...string) {
	var names, values []string
	for i := 0; i < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), prometheus.CounterValue, float64(n), values...)
}
