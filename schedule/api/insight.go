package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

// explain answers why a unit is where it is, or nowhere: as JSON, or as text
// for "Accept: text/plain" and for "alt=text". Each "if" in the query is a
// supposition; the answer then is for the cluster as it would be, once the
// engine had dealt with it.
func (s *Server) explain(w http.ResponseWriter, r *http.Request, name string) {
	if _, err := s.unit(r, name); err != nil {
		s.refuse(w, err)
		return
	}
	cluster, err := s.cluster(r.Context())
	if err != nil {
		s.broken(w, err)
		return
	}
	query := r.URL.Query()
	for _, supposition := range query["if"] {
		if err := suppose(&cluster, supposition); err != nil {
			s.fail(w, http.StatusBadRequest, err.Error())
			return
		}
	}
	e, err := s.explanation(cluster, name, len(query["if"]) > 0)
	if err != nil {
		s.broken(w, err)
		return
	}
	if query.Get("alt") != "text" && !strings.HasPrefix(r.Header.Get("Accept"), "text/plain") {
		s.send(w, http.StatusOK, e)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, e.String()) // a client that has gone away is no concern of ours
}

// explanation explains a unit of a cluster, as that is or after the engine has
// dealt with it.
func (s *Server) explanation(c schedule.Cluster, name string, planned bool) (Explanation, error) {
	if !planned {
		e, err := schedule.Explain(c, name)
		if err != nil {
			return Explanation{}, err
		}
		sched := schedule.New(s.cfg.Schedule)
		if err := sched.Reset(c); err != nil {
			return Explanation{}, err
		}
		return Explanation{Explanation: e, Candidates: sched.Why(name)}, nil
	}
	sched := schedule.New(s.cfg.Schedule)
	if err := sched.Reset(c); err != nil {
		return Explanation{}, err
	}
	plan := sched.Plan()
	e, err := sched.Explain(name)
	if err != nil {
		return Explanation{}, err
	}
	return Explanation{Explanation: e, Candidates: sched.Why(name), Steps: stepsOf(plan)}, nil
}

// cluster reads the cluster as the scheduler takes it.
func (s *Server) cluster(ctx context.Context) (schedule.Cluster, error) {
	units, err := s.reg.Units(ctx)
	if err != nil {
		return schedule.Cluster{}, err
	}
	machines, err := s.reg.Machines(ctx)
	if err != nil {
		return schedule.Cluster{}, err
	}
	return clusterOf(units, machines), nil
}

// clusterOf is the cluster as the scheduler takes it.
func clusterOf(units []registry.Unit, machines []registry.Machine) schedule.Cluster {
	c := schedule.Cluster{Placed: make(map[string]string)}
	for _, u := range units {
		c.Units = append(c.Units, u.Schedulable())
		if u.Machine != "" {
			c.Placed[u.Name] = u.Machine
		}
	}
	for _, m := range machines {
		c.Machines = append(c.Machines, m.Schedulable())
	}
	return c
}

// journal answers with what a unit has written, one JSON object a line. The
// query says "machineID" (default: where the unit is scheduled), "lines" (default
// 10, all if negative) and "follow" (true: go on until the client leaves).
func (s *Server) journal(w http.ResponseWriter, r *http.Request, name string) {
	if s.cfg.Journal == nil {
		s.fail(w, http.StatusNotImplemented, "this server has no journals")
		return
	}
	machine, opts, err := journalQuery(r)
	if err != nil {
		s.fail(w, http.StatusBadRequest, err.Error())
		return
	}
	u, err := s.unit(r, name)
	if err != nil {
		s.refuse(w, err)
		return
	}
	if machine == "" {
		machine = u.Machine
	}
	if machine == "" {
		s.fail(w, http.StatusConflict, "unit is on no machine of its own: machineID is needed")
		return
	}
	// A journal that is followed outlasts the time that a request may take to
	// arrive; that deadline would cut it off.
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	_ = out.Flush() // not every writer can; the entries come in any case
	enc := json.NewEncoder(w)
	for entry, err := range s.cfg.Journal.Journal(r.Context(), machine, name, opts) {
		line := journalLine{Time: entry.Time, Unit: entry.Unit, Identifier: entry.Identifier, PID: entry.PID, Message: entry.Message}
		if err != nil {
			line = journalLine{Error: err.Error()}
		}
		if enc.Encode(line) != nil || err != nil {
			return
		}
		if opts.Follow {
			_ = out.Flush()
		}
	}
}

func journalQuery(r *http.Request) (machine string, opts unit.JournalOptions, err error) {
	query := r.URL.Query()
	if lines := query.Get("lines"); lines != "" {
		if opts.Lines, err = strconv.Atoi(lines); err != nil {
			return "", opts, fmt.Errorf("invalid number of lines %q", lines)
		}
	}
	opts.Follow = query.Get("follow") == "true"
	return query.Get("machineID"), opts, nil
}
