package member

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	membersPath = "/members"
	versionPath = "/version"
)

// Info is what is known of a member of the cluster. As JSON it is what members
// tell each other, with the id as a decimal number.
type Info struct {
	ID       uint64   `json:"id"`
	PeerURLs []string `json:"peerURLs"`
	// Learner marks a member that was added and has not caught up: it has no
	// vote yet.
	Learner bool `json:"isLearner,omitempty"`
	// Name and ClientURLs are empty until the member has started.
	Name       string   `json:"name"`
	ClientURLs []string `json:"clientURLs"`
}

// servePeers begins to serve the peer listeners.
func (m *Member) servePeers() {
	m.peers = &http.Server{
		Handler:           http.HandlerFunc(m.servePeer),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(m.cfg.Logger.Handler(), slog.LevelDebug),
	}
	for _, l := range m.cfg.PeerListeners {
		m.tasks.Go(func() {
			if err := m.peers.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				m.cfg.Logger.Error("peer listener failed", "addr", l.Addr(), "err", err)
			}
		})
	}
}

// servePeer answers a request of a peer: for raft, or by a member that is about
// to start for /members and /version.
func (m *Member) servePeer(w http.ResponseWriter, r *http.Request) {
	select {
	case <-m.opened:
	default:
		http.Error(w, "member is starting", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("X-Etcd-Cluster-Id", strconv.FormatUint(m.ClusterID(), 16))
	switch {
	case strings.HasPrefix(r.URL.Path, "/raft/"):
		m.raft.ServeHTTP(w, r)
	case r.URL.Path != membersPath && r.URL.Path != versionPath:
		http.NotFound(w, r)
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
	case r.URL.Path == membersPath:
		b, err := json.Marshal(m.Members())
		writeJSON(w, b, err)
	default:
		b, err := json.Marshal(versions{m.cfg.Version, clusterVersion(m.cfg.Version)})
		writeJSON(w, b, err)
	}
}

// versions is what peers are told under /version.
type versions struct {
	Server  string `json:"etcdserver"`
	Cluster string `json:"etcdcluster"`
}

// clusterVersion is the part of a version that all members share: its first two
// numbers.
func clusterVersion(v string) string {
	if parts := strings.SplitN(v, ".", 3); len(parts) == 3 {
		return parts[0] + "." + parts[1] + ".0"
	}
	return v
}

func writeJSON(w http.ResponseWriter, b []byte, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n')) // a peer that has gone needs no answer
}
