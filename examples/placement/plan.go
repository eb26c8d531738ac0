package main

import "github.com/strakeproject/strake/schedule"

// plan has the scheduler make a cluster whole and, if asked to, better. The
// Scheduler that it returns takes the plan as carried out, so it can be asked
// about the outcome.
func plan(c schedule.Cluster, o schedule.Options, better *schedule.Rebalance) (schedule.Plan, *schedule.Scheduler, error) {
	s := schedule.New(o)
	if err := s.Reset(c); err != nil {
		return schedule.Plan{}, nil, err
	}
	if better != nil {
		return s.Rebalance(*better), s, nil
	}
	return s.Plan(), s, nil
}
