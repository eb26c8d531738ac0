package enginemetrics_test

import (
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/engine"
	"github.com/strakeproject/strake/schedule/engine/enginemetrics"
)

// stats is an engine that has done so much.
type stats engine.Stats

func (s stats) Stats() engine.Stats { return engine.Stats(s) }

// scrape is what Prometheus is told of an engine, without help and types.
func scrape(t *testing.T, s engine.Stats) string {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(enginemetrics.New(stats(s)))
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	var lines []string
	for line := range strings.Lines(answer.Body.String()) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

func TestALeaderTellsWhatItHasDoneAndWhatItSees(t *testing.T) {
	var took engine.Histogram
	took.Buckets[0], took.Buckets[2], took.Buckets[len(took.Buckets)-1] = 3, 1, 1
	took.Count, took.Sum = 5, 20*time.Second
	s := engine.Stats{
		LeaderSince: time.Unix(1500000000, 0), Elections: 2, LeasesLost: 1, Blind: 4,
		PlanTime: took, WriteTime: took,
		Placed: engine.Writes{Done: 10, Overtaken: 1, Failed: 2}, Evicted: engine.Writes{Done: 5, Failed: 3},
		Evictions: map[schedule.Code]uint64{schedule.CodePreempted: 2, schedule.CodeMachineLost: 2, schedule.CodeConflict: 1},
		Seen: engine.Sight{
			Machines: map[schedule.MachineState]int{schedule.Open: 5, schedule.Draining: 1}, Missing: 1, Placed: 40, Blocked: 3,
			Unplaced: map[schedule.Code]int{schedule.CodeResource: 2, schedule.CodeMetadata: 1},
		},
	}
	want, err := os.ReadFile("testdata/leader")
	if err != nil {
		t.Fatal(err)
	}
	if got := scrape(t, s); got != string(want) {
		t.Errorf("got\n%swant as in testdata/leader\n%s", got, want)
	}
}

func TestAnEngineThatDoesNotLeadTellsNothingOfTheCluster(t *testing.T) {
	got := scrape(t, engine.Stats{Seen: engine.Sight{Placed: 40}})
	for _, unwanted := range []string{"schedule_engine_machines", "schedule_engine_units", "schedule_engine_unplaced_units"} {
		if strings.Contains(got, unwanted) {
			t.Errorf("got %s, want none of it:\n%s", unwanted, got)
		}
	}
	for _, want := range []string{"schedule_engine_is_leader 0\n", "fleet_engine_leader_start_time 0\n", `schedule_engine_evictions_total{cause="preempted"} 0` + "\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("got no %swant it in\n%s", want, got)
		}
	}
}
