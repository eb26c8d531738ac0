package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/registry"
)

// serveMachineState shows and changes what a machine is open for. It is not
// fleet's.
func (s *Server) serveMachineState(w http.ResponseWriter, r *http.Request, id string) {
	switch r.Method {
	case http.MethodGet:
		s.getMachineState(w, r, id)
	case http.MethodPut:
		s.putMachineState(w, r, id)
	default:
		s.fail(w, http.StatusMethodNotAllowed, "only GET and PUT supported against this resource")
	}
}

func (s *Server) getMachineState(w http.ResponseWriter, r *http.Request, id string) {
	cluster, err := s.cluster(r.Context())
	if err != nil {
		s.broken(w, err)
		return
	}
	status, ok, err := s.machineStatus(cluster, id)
	switch {
	case err != nil:
		s.broken(w, err)
	case !ok:
		s.fail(w, http.StatusNotFound, "machine does not exist")
	default:
		s.send(w, http.StatusOK, status)
	}
}

// machineStatus is what a machine is open for and what is on it; not ok for one
// that is not in the cluster.
func (s *Server) machineStatus(c schedule.Cluster, id string) (status MachineStatus, ok bool, err error) {
	for _, m := range c.Machines {
		if m.ID == id {
			status.State, ok = registry.FormatMachineState(m.State), true
		}
	}
	for _, u := range c.Units {
		if c.Placed[u.Name] == id {
			status.Units = append(status.Units, u.Name)
		}
	}
	plan, err := schedule.Compute(c, s.cfg.Schedule)
	for _, e := range plan.Blocked {
		if e.Placed == id {
			status.Blocked = append(status.Blocked, e)
		}
	}
	return status, ok, err
}

func (s *Server) putMachineState(w http.ResponseWriter, r *http.Request, id string) {
	var body MachineStatus
	if err := s.readJSON(w, r, &body); err != nil {
		return
	}
	state, err := registry.ParseMachineState(body.State)
	if err == nil {
		err = s.reg.SetMachineState(r.Context(), id, state)
	}
	s.done(w, http.StatusNoContent, err)
}

// rebalance tells whether an order to rebalance is waiting, or takes one; with
// "dryRun=true" in the query it only says what would be moved. It is not fleet's.
func (s *Server) rebalance(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		waiting, err := s.reg.Rebalancing(r.Context())
		if err != nil {
			s.broken(w, err)
			return
		}
		s.send(w, http.StatusOK, rebalanceState{Waiting: waiting})
	case http.MethodPost:
		s.postRebalance(w, r)
	default:
		s.fail(w, http.StatusMethodNotAllowed, "only GET and POST supported against this resource")
	}
}

func (s *Server) postRebalance(w http.ResponseWriter, r *http.Request) {
	var body rebalanceOrder
	if err := s.readJSON(w, r, &body); err != nil {
		return
	}
	goal, err := registry.ParseGoal(body.Goal)
	if err != nil {
		s.refuse(w, err)
		return
	}
	order := schedule.Rebalance{Goal: goal, Budget: body.Budget, MinGain: body.MinGain}
	steps, err := s.rebalanceSteps(r.Context(), order)
	if err != nil {
		s.broken(w, err)
		return
	}
	if r.URL.Query().Get("dryRun") != "true" {
		err = s.reg.OrderRebalance(r.Context(), order)
	}
	switch {
	case errors.Is(err, registry.ErrRebalancing):
		s.fail(w, http.StatusConflict, err.Error())
	case err != nil:
		s.refuse(w, err)
	default:
		s.send(w, http.StatusOK, rebalanceState{Steps: steps})
	}
}

func (s *Server) rebalanceSteps(ctx context.Context, order schedule.Rebalance) ([]Step, error) {
	cluster, err := s.cluster(ctx)
	if err != nil {
		return nil, err
	}
	sched := schedule.New(s.cfg.Schedule)
	if err := sched.Reset(cluster); err != nil {
		return nil, err
	}
	return stepsOf(sched.Rebalance(order)), nil
}

// readJSON reads the body of a request. It has answered if it returns an error.
func (s *Server) readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	if err := wantJSON(r); err != nil {
		s.fail(w, http.StatusUnsupportedMediaType, err.Error())
		return err
	}
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		s.badBody(w, "unable to decode body: ", err)
		return err
	}
	return nil
}
