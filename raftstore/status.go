package raftstore

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"
)

// Role is a member's part in the current term.
type Role string

// The roles. A member that only asks whether it could win is a Candidate.
const (
	Follower  Role = "follower"
	Candidate Role = "candidate"
	Leader    Role = "leader"
)

// Status is a member's view of itself and its cluster at one moment.
type Status struct {
	ID, ClusterID uint64
	Role          Role
	Term          uint64
	Leader        uint64 // 0 when unknown
	Commit        uint64 // index up to which the log is committed
	Applied       uint64 // index up to which raft knows it to be applied
	First, Last   uint64 // indexes of the first and last log entry on disk
	// Peers is a leader's view of the other members, ordered by id; nil on others.
	Peers []PeerStatus
}

// PeerStatus is what a leader knows of another member.
type PeerStatus struct {
	ID uint64
	// Match is the index up to which the member is known to have the log.
	Match uint64
	// Active tells that the member was heard of within the last one to two
	// election timeouts.
	Active bool
}

// slowestMatch returns the index up to which all members that a leader hears of
// have the log; Last for others.
func (s Status) slowestMatch() uint64 {
	match := s.Last
	for _, p := range s.Peers {
		if p.Active {
			match = min(match, p.Match)
		}
	}
	return match
}

// Status returns the latest status. It takes no lock.
func (n *Node) Status() Status { return *n.status.Load() }

// publish runs on the loop.
func (n *Node) publish() {
	bs := n.raft.BasicStatus()
	first, _ := n.raftLog.FirstIndex()
	last, _ := n.raftLog.LastIndex()
	st := Status{
		ID: n.id, ClusterID: n.clusterID, Role: roleOf(bs.RaftState),
		Term: bs.GetTerm(), Leader: bs.Lead, Commit: bs.GetCommit(), Applied: bs.Applied,
		First: first, Last: last,
	}
	if st.Role == Leader {
		n.raft.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
			if id != n.id {
				st.Peers = append(st.Peers, PeerStatus{ID: id, Match: pr.Match, Active: n.isActive(id, pr)})
			}
		})
	}
	n.status.Store(&st)
}

func roleOf(s raft.StateType) Role {
	switch s {
	case raft.StateLeader:
		return Leader
	case raft.StateFollower:
		return Follower
	default:
		return Candidate
	}
}

// leaderBoard shows who leads.
type leaderBoard struct {
	grace   time.Duration // see during
	mu      sync.Mutex
	id      uint64
	changed chan struct{} // closed and replaced at each change
	tenures map[*tenure]struct{}
}

// tenure is somebody's reliance on one leader.
type tenure struct {
	leader uint64
	cancel context.CancelFunc
	grace  *time.Timer // nil while leader leads
}

// during returns a context that ends when a member other than leader has led for
// the time of grace: one that is still there knows by then, and can tell, what
// became of the calls that it was given.
func (b *leaderBoard) during(ctx context.Context, leader uint64) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	t := &tenure{leader: leader, cancel: cancel}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tenures[t] = struct{}{}
	b.look(t)
	return ctx, func() {
		b.mu.Lock()
		delete(b.tenures, t)
		if t.grace != nil {
			t.grace.Stop()
		}
		b.mu.Unlock()
		cancel()
	}
}

// look begins the time of grace if somebody else leads.
func (b *leaderBoard) look(t *tenure) {
	if t.leader != b.id && b.id != 0 && t.grace == nil {
		t.grace = time.AfterFunc(b.grace, t.cancel)
	}
}

func (b *leaderBoard) get() (id uint64, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.id, b.changed
}

func (b *leaderBoard) set(id uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if id != b.id {
		b.id = id
		close(b.changed)
		b.changed = make(chan struct{})
		for t := range b.tenures {
			b.look(t)
		}
	}
}

// raftLogger passes on what raft has to say. Its informational lines describe
// protocol steps, of which the loop reports those that operators act on.
type raftLogger struct{ log *slog.Logger }

func (l raftLogger) Debug(v ...any)                 {}
func (l raftLogger) Debugf(format string, v ...any) {}
func (l raftLogger) Info(v ...any)                  { l.log.Debug(fmt.Sprint(v...)) }
func (l raftLogger) Infof(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l raftLogger) Warning(v ...any)               { l.log.Debug(fmt.Sprint(v...)) }
func (l raftLogger) Warningf(format string, v ...any) {
	l.log.Debug(fmt.Sprintf(format, v...))
}
func (l raftLogger) Error(v ...any)                 { l.log.Error(fmt.Sprint(v...)) }
func (l raftLogger) Errorf(format string, v ...any) { l.log.Error(fmt.Sprintf(format, v...)) }
func (l raftLogger) Fatal(v ...any)                 { panic(fmt.Sprint(v...)) }
func (l raftLogger) Fatalf(format string, v ...any) { panic(fmt.Sprintf(format, v...)) }
func (l raftLogger) Panic(v ...any)                 { panic(fmt.Sprint(v...)) }
func (l raftLogger) Panicf(format string, v ...any) { panic(fmt.Sprintf(format, v...)) }
