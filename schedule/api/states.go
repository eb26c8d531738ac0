package api

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/strakeproject/strake/schedule/registry"
)

func (s *Server) listStates(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	token, err := wantedPage(query, s.cfg.TokenLimit)
	if err != nil {
		s.fail(w, http.StatusBadRequest, err.Error())
		return
	}
	states, err := s.wantedStates(r, query)
	if err != nil {
		s.broken(w, err)
		return
	}
	show := stateOf
	if query.Get("detail") == "true" {
		show = detailOf
	}
	var page statePage
	states, page.NextPageToken = pageOf(states, token)
	for _, st := range states {
		page.States = append(page.States, show(st))
	}
	s.send(w, http.StatusOK, page)
}

// wantedStates reads the states that pass the filters of a query.
func (s *Server) wantedStates(r *http.Request, query url.Values) ([]registry.UnitState, error) {
	var states []registry.UnitState
	var err error
	if name := query.Get("unitName"); name != "" {
		states, err = s.statesOf(r, name)
	} else {
		states, err = s.reg.States(r.Context())
	}
	if id := query.Get("machineID"); id != "" {
		states = slices.DeleteFunc(states, func(st registry.UnitState) bool { return st.Machine != id })
	}
	return states, err
}

// getState answers with the state of one unit: of a global one that of the
// first machine.
func (s *Server) getState(w http.ResponseWriter, r *http.Request, name string) {
	states, err := s.statesOf(r, name)
	switch {
	case err != nil:
		s.broken(w, err)
	case len(states) == 0:
		s.fail(w, http.StatusNotFound, "unit state does not exist")
	default:
		s.send(w, http.StatusOK, stateOf(states[0]))
	}
}

// statesOf reads the states of one unit. A name that no unit can have has none.
func (s *Server) statesOf(r *http.Request, name string) ([]registry.UnitState, error) {
	states, err := s.reg.UnitStates(r.Context(), name)
	if _, ok := errors.AsType[*registry.InvalidError](err); ok {
		return nil, nil
	}
	return states, err
}
