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
	states, next, err := s.pageOfStates(r, query, token)
	if err != nil {
		s.broken(w, err)
		return
	}
	show := stateOf
	if query.Get("detail") == "true" {
		show = detailOf
	}
	page := statePage{NextPageToken: next}
	for _, st := range states {
		page.States = append(page.States, show(st))
	}
	s.send(w, http.StatusOK, page)
}

// pageOfStates reads a page of the states that pass the filters of a query.
// Filtered lists are short, and read again for each page.
func (s *Server) pageOfStates(r *http.Request, query url.Values, token pageToken) ([]registry.UnitState, string, error) {
	name, machine := query.Get("unitName"), query.Get("machineID")
	if name == "" && machine == "" {
		return s.states.page(token, func() ([]registry.UnitState, error) { return s.reg.States(r.Context()) })
	}
	var states []registry.UnitState
	var err error
	if name != "" {
		states, err = s.statesOf(r, name)
	} else {
		states, err = s.reg.States(r.Context())
	}
	if err != nil {
		return nil, "", err
	}
	if machine != "" {
		states = slices.DeleteFunc(states, func(st registry.UnitState) bool { return st.Machine != machine })
	}
	states, next := pageOf(states, token)
	return states, next, nil
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
