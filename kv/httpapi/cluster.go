package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Cluster tells what the API says about the member it runs in and the members
// beside it. Methods are safe for concurrent use and do not block, except
// CheckHealth.
type Cluster interface {
	// ClusterID is the same on all members and never changes.
	ClusterID() uint64
	// Members lists the members in any order.
	Members() []Member
	// Leader returns the id of the leader that this member knows; 0 for none.
	Leader() uint64
	// Raft returns this member's commit index and term.
	Raft() (index, term uint64)
	// CheckHealth returns nil if the member can serve a linearizable read
	// before ctx ends.
	CheckHealth(ctx context.Context) error
}

// Changer changes who belongs to the cluster. Its methods return when the change
// is done, or one of the errors below, or another one if the change cannot be
// made now.
type Changer interface {
	// AddMember makes room for a member that is about to start.
	AddMember(ctx context.Context, peerURLs []string) (Member, error)
	// UpdateMember tells that a member is reached elsewhere.
	UpdateMember(ctx context.Context, id uint64, peerURLs []string) error
	// RemoveMember takes a member out for good.
	RemoveMember(ctx context.Context, id uint64) error
}

// Errors of a Changer that clients are told of.
var (
	ErrMemberExists   = errors.New("membership: peerURL exists")
	ErrMemberNotFound = errors.New("membership: no such member")
	ErrMemberRemoved  = errors.New("membership: member was permanently removed")
)

// Member is a member of the cluster.
type Member struct {
	ID         uint64
	Name       string // empty until the member has started
	PeerURLs   []string
	ClientURLs []string // nil until the member has started
}

// healthTimeout is how long a health check may take before it has failed.
const healthTimeout = time.Second

// alone is the Cluster of a store without members.
type alone struct{}

func (alone) ClusterID() uint64                 { return 0 }
func (alone) Members() []Member                 { return nil }
func (alone) Leader() uint64                    { return 0 }
func (alone) Raft() (index, term uint64)        { return 0, 0 }
func (alone) CheckHealth(context.Context) error { return nil }

// serveMachines lists every client URL as text.
func (a *API) serveMachines(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		methodNotAllowed(w, "GET,HEAD")
		return
	}
	var urls []string
	for _, m := range a.cfg.Cluster.Members() {
		urls = append(urls, m.ClientURLs...)
	}
	slices.Sort(urls)
	writeText(w, strings.Join(urls, ", "))
}

// serveVersion tells the server's version and the cluster's, which is its
// first two numbers.
func (a *API) serveVersion(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		methodNotAllowed(w, "GET")
		return
	}
	b := append([]byte(`{"etcdserver":`), appendString(nil, a.cfg.Version)...)
	b = append(b, `,"etcdcluster":`...)
	b = append(appendString(b, clusterVersion(a.cfg.Version)), '}')
	writeJSON(w, http.StatusOK, b)
}

// clusterVersion returns major.minor.0 of a version.
func clusterVersion(v string) string {
	if parts := strings.SplitN(v, ".", 3); len(parts) == 3 {
		return parts[0] + "." + parts[1] + ".0"
	}
	return v
}

// serveHealth reports whether the member can serve a linearizable read.
func (a *API) serveHealth(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		methodNotAllowed(w, "GET")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
	defer cancel()
	if err := a.cfg.Cluster.CheckHealth(ctx); err != nil {
		a.cfg.Logger.Warn("health check failed", "err", err)
		http.Error(w, `{"health":"false"}`, http.StatusServiceUnavailable)
		return
	}
	writeText(w, `{"health":"true"}`)
}

// writeMarshalled answers with JSON and a newline.
func writeMarshalled(w http.ResponseWriter, status int, b []byte, err error) {
	if err != nil {
		writeMessage(w, http.StatusInternalServerError, "Internal Server Error")
		return
	}
	writeJSON(w, status, append(b, '\n'))
}

// writeMessage answers with an error of the members API, which ends without a
// newline.
func writeMessage(w http.ResponseWriter, status int, message string) {
	b := appendString([]byte(`{"message":`), message)
	writeJSON(w, status, append(b, '}'))
}

// writeText answers with plain text.
func writeText(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text) // a client that has gone needs no answer
}
