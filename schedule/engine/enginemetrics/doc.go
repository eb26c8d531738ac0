// Package enginemetrics shows an engine.Engine to Prometheus. Register the
// [Collector] of each engine with a registry of your own; it reads the engine
// when it is scraped and costs nothing otherwise.
//
//	schedule_engine_is_leader
//	schedule_engine_elections_total, schedule_engine_leases_lost_total
//	schedule_engine_registry_failures_total
//	schedule_engine_plan_seconds                histogram
//	schedule_engine_write_seconds               histogram
//	schedule_engine_writes_total                {type, result}
//	schedule_engine_evictions_total             {cause}
//	schedule_engine_machines                    {state}, on the leader alone
//	schedule_engine_units                       {state}, on the leader alone
//	schedule_engine_unplaced_units              {reason}, on the leader alone
//
// Causes and reasons are the codes of package schedule: pre-emptions are the
// evictions with the cause preempted, drains those with machine-draining. A
// cluster has one leader, so sums over all engines are those of the cluster.
//
// The engine's metrics of fleet are there besides, in its names, for those who
// have graphs of them.
//
//	fleet_engine_leader_start_time
//	fleet_engine_task_count_total               {type}
//	fleet_engine_task_failure_count_total       {type}
//	fleet_engine_reconcile_count_total
//	fleet_engine_reconcile_duration_second      histogram
//	fleet_engine_reconcile_failure_count_total  {type}
package enginemetrics
