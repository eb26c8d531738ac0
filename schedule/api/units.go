package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

func (s *Server) listUnits(w http.ResponseWriter, r *http.Request) {
	token, err := wantedPage(r.URL.Query(), s.cfg.TokenLimit)
	if err != nil {
		s.fail(w, http.StatusBadRequest, err.Error())
		return
	}
	units, next, err := s.units.page(token, func() ([]registry.Unit, error) { return s.reg.Units(r.Context()) })
	if err != nil {
		s.broken(w, err)
		return
	}
	page := unitPage{NextPageToken: next}
	for _, u := range units {
		page.Units = append(page.Units, unitOf(u))
	}
	s.send(w, http.StatusOK, page)
}

func (s *Server) serveUnit(w http.ResponseWriter, r *http.Request, name string) {
	switch r.Method {
	case http.MethodGet:
		s.getUnit(w, r, name)
	case http.MethodPut:
		s.putUnit(w, r, name)
	case http.MethodDelete:
		s.deleteUnit(w, r, name)
	default:
		s.fail(w, http.StatusMethodNotAllowed, "only GET, PUT and DELETE supported against this resource")
	}
}

// unit reads a unit for a client. A name that no unit can have is that of an
// unknown unit.
func (s *Server) unit(r *http.Request, name string) (registry.Unit, error) {
	u, err := s.reg.Unit(r.Context(), name)
	if _, ok := errors.AsType[*registry.InvalidError](err); ok {
		return u, registry.ErrUnitNotFound
	}
	return u, err
}

func (s *Server) getUnit(w http.ResponseWriter, r *http.Request, name string) {
	u, err := s.unit(r, name)
	if err != nil {
		s.refuse(w, err)
		return
	}
	s.send(w, http.StatusOK, unitOf(u))
}

func (s *Server) deleteUnit(w http.ResponseWriter, r *http.Request, name string) {
	err := s.reg.DestroyUnit(r.Context(), name)
	if _, ok := errors.AsType[*registry.InvalidError](err); ok {
		err = registry.ErrUnitNotFound
	}
	if err != nil {
		s.refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// putUnit creates a unit, replaces it, or changes the state it should be in.
func (s *Server) putUnit(w http.ResponseWriter, r *http.Request, name string) {
	body, file, ok := s.readUnit(w, r, name)
	if !ok {
		return
	}
	old, err := s.reg.Unit(r.Context(), name)
	switch {
	case errors.Is(err, registry.ErrUnitNotFound):
		s.createUnit(w, r, name, file, body)
	case err != nil:
		s.refuse(w, err)
	case len(body.Options) > 0 && file.Hash() != old.Hash:
		target := body.DesiredState
		if target == "" {
			// Fleet's clients replace a unit without saying a state, and then
			// wait until it is inactive.
			target = registry.Inactive
		}
		s.done(w, http.StatusCreated, s.reg.ReplaceUnit(r.Context(), name, file, target))
	case body.DesiredState == "":
		s.fail(w, http.StatusConflict, "must provide DesiredState to update existing unit")
	default:
		s.done(w, http.StatusNoContent, s.reg.SetTarget(r.Context(), name, body.DesiredState))
	}
}

func (s *Server) createUnit(w http.ResponseWriter, r *http.Request, name string, file *unit.File, body Unit) {
	if len(body.Options) == 0 {
		s.fail(w, http.StatusConflict, "unit does not exist and options field empty")
		return
	}
	target := body.DesiredState
	if target == "" {
		target = registry.Inactive
	}
	err := s.reg.CreateUnit(r.Context(), name, file, target)
	if errors.Is(err, registry.ErrUnitExists) {
		s.fail(w, http.StatusConflict, registry.ErrUnitExists.Error())
		return
	}
	s.done(w, http.StatusCreated, err)
}

// done answers a write that has no body to answer with.
func (s *Server) done(w http.ResponseWriter, code int, err error) {
	if err != nil {
		s.refuse(w, err)
		return
	}
	w.WriteHeader(code)
}

// readUnit reads the body of a PUT and checks all that does not depend on the
// registry. It has answered if it returns false.
func (s *Server) readUnit(w http.ResponseWriter, r *http.Request, name string) (Unit, *unit.File, bool) {
	var body Unit
	if err := wantJSON(r); err != nil {
		s.fail(w, http.StatusUnsupportedMediaType, err.Error())
		return body, nil, false
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		s.badBody(w, "unable to decode body: ", err)
		return body, nil, false
	}
	if body.Name != "" && body.Name != name {
		s.fail(w, http.StatusBadRequest, fmt.Sprintf("name in URL %q differs from unit name in request body %q", name, body.Name))
		return body, nil, false
	}
	if err := unit.CheckName(name); err != nil {
		s.fail(w, http.StatusBadRequest, err.Error())
		return body, nil, false
	}
	file, err := body.File()
	if err == nil && body.DesiredState != "" {
		_, err = registry.ParseState(string(body.DesiredState))
	}
	if err != nil {
		s.fail(w, http.StatusBadRequest, err.Error())
		return body, nil, false
	}
	return body, file, true
}

func wantJSON(r *http.Request) error {
	types := r.Header["Content-Type"]
	if len(types) != 1 {
		return fmt.Errorf("expected 1 Content-Type, got %d", len(types))
	}
	media, _, _ := strings.Cut(types[0], ";")
	if strings.TrimSpace(media) != "application/json" {
		return errors.New("only acceptable Content-Type is application/json")
	}
	return nil
}
