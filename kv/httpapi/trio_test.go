package httpapi_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/strakeproject/strake/kv/httpapi"
)

// trio is a cluster of three, whose second member has not started. A sick one
// has no leader.
type trio struct {
	sick bool

	mu      sync.Mutex
	members []httpapi.Member
	removed []uint64
}

func newTrio(sick bool) *trio {
	return &trio{sick: sick, members: []httpapi.Member{
		{ID: 0xce2a822cea30bfca, Name: "c", PeerURLs: []string{"http://c:2380"}, ClientURLs: []string{"http://c:4001", "http://c:2379"}},
		{ID: 0x2e, Name: "", PeerURLs: []string{"http://b:2380"}},
		{ID: 0x1a, Name: "a", PeerURLs: []string{"http://a:7001", "http://a:2380"}, ClientURLs: []string{"http://a:2379"}},
	}}
}

func (*trio) ClusterID() uint64          { return 0xcdf818194e3a8c }
func (*trio) Raft() (index, term uint64) { return 42, 7 }

func (c *trio) Members() []httpapi.Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.members)
}

func (c *trio) Leader() uint64 {
	if c.sick {
		return 0
	}
	return 0x1a
}

// Activity is that of a, which leads unless the cluster is sick.
func (c *trio) Activity() httpapi.Activity {
	bubble := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when synctest begins
	a := httpapi.Activity{
		Name: "a", ID: 0x1a, Started: bubble.Add(-time.Hour), Leader: c.Leader(), LeaderSince: bubble.Add(-90 * time.Second),
		Sent: httpapi.Traffic{Messages: 7, PerSecond: 2.5, BytesPerSecond: 1000}, Received: httpapi.Traffic{Messages: 3},
		Expired: 5,
	}
	a.Followers = []httpapi.Follower{
		{ID: 0xce2a822cea30bfca, Sent: 6, Failed: 1, Latency: httpapi.Latency{
			Current: time.Millisecond, Average: 1500 * time.Microsecond, Deviation: 500 * time.Microsecond,
			Min: time.Millisecond, Max: 2 * time.Millisecond,
		}},
		{ID: 0x2e},
	}
	return a
}

func (c *trio) CheckHealth(ctx context.Context) error {
	if c.sick {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (c *trio) AddMember(ctx context.Context, urls []string) (httpapi.Member, error) {
	m := httpapi.Member{ID: 0xadd, PeerURLs: urls}
	return m, c.change(ctx, 0, urls, func(int) { c.members = append(c.members, m) })
}

func (c *trio) UpdateMember(ctx context.Context, id uint64, urls []string) error {
	return c.change(ctx, id, urls, func(i int) { c.members[i].PeerURLs = urls })
}

func (c *trio) RemoveMember(ctx context.Context, id uint64) error {
	return c.change(ctx, id, nil, func(i int) {
		c.removed = append(c.removed, id)
		c.members = slices.Delete(c.members, i, i+1)
	})
}

var errNoLeader = errors.New("no leader")

func (c *trio) change(_ context.Context, id uint64, urls []string, do func(i int)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.members, func(m httpapi.Member) bool { return m.ID == id })
	switch {
	case c.sick:
		return errNoLeader
	case slices.Contains(c.removed, id):
		return httpapi.ErrMemberRemoved
	case id != 0 && i < 0:
		return httpapi.ErrMemberNotFound
	}
	for j, m := range c.members {
		if j != i && slices.ContainsFunc(urls, func(u string) bool { return slices.Contains(m.PeerURLs, u) }) {
			return httpapi.ErrMemberExists
		}
	}
	do(i)
	return nil
}
