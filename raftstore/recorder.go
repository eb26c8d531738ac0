package raftstore

import (
	"fmt"
	"iter"
	"sync"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// recorderSize is how many of the latest steps the flight recorder keeps.
const recorderSize = 256

// recorder is a flight recorder: the latest things that happened to the raft
// core, for bug reports. It keeps the facts and makes text only when it is read.
type recorder struct {
	mu    sync.Mutex
	steps [recorderSize]recorded
	next  int
}

// recorded is one step: a message in or out, or a note.
type recorded struct {
	at         time.Time
	what       string
	kind       raftpb.MessageType
	from, to   uint64
	term       uint64
	index      uint64
	entries    int
	isMessage  bool
	commit     uint64
	reject     bool
	noteNumber uint64
}

func (r *recorder) add(s recorded) {
	s.at = time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps[r.next%recorderSize] = s
	r.next++
}

func (r *recorder) message(what string, m *raftpb.Message) {
	r.add(recorded{
		what: what, isMessage: true, kind: m.GetType(), from: m.GetFrom(), to: m.GetTo(), term: m.GetTerm(),
		index: m.GetIndex(), entries: len(m.GetEntries()), commit: m.GetCommit(), reject: m.GetReject(),
	})
}

func (r *recorder) note(what string, number uint64) { r.add(recorded{what: what, noteNumber: number}) }

func (s recorded) String() string {
	at := s.at.UTC().Format("15:04:05.000000")
	if !s.isMessage {
		return fmt.Sprintf("%s %s %d", at, s.what, s.noteNumber)
	}
	text := fmt.Sprintf("%s %s %s %x->%x term %d index %d commit %d entries %d", at, s.what, s.kind, s.from, s.to, s.term, s.index, s.commit, s.entries)
	if s.reject {
		text += " reject"
	}
	return text
}

// Recording yields the latest steps of the raft core, oldest first, a line each:
// something to add to a bug report.
func (n *Node) Recording() iter.Seq[string] {
	return func(yield func(string) bool) {
		n.recorder.mu.Lock()
		first := max(0, n.recorder.next-recorderSize)
		steps := make([]recorded, 0, recorderSize)
		for i := first; i < n.recorder.next; i++ {
			steps = append(steps, n.recorder.steps[i%recorderSize])
		}
		n.recorder.mu.Unlock()
		for _, s := range steps {
			if !yield(s.String()) {
				return
			}
		}
	}
}
