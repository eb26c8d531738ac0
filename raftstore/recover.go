package raftstore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"go.etcd.io/raft/v3/raftpb"
)

// Recover makes the member in cfg.Dir, which must not run, the only member of a
// new cluster: with its state and its whole log, a new cluster id, a new member
// id, and none of the other members. It is for when a majority is lost for good;
// what only the lost members had is lost with them, and they must not come back.
// New members join the new cluster.
//
// The whole log, because the survivor cannot tell what of its end was committed:
// what was acknowledged to a client may be there. It may also apply commands
// whose callers never got an answer.
//
// Of cfg it needs Dir, Name, URLs, StateMachine, Log and FS; it closes
// StateMachine and Log. The state machine must be a Snapshotter. After an error
// or a crash it can be called again.
func Recover(ctx context.Context, cfg Config) error {
	cfg.fillSeams()
	err := recoverDir(ctx, &cfg)
	if err = errors.Join(err, closeParts(&cfg)); err != nil {
		return fmt.Errorf("raftstore: recover %s: %w", cfg.Dir, err)
	}
	return nil
}

func closeParts(cfg *Config) error {
	var errs []error
	if cfg.StateMachine != nil {
		errs = append(errs, cfg.StateMachine.Close())
	}
	if cfg.Log != nil {
		errs = append(errs, cfg.Log.Close())
	}
	return errors.Join(errs...)
}

func recoverDir(ctx context.Context, cfg *Config) error {
	sm, ok := cfg.StateMachine.(Snapshotter)
	switch {
	case !ok:
		return errors.New("the state machine is no Snapshotter: new members could not get its state")
	case cfg.Log == nil:
		return errors.New("no log")
	case len(cfg.URLs) == 0:
		return errors.New("no URLs for the member")
	}
	cur, err := loadCurrent(cfg.FS, cfg.Dir)
	if err != nil {
		return err
	}
	pos, err := openState(ctx, cfg, filepath.Join(cfg.Dir, cur.Dir), membership{})
	if err != nil {
		return err
	}
	last, err := applyLog(ctx, cfg, cur, &pos)
	if err != nil {
		return err
	}
	id, err := newCluster(cfg)
	if err != nil {
		return err
	}
	// Past everything the old members can have had.
	base := LogPosition{Index: max(pos.Index, last.Index) + 1, Term: max(pos.Term, last.Term) + 1}
	pos = Position{Index: base.Index, Term: base.Term, Membership: id.Initial.encode()}
	if _, err := sm.Apply(nil, pos); err != nil {
		return fmt.Errorf("give the state its new position: %w", err)
	}
	if err := sm.Flush(ctx); err != nil {
		return fmt.Errorf("flush state: %w", err)
	}
	hard := HardState{Term: base.Term, Commit: base.Index}
	if err := cfg.Log.Append(LogGroup{Base: &base, Hard: &hard}, true); err != nil {
		return fmt.Errorf("reset log: %w", err)
	}
	return id.store(cfg)
}

// applyLog brings the state up to the end of its log, and returns that.
func applyLog(ctx context.Context, cfg *Config, cur current, pos *Position) (last LogPosition, err error) {
	st, err := cfg.Log.State()
	if err != nil {
		return last, fmt.Errorf("open log: %w", err)
	}
	if st, err = finishInstall(cfg.Log, st, cur.Installed); err != nil {
		return last, err
	}
	last = LogPosition{Index: st.Last, Term: st.Hard.Term}
	if st.Last == 0 {
		return last, nil // restored: there is no log
	}
	if err := checkPositions(st, *pos); err != nil {
		return last, err
	}
	n := &Node{cfg: *cfg, log: cfg.Logger, solo: true}
	n.ctx, n.cancel = context.WithCancel(ctx)
	defer n.cancel()
	ms, err := decodeMembership(pos.Membership)
	if err != nil {
		ms = membership{} // a state that was never part of a cluster
	}
	n.members.Store(&ms)
	for next := pos.Index + 1; next <= st.Last; next = pos.Index + 1 {
		stored, err := cfg.Log.Entries(next, st.Last+1, maxFrameBytes)
		if err != nil {
			return last, err
		}
		if err := n.reapply(stored, pos); err != nil {
			return last, err
		}
	}
	return last, nil
}

// reapply applies entries without anybody waiting for them. Changes of
// membership only move the position: the old members do not matter any more.
func (n *Node) reapply(stored []LogEntry, pos *Position) error {
	var entries []*raftpb.Entry
	for _, e := range stored {
		entry := &raftpb.Entry{Index: new(e.Index), Term: new(e.Term), Type: raftpb.EntryNormal.Enum(), Data: e.Data}
		if e.Kind != EntryFrame {
			entry.Data = nil
		}
		entries = append(entries, entry)
	}
	for len(entries) > 0 {
		batch := cutBatch(entries)
		if err := n.applyBatch(batch, pos); err != nil {
			return err
		}
		entries = entries[len(batch):]
	}
	return nil
}

// newCluster draws up the identity of the only member of a new cluster.
func newCluster(cfg *Config) (identity, error) {
	id := identity{Format: identityFormat, Self: Member{Name: cfg.Name, PeerURLs: cfg.URLs}}
	for _, field := range []*uint64{&id.ClusterID, &id.Self.ID, &id.Self.Storage} {
		r, err := cfg.randomID()
		if err != nil {
			return identity{}, err
		}
		*field = r
	}
	id.Self.ID >>= 1 // as for members that are added
	id.Initial = membership{Members: []Member{id.Self}}
	return id, nil
}
