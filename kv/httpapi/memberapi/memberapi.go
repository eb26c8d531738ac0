// Package memberapi shows a kv/member.Member to kv/httpapi.
//
// You hold a Member and get a [View], which is what httpapi.Config asks for as
// its Cluster and as its Changer; [View.Activity] is what it asks for by that
// name.
package memberapi

import (
	"context"
	"errors"
	"fmt"

	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/member"
)

// View is a member as the HTTP API sees it. Its methods are safe for concurrent
// use.
type View struct{ m *member.Member }

var (
	_ httpapi.Cluster = View{}
	_ httpapi.Changer = View{}
)

// Of returns the view of a member.
func Of(m *member.Member) View { return View{m} }

// ClusterID implements httpapi.Cluster.
func (v View) ClusterID() uint64 { return v.m.ClusterID() }

// Leader implements httpapi.Cluster.
func (v View) Leader() uint64 { return v.m.Leader() }

// Raft implements httpapi.Cluster.
func (v View) Raft() (index, term uint64) { return v.m.Raft() }

// CheckHealth implements httpapi.Cluster.
func (v View) CheckHealth(ctx context.Context) error { return v.m.CheckHealth(ctx) }

// Members implements httpapi.Cluster.
func (v View) Members() []httpapi.Member {
	var all []httpapi.Member
	for _, info := range v.m.Members() {
		all = append(all, shown(info))
	}
	return all
}

// AddMember implements httpapi.Changer.
func (v View) AddMember(ctx context.Context, peerURLs []string) (httpapi.Member, error) {
	info, err := v.m.AddMember(ctx, peerURLs)
	return shown(info), changeError(err)
}

// UpdateMember implements httpapi.Changer.
func (v View) UpdateMember(ctx context.Context, id uint64, peerURLs []string) error {
	return changeError(v.m.UpdateMember(ctx, id, peerURLs))
}

// RemoveMember implements httpapi.Changer.
func (v View) RemoveMember(ctx context.Context, id uint64) error {
	return changeError(v.m.RemoveMember(ctx, id))
}

// Activity is for httpapi.Config.Activity. Appends, dropped messages and round
// trips are as Member.Activity has them, from the streams to peers.
func (v View) Activity() httpapi.Activity {
	busy := v.m.Activity()
	a := httpapi.Activity{
		ID: v.m.ID(), Started: busy.Opened,
		Leader: v.m.Leader(), LeaderSince: busy.LeaderSince,
		Sent: httpapi.Traffic(busy.Sent), Received: httpapi.Traffic(busy.Received),
		Expired: busy.Expired,
	}
	for _, info := range v.m.Members() {
		if info.ID == a.ID {
			a.Name = info.Name
		}
	}
	for _, p := range busy.Peers {
		a.Followers = append(a.Followers, httpapi.Follower{
			ID: p.ID, Sent: p.Appends, Failed: p.Dropped, Latency: httpapi.Latency(p.RoundTrip),
		})
	}
	return a
}

func shown(i member.Info) httpapi.Member {
	return httpapi.Member{ID: i.ID, Name: i.Name, PeerURLs: i.PeerURLs, ClientURLs: i.ClientURLs}
}

// changeError says in terms of httpapi why members were not changed.
func changeError(err error) error {
	for _, e := range []struct{ from, to error }{
		{member.ErrMemberExists, httpapi.ErrMemberExists},
		{member.ErrMemberNotFound, httpapi.ErrMemberNotFound},
		{member.ErrMemberRemoved, httpapi.ErrMemberRemoved},
	} {
		if errors.Is(err, e.from) {
			return fmt.Errorf("%w: %w", e.to, err)
		}
	}
	return err
}
