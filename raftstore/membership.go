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
	// Learner marks a member that receives everything and has no vote.
	Learner bool `json:",omitempty"`
	// Storage identifies the disk the member was first seen with; 0 until then.
	// The member's id on another disk is not the member.
	Storage uint64 `json:",omitempty"`
}

// membership is who belongs to the cluster at some position of the log. It
// travels through the state machine as Position.Membership, as JSON. Values are
// immutable.
type membership struct {
	Members []Member // ordered by ID
	// Removed are the ids of former members, ordered. They are never given to
	// anybody again.
	Removed []uint64 `json:",omitempty"`
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

func (ms membership) find(id uint64) (int, bool) {
	return slices.BinarySearchFunc(ms.Members, id, func(m Member, id uint64) int { return cmp.Compare(m.ID, id) })
}

func (ms membership) member(id uint64) (Member, bool) {
	i, ok := ms.find(id)
	if !ok {
		return Member{}, false
	}
	return ms.Members[i], true
}

func (ms membership) removed(id uint64) bool {
	_, ok := slices.BinarySearch(ms.Removed, id)
	return ok
}

// voters counts the members that vote.
func (ms membership) voters() int {
	n := 0
	for _, m := range ms.Members {
		if !m.Learner {
			n++
		}
	}
	return n
}

func (ms membership) confState() *raftpb.ConfState {
	cs := &raftpb.ConfState{}
	for _, m := range ms.Members {
		if m.Learner {
			cs.Learners = append(cs.Learners, m.ID)
		} else {
			cs.Voters = append(cs.Voters, m.ID)
		}
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

// changeOp is what a change of membership does.
type changeOp string

const (
	opAdd     changeOp = "add"     // a learner
	opPromote changeOp = "promote" // a learner to a voter
	opRemove  changeOp = "remove"
	opUpdate  changeOp = "update" // a member's URLs
	opAttach  changeOp = "attach" // record a member's storage
)

// change is a change of membership, as it stands in the log.
type change struct {
	Op     changeOp
	Member Member // ID always; the rest as the operation needs it
}

// apply returns the membership after c, or why c is refused. It decides on the
// membership alone, so that all members decide alike.
func (ms membership) apply(c change) (membership, error) {
	i, exists := ms.find(c.Member.ID)
	if c.Op != opAdd && !exists {
		return ms, fmt.Errorf("%w: %x", ErrUnknownMember, c.Member.ID)
	}
	if c.Op == opAdd || c.Op == opUpdate {
		if err := ms.checkURLs(c.Member); err != nil {
			return ms, err
		}
	}
	next := membership{Members: slices.Clone(ms.Members), Removed: slices.Clone(ms.Removed)}
	switch c.Op {
	case opAdd:
		if exists || ms.removed(c.Member.ID) {
			return ms, fmt.Errorf("%w: id %x", ErrMemberExists, c.Member.ID)
		}
		m := c.Member
		m.Learner = true
		next.Members = slices.Insert(next.Members, i, m)
	case opPromote:
		if !next.Members[i].Learner {
			return ms, fmt.Errorf("%w: %x is a voter", ErrMemberExists, c.Member.ID)
		}
		next.Members[i].Learner = false
	case opRemove:
		if !next.Members[i].Learner && ms.voters() == 1 {
			return ms, fmt.Errorf("%w: %x is the last voter", ErrWouldLoseQuorum, c.Member.ID)
		}
		next.Members = slices.Delete(next.Members, i, i+1)
		at, _ := slices.BinarySearch(next.Removed, c.Member.ID)
		next.Removed = slices.Insert(next.Removed, at, c.Member.ID)
	case opUpdate:
		next.Members[i].PeerURLs = slices.Sorted(slices.Values(c.Member.PeerURLs))
	case opAttach:
		if old := next.Members[i].Storage; old != 0 && old != c.Member.Storage {
			return ms, fmt.Errorf("%w: member %x", ErrOtherStorage, c.Member.ID)
		}
		next.Members[i].Storage = c.Member.Storage
	default:
		return ms, fmt.Errorf("unknown change %q", c.Op)
	}
	return next, nil
}

func (ms membership) checkURLs(m Member) error {
	if len(m.PeerURLs) == 0 {
		return fmt.Errorf("member %q has no URL", m.Name)
	}
	for _, other := range ms.Members {
		for _, u := range m.PeerURLs {
			if other.ID != m.ID && slices.Contains(other.PeerURLs, u) {
				return fmt.Errorf("%w: %s belongs to member %x", ErrMemberExists, u, other.ID)
			}
		}
	}
	return nil
}

// confChange is the change as raft sees it. URLs and storage are none of its
// business, but have to travel in an entry of the same kind.
func (c change) confChange(context []byte) *raftpb.ConfChangeV2 {
	kind := raftpb.ConfChangeUpdateNode
	switch c.Op {
	case opAdd:
		kind = raftpb.ConfChangeAddLearnerNode
	case opPromote:
		kind = raftpb.ConfChangeAddNode
	case opRemove:
		kind = raftpb.ConfChangeRemoveNode
	}
	return &raftpb.ConfChangeV2{
		Changes: []*raftpb.ConfChangeSingle{{Type: kind.Enum(), NodeId: new(c.Member.ID)}},
		Context: context,
	}
}
