// Package member is one member of a replicated key space, in process: raft from
// raftstore, the state machine of kv/tree, the clock that makes nodes expire,
// and the start of a cluster.
//
// What you hold: a [Member], from [Open], which is a kv.Store. Any member takes
// any operation; reads are local unless they ask for a quorum.
//
// What you owe: a data directory that is the member's alone, listeners that its
// peers reach under its advertised peer URLs (see [Listen]), and a call of
// [Member.Stop]. All members of a new cluster are given the same initial
// cluster and token, and find each other without further talk; once a member
// has data, it needs neither.
//
// A cluster changes while it runs: [Member.AddMember] on any member makes room
// for one that is then opened with Config.Existing, [Member.RemoveMember] takes
// one out, [Member.UpdateMember] tells that one has moved. A member that lost its
// disk is removed and added again. When a majority is lost for good, one of the
// others goes on alone with Config.ForceNewCluster.
//
// [CopyDir] and [Backup] copy a member that runs, from its files; [Restore] makes
// a member of what Backup wrote.
//
// With Config.PeerTLS the members talk over TLS and prove to each other who they
// are.
//
// The member serves its peers. Clients are served by whoever puts an API such
// as kv/httpapi in front of it.
package member
