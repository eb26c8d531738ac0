package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/strakeproject/strake/schedule/registry"
)

func (s *Server) serveMachines(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		s.listMachines(w, r)
	case http.MethodPatch:
		s.patchMachines(w, r)
	default:
		s.fail(w, http.StatusMethodNotAllowed, "only GET and PATCH supported against this resource")
	}
}

func (s *Server) listMachines(w http.ResponseWriter, r *http.Request) {
	token, err := wantedPage(r.URL.Query(), s.cfg.TokenLimit)
	if err != nil {
		s.fail(w, http.StatusBadRequest, err.Error())
		return
	}
	machines, next, err := s.machines.page(token, func() ([]registry.Machine, error) { return s.reg.Machines(r.Context()) })
	if err != nil {
		s.broken(w, err)
		return
	}
	page := machinePage{NextPageToken: next}
	for _, m := range machines {
		if r.URL.Query().Get("detail") == "true" {
			page.Machines = append(page.Machines, machineDetailOf(m))
			continue
		}
		page.Machines = append(page.Machines, machineOf(m))
	}
	s.send(w, http.StatusOK, page)
}

// patchMachines changes metadata of machines: all operations, or none if one
// cannot be understood.
func (s *Server) patchMachines(w http.ResponseWriter, r *http.Request) {
	var ops []metadataOp
	if err := json.NewDecoder(r.Body).Decode(&ops); err != nil {
		s.badBody(w, "", err)
		return
	}
	for _, op := range ops {
		if err := op.check(); err != nil {
			s.fail(w, http.StatusBadRequest, err.Error())
			return
		}
	}
	for _, op := range ops {
		machine, key, _ := op.target()
		value := string(op.Value)
		if op.Op == "remove" {
			value = ""
		}
		if err := s.reg.SetMetadata(r.Context(), machine, key, value); err != nil {
			s.refuse(w, err)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNoContent)
}

func (op metadataOp) check() error {
	switch op.Op {
	case "add", "replace", "remove":
	default:
		return errors.New("invalid op: expect add, remove, or replace")
	}
	if _, _, err := op.target(); err != nil {
		return err
	}
	if op.Op != "remove" && op.Value == "" {
		return errors.New("invalid value: add and replace require a value")
	}
	return nil
}

// target takes the path "/<machine>/metadata/<key>" apart.
func (op metadataOp) target() (machine, key string, err error) {
	parts := strings.Split(op.Path, "/")
	if len(parts) != 4 || parts[0] != "" || parts[2] != "metadata" {
		return "", "", errors.New("machine metadata path invalid")
	}
	return parts[1], parts[3], registry.CheckMetadata(parts[1], parts[3])
}
