package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/raftstore"
)

// AddMember makes room for one more member, which is then to be opened with
// Config.Existing and these peer URLs. It gets the data first, and its vote when
// it has caught up: until then, and if it never comes, the cluster is as
// available as before. Errors: ErrMemberExists; a mistake in a URL; and those of
// a write.
func (m *Member) AddMember(ctx context.Context, peerURLs []string) (Info, error) {
	if err := checkURLs(peerURLs); err != nil {
		return Info{}, err
	}
	ctx, cancel := m.bound(ctx)
	defer cancel()
	added, err := m.node.AddLearner(ctx, "", peerURLs)
	if err != nil {
		return Info{}, fmt.Errorf("add member: %w", changeError(err))
	}
	return Info{ID: added.ID, PeerURLs: added.PeerURLs, Learner: true}, nil
}

// RemoveMember takes a member out of the cluster for good: it stops when it
// learns of that, and its id never comes back. Errors: ErrMemberNotFound;
// ErrMemberRemoved if it is gone already; ErrUnhealthy if too few of the others
// are there to go on; and those of a write.
func (m *Member) RemoveMember(ctx context.Context, id uint64) error {
	ctx, cancel := m.bound(ctx)
	defer cancel()
	err := m.node.Remove(ctx, id)
	if errors.Is(err, raftstore.ErrStopped) && id == m.ID() {
		// Removed, this member may end before it is told that it was.
		select {
		case <-m.node.Done():
			if errors.Is(m.node.Err(), raftstore.ErrRemoved) {
				err = nil
			}
		case <-ctx.Done():
		}
	}
	if err != nil {
		return fmt.Errorf("remove member %x: %w", id, changeError(err))
	}
	return nil
}

// UpdateMember changes the peer URLs of a member, which has to serve the new
// ones by then or soon after. Errors: ErrMemberNotFound; ErrMemberExists if
// another member has one of the URLs; a mistake in a URL; and those of a write.
func (m *Member) UpdateMember(ctx context.Context, id uint64, peerURLs []string) error {
	if err := checkURLs(peerURLs); err != nil {
		return err
	}
	ctx, cancel := m.bound(ctx)
	defer cancel()
	if err := m.node.UpdatePeer(ctx, id, peerURLs); err != nil {
		return fmt.Errorf("update member %x: %w", id, changeError(err))
	}
	return nil
}

func checkURLs(urls []string) error {
	if len(urls) == 0 {
		return errors.New("no valid URLs given")
	}
	for _, u := range urls {
		if _, err := parseURL(u); err != nil {
			return err
		}
	}
	return nil
}

// promoteLearners gives every learner its vote as soon as it has caught up. It
// runs while this member leads.
func (m *Member) promoteLearners(ctx context.Context) {
	tick := time.NewTicker(m.cfg.HeartbeatInterval)
	defer tick.Stop()
	for {
		for _, l := range m.node.Members() {
			// A disk that is not on record could be lost without anybody noticing,
			// and with it votes.
			if l.Learner && l.Storage != 0 && m.hears(l.ID) {
				m.promote(ctx, l.ID)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// forgetRemoved takes what removed members have published out of the tree. It
// runs while this member leads.
func (m *Member) forgetRemoved(ctx context.Context) {
	changes := m.node.Events(ctx)
	m.forgetStrangers(ctx)
	for ev := range changes {
		if ev.Kind == raftstore.EventMembership {
			m.forgetStrangers(ctx)
		}
	}
}

// forgetStrangers drops the attributes of all who are no members. Who publishes
// was a member before, so the members are read last.
func (m *Member) forgetStrangers(ctx context.Context) {
	published, err := m.tree.Members()
	if err != nil {
		m.logUnlessOver(ctx, "published attributes are not at hand", err)
		return
	}
	members := m.node.Members()
	for _, p := range published {
		if slices.ContainsFunc(members, func(rm raftstore.Member) bool { return rm.ID == p.ID }) {
			continue
		}
		c := tree.Command{Op: tree.OpDropMember, Member: tree.Member{ID: p.ID}}
		if _, err := m.Do(ctx, c); err != nil {
			m.logUnlessOver(ctx, "cannot forget a removed member, will try again when another one changes", err)
		}
	}
}

// hears reports whether a leader has heard of a member lately.
func (m *Member) hears(id uint64) bool {
	return slices.ContainsFunc(m.node.Status().Peers, func(p raftstore.PeerStatus) bool { return p.ID == id && p.Active })
}

func (m *Member) promote(ctx context.Context, id uint64) {
	ctx, cancel := m.bound(ctx)
	defer cancel()
	err := m.node.Promote(ctx, id)
	switch {
	case err == nil:
		m.cfg.Logger.Info("new member has caught up and votes", "member", fmt.Sprintf("%x", id))
	case errors.Is(err, raftstore.ErrNotCaughtUp), errors.Is(err, raftstore.ErrWouldLoseQuorum),
		errors.Is(err, raftstore.ErrMemberExists), errors.Is(err, raftstore.ErrUnknownMember):
		// Not yet, or somebody was faster.
	default:
		m.logUnlessOver(ctx, "cannot give a new member its vote, will try again", err)
	}
}
