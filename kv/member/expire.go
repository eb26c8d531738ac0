package member

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/strakeproject/strake/kv/tree"
)

// expireBatch is how many nodes one command expires at most. The next command
// goes out when it has been applied, so a storm of expiries leaves room for
// other writes.
const expireBatch = 1000

// lead runs while this member leads, and does what only a leader should.
func (m *Member) lead(ctx context.Context, _ uint64) {
	select {
	case <-ctx.Done():
		return
	case <-m.opened:
	}
	var wg sync.WaitGroup
	wg.Go(func() { m.expireDue(ctx) })
	wg.Go(func() { m.promoteLearners(ctx) })
	wg.Go(func() { m.forgetRemoved(ctx) })
	wg.Wait()
}

// expireDue expires what is due. Time is the leader's alone, so a member with a
// wrong clock does harm only while it leads.
func (m *Member) expireDue(ctx context.Context) {
	// Clients could not refresh their nodes while there was no leader. One
	// election timeout is what that took at least.
	if !sleep(ctx, m.cfg.ElectionTimeout) {
		return
	}
	for {
		now, err := m.tree.WaitDue(ctx)
		if err != nil {
			m.logUnlessOver(ctx, "cannot tell what is due", err)
			return
		}
		c := tree.Command{Op: tree.OpExpire, Now: now, Max: expireBatch}
		if _, err := m.Do(ctx, c); err != nil {
			m.logUnlessOver(ctx, "cannot expire nodes, will try again", err)
			if !sleep(ctx, m.cfg.HeartbeatInterval) {
				return
			}
		}
	}
}

// publish tells the cluster this member's name and client URLs. It tries until
// it has or the context ends.
func (m *Member) publish(ctx context.Context) {
	c := tree.Command{Op: tree.OpPutMember, Member: tree.Member{
		ID: m.ID(), Name: m.cfg.Name, ClientURLs: m.cfg.AdvertiseClientURLs,
	}}
	for {
		_, err := m.Do(ctx, c)
		if err == nil {
			close(m.ready)
			m.cfg.Logger.Info("member is part of the cluster", "name", m.cfg.Name, "clientURLs", m.cfg.AdvertiseClientURLs)
			return
		}
		m.logUnlessOver(ctx, "cannot publish this member, will try again", err)
		if !sleep(ctx, m.cfg.HeartbeatInterval) {
			return
		}
	}
}

func (m *Member) logUnlessOver(ctx context.Context, msg string, err error) {
	if ctx.Err() == nil && !errors.Is(err, tree.ErrClosed) {
		m.cfg.Logger.Warn(msg, "err", err)
	}
}

// sleep waits, and reports false if the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
