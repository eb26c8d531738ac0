package raftstore

import (
	"cmp"
	"crypto/sha1"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
)

// Member is one member of a cluster.
type Member struct {
	ID   uint64
	Name string
	// PeerURLs are where its peers reach it.
	PeerURLs []string
}

// membership is who belongs to the cluster at some position of the log. It
// travels through the state machine as Position.Membership, as JSON.
type membership struct {
	Members []Member // ordered by ID
}

// bootstrapMembership derives the members' ids and the cluster's id from the
// initial list, so that all initial members agree without talking. The rule is
// etcd's: a member's id is the first 8 bytes of SHA-1 over its sorted URLs and
// the token; the cluster's id the same over the sorted member ids.
func bootstrapMembership(initial []InitialMember, token string) (clusterID uint64, ms membership, err error) {
	seen := make(map[string]string)
	for _, im := range initial {
		if len(im.URLs) == 0 {
			return 0, membership{}, fmt.Errorf("raftstore: member %q has no URL in Config.Initial", im.Name)
		}
		urls := slices.Clone(im.URLs)
		slices.Sort(urls)
		h := sha1.New()
		for _, u := range urls {
			if other, ok := seen[u]; ok {
				return 0, membership{}, fmt.Errorf("raftstore: members %q and %q share the URL %s in Config.Initial", other, im.Name, u)
			}
			seen[u] = im.Name
			h.Write([]byte(u))
		}
		h.Write([]byte(token))
		ms.Members = append(ms.Members, Member{ID: binary.BigEndian.Uint64(h.Sum(nil)), Name: im.Name, PeerURLs: urls})
	}
	slices.SortFunc(ms.Members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	h := sha1.New()
	for _, m := range ms.Members {
		h.Write(binary.BigEndian.AppendUint64(nil, m.ID))
	}
	return binary.BigEndian.Uint64(h.Sum(nil)), ms, nil
}

func (ms membership) named(name string) (Member, bool) {
	i := slices.IndexFunc(ms.Members, func(m Member) bool { return m.Name == name })
	if i < 0 {
		return Member{}, false
	}
	return ms.Members[i], true
}

func (ms membership) member(id uint64) (Member, bool) {
	i, ok := slices.BinarySearchFunc(ms.Members, id, func(m Member, id uint64) int { return cmp.Compare(m.ID, id) })
	if !ok {
		return Member{}, false
	}
	return ms.Members[i], true
}

func (ms membership) confState() *raftpb.ConfState {
	cs := &raftpb.ConfState{}
	for _, m := range ms.Members {
		cs.Voters = append(cs.Voters, m.ID)
	}
	return cs
}

func (ms membership) encode() []byte {
	b, err := json.Marshal(ms)
	if err != nil {
		panic(err) // plain structs of strings and integers always marshal
	}
	return b
}

func decodeMembership(b []byte) (membership, error) {
	var ms membership
	if err := json.Unmarshal(b, &ms); err != nil {
		return membership{}, fmt.Errorf("%w: membership in the state machine's position: %v", ErrCorrupt, err)
	}
	return ms, nil
}
