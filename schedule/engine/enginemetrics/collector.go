package enginemetrics

import (
	"maps"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/engine"
	"github.com/strakeproject/strake/schedule/registry"
)

// Source is an engine.Engine, or whoever has one inside.
type Source interface {
	Stats() engine.Stats
}

var _ Source = (*engine.Engine)(nil)

// Collector is a prometheus.Collector for one engine.
type Collector struct{ engine Source }

var _ prometheus.Collector = Collector{}

// New returns the collector of an engine. Its metrics have no label for the
// engine: wrap the registerer if a process has several.
func New(e Source) Collector { return Collector{e} }

// Describe tells nothing: which labels there are depends on what happens, so the
// collector is unchecked.
func (Collector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the engine.
func (c Collector) Collect(out chan<- prometheus.Metric) {
	s, to := c.engine.Stats(), scrape{out}
	to.own(s)
	to.fleet(s)
	if !s.LeaderSince.IsZero() {
		to.seen(s.Seen)
	}
}

// scrape is what one scrape delivers to.
type scrape struct{ out chan<- prometheus.Metric }

// add adds a number; labels are names and values in turn.
func (to scrape) add(kind prometheus.ValueType, name, help string, n float64, labels ...string) {
	var names, values []string
	for i := 0; i < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	to.out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, n, values...)
}

func (to scrape) counter(name, help string, n uint64, labels ...string) {
	to.add(prometheus.CounterValue, name, help, float64(n), labels...)
}

func (to scrape) gauge(name, help string, n float64, labels ...string) {
	to.add(prometheus.GaugeValue, name, help, n, labels...)
}

func (to scrape) histogram(name, help string, h engine.Histogram) {
	buckets, sum := make(map[float64]uint64, len(h.Buckets)), uint64(0)
	for i, n := range h.Buckets[:len(h.Buckets)-1] {
		sum += n
		buckets[float64(engine.BucketLimit(i))/float64(time.Second)] = sum // Seconds would be off by a hair
	}
	to.out <- prometheus.MustNewConstHistogram(prometheus.NewDesc(name, help, nil, nil), h.Count, h.Sum.Seconds(), buckets)
}

// usual are causes of evictions that are shown before there is any, so that the
// first does not go unseen: a rate needs a number to start from.
var usual = [...]schedule.Code{
	schedule.CodeMachineLost, schedule.CodeInactive, schedule.CodePreempted, schedule.CodeDraining, schedule.CodeRebalance,
}

// own are the metrics that every engine has.
func (to scrape) own(s engine.Stats) {
	leads := 0.0
	if !s.LeaderSince.IsZero() {
		leads = 1
	}
	to.gauge("schedule_engine_is_leader", "1 while this engine leads.", leads)
	to.counter("schedule_engine_elections_total", "Times that this engine came to lead.", s.Elections)
	to.counter("schedule_engine_leases_lost_total", "Times that this engine ceased to lead against its will.", s.LeasesLost)
	to.counter("schedule_engine_registry_failures_total", "Times that the leader could not read the registry or make sense of it.", s.Blind)
	to.histogram("schedule_engine_plan_seconds", "Time to compute a plan.", s.PlanTime)
	to.histogram("schedule_engine_write_seconds", "Time to write a step of a plan.", s.WriteTime)
	for kind, w := range map[string]engine.Writes{"place": s.Placed, "evict": s.Evicted} {
		for result, n := range map[string]uint64{"done": w.Done, "overtaken": w.Overtaken, "failed": w.Failed} {
			to.counter("schedule_engine_writes_total", "Writes that place a unit or evict one, by how they ended. A move is both.", n, "type", kind, "result", result)
		}
	}
	evictions := map[schedule.Code]uint64{}
	for _, cause := range usual {
		evictions[cause] = 0
	}
	maps.Copy(evictions, s.Evictions)
	for cause, n := range evictions {
		to.counter("schedule_engine_evictions_total", "Units taken from their machines, by cause.", n, "cause", string(cause))
	}
}

// seen are the metrics that the leader has.
func (to scrape) seen(s engine.Sight) {
	const machines, units = "schedule_engine_machines", "schedule_engine_units"
	for _, state := range []schedule.MachineState{schedule.Open, schedule.Cordoned, schedule.Draining} {
		to.gauge(machines, "Machines by state.", float64(s.Machines[state]), "state", registry.FormatMachineState(state))
	}
	to.gauge(machines, "Machines by state.", float64(s.Missing), "state", "missing")
	unplaced := 0
	for reason, n := range s.Unplaced {
		unplaced += n
		to.gauge("schedule_engine_unplaced_units", "Active units without a machine, by what the machines that come closest lack.", float64(n), "reason", string(reason))
	}
	for state, n := range map[string]int{"placed": s.Placed, "unplaced": unplaced, "blocked": s.Blocked} {
		to.gauge(units, "Active units, global ones that have a machine aside; blocked ones are placed, on draining machines.", float64(n), "state", state)
	}
}

// fleet are the metrics that fleet had, or said it had.
func (to scrape) fleet(s engine.Stats) {
	start := 0.0
	if !s.LeaderSince.IsZero() {
		start = float64(s.LeaderSince.UnixNano()) / float64(time.Second)
	}
	to.gauge("fleet_engine_leader_start_time", "When this engine came to lead, in seconds since 1970; 0 while it does not.", start)
	for kind, w := range map[string]engine.Writes{"attemptscheduleunit": s.Placed, "unscheduleunit": s.Evicted} {
		to.counter("fleet_engine_task_count_total", "Writes that schedule a unit or take its schedule back.", w.Done+w.Overtaken+w.Failed, "type", kind)
		to.counter("fleet_engine_task_failure_count_total", "Those that were not done.", w.Overtaken+w.Failed, "type", kind)
	}
	to.counter("fleet_engine_reconcile_count_total", "Plans.", s.PlanTime.Count)
	to.histogram("fleet_engine_reconcile_duration_second", "Time to compute a plan.", s.PlanTime)
	for kind, n := range map[string]uint64{"machine_away": s.Evictions[schedule.CodeMachineLost], "run": s.Blind, "schedule": s.Placed.Failed} {
		to.counter("fleet_engine_reconcile_failure_count_total", "What went wrong: units whose machine went away, failures to read the registry and to schedule.", n, "type", kind)
	}
}
