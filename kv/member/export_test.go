package member

import (
	"slices"

	"github.com/strakeproject/strake/kv/tree"
)

// Log returns the indexes of the first and last entry of the member's log.
func (m *Member) Log() (first, last uint64) {
	st := m.node.Status()
	return st.First, st.Last
}

// Snapshots returns how many snapshots this member has installed.
func (m *Member) Snapshots() uint64 { return m.node.Stats().SnapshotsReceived }

// Hears reports whether this member leads and has heard of another one lately.
func (m *Member) Hears(id uint64) bool { return m.hears(id) }

// Published tells whether anything is kept that a member has published.
func (m *Member) Published(id uint64) bool {
	all, err := m.tree.Members()
	if err != nil {
		panic(err)
	}
	return slices.ContainsFunc(all, func(p tree.Member) bool { return p.ID == id })
}
