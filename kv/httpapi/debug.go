package httpapi

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strings"
)

const (
	profilePath = "/debug/pprof"
	varsPath    = "/debug/vars"
	logPath     = "/config/local/log"
)

// serveVars shows the process from inside.
func (a *API) serveVars(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		methodNotAllowed(w, "GET")
		return
	}
	type raftStatus struct {
		Term   uint64 `json:"term"`
		Commit uint64 `json:"commit"`
		Lead   string `json:"lead"`
	}
	vars := struct {
		Cmdline         []string         `json:"cmdline"`
		DescriptorLimit uint64           `json:"file_descriptor_limit"`
		MemStats        runtime.MemStats `json:"memstats"`
		RaftStatus      raftStatus       `json:"raft.status"`
	}{Cmdline: os.Args, DescriptorLimit: descriptorLimit()}
	runtime.ReadMemStats(&vars.MemStats)
	vars.RaftStatus.Commit, vars.RaftStatus.Term = a.cfg.Cluster.Raft()
	vars.RaftStatus.Lead = formatID(a.cfg.Cluster.Leader())
	b, err := json.Marshal(vars)
	if err != nil {
		a.writeFailure(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(append(b, '\n')) // a client that has gone needs no answer
}

// serveLog changes what is logged, which unlike in the original is for root alone
// when auth is on.
func (a *API) serveLog(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPut {
		methodNotAllowed(w, "PUT")
		return
	}
	if !a.admit(w, r) {
		return
	}
	var doc struct{ Level string }
	if json.NewDecoder(io.LimitReader(r.Body, maxDocument)).Decode(&doc) != nil {
		writeMessage(w, http.StatusBadRequest, "Invalid json body")
		return
	}
	level, err := parseLevel(doc.Level)
	if err != nil {
		writeMessage(w, http.StatusBadRequest, "Invalid log level "+doc.Level)
		return
	}
	a.cfg.LogLevel.Set(level)
	a.cfg.Logger.Warn("log level was set", "level", level)
	w.WriteHeader(http.StatusNoContent)
}

var errLevel = errors.New("no log level")

// parseLevel reads a level as the original names it, of which it has more than
// there are here.
func parseLevel(s string) (slog.Level, error) {
	switch strings.ToUpper(s) {
	case "TRACE", "T", "5", "DEBUG", "D", "4":
		return slog.LevelDebug, nil
	case "INFO", "I", "3", "NOTICE", "N", "2":
		return slog.LevelInfo, nil
	case "WARNING", "W", "1":
		return slog.LevelWarn, nil
	case "ERROR", "E", "0", "CRITICAL", "C":
		return slog.LevelError, nil
	}
	return 0, errLevel
}
